"""Checks and unpacks the zips of a function. Runs in a process without rights, since a zip is the work of a stranger.

Nothing that a zip says of itself is believed: sizes are counted while unpacking, names are followed on paper before anything is
written, links are made and never followed, and no byte of the archive may belong to two entries.
"""

from __future__ import annotations

import json
import os
import resource
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from lambdad.model.zip_name import zip_name
from lambdad.sandbox.base import UnpackLimits, UnpackReport

_MEMORY_BYTES = 2 << 30
_CPU_SECONDS = 600
_CPU_SECONDS_TO_SAY_SO = 5  #: for whoever has a handler of SIGXCPU
_CHUNK = 256 * 1024
_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_ENCRYPTED_FLAG = 0x1
_UNIX = 3  # create_system; others do not keep modes
_LOCAL_HEADER_SIZE = 30
_MAX_LINK_BYTES = 4096
_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 4000


class Refusal(Exception):
    """The archive may not be unpacked; `kind` is one of the words of UnpackReport.refusal."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def unpack(archive: BinaryIO, root: Path, limits: UnpackLimits) -> UnpackReport:
    """Unpacks the archive into the empty folder `root`. After a refusal its content is worthless."""
    budget = Budget(limits)
    try:
        _unpack(archive, root, budget)
    except Refusal as refusal:
        return UnpackReport(budget.unpacked_bytes, refusal.kind, refusal.detail)
    return UnpackReport(budget.unpacked_bytes)


def main(root: str, unpacked_bytes: str, files: str, archive: str) -> None:
    """As a program of its own: the report goes to stdout, as JSON."""
    limits = UnpackLimits(int(unpacked_bytes), int(files))
    limit_resources(limits)
    os.umask(0)
    with Path(archive).open("rb") as opened:
        report = unpack(opened, Path(root), limits)
    print(json.dumps({"unpacked_bytes": report.unpacked_bytes, "refusal": report.refusal, "detail": report.detail}))  # noqa: T201


def limit_resources(limits: UnpackLimits) -> None:
    """Bounds for the calling process, so that not even a fault in a decoder can take the machine along."""
    bounds = {
        resource.RLIMIT_AS: _MEMORY_BYTES,
        resource.RLIMIT_CPU: _CPU_SECONDS,
        resource.RLIMIT_FSIZE: limits.unpacked_bytes + _CHUNK,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in bounds.items():
        hard = resource.getrlimit(kind)[1]
        wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
        more = _CPU_SECONDS_TO_SAY_SO if kind == resource.RLIMIT_CPU and hard == resource.RLIM_INFINITY else 0
        resource.setrlimit(kind, (wanted, wanted + more))


class Budget:
    """What may still be written."""

    def __init__(self, limits: UnpackLimits) -> None:
        self._limits = limits
        self.unpacked_bytes = 0
        self.files = 0

    def check_announced(self, entries: Sequence[zipfile.ZipInfo]) -> None:
        self.files += len(entries)
        if self.files > self._limits.files:
            raise Refusal("too-many-files", f"more than {self._limits.files} entries")
        self._check(self.unpacked_bytes + sum(entry.file_size for entry in entries))

    def count_file(self) -> None:
        self.files += 1
        if self.files > self._limits.files:
            raise Refusal("too-many-files", f"more than {self._limits.files} entries")

    def spend(self, size: int) -> None:
        self.unpacked_bytes += size
        self._check(self.unpacked_bytes)

    def _check(self, size: int) -> None:
        if size > self._limits.unpacked_bytes:
            raise Refusal("too-big", f"more than {self._limits.unpacked_bytes} bytes unpacked")


def _unpack(archive: BinaryIO, root: Path, budget: Budget) -> None:
    try:
        with zipfile.ZipFile(archive) as content:
            entries = content.infolist()
            if not entries:
                raise Refusal("empty", "no entries")
            budget.check_announced(entries)
            kept = _checked_entries(entries)
            _check_overlap(archive, entries, content.start_dir)
            links = [entry for entry in kept if _is_link(entry)]
            _check_links(content, links)
            for entry in kept:
                if not _is_link(entry):
                    _write_entry(content, entry, root, budget)
            for entry in links:  # last, so that nothing is ever written through one
                _write_link(content, entry, root, budget)
    except NotImplementedError as error:
        raise Refusal("unsupported", str(error)) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, struct.error, ValueError, OverflowError) as error:
        raise Refusal("bad-crc" if "CRC" in str(error) else "not-a-zip", str(error)) from error


def _checked_entries(entries: Sequence[zipfile.ZipInfo]) -> Sequence[zipfile.ZipInfo]:
    """Those to unpack: of files of one path the last, as unzip leaves them. Jars of Gradle hold what several libraries have."""
    kept: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        path = _safe_path(entry)
        if entry.flag_bits & _ENCRYPTED_FLAG:
            raise Refusal("encrypted", f"{path} is encrypted")
        if entry.compress_type not in (_STORED, _DEFLATED):
            raise Refusal("unsupported", f"{path} uses compression method {entry.compress_type}")
        before = kept.get(path)
        if before is not None and not (_kind(before) == _kind(entry) != "link"):
            raise Refusal("unsupported", f"{path} is there twice")
        kept[path] = entry
    for path in kept:
        for parent in map(str, PurePosixPath(path).parents):
            if parent in kept and (kind := _kind(kept[parent])) != "folder":
                raise Refusal("slip" if kind == "link" else "unsupported", f"{path} lies below a file")
    return list(kept.values())


def _safe_path(entry: zipfile.ZipInfo) -> str:
    """The entry's path in one spelling; refused if it could be anywhere but below the root."""
    name = zip_name(entry)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or "\\" in name or "\0" in name or ".." in parts:
        raise Refusal("slip", f"{name!r} is not a path below the package")
    if any(len(os.fsencode(part)) > _MAX_NAME_BYTES for part in parts) or len(os.fsencode(name)) > _MAX_PATH_BYTES:
        raise Refusal("unsupported", f"{name[:80]!r}... is too long a name")
    if not parts and not name.endswith("/"):
        raise Refusal("slip", f"{name!r} is not a name")
    return "/".join(parts) or "."


def _kind(entry: zipfile.ZipInfo) -> str:
    mode = _unix_mode(entry)
    if stat.S_ISLNK(mode):
        return "link"
    if zip_name(entry).endswith("/") or stat.S_ISDIR(mode):  # `is_dir` of newer Pythons believes an extra field
        return "folder"
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise Refusal("unsupported", f"{zip_name(entry)} is neither a file nor a folder nor a link")
    return "file"


def _check_overlap(archive: BinaryIO, entries: Sequence[zipfile.ZipInfo], end: int) -> None:
    """Bytes that serve several entries are how a small archive becomes a huge one."""
    previous = ""
    reached = 0
    for entry in sorted(entries, key=lambda item: item.header_offset):
        if entry.header_offset < 0:
            raise Refusal("not-a-zip", f"{entry.filename} begins before the archive")
        if entry.header_offset < reached:
            raise Refusal("unsupported", f"{entry.filename} shares bytes with {previous}")
        archive.seek(entry.header_offset)
        header = archive.read(_LOCAL_HEADER_SIZE)
        if len(header) < _LOCAL_HEADER_SIZE or header[:4] != b"PK\x03\x04":
            raise Refusal("not-a-zip", f"{entry.filename} has no header of its own")
        name_length, extra_length = struct.unpack("<HH", header[26:30])
        reached = entry.header_offset + _LOCAL_HEADER_SIZE + name_length + extra_length + entry.compress_size
        previous = entry.filename
        if reached > end:
            raise Refusal("not-a-zip", f"{entry.filename} is cut short")


def _check_links(content: zipfile.ZipFile, links: Sequence[zipfile.ZipInfo]) -> None:
    """A link may lead anywhere: it is followed where the function runs, and nowhere else."""
    for entry in links:
        if entry.file_size > _MAX_LINK_BYTES:
            raise Refusal("link", f"{entry.filename} is too long a link")
        target = content.read(entry)
        if not target or b"\0" in target:
            raise Refusal("link", f"{entry.filename} is a link to nothing")


def _write_entry(content: zipfile.ZipFile, entry: zipfile.ZipInfo, root: Path, budget: Budget) -> None:
    path = root / _safe_path(entry)
    _make_folder(path.parent, root)
    mode = stat.S_IMODE(_unix_mode(entry)) & 0o777
    if _kind(entry) == "folder":
        _make_folder(path, root)
        path.chmod(mode | 0o755)
        return
    with content.open(entry) as source, path.open("xb") as target:
        while chunk := source.read(_CHUNK):
            budget.spend(len(chunk))
            target.write(chunk)
    path.chmod(mode or 0o644)


def _write_link(content: zipfile.ZipFile, entry: zipfile.ZipInfo, root: Path, budget: Budget) -> None:
    path = root / _safe_path(entry)
    _make_folder(path.parent, root)
    target = content.read(entry)
    budget.spend(len(target))
    path.symlink_to(os.fsdecode(target))


def _make_folder(path: Path, root: Path) -> None:
    """Makes `path` a folder, and those above it."""
    relative = path.relative_to(root)
    for part in [*reversed(relative.parents), relative]:
        (root / part).mkdir(mode=0o755, exist_ok=True)


def _is_link(entry: zipfile.ZipInfo) -> bool:
    return stat.S_ISLNK(_unix_mode(entry))


def _unix_mode(entry: zipfile.ZipInfo) -> int:
    """The mode as zipped, 0 where the archive has none (made on Windows, or by a program that did not say)."""
    return entry.external_attr >> 16 if entry.create_system == _UNIX else 0
