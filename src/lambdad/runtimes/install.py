"""Packages of a language got with its own client, pip or npm, of which nothing is run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

INSTALL_SECONDS = 300.0
#: By itself npm waits for more than a minute in all before it gives up where there is no registry.
NPM_RETRIES = ("--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
_LONGEST_LINE = 1 << 20  #: bytes; a longer one comes in parts
#: What npm writes behind the reason: where in its own code that was, an object's members, and advice.
_BESIDE_THE_REASON = re.compile(r"npm (error|ERR!)(\s\s.*|\s*\}?|\s(A complete log|If you are behind a proxy).*)")
#: What pip writes at each of its tries, with the reason somewhere within.
_PIP_TRIES_AGAIN = re.compile(r"WARNING: Retrying \(.*\) after connection broken by (['\"])(.*)\1: \S+")
_MOST_REASON = 500  #: letters
Progress = Callable[[str], None]  #: gets a line of text now and then


class InstallError(Exception):
    """Packages could not be fetched; the text is a sentence for the user."""


class Installer(Protocol):
    async def install(self, requirements: Sequence[str], target: Path, progress: Progress) -> None:
        """Puts the packages and all they need into `target`, a runtime's folder that is not there yet. InstallError if that
        fails, with rubbish left there."""
        ...


class PipInstaller:
    """pip of the server's own Python, told to choose for another one. Only wheels: nothing of the packages is run."""

    def __init__(self, python_version: str, timeout_seconds: float = INSTALL_SECONDS) -> None:
        self._python_version = python_version
        self._timeout_seconds = timeout_seconds

    async def install(self, requirements: Sequence[str], target: Path, progress: Progress) -> None:
        command = [
            *(sys.executable, "-m", "pip", "install", "--target", str(target)),
            *("--python-version", self._python_version, "--implementation", "cp", "--only-binary=:all:"),
            *("--no-compile", "--no-input", "--disable-pip-version-check", "--no-warn-conflicts", "--progress-bar=off"),
            *requirements,
        ]
        await _install("pip", command, requirements, self._timeout_seconds, progress)


class NpmInstaller:
    """The machine's npm. Packages' scripts are not run, and what it keeps for itself does not stay."""

    def __init__(self, timeout_seconds: float = INSTALL_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds

    async def install(self, requirements: Sequence[str], target: Path, progress: Progress) -> None:
        if problem := npm_problem():
            raise InstallError(problem)
        target.mkdir()
        own = target / "package.json"
        own.write_text('{"private": true}\n')  # else npm looks for one in the folders above
        cache = target / ".npm-cache"
        options = [
            *("--prefix", str(target), "--cache", str(cache)),
            *("--no-update-notifier", "--no-progress", "--loglevel=error", "--logs-max=0"),
            *NPM_RETRIES,
        ]
        # Offline it would try each package in turn, minutes in all, so it gets one of them first.
        first = requirements[:1]
        await _install("npm", ["npm", "cache", "add", *options, *first], first, self._timeout_seconds, progress)
        command = [
            *("npm", "install", *options),
            *("--ignore-scripts", "--no-bin-links", "--no-save", "--no-package-lock", "--omit=dev", "--no-audit", "--no-fund"),
            *requirements,
        ]
        await _install("npm", command, requirements, self._timeout_seconds, progress)
        own.unlink()
        (target / "node_modules" / ".package-lock.json").unlink(missing_ok=True)
        await asyncio.to_thread(shutil.rmtree, cache, ignore_errors=True)


def npm_problem() -> str | None:
    """What to do about it where npm is not there."""
    return None if shutil.which("npm") else "npm is not installed (Debian: apt-get install npm)"


def installed_packages(target: Path) -> list[str]:
    """What installers have put there, as "name-version" of pip's and of gems, and "name@version" of npm's."""
    wheels = [path.name.removesuffix(".dist-info") for path in target.glob("*.dist-info")]
    modules = target / "node_modules"
    described = [json.loads(path.read_bytes()) for one in ("*", "@*/*") for path in modules.glob(f"{one}/package.json")]
    gems = [path.stem for path in target.glob("specifications/*.gemspec")]
    return sorted([*wheels, *gems, *(f"{package['name']}@{package['version']}" for package in described)])


async def _install(
    name: str, command: Sequence[str], requirements: Sequence[str], timeout_seconds: float, progress: Progress
) -> None:
    try:
        await run(command, timeout_seconds, progress)
    except TimeoutError:
        raise InstallError(f"{name} did not finish within {timeout_seconds:.0f} seconds.") from None
    except (CommandError, OSError) as error:
        more = f" and {len(requirements) - 5} others" if len(requirements) > 5 else ""
        problem = _without_addresses(str(error))
        raise InstallError(f"{name} could not install {', '.join(requirements[:5])}{more}: {problem}") from error


def _without_addresses(text: str) -> str:
    """What is wrong with an SDK is shown to whoever asks for the server's health; where a registry is, and the password in its
    address, is nobody's business."""
    for address in set(re.findall(r"https?://([^\s/]+)", text)):
        for part in (address, address.rpartition("@")[2].partition(":")[0]):
            text = text.replace(part, "...")
    return text


class CommandError(Exception):
    """A command ended with a status other than 0; the text is the end of what it wrote, as far as that says why."""


async def run(
    command: Sequence[str],
    timeout_seconds: float,
    progress: Progress,
    folder: Path = Path("/"),
    variables: Mapping[str, str] | None = None,
) -> None:
    """Runs a command to its end in a process group of its own, which is gone afterwards however this call ends. `variables`
    come besides those of this process."""
    last: list[str] = []
    async with asyncio.timeout(timeout_seconds), _process(command, folder, variables or {}) as process:
        assert process.stdout is not None
        async for line in _lines(process.stdout):
            text = line.decode("utf-8", "replace").rstrip()
            last = _with_reason(last, text)
            progress(text)
        status = await process.wait()
    if status != 0:
        raise CommandError(_told(last) or f"it ended with status {status}")


def _with_reason(lines: list[str], text: str) -> list[str]:
    if again := _PIP_TRIES_AGAIN.fullmatch(text):
        text = again[2].rpartition(">: ")[2].rstrip("')\"")
    if not text or _BESIDE_THE_REASON.fullmatch(text) or text in lines[-1:]:
        return lines
    return [*lines[-4:], text]


def _told(lines: list[str]) -> str:
    """The last of them that have room, whole."""
    while len(lines) > 1 and len(" ".join(lines)) > _MOST_REASON:
        lines = lines[1:]
    return " ".join(lines)[-_MOST_REASON:]


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    rest = b""
    while chunk := await stream.read(1 << 16):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
        if len(rest) >= _LONGEST_LINE:
            yield rest
            rest = b""
    if rest:
        yield rest


@asynccontextmanager
async def _process(
    command: Sequence[str], folder: Path, variables: Mapping[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended, and is buried, which is about to be noticed
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
