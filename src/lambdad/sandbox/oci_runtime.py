"""OCI runtimes: the programs that make a sandbox of a bundle. Which is there, what is particular to it, how it is driven."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdad.errors import SandboxError, StartupError
from lambdad.sandbox.children import Children, Finished

_VERSION_SECONDS = 20
_COMMAND_SECONDS = 60.0
_PLACES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_DEBIAN_PACKAGES = ("runc", "crun", "runsc")


@dataclass(frozen=True, slots=True)
class Kind:
    """What has to be known of a runtime beyond the specification."""

    options: Sequence[str] = ()  #: of every command
    oldest: tuple[int, ...] = ()  #: of its versions, where they are numbers
    memory_besides_mb: int = 0  #: what it needs of a sandbox's memory for itself
    weaknesses: Sequence[str] = ()
    #: Of process 1, which is root then: only where it has no other protection from a function that is its equal, and where
    #: being root is not the machine's affair.
    init_capabilities: Sequence[str] = ()
    hidden: Sequence[str] = ()  #: folders that it adds by itself
    has_devices: bool = False  #: mounts a file system of its own devices, and shows none of the machine's
    file_system_problem: str | None = None  #: why its sandboxes show no folders of the machine to be written to
    takes_mixed_cgroups: bool = True  #: works where hierarchies of version 1 and a controller of version 2 are mounted


#: By the name that the program itself gives.
KINDS = {
    "runc": Kind(oldest=(1, 0)),
    "crun": Kind(oldest=(1, 0), takes_mixed_cgroups=False),
    "runsc": Kind(
        # The network has to be the namespace's own, where the server's sockets are: gVisor's network stack would see none of
        # them. And all that is mounted is read-only: there is nothing to lay over it.
        options=("--network=host", "--overlay2=none"),
        memory_besides_mb=64,
        init_capabilities=("CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP"),
        hidden=("/sys",),
        has_devices=True,
        # gVisor makes files as root and gives them away then, which a mount for one user does not let it do.
        file_system_problem="gVisor makes files as root, whom no file system of a function's lets in",
        weaknesses=(
            "gVisor's own memory counts: a sandbox is killed at 64 MB above its memory size, and Max Memory Used is higher.",
            "Threads are not counted, and a function that makes a thousand processes ends with its whole environment.",
            "Functions reach the kernel's network code, in a network namespace of their own, and not gVisor's.",
            "Some versions of runsc answer read(2) and write(2) on a blocking TCP connection with EAGAIN instead of waiting.",
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Program:
    """A runtime that was found on this machine."""

    path: str
    name: str
    version: str

    @property
    def kind(self) -> Kind:
        return KINDS.get(self.name, Kind())


def find_runtime(wanted: str) -> Program:
    """By its name, or by its absolute path. StartupError, with what to do, where there is none that can be used."""
    found = (
        wanted if wanted.startswith("/") else shutil.which(wanted, path=os.pathsep.join((*_PLACES, os.environ.get("PATH", ""))))
    )
    if found is None or not os.access(found, os.X_OK) or not Path(found).is_file():
        hint = f" (Debian: apt-get install {wanted})" if wanted in _DEBIAN_PACKAGES else ""
        raise StartupError(
            f"there is no OCI runtime {wanted} on this machine{hint}; install it, or name another with --oci-runtime"
        )
    name, version = _ask_version(found)
    numbers = re.match(r"\d+(\.\d+)*", version)
    oldest = KINDS.get(name, Kind()).oldest
    if numbers and tuple(int(number) for number in numbers[0].split(".")) < oldest:
        raise StartupError(f"{found} is {name} {version}; version {'.'.join(map(str, oldest))} or newer is needed")
    return Program(found, name, version)


def _ask_version(program: str) -> tuple[str, str]:
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, timeout=_VERSION_SECONDS, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StartupError(f"the OCI runtime {program} cannot be run: {error}") from error
    told = re.match(r"(\S+) version:? (\S+)", answer.stdout)
    if answer.returncode != 0 or told is None:
        raise StartupError(f"{program} is no OCI runtime: it does not tell its version when asked with --version")
    return told[1], told[2]


class OciRuntime:
    """`state` is a folder in which the program keeps what it knows of its containers."""

    def __init__(self, program: Program, state: Path, children: Children) -> None:
        self._program = program
        self._state = state
        self._children = children
        self._nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)

    async def create(self, name: str, bundle: Path, stdin: int) -> int:
        """Makes the sandbox of a bundle, whose first process waits to be started; its process id."""
        pid_file = bundle / "pid"
        await self._command("create", "--bundle", bundle, "--pid-file", pid_file, name, stdin=stdin)
        return int(pid_file.read_text())

    async def start(self, name: str) -> None:
        await self._command("start", name)

    async def delete(self, name: str) -> str | None:
        """Kills what is left of the sandbox and forgets it. The reason, should that have failed; none if there is none."""
        try:
            finished = await self._run("delete", "--force", name, stdin=self._nothing)
        except TimeoutError:
            return f"{self._program.name} delete did not end in {_COMMAND_SECONDS:.0f} seconds"
        except OSError as error:  # the program has gone, or the machine has no room for one more process
            return f"{self._program.path}: {error.strerror}"
        if finished.code == 0 or not any(entry.name.split("_")[0] == name for entry in self._state.iterdir()):
            return None
        return reason_of(finished)

    async def _command(self, *arguments: str | Path, stdin: int | None = None) -> None:
        try:
            finished = await self._run(*arguments, stdin=self._nothing if stdin is None else stdin)
        except TimeoutError:
            raise SandboxError(f"{self._program.name} {arguments[0]} did not end in {_COMMAND_SECONDS:.0f} seconds") from None
        if finished.code != 0:
            raise SandboxError(f"{self._program.name} {arguments[0]} failed: {reason_of(finished)}")

    async def _run(self, *arguments: str | Path, stdin: int) -> Finished:
        command = (self._program.path, "--root", self._state, *self._program.kind.options, *arguments)
        return await self._children.run(command, stdin=stdin, seconds=_COMMAND_SECONDS)


def reason_of(finished: Finished) -> str:
    """Runtimes say what matters last, some of them as a record of a log."""
    if not finished.output:
        return f"it ended with {finished.code}"
    last = finished.output.splitlines()[-1]
    message = re.search(r'msg="((?:[^"\\]|\\.)*)"', last)
    return re.sub(r"\\(.)", r"\1", message[1]) if message else last
