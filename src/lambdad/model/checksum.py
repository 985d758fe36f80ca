"""The checksum algorithms of S3: their sizes, and how each is computed over bytes as they pass."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from typing import Protocol

import anycrc  # type: ignore[import-untyped]

HEADER_PREFIX = "x-amz-checksum-"
SIZES = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}  #: bytes of a value
CRCS = {"CRC32": anycrc.Model("CRC32-ISO-HDLC"), "CRC32C": anycrc.Model("CRC32C"), "CRC64NVME": anycrc.Model("CRC64-NVME")}


class Running(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    def __init__(self, algorithm: str) -> None:
        self._model = CRCS[algorithm]
        self._size = SIZES[algorithm]
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._model.calc(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


class _Crc32(_Crc):
    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)


def running(algorithm: str) -> Running:
    if algorithm == "CRC32":
        return _Crc32(algorithm)
    if algorithm in CRCS:
        return _Crc(algorithm)
    return hashlib.new(algorithm.lower(), usedforsecurity=False)


def checksum_of(algorithm: str, data: bytes) -> str:
    """In base64, as headers carry it."""
    computing = running(algorithm)
    computing.update(data)
    return base64.b64encode(computing.digest()).decode()


def decoded(value: str, size: int) -> bytes | None:
    """The bytes that a header's base64 stands for, or None unless they are this many."""
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return content if len(content) == size else None
