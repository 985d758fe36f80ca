"""The stream of what is in /tmp when a snapshot is taken."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ZYGOTE = Path(__file__).parents[3] / "src/lambdad/sandbox/zygote"


@pytest.fixture
def zygote_tmp(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ZYGOTE)
    sys.modules.pop("zygote_tmp", None)
    import zygote_tmp

    return zygote_tmp  # type: ignore[no-any-return]


@pytest.fixture
def stream() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


def test_a_file_that_shrinks_meanwhile_is_filled_up(
    zygote_tmp: ModuleType, stream: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what follows it in the stream is still understood."""
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    copy.mkdir()
    (source / "a").write_bytes(b"longer")
    (source / "b").write_bytes(b"other")
    open_file = os.open

    def shrink(path: str, flags: int, mode: int = 0o777) -> int:
        if str(path).endswith("source/a"):
            os.truncate(path, 2)
        return open_file(path, flags, mode)

    monkeypatch.setattr(os, "open", shrink)
    zygote_tmp.pack(str(source), stream, 1 << 20)
    os.lseek(stream, 0, os.SEEK_SET)
    zygote_tmp.unpack(stream, str(copy))
    assert {entry.name: entry.read_bytes() for entry in copy.iterdir()} == {"a": b"lo\0\0\0\0", "b": b"other"}


def test_a_link_that_takes_the_place_of_a_file_is_not_followed(
    zygote_tmp: ModuleType, stream: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("of the function")
    (tmp_path / "link").symlink_to("/etc/passwd")
    lstat = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: lstat(str(path).replace("/link", "/file")))
    with pytest.raises(OSError) as refused:
        zygote_tmp.pack(str(tmp_path), stream, 1 << 20)
    assert refused.value.errno == errno.ELOOP


@pytest.mark.parametrize(("most", "is_refused"), [(2 * 4096 - 1, True), (2 * 4096, False)])
def test_files_count_as_whole_pages(zygote_tmp: ModuleType, stream: int, tmp_path: Path, most: int, is_refused: bool) -> None:
    """As in the /tmp where they have to find room again."""
    for name in "ab":
        (tmp_path / name).write_text("1")
    try:
        zygote_tmp.pack(str(tmp_path), stream, most)
    except OSError as error:
        assert is_refused
        assert error.errno == errno.EFBIG
    else:
        assert not is_refused


def test_a_stream_that_was_cut_is_an_error(zygote_tmp: ModuleType, stream: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("content")
    zygote_tmp.pack(str(tmp_path), stream, 1 << 20)
    os.truncate(stream, os.fstat(stream).st_size - 1)
    os.lseek(stream, 0, os.SEEK_SET)
    copy = tmp_path / "copy"
    copy.mkdir()
    with pytest.raises(OSError) as refused:
        zygote_tmp.unpack(stream, str(copy))
    assert refused.value.errno == errno.EIO
