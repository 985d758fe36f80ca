"""The signature of a zip: looked for, checked, and put in.

`unpack.py` of the sandbox reads zips with the same library, and has refused what two readers could take for different things,
but for a name that is there twice: no signature covers that.
"""

from __future__ import annotations

import hashlib
import struct
import time
import zipfile
import zlib
from typing import BinaryIO

from lambdad.model.code_signature import CodeSignature
from lambdad.model.zip_name import UTF8_FLAG, zip_name
from lambdad.signature import envelope
from lambdad.signature.envelope import Claims, Digests

FOLDER = "META_INF/"
NAME = f"{FOLDER}aws_signer_signature_v1.0.SF"

_PIECE_BYTES = 1 << 18
_MAX_DIRECTORY_BYTES = 8 << 20

#: What reading a broken zip raises.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, RuntimeError, ValueError, OverflowError)


class Unsignable(ValueError):
    """The file is not one that can be signed; the text says why."""


class _HugeDirectory(Unsignable):
    pass


class _Pieces:
    """A package of which nothing large is read at once. `zipfile` reads directories whole, as large as the zip says."""

    def __init__(self, package: BinaryIO) -> None:
        self._package = package

    def read(self, size: int = -1, /) -> bytes:
        if size > _MAX_DIRECTORY_BYTES:
            raise _HugeDirectory(f"the zip's directory is larger than {_MAX_DIRECTORY_BYTES} bytes")
        return self._package.read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._package.seek(offset, whence)

    def tell(self) -> int:
        return self._package.tell()

    def seekable(self) -> bool:
        return True


def examine(package: BinaryIO) -> CodeSignature | None:
    """What the package's signature says; None when it has none. The package has passed the checks of unpacking."""
    try:
        with zipfile.ZipFile(_Pieces(package)) as archive:
            return _examined(archive)
    except _HugeDirectory:
        return None  # such a package cannot be signed
    except _BROKEN as error:
        return CodeSignature(problem=f"its zip cannot be read: {error or type(error).__name__}")


def _examined(archive: zipfile.ZipFile) -> CodeSignature | None:
    entries = {entry.orig_filename: entry for entry in archive.infolist()}
    entry = entries.get(NAME)
    if entry is None:
        return None
    if len(entries) < len(archive.infolist()):
        return CodeSignature(problem="the zip has a name twice")
    if max(entry.file_size, entry.compress_size) > envelope.MAX_BYTES:
        return CodeSignature(problem="its signature is too large")
    return envelope.examine(archive.read(entry), _digests(archive))


def sign(package: BinaryIO, claims: Claims, private_key: bytes, certificate: bytes, *, max_unpacked_bytes: int) -> None:
    """Adds the signature to the zip; what was in it stays as it is, byte for byte."""
    try:
        with zipfile.ZipFile(_Pieces(package)) as archive:
            entries = archive.infolist()
            _check_signable(entries, max_unpacked_bytes)
        now = time.gmtime(claims.signed_at)[:6]
        with zipfile.ZipFile(package, "a") as archive:
            if not any(entry.orig_filename == FOLDER for entry in entries):
                folder = zipfile.ZipInfo(FOLDER, now)
                folder.external_attr = 0o40755 << 16 | 0x10
                archive.writestr(folder, b"")
        with zipfile.ZipFile(package) as archive:
            sealed = envelope.seal(_digests(archive), claims, private_key, certificate)
        with zipfile.ZipFile(package, "a") as archive:
            signature = zipfile.ZipInfo(NAME, now)
            signature.external_attr = 0o100644 << 16
            archive.writestr(signature, sealed, zipfile.ZIP_DEFLATED)
    except Unsignable:
        raise
    except _BROKEN as error:
        raise Unsignable(f"it is not a zip that can be read: {error or type(error).__name__}") from error


def _check_signable(entries: list[zipfile.ZipInfo], max_unpacked_bytes: int) -> None:
    if not entries:
        raise Unsignable("the zip is empty")
    names = [entry.orig_filename for entry in entries]
    if NAME in names:
        raise Unsignable("the zip is already signed")
    if any(entry.filename != entry.orig_filename or not _is_plain(entry) for entry in entries):
        raise Unsignable("the zip has a name that is not in UTF-8, or that readers take for different ones")
    if len(set(names)) != len(names):
        raise Unsignable("the zip has a name twice")
    if sum(entry.file_size for entry in entries) > max_unpacked_bytes:
        raise Unsignable(f"the zip is larger than {max_unpacked_bytes} bytes unpacked")


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    """Whether its name stays as it is when the directory is written anew."""
    return entry.orig_filename.isascii() or bool(entry.flag_bits & UTF8_FLAG)


def _digests(archive: zipfile.ZipFile) -> Digests:
    """In the order of the entries. Reading one checks its CRC, and never gives more than the directory says."""
    plain, framed = hashlib.sha384(), hashlib.sha384()
    for entry in archive.infolist():
        if entry.orig_filename == NAME:
            continue
        plain.update(entry.orig_filename.encode("utf-8" if entry.flag_bits & UTF8_FLAG else "cp437"))
        name = zip_name(entry).encode()  # as it is unpacked: a flag that nothing else covers says how its bytes are read
        framed.update(struct.pack("<QQLB", len(name), entry.file_size, entry.external_attr, entry.create_system))
        framed.update(name)
        with archive.open(entry) as content:
            while piece := content.read(_PIECE_BYTES):
                plain.update(piece)
                framed.update(piece)
    return Digests(plain.digest(), framed.digest())
