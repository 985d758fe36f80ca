"""`lambdad credentials`, with and without a running server."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from lambdad.admin import answer
from lambdad.identity import Identities
from lambdad.store.lock import DataFolderLock
from lambdad.store.memory import MemoryStore

Run = Callable[..., Result]


def test_a_key_is_made_listed_and_deleted_without_a_server(run: Run, tmp_path: Path) -> None:
    """The store is opened under the data folder's lock; the folder is made with the first key."""
    folder = str(tmp_path / "data")
    made = run("credentials", "create", "--name", "ci", "--data-dir", folder)
    assert made.exit_code == 0, made.output
    key_line, secret_line = made.stdout.splitlines()
    key_id, secret = (
        key_line.removeprefix("export AWS_ACCESS_KEY_ID="),
        secret_line.removeprefix("export AWS_SECRET_ACCESS_KEY="),
    )
    listed = run("credentials", "list", "--data-dir", folder)
    assert key_id in listed.stdout
    assert secret not in listed.stdout
    assert listed.stdout.splitlines()[1].split()[1:3] == ["000000000000", "ci"]
    assert run("credentials", "delete", key_id, "--data-dir", folder).exit_code == 0
    assert json.loads(run("credentials", "list", "--json", "--data-dir", folder).stdout) == []


def test_nobody_else_can_read_the_store(run: Run, tmp_path: Path) -> None:
    """Secrets are in it, so its files are for their owner only."""
    folder = tmp_path / "data"
    assert run("credentials", "create", "--data-dir", str(folder)).exit_code == 0
    assert {stat.S_IMODE(file.stat().st_mode) & 0o077 for file in folder.iterdir()} == {0}


def test_json_has_the_names_of_aws(run: Run, tmp_path: Path) -> None:
    """As CreateAccessKey answers; the account is the one asked for."""
    result = run("credentials", "create", "--account-id", "123456789012", "--json", "--data-dir", str(tmp_path / "data"))
    key = json.loads(result.stdout)
    assert key["AccountId"] == "123456789012"
    assert key["AccessKeyId"].startswith("AKIA")
    assert len(key["SecretAccessKey"]) == 40


@pytest.mark.parametrize("line", ["create --name a=/b", "delete ../x", "delete AKIA0"])
def test_what_cannot_be_done_is_exit_code_1(run: Run, tmp_path: Path, line: str) -> None:
    """With one sentence, and without a trace in the store."""
    folder = str(tmp_path / "data")
    result = run("credentials", *line.split(), "--data-dir", folder)
    assert result.exit_code == 1
    assert result.stderr.startswith("lambdad: ")
    assert json.loads(run("credentials", "list", "--json", "--data-dir", folder).stdout) == []


def test_a_wrong_setting_is_exit_code_2(run: Run, tmp_path: Path) -> None:
    """As every other slip on the command line."""
    result = run("credentials", "create", "--account-id", "12", "--data-dir", str(tmp_path / "data"))
    assert (result.exit_code, result.stderr) == (2, "lambdad: --account-id must be 12 digits, not '12'.\n")


def test_a_data_folder_that_is_a_file_is_told(run: Run, tmp_path: Path) -> None:
    """It is not taken for a folder without keys."""
    (tmp_path / "data").touch()
    result = run("credentials", "list", "--data-dir", str(tmp_path / "data"))
    assert result.exit_code == 1
    assert "data" in result.stderr


def test_listing_does_not_make_a_data_folder(run: Run, tmp_path: Path) -> None:
    """Looking changes nothing."""
    result = run("credentials", "list", "--data-dir", str(tmp_path / "data"))
    assert (result.exit_code, result.stderr) == (0, f"No access keys yet in {tmp_path / 'data'}.\n")
    assert not (tmp_path / "data").exists()


def test_a_folder_that_another_process_holds_is_left_alone(run: Run, tmp_path: Path) -> None:
    """A server that is starting, or has no admin socket, keeps its store to itself."""
    with DataFolderLock(tmp_path):
        result = run("credentials", "create", "--data-dir", str(tmp_path))
    assert result.exit_code == 1
    assert "is in use by another lambdad" in result.stderr


def test_a_running_server_is_asked(run: Run, admin_server: Any, tmp_path: Path) -> None:
    """Its keys are valid at once, because it made them itself."""
    identities = Identities(MemoryStore())

    def reply(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        status, document = asyncio.run(answer(identities, method, path, body))
        return status, json.dumps(document).encode()

    with DataFolderLock(tmp_path), admin_server(tmp_path, reply):
        made = json.loads(run("credentials", "create", "--name", "ci", "--json", "--data-dir", str(tmp_path)).stdout)
        assert identities.lookup(made["AccessKeyId"]) is not None
        assert "ci" in run("credentials", "list", "--data-dir", str(tmp_path)).stdout
        refused = run("credentials", "create", "--name", "a b", "--data-dir", str(tmp_path))
        assert (refused.exit_code, "up to 64 letters" in refused.stderr) == (1, True)
        assert run("credentials", "delete", made["AccessKeyId"], "--data-dir", str(tmp_path)).exit_code == 0
        assert identities.lookup(made["AccessKeyId"]) is None
        missing = run("credentials", "delete", made["AccessKeyId"], "--data-dir", str(tmp_path))
        assert (missing.exit_code, missing.stderr) == (1, f"lambdad: There is no access key '{made['AccessKeyId']}'.\n")


def test_the_socket_of_a_killed_server_is_no_server(run: Run, admin_server: Any, tmp_path: Path) -> None:
    """Nobody listens on what `kill -9` left behind, so the store is opened."""
    with admin_server(tmp_path, lambda method, path, asked: (200, b"[]")):
        pass
    assert (tmp_path / "admin.sock").exists()
    assert run("credentials", "create", "--data-dir", str(tmp_path)).exit_code == 0
