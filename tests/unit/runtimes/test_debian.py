"""Interpreters of Debian's archive: what is kept of packages, and the script that starts a program of them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.runtimes.debian import DebianSource, launch_script, put_script
from lambdad.runtimes.install import InstallError
from support.fake_apt import fake_apt


def source(arrange: Callable[[Path], None] = lambda tree: None) -> DebianSource:
    return DebianSource("language", "Debian 99", ("nosuch",), 10, arrange)


LOADER = "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"


def tree(folder: Path, loader_name: str = LOADER) -> Path:
    """A tree whose loader says how it was called."""
    loader = folder / loader_name
    for place in (loader.parent, folder / "usr/bin", folder / "bin"):
        place.mkdir(parents=True, exist_ok=True)
    loader.write_text('#!/bin/sh\nprintf "%s|" "$@" "$LANGUAGE_LIB"\n')
    loader.chmod(0o755)
    return folder


def said(script: Path, environment: dict[str, str]) -> list[str]:
    """With what the loader of `tree` was started, and LANGUAGE_LIB at the end."""
    command, variables = [script, "a b", ""], {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout.split("|")[:-1]


@pytest.mark.parametrize("loader", [LOADER, "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1"])
@pytest.mark.parametrize("place", ["bin/language", "usr/bin/language3", "lib/helper"])
def test_a_program_runs_with_its_own_loader_wherever_its_tree_lies(tmp_path: Path, place: str, loader: str) -> None:
    """Its own libraries come before the environment's, those of the language behind what a variable has; arguments pass. So it
    is by a link from elsewhere."""
    root, name = tree(tmp_path / "some where", loader), Path(loader).parent.name
    put_script(root / place, launch_script("usr/bin/x", "LANGUAGE_LIB", ["usr/lib/one", "usr/lib/$_machine/two"]))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/link").symlink_to(root / place)
    machine = f"{root}/lib/{name}:{root}/usr/lib/{name}"
    own = f"{root}/usr/lib/one:{root}/usr/lib/{name}/two"
    for given, libraries, language in (
        ({}, machine, own),
        ({"LD_LIBRARY_PATH": "/opt/lib", "LANGUAGE_LIB": "/opt/x"}, f"{machine}:/opt/lib", f"/opt/x:{own}"),
    ):
        expected = ["--library-path", libraries, f"{root}/usr/bin/x", "a b", "", language]
        assert said(root / place, given) == expected
        assert said(tmp_path / "bin/link", given) == expected


def test_a_program_may_take_the_script_or_the_folder_of_its_loader_for_its_own(tmp_path: Path) -> None:
    """The first is told to it, by the name under which the script was called; the second it finds by itself."""
    root = tree(tmp_path / "tree")
    shutil.copy(root / LOADER, root / "bin")
    put_script(root / "bin/language", launch_script("bin/x", loader_folder="bin", says_its_name=True))
    (root / "bin/link").symlink_to("language")
    (root / LOADER).write_text("not this one")
    _, _, *rest = said(root / "bin/link", {})
    assert rest == ["--argv0", f"{root}/bin/link", f"{root}/bin/x", "a b", "", ""]


def test_a_functions_variables_are_left_alone(tmp_path: Path) -> None:
    """Whatever the script calls its own: it was given the function's with the rest of the environment."""
    root, shown = tree(tmp_path / "tree"), "self root loader machine own"
    put_script(root / "bin/language", launch_script("bin/x", "LANGUAGE_LIB", ["usr/lib/one"]))
    (root / LOADER).write_text("#!/bin/sh\nprintf '%s|' " + " ".join(f"${name}" for name in shown.split()) + "\n")
    assert said(root / "bin/language", {name: f"its-{name}" for name in shown.split()}) == [
        f"its-{name}" for name in shown.split()
    ]


async def test_packages_are_unpacked_without_what_only_a_system_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Manuals and the system's own packages are left out; then the tree is arranged, and last it is run."""
    fake_apt(tmp_path / "fake", monkeypatch, mirror="echo 'http://mirror.test/debian/ stable'")
    done: list[str] = []

    async def finish(tree: Path) -> None:
        done.append(f"finish {tree.name}")

    made = replace(source(lambda tree: done.append(f"arrange {tree.name}")), finish=finish)
    await made.fetch(tmp_path / "target", lambda line: None)
    assert done == ["arrange target", "finish target"]
    assert (tmp_path / "fake/unpacked").read_text() == "language_1_all.deb\n"
    assert (tmp_path / "target/usr/bin").is_dir()
    assert not (tmp_path / "target/usr/share/doc").exists() and not (tmp_path / "target/usr/lib/x86/gconv").exists()


def _renames(tree: Path) -> None:
    (tree / "usr/bin/language").rename(tree / "x")


def _unpacks(tree: Path) -> None:
    (_only,) = tree.glob("nothing")


@pytest.mark.parametrize("arrange", [_renames, _unpacks])
async def test_packages_with_other_files_than_expected_are_an_install_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrange: Callable[[Path], None]
) -> None:
    """A release whose package was changed, say."""
    fake_apt(tmp_path / "fake", monkeypatch, mirror="echo 'http://mirror.test/debian/ stable'")
    with pytest.raises(InstallError, match="is not what it was expected to be"):
        await source(arrange).fetch(tmp_path / "target", print)
