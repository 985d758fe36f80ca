"""The tar inside of a layer: decompressed as it is read, with an end to how much that may be, and its digest."""

from __future__ import annotations

import gzip
import hashlib
import sys
import zlib
from typing import BinaryIO

from lambdad.sandbox.base import UnpackLimits
from lambdad.sandbox.unpack import Refusal

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: What a layer that is damaged, or none, lets fly.
DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile, zstd.ZstdError)

#: 128 MB of memory, which every unpacker takes without being told; the format allows sixteen times as much.
_ZSTD_OPTIONS = {int(zstd.DecompressionParameter.window_log_max): 27}
_BYTES_BESIDE_A_FILE = 2048  #: headers and padding
_CHUNK = 256 * 1024
_SKIPPABLE = b"\x2a\x4d\x18"  #: after a first byte of 0x50 to 0x5f: a frame of zstd without content, with which some begin
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


class LayerContent:
    """Read from its beginning to its end, like a file. The bytes say how they are compressed, whatever was said of them."""

    def __init__(self, layer: BinaryIO, limits: UnpackLimits) -> None:
        """Refusal where they are compressed in another way than the known."""
        self._source = _decompressed(layer)
        self._digest = hashlib.sha256()
        self._left = limits.unpacked_bytes + limits.files * _BYTES_BESIDE_A_FILE

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._left -= len(data)
        if self._left < 0:  # what no entry has counts as well: to skip it takes as long as to write it
            raise Refusal("too-big", "the tar inside is larger than anything in it may be")
        self._digest.update(data)
        return data

    def finish(self) -> str:
        """Reads what is left; the hex SHA-256 of all."""
        while self.read(_CHUNK):
            pass
        return self._digest.hexdigest()


def _decompressed(layer: BinaryIO) -> BinaryIO:
    kind = _compression(layer.read(8))
    layer.seek(0)
    if kind is None:
        return layer
    if kind == "gzip":
        return gzip.GzipFile(fileobj=layer)  # type: ignore[return-value]
    if kind == "zstd":
        return zstd.ZstdFile(layer, options=_ZSTD_OPTIONS)  # type: ignore[return-value]
    raise Refusal("unsupported", f"the layer is compressed with {kind}; gzip, zstd and none are read")


def _compression(start: bytes) -> str | None:
    if start[1:4] == _SKIPPABLE and start[0] & 0xF0 == 0x50:
        return "zstd"
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)
