"""boto3 for each Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lambdad.runtimes.find import Interpreter
from lambdad.runtimes.install import PipInstaller
from lambdad.runtimes.sdk import Sdk

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


def sdk(runtime: str) -> Sdk:
    return Sdk(
        name="boto3",
        use="import boto3",
        requirements=_REQUIREMENTS.get(runtime, ("boto3",)),
        installer=PipInstaller(runtime.removeprefix("python")),
        trial=_trial,
    )


def _trial(interpreter: Interpreter, content: Path) -> Sequence[str]:
    script = "import sys; sys.path.insert(0, sys.argv[1]); import boto3"
    return [str(interpreter.executable), "-B", "-E", "-s", "-S", "-c", script, str(content)]
