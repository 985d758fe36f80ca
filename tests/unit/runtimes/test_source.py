"""Packages of npm and PyPI as installations, with stand-ins for the registries' clients."""

from __future__ import annotations

import io
import os
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from lambdad.runtimes.install import InstallError
from lambdad.runtimes.source import NpmSource, PipSource, _unzip


def tarball(path: Path, files: dict[str, tuple[bytes, int]]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `npm` that copies the file `tarball` to where it is told to pack to."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = (
        f'#!/bin/sh\necho "$@" > {tmp_path}/asked\ncp {tmp_path}/tarball "$4/package.tgz" || {{ echo E404 >&2; exit 1; }}\n'
    )
    (folder / "npm").write_text(script)
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return tmp_path / "tarball"


async def test_a_package_of_npm_becomes_an_installation(npm: Path, tmp_path: Path) -> None:
    """Its folder is the installation, programs stay executable, and nothing else is left behind."""
    tarball(npm, {"package/bin/tool": (b"#!/bin/sh\n", 0o755), "package/data": (b"x", 0o644)})
    await NpmSource("tool@1", 1).fetch(tmp_path / "made", lambda line: None)
    assert (tmp_path / "asked").read_text().startswith("pack tool@1 --pack-destination ")
    assert os.access(tmp_path / "made" / "bin" / "tool", os.X_OK)
    assert (tmp_path / "made" / "data").read_bytes() == b"x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asked", "bin", "made", "tarball"]


async def test_a_part_of_a_package_can_be_put_into_a_part_of_the_installation(npm: Path, tmp_path: Path) -> None:
    """As languages need it whose program is not in a folder bin."""
    tarball(npm, {"package/runtime/tool": (b"", 0o755), "package/other": (b"", 0o644)})
    await NpmSource("tool@1", 1, inside="runtime", into="bin").fetch(tmp_path / "made", lambda line: None)
    assert [path.relative_to(tmp_path / "made").as_posix() for path in (tmp_path / "made").rglob("*")] == ["bin", "bin/tool"]


async def test_a_folder_may_be_named_from_where_one_stands(npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fetches runs elsewhere."""
    tarball(npm, {"package/bin/tool": (b"", 0o755)})
    monkeypatch.chdir(tmp_path)
    await NpmSource("tool@1", 1).fetch(Path("made"), lambda line: None)
    assert (tmp_path / "made/bin/tool").is_file()


@pytest.mark.parametrize("name", ["../outside", "../../outside", "package/../../../outside"])
async def test_a_hostile_tarball_is_refused(npm: Path, tmp_path: Path, name: str) -> None:
    """Nothing is written outside of the folder that is being made."""
    tarball(npm, {"package/bin/tool": (b"", 0o755), name: (b"evil", 0o644)})
    made = tmp_path / "deep" / "made"
    made.parent.mkdir()
    with pytest.raises(InstallError, match="could not be unpacked"):
        await NpmSource("tool@1", 1).fetch(made, lambda line: None)
    assert not list(tmp_path.rglob("outside"))


async def test_what_npm_cannot_get_is_an_error_with_its_words(npm: Path, tmp_path: Path) -> None:
    """The package is named; npm is not to try for minutes."""
    with pytest.raises(InstallError, match=r"the npm package tool@9 could not be fetched: .*E404"):
        await NpmSource("tool@9", 1).fetch(tmp_path / "made", lambda line: None)
    assert "--fetch-retry-maxtimeout=5000" in (tmp_path / "asked").read_text().split()


async def test_a_package_of_another_shape_is_an_error(npm: Path, tmp_path: Path) -> None:
    """The folder that it should have is named; a file that is no package at all says so, too."""
    tarball(npm, {"package/data": (b"x", 0o644)})
    with pytest.raises(InstallError, match="no folder runtime in the package"):
        await NpmSource("tool@1", 1, inside="runtime").fetch(tmp_path / "made", lambda line: None)
    npm.write_bytes(b"no tarball")
    with pytest.raises(InstallError, match="could not be unpacked"):
        await NpmSource("tool@1", 1).fetch(tmp_path / "other", lambda line: None)


async def test_an_archive_that_is_cut_short_is_an_error(npm: Path, tmp_path: Path) -> None:
    """Of a full disk, say; and so is a wheel that is encrypted."""
    tarball(npm, {"package/bin/tool": (os.urandom(100_000), 0o755)})
    npm.write_bytes(npm.read_bytes()[:50_000])
    with pytest.raises(InstallError, match=r"package\.tgz could not be unpacked"):
        await NpmSource("tool@1", 1).fetch(tmp_path / "made", lambda line: None)
    wheel = tmp_path / "tool.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tool/x", "x")
    content = bytearray(wheel.read_bytes())
    for head, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(head) + flags] |= 1
    wheel.write_bytes(content)
    with pytest.raises(InstallError, match=r"could not be unpacked: .*encrypted"):
        _unzip(wheel, tmp_path / "unpacked")


def test_without_npm_the_source_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a sentence; pip is always there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert NpmSource("tool@1", 1).problem() == "npm is not installed (Debian: apt-get install npm)"
    assert PipSource("tool==1", 1, "x").problem() is None


async def test_a_wheel_becomes_an_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs in it stay executable, and nothing of it is run or left beside it."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "tool-1.0-py3-none-any.whl", "w") as wheel:
        for name, mode in (("tool/home/bin/tool", 0o755), ("tool/home/data", 0o644)):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            wheel.writestr(entry, "x")
        wheel.writestr("tool-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tool\nVersion: 1.0\n")
        wheel.writestr("tool-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tool-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    (tmp_path / "here").mkdir()
    await PipSource("tool==1.0", 1, "tool/home").fetch(tmp_path / "here" / "made", lambda line: None)
    assert os.access(tmp_path / "here" / "made" / "bin" / "tool", os.X_OK)
    assert not (tmp_path / "here" / "made" / "data").stat().st_mode & 0o111
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["made"]
    with pytest.raises(InstallError, match=r"the PyPI package tool==2.0 could not be fetched"):
        await PipSource("tool==2.0", 1, "tool").fetch(tmp_path / "here" / "other", lambda line: None)
    assert sys.modules.get("tool") is None
