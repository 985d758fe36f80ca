"""Interpreters of Debian's archive: the script that starts one, and apt that is kept away from the machine's own state."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lambdad.runtimes import debian
from lambdad.runtimes.debian import DebianSource, launch_script, settings_variables
from lambdad.runtimes.install import InstallError


def tree(folder: Path) -> Path:
    """A tree whose loader says how it was called."""
    for place in ("lib/x86_64-linux-gnu", "usr/bin", "bin"):
        (folder / place).mkdir(parents=True)
    loader = folder / "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    loader.write_text('#!/bin/sh\nprintf "%s|" "$@" "$LANGUAGE_LIB"\n')
    loader.chmod(0o755)
    return folder


@pytest.mark.parametrize("place", ["bin/language", "usr/bin/language3"])
def test_a_program_runs_with_its_own_loader_wherever_its_tree_lies(tmp_path: Path, place: str) -> None:
    """Its own libraries come before the environment's, those of the language behind what a variable has; arguments pass."""
    root = tree(tmp_path / "some where")
    script = root / place
    script.write_text(launch_script("usr/bin/language.bin", "LANGUAGE_LIB", ["usr/lib/one", "usr/lib/$machine/two"]))
    script.chmod(0o755)
    machine = f"{root}/lib/x86_64-linux-gnu:{root}/usr/lib/x86_64-linux-gnu"
    own = f"{root}/usr/lib/one:{root}/usr/lib/x86_64-linux-gnu/two"
    for given, libraries, language in (
        ({}, machine, own),
        ({"LD_LIBRARY_PATH": "/opt/lib", "LANGUAGE_LIB": "/opt/x"}, f"{machine}:/opt/lib", f"/opt/x:{own}"),
    ):
        environment = {"PATH": os.environ["PATH"], **given}
        said = subprocess.run([script, "a b", ""], env=environment, capture_output=True, text=True, check=True).stdout
        assert said.split("|")[:-1] == ["--library-path", libraries, f"{root}/usr/bin/language.bin", "a b", "", language]


def source(arrange: Callable[[Path], None] = lambda tree: None) -> DebianSource:
    return DebianSource("language", "Debian 99", "nosuch", 10, arrange)


APT = r"""#!/bin/sh
echo "$@ APT_CONFIG=$APT_CONFIG" >> {folder}/calls
case " $* " in
*" indextargets "*) {mirror} ;;
*" update "*) {update} ;;
*" install "*) for o in "$@"; do case $o in -oDir::Cache=*) cache=${{o#*=}} ;; esac; done
    touch $cache/archives/language_1_all.deb $cache/archives/perl-base_1_all.deb ;;
esac
"""
DPKG = '#!/bin/sh\necho "$(basename $2)" >> {folder}/unpacked\nmkdir -p $3/usr/share/doc/x $3/usr/lib/x86/gconv $3/usr/bin\n'


def fake_apt(folder: Path, monkeypatch: pytest.MonkeyPatch, *, mirror: str, update: str = ":") -> None:
    folder.mkdir()
    for name, text in {
        "apt-get": APT.format(folder=folder, mirror=mirror, update=update),
        "dpkg-deb": DPKG.format(folder=folder),
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


async def test_packages_are_unpacked_without_what_only_a_system_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """apt works on folders of its own, by the machine's mirror; manuals and the system's own packages are left out."""
    fake_apt(tmp_path / "fake", monkeypatch, mirror="echo 'http://mirror.test/debian/ stable'")
    arranged: list[Path] = []
    await source(arranged.append).fetch(tmp_path / "target", lambda line: None)
    assert arranged == [tmp_path / "target"]
    assert (tmp_path / "fake/unpacked").read_text() == "language_1_all.deb\n"
    assert (tmp_path / "target/usr/bin").is_dir()
    assert not (tmp_path / "target/usr/share/doc").exists() and not (tmp_path / "target/usr/lib/x86/gconv").exists()
    calls = (tmp_path / "fake/calls").read_text().splitlines()
    assert len(calls) == 3
    for call in calls[1:]:
        assert call.endswith("/apt.conf"), "its settings, too"
        for name in ("State", "State::status", "Cache", "Etc::SourceList"):
            assert f"-oDir::{name}=" in call and f"-oDir::{name}=/etc" not in call and f"-oDir::{name}=/var" not in call


@pytest.mark.skipif(shutil.which("apt-config") is None, reason="needs apt (Debian)")
def test_what_the_machine_has_apt_do_after_its_work_is_not_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """apt itself says so; a proxy holds, wherever the machine names it, and its settings that nobody may read do no harm."""
    (tmp_path / "etc/apt.conf.d").mkdir(parents=True)
    hooks = 'APT::Update::Post-Invoke { "touch it"; };\nDPkg::Post-Invoke { "touch it"; };\nAcquire::Retries "7";\n'
    (tmp_path / "etc/apt.conf.d/hooks").write_text(hooks)
    (tmp_path / "etc/apt.conf.d/broken").symlink_to("nowhere")
    (tmp_path / "etc/apt.conf").write_text('Acquire::http::Proxy "http://proxy.test";\nDPkg::Pre-Invoke { "touch it"; };\n')
    monkeypatch.setattr(debian, "_SETTINGS", tmp_path / "etc")
    variables = settings_variables(tmp_path)
    told = subprocess.run(["apt-config", "dump"], env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    assert 'Acquire::http::Proxy "http://proxy.test";' in told.stdout and 'Acquire::Retries "7";' in told.stdout
    assert "touch it" not in told.stdout and "Post-Invoke" not in told.stdout


@pytest.mark.parametrize(
    "mirror, update, problem",
    [
        ("echo 'http://mirror.test/ubuntu/ stable'", ":", "uses none of Debian's"),
        (":", ":", "uses none of Debian's"),
        ("echo 'http://mirror.test/debian/ stable'", "echo no route; exit 100", "apt-get failed: no route"),
    ],
)
async def test_what_apt_cannot_do_is_an_install_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str, update: str, problem: str
) -> None:
    """With the reason, and nothing in the place of the language."""
    fake_apt(tmp_path / "fake", monkeypatch, mirror=mirror, update=update)
    with pytest.raises(InstallError, match=problem):
        await source().fetch(tmp_path / "target", lambda line: None)
    assert not (tmp_path / "target").exists()


async def test_packages_with_other_files_than_expected_are_an_install_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release whose package was changed, say."""
    fake_apt(tmp_path / "fake", monkeypatch, mirror="echo 'http://mirror.test/debian/ stable'")
    with pytest.raises(InstallError, match="is not what it was expected to be"):
        await source(lambda tree: (tree / "usr/bin/language").rename(tree / "x") and None).fetch(tmp_path / "target", print)


def test_a_machine_without_apt_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is tried."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert source().problem() == "Debian's packages are fetched with apt, and this machine has no apt-get or dpkg-deb"
