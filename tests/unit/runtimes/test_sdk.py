"""A family's SDK comes by its own installer, and a runtime's folder holds it only if it runs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from lambdad.runtimes.find import InterpreterFinder, Places
from lambdad.runtimes.install import InstallError, Progress
from lambdad.runtimes.node.family import FAMILY as NODE
from lambdad.runtimes.programs import RuntimePrograms

RUNTIME = "nodejs20.x"


@dataclass
class FakeInstaller:
    """Puts modules of one line in place of what is required, or fails."""

    module: str = "exports.version = 3"
    failure: str | None = None

    async def install(self, requirements: Sequence[str], target: Path, progress: Progress) -> None:
        for requirement in requirements:
            package = target / "node_modules" / requirement.rpartition("@")[0]
            package.mkdir(parents=True)
            (package / "index.js").write_text(self.module)
            (package / "package.json").write_text(f'{{"name": "{requirement.rpartition("@")[0]}", "version": "3.0.1"}}')
        if self.failure is not None:
            raise InstallError(self.failure)


async def programs(tmp_path: Path, installer: FakeInstaller) -> RuntimePrograms:
    assert NODE.lookup is not None
    node = shutil.which("node")
    places = Places([Path(node).parent] if node else [])
    found = RuntimePrograms(
        tmp_path / "cache", InterpreterFinder(NODE.lookup, places, tmp_path / "interpreters.json"), installer
    )
    await found.open()
    if RUNTIME not in found.available():
        pytest.skip(f"no interpreter for {RUNTIME}")
    return found


@pytest.mark.runtime(RUNTIME)
async def test_a_node_program_holds_client_and_sdk(tmp_path: Path) -> None:
    """Beside each other, and written down."""
    made = await programs(tmp_path, FakeInstaller())
    folder = (await made.prepare(RUNTIME)).runtime_dir
    assert (folder / "index.js").is_file()
    assert (folder / "node_modules/@aws-sdk/client-s3/index.js").is_file()
    assert "@aws-sdk/client-s3@3.0.1" in (folder / "lambdad-runtime.json").read_text()
    assert made.problems() == {}


@pytest.mark.runtime(RUNTIME)
@pytest.mark.parametrize(
    "installer, reason",
    [
        (FakeInstaller(failure="offline"), "offline"),
        (FakeInstaller(module="throw new Error('too new')"), "the installed AWS SDK for JavaScript v3 does not run: "),
    ],
)
async def test_without_its_sdk_a_node_program_runs_and_says_so(tmp_path: Path, installer: FakeInstaller, reason: str) -> None:
    """Functions run, `problems` has a sentence, nothing of the failed installation is in the folder."""
    made = await programs(tmp_path, installer)
    folder = (await made.prepare(RUNTIME)).runtime_dir
    assert (folder / "index.js").is_file()
    assert not (folder / "node_modules").exists()
    assert made.problems()[RUNTIME].startswith(f"{RUNTIME} has no AWS SDK (import of '@aws-sdk/client-s3' fails): {reason}")
