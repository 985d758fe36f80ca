"""What a hostile or broken zip meets."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import struct
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.sandbox.base import UnpackLimits, UnpackReport
from lambdad.sandbox.shared_tree import merge
from lambdad.sandbox.unpack import unpack

LIMITS = UnpackLimits(unpacked_bytes=100_000, files=50)
LINK = stat.S_IFLNK | 0o777


def make(*entries: tuple[str, bytes, int], method: int = zipfile.ZIP_DEFLATED, system: int = 3) -> bytes:
    """A zip of entries (name, content, Unix mode)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content, mode in entries:
            entry = zipfile.ZipInfo(name)
            entry.filename = name  # ZipInfo cuts names at a NUL
            entry.create_system = system
            entry.external_attr = mode << 16
            archive.writestr(entry, content, method)
    return buffer.getvalue()


def run(root: Path, *archives: bytes, limits: UnpackLimits = LIMITS) -> UnpackReport:
    """Several are merged, as layers are; the first refusal is the answer."""
    root.mkdir(exist_ok=True)
    if len(archives) == 1:
        return unpack(io.BytesIO(archives[0]), root, limits)
    with contextlib.ExitStack() as opened:
        trees = []
        for archive in archives:
            tree = Path(opened.enter_context(tempfile.TemporaryDirectory(dir=root.parent.parent)))
            report = unpack(io.BytesIO(archive), tree, limits)
            if report.refusal is not None:
                return report
            trees.append(os.open(tree, os.O_RDONLY | os.O_DIRECTORY))
            opened.callback(os.close, trees[-1])
        return merge(trees, str(root), limits)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "a\\b", "..", "/", ""])
def test_paths_that_leave_the_package(tmp_path: Path, name: str) -> None:
    """A name that could lead out of the package is refused, and nothing is written outside."""
    assert run(tmp_path / "root", make((name, b"x", 0o644))).refusal == "slip"
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


def test_name_with_nul(tmp_path: Path) -> None:
    """A name that a C library would read differently is refused."""
    archive = make(("good.py_evil", b"x", 0o644)).replace(b"good.py_evil", b"good.py\0evil")
    assert run(tmp_path / "root", archive).refusal == "slip"


@pytest.mark.parametrize("target", ["/etc/passwd", "/usr/bin/python3", "../x", "a/../../x", "x\\y", "/proc/self/root", "b"])
def test_links_may_lead_anywhere(tmp_path: Path, target: str) -> None:
    """As on AWS: they are kept as they are, and followed inside the sandbox."""
    assert run(tmp_path / "root", make(("a/file", b"", 0o644), ("b", target.encode(), LINK))).refusal is None
    assert os.readlink(tmp_path / "root/b") == target


@pytest.mark.parametrize("target", ["", "x\0y", "x" * 5000])
def test_links_that_are_none(tmp_path: Path, target: str) -> None:
    """A link leads somewhere, by a name that a file system can hold."""
    assert run(tmp_path / "root", make(("a/file", b"", 0o644), ("b", target.encode(), LINK))).refusal == "link"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("is_absolute", [True, False])
@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param([("trap/new", b"evil", 0o644)], id="a file below it"),
        pytest.param([("trap/kept", b"evil", 0o777)], id="a file that is there"),
        pytest.param([("trap/", b"", 0o777)], id="the folder's mode"),
        pytest.param([("trap", b"evil", 0o777)], id="a file in its place"),
        pytest.param([("trap/deep/er", b"evil", 0o644)], id="folders below it"),
        pytest.param([("trap/kept", b"/etc", LINK)], id="a link over a file"),
        pytest.param([("trap/../kept", b"evil", 0o644)], id="a way back"),
        pytest.param([("way", b"trap", LINK), ("way/kept", b"evil", 0o644)], id="by another link"),
        pytest.param([("TRAP/kept", b"evil", 0o644), ("trap/kept", b"evil", 0o644)], id="in two spellings"),
    ],
)
def test_nothing_outside_is_touched_through_a_link(
    tmp_path: Path, hostile: list[tuple[str, bytes, int]], is_absolute: bool
) -> None:
    """A link, and entries in its place, or below it: what it leads to stays as it was, whether or not they are refused."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o750)
    (outside / "kept").write_text("mine")
    (outside / "kept").chmod(0o640)
    target = str(outside) if is_absolute else "../outside"
    run(tmp_path / "root", make(("trap", target.encode(), LINK)), make(*hostile))
    run(tmp_path / "once", make(("trap", target.encode(), LINK), *hostile))
    assert [(path.name, path.read_text(), path.stat().st_mode & 0o777) for path in outside.iterdir()] == [
        ("kept", "mine", 0o640)
    ]
    assert outside.stat().st_mode & 0o777 == 0o750
    assert not (outside / "kept").is_symlink()


def test_links_within_the_package(tmp_path: Path) -> None:
    """A link within the package is kept as a link."""
    report = run(
        tmp_path / "root", make(("lib/x.so.1", b"elf", 0o755), ("lib/x.so", b"x.so.1", LINK), ("l", b"lib/../lib", LINK))
    )
    assert report.refusal is None
    assert (tmp_path / "root/lib/x.so").readlink() == Path("x.so.1")
    assert (tmp_path / "root/l/x.so").read_bytes() == b"elf"


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    """An entry below a link is refused within an archive; across archives the link makes room for a folder."""
    inside = make(("d", b"e", LINK), ("d/x", b"1", 0o644), ("e/y", b"2", 0o644))
    assert run(tmp_path / "one", inside).refusal == "slip"
    first, second = make(("e/y", b"2", 0o644), ("d", b"e", LINK)), make(("d/x", b"1", 0o644))
    assert run(tmp_path / "two", first, second).refusal is None
    assert sorted(os.listdir(tmp_path / "two/e")) == ["y"]
    assert (tmp_path / "two/d/x").read_bytes() == b"1"


@pytest.mark.parametrize(
    ("content", "refusal"),
    [
        (b"", "not-a-zip"),
        (b"PK", "not-a-zip"),
        (b"hello world" * 100, "not-a-zip"),
        (make(("a", b"x" * 1000, 0o644))[:-30], "not-a-zip"),
        (make(("a", b"x" * 1000, 0o644))[20:], "not-a-zip"),
    ],
)
def test_broken_archives(tmp_path: Path, content: bytes, refusal: str) -> None:
    """What is not a whole zip is said not to be one."""
    assert run(tmp_path / "root", content).refusal == refusal


def test_empty_archive(tmp_path: Path) -> None:
    """A zip without entries, which build tools leave behind where they found no files, is no package; one with a folder is."""
    assert run(tmp_path / "root", make()).refusal == "empty"
    assert run(tmp_path / "other", make(("a/", b"", 0o755))).refusal is None


def test_wrong_checksum(tmp_path: Path) -> None:
    """Content that does not match its checksum is refused."""
    archive = make(("a", b"content", 0o644), method=zipfile.ZIP_STORED).replace(b"content", b"contend")
    assert run(tmp_path / "root", archive).refusal == "bad-crc"


def test_encrypted(tmp_path: Path) -> None:
    """An encrypted entry is refused."""
    archive = bytearray(make(("a", b"x", 0o644)))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        archive[archive.find(signature) + offset] |= 1
    assert run(tmp_path / "root", bytes(archive)).refusal == "encrypted"


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression(tmp_path: Path, method: int) -> None:
    """Only stored and deflated entries are unpacked."""
    assert run(tmp_path / "root", make(("a", b"x" * 100, 0o644), method=method)).refusal == "unsupported"


def test_bomb_that_admits_it(tmp_path: Path) -> None:
    """Sizes that are announced are summed before anything is written."""
    archive = make(*((f"f{number}", bytes(30_000), 0o644) for number in range(4)))
    assert run(tmp_path / "root", archive).refusal == "too-big"
    assert not os.listdir(tmp_path / "root")


def test_bomb_that_lies(tmp_path: Path) -> None:
    """A size that is announced too small buys nothing: the entry ends there, and its checksum is wrong."""
    archive = make(("a", bytes(5_000_000), 0o644)).replace(struct.pack("<I", 5_000_000), struct.pack("<I", 10))
    report = run(tmp_path / "root", archive)
    assert report.refusal == "bad-crc"
    assert report.unpacked_bytes <= 10


def test_limit_is_exact_and_counts_all_archives(tmp_path: Path) -> None:
    """As many bytes as allowed are allowed; one more, in whichever archive, is not."""
    half = make(("a", bytes(50_000), 0o644))
    assert run(tmp_path / "one", half, make(("b", bytes(50_000), 0o644))).refusal is None
    assert run(tmp_path / "two", half, make(("b", bytes(50_001), 0o644))).refusal == "too-big"


def test_too_many_files(tmp_path: Path) -> None:
    """The number of entries is limited."""
    archive = make(*((f"f{number}", b"", 0o644) for number in range(51)))
    assert run(tmp_path / "root", archive).refusal == "too-many-files"


def test_overlapping_entries(tmp_path: Path) -> None:
    """Two entries that share their bytes are refused."""
    archive = bytearray(make(("a", b"x" * 100, 0o644), ("b", b"x" * 100, 0o644)))
    second = archive.rfind(b"PK\x01\x02")
    archive[second + 42 : second + 46] = struct.pack("<I", 0)
    assert run(tmp_path / "root", bytes(archive)).refusal == "unsupported"


@pytest.mark.parametrize("names", [("a", "a"), ("a", "./a"), ("a/b", "a//b")])
def test_one_name_twice(tmp_path: Path, names: tuple[str, str]) -> None:
    """Of two files of one path, in whatever spelling, the last is there: Gradle makes jars with some in them."""
    with pytest.warns(UserWarning) if names[0] == names[1] else _nothing():
        archive = make((names[0], b"first", 0o755), ("other", b"", 0o644), (names[1], b"last", 0o644))
    assert run(tmp_path / "root", archive).refusal is None
    unpacked = tmp_path / "root" / names[0]
    assert (unpacked.read_bytes(), stat.S_IMODE(unpacked.stat().st_mode)) == (b"last", 0o644)


@pytest.mark.parametrize("second", [("a/", 0o755), ("a/b", 0o644), ("a", LINK), ("./a", LINK)])
@pytest.mark.parametrize("mode", [0o644, LINK])
def test_one_name_for_two_things(tmp_path: Path, mode: int, second: tuple[str, int]) -> None:
    """A file that is a folder or a link too is refused, and a link that is anything else."""
    with pytest.warns(UserWarning) if second[0] == "a" else _nothing():
        archive = make(("a", b"x", mode), (second[0], b"x", second[1]))
    assert run(tmp_path / "root", archive).refusal in ("unsupported", "slip")
    assert os.listdir(tmp_path / "root") == []


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_devices(tmp_path: Path, kind: int) -> None:
    """Entries that are neither file nor folder nor link are refused."""
    assert run(tmp_path / "root", make(("a", b"", kind | 0o666))).refusal == "unsupported"


@pytest.mark.parametrize(
    ("mode", "system", "expected"),
    [
        (0o755, 3, 0o755),
        (0o600, 3, 0o600),
        (0o4755, 3, 0o755),
        (0o2777, 3, 0o777),
        (stat.S_IFREG, 3, 0o644),
        (0o755, 0, 0o644),
    ],
)
def test_file_modes(tmp_path: Path, mode: int, system: int, expected: int) -> None:
    """A file keeps the permissions it was zipped with, without set-user-id; one that has none gets 0644."""
    assert run(tmp_path / "root", make(("a", b"", mode), system=system)).refusal is None
    assert stat.S_IMODE((tmp_path / "root/a").stat().st_mode) == expected


def test_folder_modes(tmp_path: Path) -> None:
    """Everyone can enter a folder, whatever mode it was zipped with."""
    assert run(tmp_path / "root", make(("d/", b"", stat.S_IFDIR | 0o700), ("d/a", b"", 0o644))).refusal is None
    assert stat.S_IMODE((tmp_path / "root/d").stat().st_mode) == 0o755


def test_names_that_are_too_long(tmp_path: Path) -> None:
    """A name that no file system takes is refused, not failed on."""
    assert run(tmp_path / "root", make(("x" * 300, b"", 0o644))).refusal == "unsupported"


def test_names_in_utf_8(tmp_path: Path) -> None:
    """Names are kept as they were written."""
    assert run(tmp_path / "root", make(("grüße/日本.txt", b"", 0o644))).refusal is None
    assert (tmp_path / "root/grüße/日本.txt").exists()


@pytest.mark.parametrize(("raw", "name"), [("ä日.txt".encode(), "ä日.txt"), (b"\x84\xe1.txt", "äß.txt")])
def test_names_that_do_not_say_what_they_are_in(tmp_path: Path, raw: bytes, name: str) -> None:
    """UTF-8, as zip on Linux and macOS writes them, or the code page of MS-DOS, as on old machines."""
    archive = make(("x" * len(raw), b"there", 0o644)).replace(b"x" * len(raw), raw)
    assert run(tmp_path / "root", archive).refusal is None
    assert (tmp_path / "root" / name).read_bytes() == b"there"


def test_a_name_has_one_spelling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an extra field says, which newer versions of `zipfile` believe, makes no folder of a file."""

    def believe(entry: zipfile.ZipInfo, *checksum: int) -> None:
        entry.filename = "file/"

    monkeypatch.setattr(zipfile.ZipInfo, "_decodeExtra", believe)
    assert run(tmp_path / "root", make(("file", b"content", 0o644))).refusal is None
    assert (tmp_path / "root/file").read_bytes() == b"content"


def test_layers_replace_each_other(tmp_path: Path) -> None:
    """A later archive's file takes the place of a file, a link, or an empty name, never of a folder."""
    first = make(("a", b"1", 0o400), ("l", b"a", LINK), ("d/x", b"", 0o644))
    second = make(("a", b"2", 0o644), ("l", b"3", 0o644))
    assert run(tmp_path / "one", first, second).refusal is None
    assert ((tmp_path / "one/a").read_bytes(), (tmp_path / "one/l").read_bytes()) == (b"2", b"3")
    assert not (tmp_path / "one/l").is_symlink()
    assert run(tmp_path / "two", first, make(("d", b"", 0o644))).refusal == "unsupported"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_is_never_a_crash(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever bytes of a zip are changed, the outcome is a report, within the limit."""
    archive = bytearray(make(("a.py", b"x = 1\n" * 50, 0o644), ("d/b", b"y" * 300, 0o755), ("l", b"a.py", LINK)))
    for _ in range(data.draw(st.integers(1, 6))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    report = run(tmp_path_factory.mktemp("damaged"), bytes(archive))
    assert report.unpacked_bytes <= LIMITS.unpacked_bytes + 256 * 1024


def _nothing() -> object:
    import contextlib

    return contextlib.nullcontext()
