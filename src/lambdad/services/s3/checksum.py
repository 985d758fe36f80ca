"""The checksums of S3: computed while bytes pass, compared with what the client announced, combined over parts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lambdad.model.checksum import CRCS, HEADER_PREFIX, SIZES, checksum_of, decoded, running
from lambdad.model.request import RequestContext
from lambdad.services.s3.errors import invalid_request, not_implemented, s3_error
from lambdad.services.s3.model import Checksum

DEFAULT = "CRC64NVME"  #: what AWS computes for an upload that announces no checksum

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


_Name = TypeVar("_Name", str, str | None)


class Digests:
    """The MD5 of the bytes that pass, and the checksums asked for."""

    def __init__(self, algorithms: Iterable[str]) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._running = {algorithm: running(algorithm) for algorithm in algorithms}
        self.algorithms = tuple(self._running)
        self.size = 0

    def update(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.size += len(piece)
            self._md5.update(piece)
            for each in self._running.values():
                each.update(piece)

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
        value = trailers.get(HEADER_PREFIX + self.algorithm.lower())
        if value is None:
            message = "The request contained trailing data that was not well-formed or did not conform to our published schema."
            raise s3_error("MalformedTrailerError", message, 400)
        return checked_value(self.algorithm, value)


def announced(context: RequestContext, request: Mapping[str, Any]) -> Announced:
    """From the headers of an upload. At most one checksum, and the algorithm named must be the one given."""
    given = {algorithm: request[member] for algorithm, member in MEMBERS.items() if request.get(member)}
    for name in context.headers.get("x-amz-trailer", "").split(","):
        name = name.strip().lower()
        if name.startswith(HEADER_PREFIX):
            given[supported(name[len(HEADER_PREFIX) :].upper())] = None
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
    if decoded(value, SIZES[algorithm]) is None:
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
        return Checksum(algorithm, checksum_type, f"{checksum_of(algorithm, b''.join(values))}-{len(parts)}")
    model, total = CRCS[algorithm], 0
    for value, (_, size) in zip(values, parts, strict=True):
        total = model.combine(total, int.from_bytes(value, "big"), size)
    return Checksum(algorithm, checksum_type, base64.b64encode(total.to_bytes(SIZES[algorithm], "big")).decode())


def members(checksum: Checksum) -> dict[str, str]:
    """As answers show it."""
    return {MEMBERS[checksum.algorithm]: checksum.value, "ChecksumType": checksum.type}


def _md5(header: str | None) -> bytes | None:
    if header is None:
        return None
    value = decoded(header, 16)
    if value is None:
        raise s3_error("InvalidDigest", "The Content-MD5 you specified was invalid.", 400)
    return value
