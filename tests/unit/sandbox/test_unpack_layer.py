"""Layers of images: put one over the other as every container engine does it, and never outside of the tree."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from lambdad.sandbox.base import UnpackLimits, UnpackReport
from lambdad.sandbox.job import start_unpacking_layer
from lambdad.sandbox.seccomp import filter_program
from lambdad.sandbox.shared_tree import copy
from lambdad.sandbox.tree_removal import remove_tree
from lambdad.sandbox.unpack_layer import MOUNT_POINTS
from support.image_layers import Entry, diff_id, folder, hard_link, in_zstd, layer_tar, link, skippable_frame, zipped
from support.processes import children

pytestmark = pytest.mark.root

UID = 987_654
Unpack = Callable[..., tuple[UnpackReport, Path]]


@pytest.fixture
def unpack(tmp_path: Path) -> Iterator[Unpack]:
    """Unpacks bytes as a layer, by the process that the launcher starts for it; returns its report and the tree."""
    tmp_path.chmod(0o755)

    def run(layer: bytes, below: Path | None = None, limits: UnpackLimits | None = None) -> tuple[UnpackReport, Path]:
        number = len(list(tmp_path.iterdir()))
        file, tree = tmp_path / f"{number}.layer", tmp_path / f"{number}.tree"
        file.write_bytes(layer)
        tree.mkdir()
        descriptors = [os.open(file, os.O_RDONLY)]
        if below is not None:
            descriptors.append(os.open(below, os.O_RDONLY | os.O_DIRECTORY))
        try:
            job = start_unpacking_layer(
                descriptors[0],
                descriptors[1] if below is not None else None,
                tree,
                limits or UnpackLimits(1 << 24, 1000),
                UID,
                filter_program(),
            )
            return msgspec.json.decode(job.finish(), type=UnpackReport), tree
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    yield run
    for tree in tmp_path.glob("*.tree"):  # some are deeper than pytest goes
        remove_tree(tree)


def stacked(unpack: Unpack, *layers: Sequence[Entry]) -> Path:
    tree: Path | None = None
    for entries in layers:
        report, tree = unpack(layer_tar(entries), tree)
        assert report.refusal is None, report
    assert tree is not None
    return tree


def files_of(tree: Path) -> set[str]:
    """What is in the tree besides what sandboxes mount something on."""
    found = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_symlink() or not path.is_dir()}
    return found - {"etc/resolv.conf", "etc/hosts"}


def test_files_folders_and_links_are_made_with_their_modes(unpack: Unpack) -> None:
    """A program stays executable, what only its owner may read stays that, and special bits go."""
    report, tree = unpack(
        layer_tar(
            [
                folder("app", 0o555),
                Entry("app/run", b"#!/bin/sh\n", mode=0o755),
                Entry("app/secret", b"mine", mode=0o600),
                Entry("app/setuid", b"", mode=0o4755),
                link("bin", "usr/bin"),
                hard_link("app/again", "app/run"),
                Entry("pipe", kind=tarfile.FIFOTYPE),
            ]
        )
    )
    assert report.refusal is None
    assert (tree / "app/run").read_bytes() == b"#!/bin/sh\n"
    assert stat.S_IMODE((tree / "app/run").stat().st_mode) == 0o755
    assert stat.S_IMODE((tree / "app/secret").stat().st_mode) == 0o600
    assert stat.S_IMODE((tree / "app/setuid").stat().st_mode) == 0o755
    assert stat.S_IMODE((tree / "app").stat().st_mode) == 0o755  # its owner is whoever unpacks, no sandbox's user
    assert (tree / "bin").readlink() == Path("usr/bin")
    assert (tree / "app/again").samefile(tree / "app/run")
    assert stat.S_ISFIFO((tree / "pipe").stat().st_mode)
    assert all((tree / name).is_dir() for name in MOUNT_POINTS)


def in_frames(tar: bytes) -> bytes:
    """As zstd:chunked and the compressors that work in parallel write it."""
    half = len(tar) // 2
    return skippable_frame(b"x" * 9) + in_zstd(tar[:half]) + skippable_frame(b"") + in_zstd(tar[half:]) + skippable_frame(b"y")


@pytest.mark.parametrize("compress", [bytes, zipped, in_zstd, in_frames])
def test_the_report_names_the_tar_inside(unpack: Unpack, compress: Callable[[bytes], bytes]) -> None:
    """The diff id is the digest of the tar, however it is compressed."""
    tar = layer_tar([Entry("a", b"x" * 100_000)])
    report, _ = unpack(compress(tar))
    assert report.diff_id == diff_id(tar)
    assert report.unpacked_bytes == 100_000


def test_a_layer_shares_the_files_of_those_below(unpack: Unpack) -> None:
    """What a layer leaves alone is one file on the disk, and what it replaces stays as it was below."""
    below = stacked(unpack, [Entry("kept", b"1"), Entry("replaced", b"old"), folder("d"), Entry("d/f", b"f")])
    report, tree = unpack(layer_tar([Entry("replaced", b"new")]), below)
    assert report.refusal is None
    assert (tree / "kept").samefile(below / "kept")
    assert (tree / "d/f").samefile(below / "d/f")
    assert ((tree / "replaced").read_bytes(), (below / "replaced").read_bytes()) == (b"new", b"old")


def test_no_image_uses_up_the_links_of_a_file_for_others(unpack: Unpack, tmp_path: Path) -> None:
    """What can have no more of them is copied, though nobody may read it."""
    below = stacked(unpack, [Entry("f", b"content", mode=0o111), Entry("g")])
    (tmp_path / "links").mkdir()
    try:
        for number in range(70_000):
            os.link(below / "f", tmp_path / f"links/{number}")
    except OSError as error:
        assert error.errno == errno.EMLINK, error
    else:
        pytest.skip("this file system lets a file have any number of links")
    report, tree = unpack(layer_tar([Entry("own")]), below)
    assert report.refusal is None, report
    assert (tree / "f").read_bytes() == b"content"
    assert stat.S_IMODE((tree / "f").stat().st_mode) == 0o511
    assert not (tree / "f").samefile(below / "f")
    assert (tree / "g").samefile(below / "g")


def test_links_and_pipes_are_copied_as_what_they_are(tmp_path: Path) -> None:
    """Where there can be no further link to them either."""
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe", 0o640)
    folder = os.open(tmp_path, os.O_RDONLY)
    for name in ("link", "pipe"):
        copy(name, folder, f"{tmp_path}/{name}-copy", (tmp_path / name).lstat())
    os.close(folder)
    assert (tmp_path / "link-copy").readlink() == Path("nowhere")
    assert (tmp_path / "pipe-copy").stat().st_mode == (tmp_path / "pipe").stat().st_mode


def test_whiteouts_take_away_what_is_below(unpack: Unpack) -> None:
    """A file, a whole folder, and all that a folder held before the layer that says so."""
    below = [Entry("a/one"), Entry("a/two"), Entry("b/c/d"), Entry("o/old"), Entry("o/sub/old")]
    above = [Entry("a/.wh.one"), Entry(".wh.b"), Entry("o/sub/new"), Entry("o/new"), Entry("o/.wh..wh..opq")]
    assert files_of(stacked(unpack, below, above)) == {"a/two", "o/new", "o/sub/new"}


def test_a_whiteout_takes_away_folders_however_deep(unpack: Unpack) -> None:
    """More of them than the process may have open."""
    assert files_of(stacked(unpack, [Entry("d/" * 200 + "f")], [Entry(".wh.d")])) == set()


def test_a_whiteout_spares_what_its_own_layer_brings(unpack: Unpack) -> None:
    """Whatever comes first in the archive."""
    tree = stacked(unpack, [Entry("f", b"old")], [Entry("f", b"new"), Entry(".wh.f"), Entry(".wh.nothing")])
    assert (tree / "f").read_bytes() == b"new"


def test_a_folder_and_a_file_may_change_places(unpack: Unpack) -> None:
    """The upper one is what is seen, with nothing of the lower."""
    tree = stacked(unpack, [Entry("x/deep"), Entry("y")], [Entry("x", b"file"), folder("y"), Entry("y/deep")])
    assert files_of(tree) == {"x", "y/deep"}


def test_a_link_to_a_folder_is_followed_for_what_lies_below_it(unpack: Unpack) -> None:
    """As in distributions whose /lib is a link to usr/lib; a folder of that name takes its place instead."""
    below = [folder("usr/lib"), link("lib", "usr/lib"), link("other", "/usr/lib")]
    tree = stacked(unpack, below, [Entry("lib/a"), Entry("other/b")])
    assert files_of(tree) == {"usr/lib/a", "usr/lib/b", "lib", "other"}
    replaced = stacked(unpack, below, [folder("lib"), Entry("lib/a")])
    assert not (replaced / "lib").is_symlink()


def test_nothing_is_written_outside_of_the_tree(unpack: Unpack, tmp_path: Path) -> None:
    """Neither through a link that leads there nor to a path that says so; the neighbour stays what it is."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside").chmod(0o777)
    outside = str(tmp_path / "outside")
    report, tree = unpack(layer_tar([link("way", outside), Entry("way/file", b"x")]))
    assert report.refusal == "unsupported", report  # inside, there is no such folder
    report, _ = unpack(layer_tar([Entry("../../outside/file", b"x")]))
    assert report.refusal == "slip"
    report, tree = unpack(layer_tar([link("way", "../../../../.."), Entry("way/file", b"x")]))
    assert report.refusal is None
    assert (tree / "file").read_bytes() == b"x"  # the root is above everything
    report, _ = unpack(layer_tar([hard_link("stolen", "/etc/shadow")]))
    assert report.refusal == "link"
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_file_is_never_written_through_to_a_layer_below(unpack: Unpack) -> None:
    """Not by way of a hard link either, whose other name the layer writes to."""
    below = stacked(unpack, [Entry("f", b"old")])
    report, tree = unpack(layer_tar([hard_link("g", "f"), Entry("g", b"new"), link("l", "f"), Entry("l", b"new")]), below)
    assert report.refusal is None
    assert (below / "f").read_bytes() == b"old"
    assert (tree / "f").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("layer", "refusal"),
    [
        (b"not a tar at all" * 100, "not-a-tar"),
        (zipped(layer_tar([Entry("a", b"x" * 5000)]))[:-40], "not-a-tar"),
        (layer_tar([Entry("a", b"x" * 5000)])[:2000], "not-a-tar"),
        (b"BZh91AY&SY" + bytes(600), "unsupported"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 600, "not-a-tar"),
        (in_zstd(layer_tar([Entry("a", b"x" * 5000)]))[:-3], "not-a-tar"),
        (in_zstd(layer_tar([Entry("a")])) + b"more", "not-a-tar"),
        (in_zstd(layer_tar([Entry("a")]), window_log=28), "not-a-tar"),
        (skippable_frame(b"x"), "not-a-tar"),
        (in_zstd(layer_tar([Entry("zeros", bytes((1 << 24) + 1))])), "too-big"),
        (zipped(layer_tar([]) + bytes(20 << 20)), "too-big"),
        (in_zstd(layer_tar([]) + bytes(20 << 20)), "too-big"),
        (zipped(layer_tar([Entry(".wh.a", bytes(20 << 20))])), "too-big"),
        (layer_tar([Entry("c", kind=tarfile.CHRTYPE)]), "unsupported"),
        (layer_tar([Entry("n" * 300)]), "unsupported"),
        (layer_tar([folder("d"), hard_link("l", "d")]), "link"),
        (layer_tar([hard_link("l", "missing")]), "link"),
        (layer_tar([link("proc", "/etc")]), "unsupported"),
        (layer_tar([Entry("a"), Entry("a/b")]), "unsupported"),
        (layer_tar([Entry("a/f"), Entry("a/.wh.")]), "slip"),
        (layer_tar([Entry("a/f"), Entry("a/.wh...")]), "slip"),
        (layer_tar([Entry("d/f"), hard_link("d", "d/f")]), "unsupported"),
        (layer_tar([Entry("d/" * 1500 + "f")]), "too-many-files"),
        (layer_tar([Entry(f"{n}/" * 400 + "f") for n in range(3)]), "too-many-files"),
        (layer_tar([Entry(f"f{n}") for n in range(1001)]), "too-many-files"),
        (zipped(layer_tar([Entry("zeros", bytes((1 << 24) + 1))])), "too-big"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_layer_is_refused(unpack: Unpack, layer: bytes, refusal: str) -> None:
    """With a word for it, whatever it is."""
    report, _ = unpack(layer)
    assert report.refusal == refusal, report


def test_devices_in_dev_are_passed_over(unpack: Unpack) -> None:
    """Every sandbox has its own there; some images bring theirs."""
    tree = stacked(unpack, [Entry("dev/null", kind=tarfile.CHRTYPE), Entry("a")])
    assert files_of(tree) == {"a"}


def test_an_empty_layer_is_one(unpack: Unpack) -> None:
    """Builders write such for instructions that change no file."""
    tree = stacked(unpack, [Entry("a")], [])
    assert files_of(tree) == {"a"}


def test_the_layers_below_count_into_the_size(unpack: Unpack) -> None:
    """A limit holds for the image, not for each layer by itself."""
    tree = stacked(unpack, [Entry("a", bytes(6000))])
    report, _ = unpack(layer_tar([Entry("b", bytes(6000))]), tree, UnpackLimits(10_000))
    assert report.refusal == "too-big"


def test_what_a_tree_takes_of_the_disk_is_told(unpack: Unpack) -> None:
    """In whole blocks, folders included; what is shared with the layers below counts for them."""
    below, tree = unpack(layer_tar([Entry("a/b/f", bytes(6000)), Entry("e")]))
    folders = len([path for path in tree.rglob("*") if path.is_dir()])
    assert (below.disk_bytes, below.inodes) == (4096 * (2 + folders), 2 + 2 + folders)  # two are what is mounted on
    above, _ = unpack(layer_tar([Entry("g", b"1"), link("l", "g"), hard_link("h", "g")]), tree)
    assert (above.disk_bytes, above.inodes) == (4096 * (1 + folders), 2 + folders)


@pytest.mark.parametrize(
    ("entries", "room"),
    [
        ([Entry("f", bytes(100_000))], {"disk_bytes": 90_000}),
        ([Entry(f"{n}", b"1") for n in range(20)], {"disk_bytes": 60_000}),
        ([folder(f"{n}") for n in range(20)], {"disk_bytes": 60_000}),
        ([folder(f"{n}") for n in range(20)], {"inodes": 20}),
        ([Entry("d/" * 30)], {"inodes": 20}),
        ([link(f"{n}", "x") for n in range(20)], {"inodes": 20}),
    ],
)
def test_a_layer_takes_no_more_of_the_disk_than_there_is_room_for(
    unpack: Unpack, entries: list[Entry], room: dict[str, int]
) -> None:  # fmt: skip
    """Be it bytes, blocks for a byte each, or inodes."""
    report, _ = unpack(layer_tar(entries), None, UnpackLimits(1 << 24, 1000, **room))
    assert report.refusal == "no-room", report


def header(name: bytes, size: bytes = b"00000000000\0", kind: bytes = b"0") -> bytes:
    """Of an entry, as no library writes it."""
    made = bytearray(512)
    made[: len(name)], made[100:108], made[124:136], made[156:157], made[257:265] = (
        name,
        b"0000644\0",
        size,
        kind,
        b"ustar\x0000",
    )
    made[148:156] = b"%06o\0 " % (sum(made) + 8 * 32)
    return bytes(made)


NEGATIVE = b"\xff" * 10 + b"\xfe\x00"  # -512, as GNU writes numbers


def pax(record: bytes) -> bytes:
    return header(b"pax", b"%011o\0" % len(record), b"x") + record.ljust(512, b"\0")


@pytest.mark.parametrize(
    ("layer", "refusal"),
    [
        (header(b"a", NEGATIVE), "not-a-tar"),
        (header(b"@", NEGATIVE, b"L") + header(b"a"), "not-a-tar"),
        (header(b"p", NEGATIVE, b"x") + header(b"a"), "not-a-tar"),
        (pax(b"14 size=-1024\n") + header(b"a"), "not-a-tar"),
        (pax(b"26 path=../../etc/passwd\n") + header(b"a"), "slip"),
        (header(b"@", b"00000303240\0", b"L") + b"n" * 100_352 + header(b"a"), "unsupported"),
        (header(b"x", kind=b"Z"), "unsupported"),
        (header(b"dev\x95", kind=b"3"), "unsupported"),
        (header(b"\xff\xfe/../x"), "slip"),
        (b"".join(pax(b"11 comment=\n"[:11]) for _ in range(3000)) + header(b"a"), "unsupported"),
        (b"".join(header(b"@", b"00000000002\0", b"L") + b"n".ljust(512, b"\0") for _ in range(3000)), "unsupported"),
        (header(b"etc", b"00000000001\0") + b"x".ljust(512, b"\0"), "unsupported"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_headers_that_lie_are_refused(unpack: Unpack, layer: bytes, refusal: str) -> None:
    """Sizes below nothing, names that are no text or endless, headers about headers."""
    report, _ = unpack(layer + bytes(1024))
    assert report.refusal == refusal, report


def test_a_full_disk_is_no_fault_of_the_layer(tmp_path: Path) -> None:
    """It is said, and not that the unpacking broke down."""
    tmp_path.chmod(0o755)
    layer, tree = tmp_path / "layer", tmp_path / "tree"
    layer.write_bytes(zipped(layer_tar([Entry("f", bytes(4 << 20))])))
    tree.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tree)], check=True)
    try:
        with layer.open("rb") as file:
            job = start_unpacking_layer(file.fileno(), None, tree, UnpackLimits(1 << 24, 1000), UID, filter_program())
            report = msgspec.json.decode(job.finish(), type=UnpackReport)
    finally:
        subprocess.run(["umount", str(tree)], check=True)
    assert (report.refusal, report.detail) == ("no-room", "the disk is full")


def test_its_process_ends_whenever_it_is_killed(tmp_path: Path) -> None:
    """With the one that it has forked, though that may not have asked yet to end with it."""
    tmp_path.chmod(0o755)
    os.mkfifo(tmp_path / "silent")
    layer = os.open(tmp_path / "silent", os.O_RDWR)
    for number in range(30):
        tree = tmp_path / f"{number}.tree"
        tree.mkdir()
        job = start_unpacking_layer(layer, None, tree, UnpackLimits(1 << 24, 1000), UID, filter_program())
        while not children(job.pid):
            pass
        job.kill()
        assert job.finish() == b""
    os.close(layer)


def test_a_layer_that_takes_too_long_is_refused(unpack: Unpack, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that nothing comes out of, for as long as one reads it."""
    monkeypatch.setattr("lambdad.sandbox.unpack._CPU_SECONDS", 1)
    report, _ = unpack(zipped(b"") * 500_000)
    assert (report.refusal, report.detail) == ("unsupported", "it takes the processor too long")
