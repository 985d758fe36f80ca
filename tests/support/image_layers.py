"""Layers of container images, made by hand."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One member of a layer; `kind` is one of tarfile's types."""

    name: str
    content: bytes = b""
    kind: bytes = tarfile.REGTYPE
    mode: int = 0o644
    target: str = ""


def folder(name: str, mode: int = 0o755) -> Entry:
    return Entry(name, kind=tarfile.DIRTYPE, mode=mode)


def link(name: str, target: str) -> Entry:
    return Entry(name, kind=tarfile.SYMTYPE, target=target)


def hard_link(name: str, target: str) -> Entry:
    return Entry(name, kind=tarfile.LNKTYPE, target=target)


def layer_tar(entries: Iterable[Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries:
            member = tarfile.TarInfo(entry.name)
            member.type, member.mode, member.linkname = entry.kind, entry.mode, entry.target
            member.size = len(entry.content)
            tar.addfile(member, io.BytesIO(entry.content))
    return buffer.getvalue()


def diff_id(tar: bytes) -> str:
    return hashlib.sha256(tar).hexdigest()


def zipped(tar: bytes) -> bytes:
    return gzip.compress(tar, mtime=0)
