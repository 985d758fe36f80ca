"""Whether a body that S3 reads whole is the one its client describes: Content-MD5 and the x-amz-checksum-* headers.

Bodies that stream are compared by the operation that takes them in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model import checksum
from lambdad.wire.http import HttpRequest

_HEADERS = {checksum.HEADER_PREFIX + algorithm.lower(): algorithm for algorithm in checksum.SIZES}
_NOT_A_CHECKSUM = frozenset(checksum.HEADER_PREFIX + word for word in ("algorithm", "mode", "type"))
_MD5_BYTES = 16

#: The model wants a checksum of these, AWS does not: https://github.com/versity/versitygw/issues/1662
_LENIENT = frozenset({"PutObjectTagging"})


@dataclass(frozen=True, slots=True)
class BodyChecksum:
    """What one operation asks of its body."""

    is_of_body: bool  #: else the headers speak of something else, as CompleteMultipartUpload's do of the object
    is_required: bool

    def refuse_missing(self, request: HttpRequest) -> None:
        if not self.is_required or "content-md5" in request.headers:
            return
        if not _announced(request.headers) and checksum.HEADER_PREFIX not in request.headers.get("x-amz-trailer", "").lower():
            raise _invalid_request("Missing required header for this request: Content-MD5 OR x-amz-checksum-*")

    def verify(self, request: HttpRequest, trailers: Mapping[str, str], body: bytes) -> None:
        _verify_md5(request.headers.get("content-md5"), body)
        if not self.is_of_body:
            return
        announced = _announced(request.headers) | _announced(trailers)
        if len(announced) > 1:
            raise _invalid_request("Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
        for name, value in announced.items():
            _verify(name, value, body)


def body_checksum_of(operation: Any) -> BodyChecksum:
    declared = operation.http_checksum or {}
    is_required = bool(declared.get("requestChecksumRequired")) and operation.name not in _LENIENT
    return BodyChecksum(is_of_body="requestAlgorithmMember" in declared, is_required=is_required)


def _announced(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name.startswith(checksum.HEADER_PREFIX) and name not in _NOT_A_CHECKSUM
    }


def _verify_md5(header: str | None, body: bytes) -> None:
    if header is None:
        return
    announced = checksum.decoded(header, _MD5_BYTES)
    if announced is None:
        raise ServiceError("InvalidDigest", "The Content-MD5 you specified was invalid.", status=400)
    if announced != hashlib.md5(body, usedforsecurity=False).digest():
        raise ServiceError("BadDigest", "The Content-MD5 you specified did not match what we received.", status=400)


def _verify(name: str, value: str, body: bytes) -> None:
    algorithm = _HEADERS.get(name)
    if algorithm is None:
        message = "A header you provided implies functionality that is not implemented"
        raise ServiceError("NotImplemented", message, status=501, members={"Header": name})
    if checksum.decoded(value, checksum.SIZES[algorithm]) is None:
        raise _invalid_request(f"Value for {name} header is invalid.")
    if value != checksum.checksum_of(algorithm, body):
        message = f"The {algorithm} you specified did not match the calculated checksum."
        raise ServiceError("BadDigest", message, status=400)


def _invalid_request(message: str) -> ServiceError:
    return ServiceError("InvalidRequest", message, status=400)
