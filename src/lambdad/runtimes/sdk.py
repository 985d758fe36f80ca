"""The AWS SDK that AWS's runtimes bring along: what it is of, how it comes, and how to see that it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdad.runtimes.find import Interpreter
from lambdad.runtimes.install import CommandError, Installer, InstallError, run

TRIAL_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sdk:
    name: str  #: as one says it: "boto3"
    use: str  #: what a function writes to get it: "import boto3"
    requirements: tuple[str, ...]  #: as `installer` understands them
    installer: Installer
    #: The command that loads all of it from a runtime's folder.
    trial: Callable[[Interpreter, Path], Sequence[str]]


async def try_sdk(sdk: Sdk, interpreter: Interpreter, content: Path) -> None:
    """Packages have been published that did not run on the versions they named. InstallError if these are such."""
    try:
        await run(sdk.trial(interpreter, content), TRIAL_SECONDS, lambda line: None)
    except (CommandError, TimeoutError) as error:
        raise InstallError(f"the installed {sdk.name} does not run: {error}") from error
