"""apt that is kept away from the machine's own state, and what is said where it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lambdad.runtimes import apt
from lambdad.runtimes.apt import Apt, apt_problem, settings_variables
from lambdad.runtimes.install import InstallError
from support.fake_apt import fake_apt

MIRROR = "echo 'http://mirror.test/debian/ stable'"


async def test_apt_works_on_folders_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the machine's mirror, with all suites that are asked for, on nothing of the machine's."""
    fake_apt(tmp_path / "fake", monkeypatch, mirror=MIRROR)
    made = await Apt.prepare(tmp_path / "apt", ("one", "two"))
    await made.fetch(["language"], lambda line: None)
    assert [path.name for path in made.fetched()] == ["language_1_all.deb", "perl-base_1_all.deb"]
    lines = (tmp_path / "apt/sources.list").read_text().splitlines()
    assert [line.partition("] ")[2] for line in lines] == [
        f"http://mirror.test/debian/ {suite} main" for suite in ("one", "two")
    ]
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
    monkeypatch.setattr(apt, "_SETTINGS", tmp_path / "etc")
    variables = settings_variables(tmp_path)
    told = subprocess.run(["apt-config", "dump"], env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    assert 'Acquire::http::Proxy "http://proxy.test";' in told.stdout and 'Acquire::Retries "7";' in told.stdout
    assert "touch it" not in told.stdout and "Post-Invoke" not in told.stdout


@pytest.mark.skipif(apt_problem() is not None, reason="needs apt and the keys of Debian's archive")
async def test_nothing_is_taken_that_debian_has_not_signed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the machine lets apt do so."""

    async def mirror(folder: Path) -> str:
        return f"file://{tmp_path}/debian"

    (tmp_path / "debian/dists/stable/main").mkdir(parents=True)
    (tmp_path / "debian/dists/stable/Release").write_text("Suite: stable\nDate: Thu, 26 Nov 2026 08:00:00 UTC\nSHA256:\n")
    (tmp_path / "etc").mkdir()
    careless = "Acquire::AllowInsecureRepositories", "Acquire::AllowWeakRepositories", "APT::Get::AllowUnauthenticated"
    (tmp_path / "etc/apt.conf").write_text("".join(f'{name} "true";\n' for name in careless))
    monkeypatch.setattr(apt, "_SETTINGS", tmp_path / "etc")
    monkeypatch.setattr(apt, "_mirror", mirror)
    made = await Apt.prepare(tmp_path / "apt", ("stable",))
    with pytest.raises(InstallError, match="is not signed"):
        await made.fetch(["language"], lambda line: None)


@pytest.mark.parametrize(
    "mirror, update, problem",
    [
        ("echo 'http://mirror.test/ubuntu/ stable'", ":", "uses none of Debian's"),
        (":", ":", "uses none of Debian's"),
        (MIRROR, "echo no route; exit 100", "apt-get failed: no route$"),
        (MIRROR, "echo W: GPG error: NO_PUBKEY 6ED0E7B82643E131; exit 100", "keys are in a newer debian-archive-keyring"),
    ],
)
async def test_what_apt_cannot_do_is_an_install_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror: str, update: str, problem: str
) -> None:
    """With the reason."""
    fake_apt(tmp_path / "fake", monkeypatch, mirror=mirror, update=update)
    with pytest.raises(InstallError, match=problem):
        await (await Apt.prepare(tmp_path / "apt", ("sid",))).fetch(["language"], lambda line: None)


async def test_lists_that_cannot_be_had_are_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not that no such package is in them: by itself apt takes an archive that does not answer for one that is empty."""
    said = "W: Failed to fetch, no answer"
    update = f"case \"$*\" in *Error-Mode=any*) echo '{said}'; exit 100 ;; *) echo '{said}' ;; esac"
    fake_apt(tmp_path / "fake", monkeypatch, mirror=MIRROR, update=update, install="echo E: Unable to locate package; exit 100")
    with pytest.raises(InstallError, match=r"no answer$"):
        await (await Apt.prepare(tmp_path / "apt", ("trixie",))).fetch(["language"], lambda line: None)


@pytest.mark.parametrize(
    "suite, problem",
    [("sid", r"404 .* \(the packages of Debian's sid change every day: try tomorrow\)$"), ("trixie", "404 Not Found$")],
)
async def test_an_archive_that_changes_meanwhile_is_asked_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suite: str, problem: str
) -> None:
    """With new lists; what is not there then is said, and where it may come back."""
    once = f"[ -e {tmp_path}/again ] || {{ touch {tmp_path}/again; echo E: 404 Not Found; exit 100; }}"
    fake_apt(tmp_path / "fake", monkeypatch, mirror=MIRROR, install=once)
    made = await Apt.prepare(tmp_path / "apt", (suite,))
    await made.fetch(["language"], lambda line: None)
    calls = (tmp_path / "fake/calls").read_text()
    assert (calls.count(" update "), calls.count(" install ")) == (2, 2)
    fake_apt(tmp_path / "always", monkeypatch, mirror=MIRROR, install="echo E: 404 Not Found; exit 100")
    with pytest.raises(InstallError, match=problem):
        await made.fetch(["language"], lambda line: None)


def test_a_machine_without_apt_or_its_keys_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is tried."""
    fake_apt(tmp_path / "fake", monkeypatch, mirror=MIRROR)
    monkeypatch.setattr(apt, "_KEYRING", tmp_path / "none.gpg")
    assert apt_problem() == "the key of Debian's archive is not here (Debian: apt-get install debian-archive-keyring)"
    monkeypatch.setenv("PATH", "/nowhere")
    assert apt_problem() == "Debian's packages are fetched with apt, and this machine has no apt-get or dpkg-deb"
