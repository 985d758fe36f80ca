"""Verifies AWS Signature Version 4: in the Authorization header, in a presigned URL, and as the seed of a signed stream.

The canonical request is built from the bytes as sent: the undecoded path and the raw header values.
"""

from __future__ import annotations

import hashlib
import hmac
import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from lambdad.errors import ServiceError
from lambdad.model.credential import Credential
from lambdad.wire.auth_error import AuthError, AuthFailure
from lambdad.wire.claim import ALGORITHM
from lambdad.wire.http import HttpRequest

MAX_SKEW_SECONDS = 900
MAX_EXPIRES_SECONDS = 604_800
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"

_HEADER_PART = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")
_TIMESTAMP = re.compile(r"\d{8}T\d{6}Z")
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature's parts as sent, all well-formed, nothing verified."""

    access_key_id: str
    date: str
    region: str
    service: str
    timestamp: str
    signed_headers: tuple[str, ...]
    signature: str
    expires_seconds: int | None  #: set in presigned URLs
    session_token: str | None

    @property
    def scope(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"

    @property
    def is_presigned(self) -> bool:
        return self.expires_seconds is not None


@dataclass(frozen=True, slots=True)
class ChunkSigner:
    """What the signatures of an aws-chunked body are made from; `seed` is the signature of the request itself."""

    key: bytes
    timestamp: str
    scope: str
    seed: str

    def chunk_signature(self, previous: str, digest: str) -> str:
        empty = hashlib.sha256(b"").hexdigest()
        return self._sign(f"AWS4-HMAC-SHA256-PAYLOAD\n{self.timestamp}\n{self.scope}\n{previous}\n{empty}\n{digest}")

    def trailer_signature(self, previous: str, trailers: bytes) -> str:
        digest = hashlib.sha256(trailers).hexdigest()
        return self._sign(f"AWS4-HMAC-SHA256-TRAILER\n{self.timestamp}\n{self.scope}\n{previous}\n{digest}")

    def _sign(self, text: str) -> str:
        return hmac.digest(self.key, text.encode(), "sha256").hex()


def signature_of(request: HttpRequest) -> Signature:
    """The signature the request carries. AuthFailure when there is none or when it is malformed."""
    authorization = request.headers.get("authorization")
    if authorization is not None:
        if "X-Amz-Signature" in request.query:
            raise AuthFailure(AuthError.INCOMPLETE, "Only one auth mechanism allowed.")
        return _header_signature(authorization, request)
    if "X-Amz-Signature" in request.query or "X-Amz-Credential" in request.query:
        return _presigned_signature(request)
    raise AuthFailure(AuthError.MISSING)


def verify(
    request: HttpRequest,
    signature: Signature,
    credential: Credential,
    *,
    now: float,
    is_s3: bool,
    signing_name: str,
    payload_digest: Callable[[], str],
) -> ChunkSigner:
    """Raises AuthFailure unless `credential` signed this very request at a time that is still good.

    `payload_digest` is asked only where the body is at hand; a streaming body is checked against its own header
    while it is read.
    """
    _check_scope(signature, signing_name)
    _check_time(signature, now, is_s3=is_s3)
    _check_token(signature, credential)
    _check_signed_headers(request, signature)
    payload = _payload_hash(request, signature, payload_digest, is_s3=is_s3)
    canonical = canonical_request(request, signature, payload, is_s3=is_s3)
    digest = hashlib.sha256(canonical).hexdigest()
    key = signing_key(credential.secret, signature.date, signature.region, signature.service)
    text = f"{ALGORITHM}\n{signature.timestamp}\n{signature.scope}\n{digest}"
    computed = hmac.digest(key, text.encode(), "sha256").hex()
    if not hmac.compare_digest(computed, signature.signature):
        raise AuthFailure(AuthError.MISMATCH)
    return ChunkSigner(key, signature.timestamp, signature.scope, signature.signature)


def refuse_expired(request: HttpRequest, now: float) -> None:
    """A presigned URL ends at its time also where signatures are not verified: telling needs no secret."""
    if "X-Amz-Expires" not in request.query or "X-Amz-Date" not in request.query:
        return
    timestamp, expires = request.query["X-Amz-Date"][0], request.query["X-Amz-Expires"][0]
    if not _TIMESTAMP.fullmatch(timestamp) or not _is_expiry(expires):
        raise AuthFailure(AuthError.BAD_QUERY, "X-Amz-Date and X-Amz-Expires must be a timestamp and 1 to 604800 seconds.")
    if now > _moment(timestamp) + int(expires):
        raise AuthFailure(AuthError.EXPIRED, "Request has expired")


def canonical_request(request: HttpRequest, signature: Signature, payload: str, *, is_s3: bool) -> bytes:
    dropped = "X-Amz-Signature" if signature.is_presigned else None
    lines = [
        request.method.encode(),
        canonical_path(request.raw_path, is_s3=is_s3).encode(),
        canonical_query(request.raw_query, dropped).encode(),
        b"".join(_canonical_headers(request, signature.signed_headers)),
        ";".join(signature.signed_headers).encode(),
        payload.encode(),
    ]
    return b"\n".join(lines)


def canonical_path(raw_path: str, *, is_s3: bool) -> str:
    """S3 signs the path as it is; all others the normalised path, encoded once more."""
    if is_s3:
        return quote(unquote_to_bytes(raw_path), safe="/-_.~") or "/"
    normal = posixpath.normpath(raw_path) if raw_path else "/"
    if normal.startswith("//"):
        normal = normal[1:]
    if raw_path.endswith("/") and normal != "/":
        normal += "/"
    return quote(normal, safe="/-_.~")


def canonical_query(raw_query: str, dropped: str | None) -> str:
    pairs = []
    for part in raw_query.split("&"):
        if part:
            name, _, value = part.partition("=")
            name = _encode(name)
            if name != dropped:
                pairs.append((name, _encode(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


@lru_cache(4096)
def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _header_signature(authorization: str, request: HttpRequest) -> Signature:
    parts = dict(_HEADER_PART.findall(authorization))
    if not authorization.startswith(f"{ALGORITHM} ") or len(parts) != 3 or not _HEX_DIGEST.fullmatch(parts["Signature"]):
        wanted = "Authorization header requires 'Credential', 'SignedHeaders' and 'Signature' of AWS4-HMAC-SHA256."
        raise AuthFailure(AuthError.INCOMPLETE, wanted)
    timestamp = request.headers.get("x-amz-date") or _timestamp_of_date_header(request.headers.get("date", ""))
    token = request.headers.get("x-amz-security-token")
    return _signature(
        parts["Credential"], timestamp, parts["SignedHeaders"], parts["Signature"], expires=None, token=token
    )  # fmt: skip


def _presigned_signature(request: HttpRequest) -> Signature:
    values = {}
    for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature"):
        given = request.query.get(f"X-Amz-{name}", [])
        if len(given) != 1:
            wanted = "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
            raise AuthFailure(
                AuthError.BAD_QUERY, wanted + "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
            )
        values[name] = given[0]
    if values["Algorithm"] != ALGORITHM or not _is_expiry(values["Expires"]):
        raise AuthFailure(
            AuthError.BAD_QUERY, "X-Amz-Algorithm must be AWS4-HMAC-SHA256 and X-Amz-Expires 1 to 604800 seconds."
        )
    token = request.query.get("X-Amz-Security-Token", [None])[0]
    return _signature(
        values["Credential"],
        values["Date"],
        values["SignedHeaders"],
        values["Signature"],
        expires=int(values["Expires"]),
        token=token,
    )


def _signature(
    credential: str, timestamp: str, signed_headers: str, signature: str, *, expires: int | None, token: str | None
) -> Signature:
    parts = credential.rsplit("/", 4)
    if len(parts) != 5 or parts[4] != "aws4_request" or not _TIMESTAMP.fullmatch(timestamp):
        wanted = "The credential must be KEY/YYYYMMDD/REGION/SERVICE/aws4_request, with a timestamp YYYYMMDDTHHMMSSZ."
        raise AuthFailure(AuthError.INCOMPLETE, wanted)
    access_key_id, date, region, service, _ = parts
    if date != timestamp[:8]:
        raise AuthFailure(
            AuthError.MISMATCH, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP"
        )
    names = tuple(signed_headers.split(";"))
    return Signature(access_key_id, date, region, service, timestamp, names, signature, expires, token)


def _check_scope(signature: Signature, signing_name: str) -> None:
    if signature.service != signing_name:
        raise AuthFailure(AuthError.MISMATCH, f"Credential should be scoped to correct service: '{signing_name}'.")


def _check_time(signature: Signature, now: float, *, is_s3: bool) -> None:
    signed_at = _moment(signature.timestamp)
    if signature.expires_seconds is not None:
        if now > signed_at + signature.expires_seconds:
            raise AuthFailure(AuthError.EXPIRED, "Request has expired")
        if now < signed_at - MAX_SKEW_SECONDS:
            raise AuthFailure(AuthError.EXPIRED, "Request is not yet valid")
    elif abs(now - signed_at) > MAX_SKEW_SECONDS:
        moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        relation = "is now earlier" if now > signed_at else "is still later"
        message = f"Signature expired: {signature.timestamp} {relation} than the allowed 15 minutes around {moment}."
        raise AuthFailure(AuthError.SKEWED, None if is_s3 else message)


def _check_token(signature: Signature, credential: Credential) -> None:
    given, wanted = signature.session_token or "", credential.session_token or ""
    if not hmac.compare_digest(given.encode(), wanted.encode()):
        raise AuthFailure(AuthError.BAD_TOKEN)


def _check_signed_headers(request: HttpRequest, signature: Signature) -> None:
    """An x-amz- header changes what a request does (its target, its copy source), so an unsigned one could be slipped in."""
    signed = set(signature.signed_headers)
    sent = {name.decode("latin-1") for name, _ in request.raw_headers}
    unsigned = sorted(name for name in sent if name.startswith("x-amz-") and name not in signed)
    if signature.is_presigned:
        unsigned = [name for name in unsigned if name != "x-amz-content-sha256"]
    if "host" not in signed or unsigned:
        names = ", ".join(unsigned) or "host"
        raise AuthFailure(
            AuthError.UNSIGNED_HEADERS, f"There were headers present in the request which were not signed: {names}"
        )
    if not signed <= sent:
        raise AuthFailure(AuthError.MISMATCH)


def _payload_hash(
    request: HttpRequest, signature: Signature, payload_digest: Callable[[], str], *, is_s3: bool
) -> str:  # fmt: skip
    announced = request.headers.get("x-amz-content-sha256")
    if is_s3:
        if signature.is_presigned:
            return (
                UNSIGNED_PAYLOAD if announced is None or "x-amz-content-sha256" not in signature.signed_headers else announced
            )
        if announced is None:
            message = "Missing required header for this request: x-amz-content-sha256"
            raise ServiceError("InvalidRequest", message, status=400)
        return announced  # the body is held against it while it is read
    if announced == UNSIGNED_PAYLOAD:
        return announced
    digest = payload_digest()
    if announced is not None and _HEX_DIGEST.fullmatch(announced) and announced != digest:
        raise AuthFailure(AuthError.MISMATCH, "The provided 'x-amz-content-sha256' header does not match what was computed.")
    return digest


def _canonical_headers(request: HttpRequest, signed_headers: Iterable[str]) -> Iterable[bytes]:
    values: dict[bytes, list[bytes]] = {}
    for name, value in request.raw_headers:
        values.setdefault(name, []).append(b" ".join(value.split()))
    for header in signed_headers:
        name = header.encode("latin-1", "replace")
        yield name + b":" + b",".join(values.get(name, ())) + b"\n"


def _encode(raw: str) -> str:
    return quote(unquote_to_bytes(raw.replace("+", " ")), safe="-_.~")


def _moment(timestamp: str) -> float:
    try:
        year, month, day = int(timestamp[:4]), int(timestamp[4:6]), int(timestamp[6:8])
        hour, minute, second = int(timestamp[9:11]), int(timestamp[11:13]), int(timestamp[13:15])
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError as error:
        raise AuthFailure(AuthError.INCOMPLETE, f"{timestamp!r} is not a date.") from error


def _timestamp_of_date_header(text: str) -> str:
    for form in ("%Y%m%dT%H%M%SZ", "%a, %d %b %Y %H:%M:%S GMT"):
        try:
            return datetime.strptime(text, form).strftime("%Y%m%dT%H%M%SZ")
        except ValueError:
            continue
    raise AuthFailure(AuthError.INCOMPLETE, "Authorization requires an 'X-Amz-Date' or a 'Date' header.")


def _is_expiry(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 7 and 1 <= int(text) <= MAX_EXPIRES_SECONDS
