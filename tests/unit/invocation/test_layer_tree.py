"""Links of layers are followed as they are inside, and lead nobody anywhere on the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.invocation.layer_tree import in_layers
from lambdad.invocation.life import external_extensions


@pytest.fixture
def opt(tmp_path: Path) -> Path:
    root = tmp_path / "layers"
    for folder in ("bin", "real", "extensions"):
        (root / folder).mkdir(parents=True)
    (root / "bin/tool").write_text("x")
    return root


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("../bin/tool", "bin/tool"),
        ("/opt/bin/tool", "bin/tool"),
        ("/opt/bin/../bin/./tool", "bin/tool"),
        ("../../opt/bin/tool", "bin/tool"),
        ("../../../../../../opt/bin/tool", "bin/tool"),
        ("missing", "extensions/missing"),
        ("/opt", ""),
        ("/", None),
        ("/etc/passwd", None),
        ("../../etc/passwd", None),
        ("../../layers/bin/tool", None),
        ("/optional", None),
        ("/var/task/tool", None),
        ("link", None),
    ],
)
def test_links_are_followed_as_inside(opt: Path, target: str, found: str | None) -> None:
    """Whatever the machine has under the same name is not looked at."""
    (opt / "extensions/link").symlink_to(target)
    assert in_layers(opt, "/opt/extensions/link") == (None if found is None else opt / found)


def test_extensions_of_layers_with_links(opt: Path, tmp_path: Path) -> None:
    """Files, and links to files or out of the layers; no folders, and nothing of a folder of the machine's."""
    for name, target in {"a": "/opt/bin/tool", "b": "../bin/tool", "c": "/var/task/c", "d": "/opt/bin", "e": "gone"}.items():
        (opt / "extensions" / name).symlink_to(target)
    (opt / "extensions/f").write_text("x")
    (opt / "extensions/g").mkdir()
    assert external_extensions(opt) == ["a", "b", "c", "f"]


def test_no_more_extensions_are_looked_for_than_there_may_be(opt: Path) -> None:
    """But one, which is refused: the server has other things to do than to follow links by the thousand."""
    for number in range(3000):
        (opt / f"extensions/{number:04}").symlink_to("/opt/bin/tool")
    assert len(external_extensions(opt)) == 11


def test_a_folder_of_extensions_that_is_a_link(opt: Path, tmp_path: Path) -> None:
    """To another folder of the layers it counts; the names of a folder of the machine's are nobody's to know."""
    (opt / "extensions").rmdir()
    (opt / "real/one").write_text("x")
    (opt / "extensions").symlink_to("/opt/real")
    assert external_extensions(opt) == ["one"]
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/name").write_text("x")
    for target in (str(tmp_path / "secret"), "../secret", "/"):
        (opt / "extensions").unlink()
        (opt / "extensions").symlink_to(target)
        assert external_extensions(opt) == []
