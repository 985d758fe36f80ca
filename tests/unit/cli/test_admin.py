"""Asking a running server over its admin socket."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lambdad.cli.admin import NoServer, ask_admin
from lambdad.cli.failure import CommandError


def test_the_answer_s_json(admin_server: Any, tmp_path: Path) -> None:
    """Method, path and body reach the server as given."""
    asked: list[tuple[str, str, bytes]] = []

    def reply(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        asked.append((method, path, body))
        return 200, b'{"a": 1}'

    with admin_server(tmp_path, reply):
        assert ask_admin(tmp_path, "POST", "/x", {"b": 2}) == {"a": 1}
        ask_admin(tmp_path, "GET", "/y")
    assert asked == [("POST", "/x", b'{"b": 2}'), ("GET", "/y", b"")]


@pytest.mark.parametrize(
    ("status", "body", "words"), [(400, b'{"message": "no"}', "no"), (500, b"{}", "HTTP 500"), (500, b"[]", "HTTP 500")]
)
def test_a_refusal_is_given_in_the_server_s_words(
    admin_server: Any, tmp_path: Path, status: int, body: bytes, words: str
) -> None:
    """The message, or at least the status."""
    with admin_server(tmp_path, lambda *asked: (status, body)), pytest.raises(CommandError) as refusal:
        ask_admin(tmp_path, "GET", "/")
    assert str(refusal.value) == words


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000])
def test_an_answer_that_is_no_json_is_told(admin_server: Any, tmp_path: Path, body: bytes) -> None:
    """It does not count as "no server", so the store is not opened behind its back."""
    with admin_server(tmp_path, lambda *asked: (200, body)), pytest.raises(CommandError, match="gave no proper answer"):
        ask_admin(tmp_path, "GET", "/")


@pytest.mark.parametrize("place", ["", "absent", "file"])
def test_no_socket_is_no_server(tmp_path: Path, place: str) -> None:
    """Nor is a folder that is not there, or no folder."""
    (tmp_path / "file").touch()
    with pytest.raises(NoServer):
        ask_admin(tmp_path / place, "GET", "/")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may connect to any socket")
def test_another_user_s_server_is_told(admin_server: Any, tmp_path: Path) -> None:
    """The socket's mode keeps others out, and the sentence says whose right it is."""
    with admin_server(tmp_path, lambda *asked: (200, b"[]")):
        (tmp_path / "admin.sock").chmod(0)
        with pytest.raises(CommandError, match="Only the user who runs the server"):
            ask_admin(tmp_path, "GET", "/")


def test_a_data_folder_with_a_long_path(admin_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path may be longer than a socket's address holds."""
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    monkeypatch.chdir(folder)
    with admin_server(Path(), lambda *asked: (200, b"[1]")):
        assert ask_admin(folder, "GET", "/") == [1]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoServer):
        ask_admin(folder, "GET", "/")
