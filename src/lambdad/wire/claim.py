"""What a request says about who signed it, before anything is verified."""

from __future__ import annotations

import re

import msgspec

from lambdad.wire.http import HttpRequest

ALGORITHM = "AWS4-HMAC-SHA256"

_CREDENTIAL = re.compile(r"Credential=([^,\s]+)")

_OF_THE_SIGNATURE = frozenset(
    f"x-amz-{name}" for name in ("algorithm", "credential", "date", "expires", "signedheaders", "signature", "content-sha256")
)
_CHECKSUM = re.compile(r"x-amz-checksum-(?!mode|algorithm|type)[a-z0-9]+|x-amz-sdk-checksum-algorithm")


class Claim(msgspec.Struct, frozen=True):
    """The parts of a credential scope. Empty strings where they are missing or malformed."""

    access_key_id: str
    date: str  #: "20261123"
    region: str
    service: str
    is_presigned: bool


def claim_of(request: HttpRequest) -> Claim | None:
    """None for an anonymous request."""
    header = request.headers.get("authorization")
    if header is not None:
        found = _CREDENTIAL.search(header)
        if found is None:
            return _version_2_claim(header)
        return _from_scope(found[1], is_presigned=False)
    scope = request.query.get("X-Amz-Credential")
    if scope:
        return _from_scope(scope[0], is_presigned=True)
    older = request.query.get("AWSAccessKeyId")
    return Claim(older[0], "", "", "s3", True) if older and "Signature" in request.query else None


def take_headers_from_query(request: HttpRequest) -> None:
    """A presigned URL of S3 may carry x-amz- headers in its query, signed with it; they count as if sent as headers.

    Not the checksum of a body that nobody had when the URL was made: the SDK for JavaScript puts that of no bytes at all into
    each, and S3 passes it over.
    """
    for name, values in request.query.items():
        header = name.lower()
        if header.startswith("x-amz-") and header not in _OF_THE_SIGNATURE and not _CHECKSUM.fullmatch(header):
            request.headers.setdefault(header, values[0])


def _from_scope(scope: str, *, is_presigned: bool) -> Claim:
    parts = scope.rsplit("/", 4)
    if len(parts) != 5:
        return Claim(scope.partition("/")[0], "", "", "", is_presigned)
    return Claim(parts[0], parts[1], parts[2], parts[3], is_presigned)


def _version_2_claim(header: str) -> Claim:
    """`AWS KEY:SIGNATURE`, which only S3 ever took; anything else names nobody."""
    key = header[4:].partition(":")[0] if header.startswith("AWS ") else ""
    return Claim(key, "", "", "s3" if key else "", False)
