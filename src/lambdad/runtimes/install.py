"""The AWS SDK that AWS's runtimes bring along, from the package index: which release for which Python, and how it comes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

INSTALL_SECONDS = 300.0
Progress = Callable[[str], None]  #: gets a line of text now and then

#: The newest releases that still run. pip knows a release's least Python, but judges conditions on single requirements
#: ("urllib3<1.27; python_version < '3.10'") by its own Python, so these are spelled out. AWS's runtimes up to python3.11
#: have setuptools beside the SDK; old libraries count on its pkg_resources.
_REQUIREMENTS: Mapping[str, tuple[str, ...]] = {
    "python2.7": ("boto3<1.18", "futures<4", "urllib3<1.27", "setuptools<45"),
    "python3.6": ("boto3<1.24", "urllib3<1.27", "setuptools<60"),
    "python3.7": ("boto3<1.34", "urllib3<1.27", "setuptools<69"),
    "python3.8": ("boto3<1.38", "urllib3<1.27", "setuptools<76"),
    "python3.9": ("boto3<1.43", "urllib3<1.27", "setuptools<80"),
    "python3.10": ("boto3", "setuptools<80"),
    "python3.11": ("boto3", "setuptools<80"),
}


class InstallError(Exception):
    """Packages could not be fetched; the text is a sentence for the user."""


class Installer(Protocol):
    async def install(self, requirements: Sequence[str], python_version: str, target: Path, progress: Progress) -> None:
        """Puts the packages and all they need into `target`; InstallError if that fails, with rubbish left there."""
        ...


def requirements_for(runtime: str) -> tuple[str, ...]:
    """Empty for runtimes that come without an SDK."""
    if not runtime.startswith("python"):
        return ()
    return _REQUIREMENTS.get(runtime, ("boto3",))


class PipInstaller:
    """pip of the server's own Python, told to choose for another one. Only wheels: nothing of the packages is run."""

    def __init__(self, timeout_seconds: float = INSTALL_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds

    async def install(self, requirements: Sequence[str], python_version: str, target: Path, progress: Progress) -> None:
        command = [
            *(sys.executable, "-m", "pip", "install", "--target", str(target)),
            *("--python-version", python_version, "--implementation", "cp", "--only-binary=:all:"),
            *("--no-compile", "--no-input", "--disable-pip-version-check", "--no-warn-conflicts", "--progress-bar=off"),
            *requirements,
        ]
        try:
            await run(command, self._timeout_seconds, progress)
        except TimeoutError:
            raise InstallError(f"pip did not finish within {self._timeout_seconds:.0f} seconds.") from None
        except CommandError as error:
            raise InstallError(f"pip could not install {', '.join(requirements)}: {error}") from error


class CommandError(Exception):
    """A command ended with a status other than 0; the text is the end of what it wrote."""


async def run(command: Sequence[str], timeout_seconds: float, progress: Progress, folder: Path = Path("/")) -> None:
    """Runs a command to its end in a process group of its own, which is gone afterwards however this call ends."""
    last: list[str] = []
    async with asyncio.timeout(timeout_seconds), _process(command, folder) as process:
        assert process.stdout is not None
        async for line in process.stdout:
            text = line.decode("utf-8", "replace").rstrip()
            last = [*last[-4:], text] if text else last
            progress(text)
        status = await process.wait()
    if status != 0:
        raise CommandError(" ".join(last)[-500:] or f"it ended with status {status}")


@asynccontextmanager
async def _process(command: Sequence[str], folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 20,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
