"""Verifies S3's older presigned URLs, `?AWSAccessKeyId=&Expires=&Signature=`, which boto3 still makes by default."""

from __future__ import annotations

import hmac
from base64 import b64encode

from lambdad.model.credential import Credential
from lambdad.wire.auth_error import AuthError, AuthFailure
from lambdad.wire.http import HttpRequest

#: The query parameters that are part of the resource and so of the signature.
_SIGNED_PARAMETERS = frozenset(
    (
        "accelerate",
        "acl",
        "analytics",
        "cors",
        "delete",
        "inventory",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "partNumber",
        "policy",
        "replication",
        "requestPayment",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
        "restore",
        "select",
        "select-type",
        "storageClass",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    )
)


def is_presigned_v2(request: HttpRequest) -> bool:
    return "AWSAccessKeyId" in request.query and "Signature" in request.query


def refuse_expired(request: HttpRequest, now: float) -> None:
    if now > _expiry(request):
        raise AuthFailure(AuthError.EXPIRED, "Request has expired")


def verify(request: HttpRequest, credential: Credential, *, subresources: frozenset[str]) -> None:
    """AuthFailure unless the credential signed this method, resource and these x-amz- values.

    A sub-resource that the old scheme does not sign could be added to someone's URL, so it is refused.
    """
    unsigned = (subresources - _SIGNED_PARAMETERS).intersection(request.query)
    if unsigned:
        raise AuthFailure(AuthError.MISMATCH, f"Signature version 2 does not cover the query parameter {min(unsigned)}.")
    token = _value(request, "x-amz-security-token") or ""
    if not hmac.compare_digest(token.encode(), (credential.session_token or "").encode()):
        raise AuthFailure(AuthError.BAD_TOKEN)
    computed = b64encode(hmac.digest(credential.secret.encode(), _text_to_sign(request).encode(), "sha1"))
    if not hmac.compare_digest(computed, request.query["Signature"][0].encode()):
        raise AuthFailure(AuthError.MISMATCH)


def _text_to_sign(request: HttpRequest) -> str:
    lines = [request.method]
    lines += [(_value(request, name) or "").strip() for name in ("content-md5", "content-type")]
    lines.append(request.query["Expires"][0])
    names = {name.lower() for name in (*request.headers, *request.query) if name.lower().startswith("x-amz-")}
    lines += [f"{name}:{(_value(request, name) or '').strip()}" for name in sorted(names)]
    return "\n".join([*lines, _resource(request)])


def _resource(request: HttpRequest) -> str:
    signed = sorted((name, values) for name, values in request.query.items() if name in _SIGNED_PARAMETERS)
    parts = [f"{name}={value}" if value else name for name, values in signed for value in values]
    return request.path + ("?" + "&".join(parts) if parts else "")


def _value(request: HttpRequest, name: str) -> str | None:
    """A header may stand in the query instead."""
    return request.headers.get(name) or request.query.get(name, [None])[0]


def _expiry(request: HttpRequest) -> int:
    text = request.query.get("Expires", [""])[0]
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise AuthFailure(AuthError.BAD_QUERY, "Expires must be a time in seconds since 1970.")
    return int(text)
