"""The checksums of S3: computed while bytes pass, compared with what the client announced, combined over parts."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import anycrc  # type: ignore[import-untyped]

from lambdad.model.request import RequestContext
from lambdad.services.s3.errors import invalid_request, not_implemented, s3_error
from lambdad.services.s3.model import Checksum

DEFAULT = "CRC64NVME"  #: what AWS computes for an upload that announces no checksum

_CRCS = {"CRC32": anycrc.Model("CRC32-ISO-HDLC"), "CRC32C": anycrc.Model("CRC32C"), "CRC64NVME": anycrc.Model("CRC64-NVME")}
_SIZES = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}
MEMBERS = {
    "CRC32": "ChecksumCRC32",
    "CRC32C": "ChecksumCRC32C",
    "CRC64NVME": "ChecksumCRC64NVME",
    "SHA1": "ChecksumSHA1",
    "SHA256": "ChecksumSHA256",
}
#: algorithm -> the types it has over the parts of an upload, the default first
TYPES = {
    "CRC32": ("COMPOSITE", "FULL_OBJECT"),
    "CRC32C": ("COMPOSITE", "FULL_OBJECT"),
    "CRC64NVME": ("FULL_OBJECT",),
    "SHA1": ("COMPOSITE",),
    "SHA256": ("COMPOSITE",),
}
_TRAILER_PREFIX = "x-amz-checksum-"


_Name = TypeVar("_Name", str, str | None)


class _Running(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    def __init__(self, algorithm: str) -> None:
        self._model = _CRCS[algorithm]
        self._size = _SIZES[algorithm]
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._model.calc(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


class _Crc32(_Crc):
    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)


class Digests:
    """The MD5 of the bytes that pass, and the checksums asked for."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._running = {algorithm: _new(algorithm) for algorithm in algorithms}
        self.algorithms = tuple(self._running)
        self.size = 0

    def update(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.size += len(piece)
            self._md5.update(piece)
            for running in self._running.values():
                running.update(piece)

    @property
    def md5(self) -> bytes:
        return self._md5.digest()

    def checksum(self, algorithm: str) -> str:
        return base64.b64encode(self._running[algorithm].digest()).decode()


@dataclass(frozen=True, slots=True)
class Announced:
    """What the client says of the bytes it sends."""

    algorithm: str | None = None
    value: str | None = None  #: None when it comes in the trailer
    md5: bytes | None = None

    def verify(self, digests: Digests, trailers: Mapping[str, str]) -> None:
        if self.md5 is not None and self.md5 != digests.md5:
            raise s3_error("BadDigest", "The Content-MD5 you specified did not match what we received.", 400)
        if self.algorithm is None:
            return
        value = self.value if self.value is not None else self._trailing(trailers)
        if value != digests.checksum(self.algorithm):
            raise bad_digest(self.algorithm)

    def _trailing(self, trailers: Mapping[str, str]) -> str:
        assert self.algorithm is not None
        value = trailers.get(_TRAILER_PREFIX + self.algorithm.lower())
        if value is None:
            message = "The request contained trailing data that was not well-formed or did not conform to our published schema."
            raise s3_error("MalformedTrailerError", message, 400)
        return checked_value(self.algorithm, value)


def announced(context: RequestContext, request: Mapping[str, Any]) -> Announced:
    """From the headers of an upload. At most one checksum, and the algorithm named must be the one given."""
    given = {algorithm: request[member] for algorithm, member in MEMBERS.items() if request.get(member)}
    for name in context.headers.get("x-amz-trailer", "").split(","):
        name = name.strip().lower()
        if name.startswith(_TRAILER_PREFIX):
            given[supported(name[len(_TRAILER_PREFIX) :].upper())] = None
    if len(given) > 1:
        raise invalid_request("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    named = supported(request.get("ChecksumAlgorithm"))
    if named and not given:
        raise invalid_request(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found."
        )
    if named and named not in given:
        raise invalid_request("Value for x-amz-sdk-checksum-algorithm header is invalid.")
    md5 = _md5(request.get("ContentMD5"))
    for algorithm, value in given.items():
        return Announced(algorithm, None if value is None else checked_value(algorithm, value), md5)
    return Announced(md5=md5)


def supported(algorithm: _Name) -> _Name:
    """The algorithm, or None, unless it is one that AWS has and lambdad does not compute."""
    if algorithm is not None and algorithm not in MEMBERS:
        raise not_implemented(f"x-amz-checksum-{algorithm.lower()}")
    return algorithm


def checked_value(algorithm: str, value: str) -> str:
    try:
        size = len(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        size = -1
    if size != _SIZES[algorithm]:
        raise invalid_request(f"Value for x-amz-checksum-{algorithm.lower()} header is invalid.")
    return value


def bad_digest(algorithm: str) -> Exception:
    return s3_error("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.", 400)


def check_type(algorithm: str | None, checksum_type: str | None) -> None:
    """Whether a multipart upload may ask for this type with this algorithm."""
    if checksum_type is None:
        return
    if algorithm is None:
        raise invalid_request("The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
    if checksum_type not in TYPES[algorithm]:
        raise invalid_request(
            f"The {checksum_type} checksum type cannot be used with the {algorithm.lower()} checksum algorithm."
        )


def combined(algorithm: str, checksum_type: str, parts: Sequence[tuple[str, int]]) -> Checksum:
    """The checksum of an object from the (checksum, size) of its parts, without its bytes."""
    values = [base64.b64decode(value) for value, _ in parts]
    if checksum_type == "COMPOSITE":
        running = _new(algorithm)
        running.update(b"".join(values))
        return Checksum(algorithm, checksum_type, f"{base64.b64encode(running.digest()).decode()}-{len(parts)}")
    model, total = _CRCS[algorithm], 0
    for value, (_, size) in zip(values, parts, strict=True):
        total = model.combine(total, int.from_bytes(value, "big"), size)
    return Checksum(algorithm, checksum_type, base64.b64encode(total.to_bytes(_SIZES[algorithm], "big")).decode())


def members(checksum: Checksum) -> dict[str, str]:
    """As answers show it."""
    return {MEMBERS[checksum.algorithm]: checksum.value, "ChecksumType": checksum.type}


def _new(algorithm: str) -> _Running:
    if algorithm == "CRC32":
        return _Crc32(algorithm)
    if algorithm in _CRCS:
        return _Crc(algorithm)
    return hashlib.new(algorithm.lower(), usedforsecurity=False)


def _md5(header: str | None) -> bytes | None:
    if header is None:
        return None
    try:
        value = base64.b64decode(header, validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != 16:
        raise s3_error("InvalidDigest", "The Content-MD5 you specified was invalid.", 400)
    return value
