"""Terraform with the AWS provider, where the machine has both: nothing is fetched for them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.server import Server

PROVIDER = "*/hashicorp/aws/*/*/terraform-provider-aws_*"
#: Folders that may hold copies of providers, as `terraform init -plugin-dir` takes them.
PLUGIN_FOLDERS = (Path.home() / ".terraform.d", Path("/usr/local/share/terraform"), Path("/usr/share/terraform"), Path("/opt"))
DONE, DIFFERS = 0, 2  #: exit codes of a plan with -detailed-exitcode


class Terraform:
    """One working folder. The provider finds the server by the variables that AWS's own clients read."""

    def __init__(self, server: Server, folder: Path, account_id: str) -> None:
        command = shutil.which("terraform")
        if command is None:
            pytest.skip("terraform is not installed")
        self._command, self._folder = command, folder
        settings = folder / "terraform.rc"  # instead of the user's own
        settings.touch()
        self._environment = {
            **server.environment(),
            "AWS_ACCESS_KEY_ID": account_id,
            "TF_CLI_CONFIG_FILE": str(settings),
        }
        self._run("init", f"-plugin-dir={_plugins()}")

    def apply(self, **variables: str) -> str:
        return self._run("apply", "-auto-approve", *_given(variables)).stdout

    def finds_changes(self, **variables: str) -> bool:
        """Whether a plan that is made now has something to do."""
        plan = self._run("plan", "-detailed-exitcode", *_given(variables), expected=(DONE, DIFFERS))
        return plan.returncode == DIFFERS

    def destroy(self) -> str:
        return self._run("destroy", "-auto-approve").stdout

    def _run(self, verb: str, *options: str, expected: tuple[int, ...] = (DONE,)) -> subprocess.CompletedProcess[str]:
        command = [self._command, verb, "-no-color", "-input=false", *options]
        done = subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True, timeout=900
        )  # fmt: skip
        assert done.returncode in expected, done.stdout + done.stderr
        return done


def _given(variables: Mapping[str, str]) -> list[str]:
    return [f"-var={name}={value}" for name, value in variables.items()]


def _plugins() -> Path:
    for folder in PLUGIN_FOLDERS:
        for found in sorted(folder.glob(f"*/{PROVIDER}")):
            return found.parents[5]
    pytest.skip("there is no copy of Terraform's AWS provider")
