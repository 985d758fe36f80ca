"""Shared libraries among a function's files, where the loader finds them before the machine's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.invocation.library_tree import brings_libraries


@pytest.mark.parametrize(
    "task, opt, expected",
    [
        (None, None, False),
        ("app.js", None, False),
        ("lib/app.js", "nodejs/node_modules/x/y.so", False),
        ("bin/x.so", "x.so", False),
        ("x.so", None, True),
        ("lib/libstdc++.so.6", None, True),
        (None, "lib/libssl.so.3", True),
        (None, "lib/glibc-hwcaps/x86-64-v3/libz.so", True),
    ],
)
def test_libraries_are_looked_for_where_the_loader_does(
    tmp_path: Path, task: str | None, opt: str | None, expected: bool
) -> None:
    """Of a package in its folder and in lib; of layers in lib."""
    roots = []
    for name, file in (("task", task), ("opt", opt)):
        if file is not None:
            path = tmp_path / name / file
            path.parent.mkdir(parents=True)
            path.write_bytes(b"")
        roots.append(None if file is None else tmp_path / name)
    assert brings_libraries(*roots) is expected


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """It may lead to libraries, inside."""
    (tmp_path / "lib").symlink_to("/usr/lib")
    assert brings_libraries(tmp_path, None)


def test_a_file_called_lib_holds_none(tmp_path: Path) -> None:
    (tmp_path / "lib").write_bytes(b"")
    assert not brings_libraries(tmp_path, tmp_path)
