"""What a client says about an object besides its bytes: standard headers, metadata, tags; read from and shown in requests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

from lambdad.model.request import RequestContext
from lambdad.services.s3.errors import invalid_argument, not_implemented, s3_error
from lambdad.services.s3.model import Description, check_metadata

DEFAULT_CONTENT_TYPE = "binary/octet-stream"

_HEADERS = ("CacheControl", "ContentDisposition", "ContentLanguage", "ContentType")
_OVERRIDES = {
    "ResponseCacheControl": "CacheControl",
    "ResponseContentDisposition": "ContentDisposition",
    "ResponseContentEncoding": "ContentEncoding",
    "ResponseContentLanguage": "ContentLanguage",
    "ResponseContentType": "ContentType",
}
_MAX_OBJECT_TAGS = 10
_MAX_BUCKET_TAGS = 50


def read(context: RequestContext, request: Mapping[str, Any]) -> Description:
    """From a request that makes an object."""
    if request.get("StorageClass") not in (None, "STANDARD"):
        raise not_implemented("x-amz-storage-class")
    metadata = dict(request.get("Metadata") or {})
    check_metadata(metadata)
    return Description(_headers(context, request), metadata, tags_of_header(request.get("Tagging")))


def shown(description: Description, request: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """As GetObject and HeadObject answer it: members of the output, and headers that the model cannot say.

    Expires is kept and answered letter by letter, as AWS does, since clients send values that are no dates.
    """
    stored = dict(description.headers)
    expires = stored.pop("Expires", None)
    members: dict[str, Any] = {"ContentType": DEFAULT_CONTENT_TYPE, **stored, "Metadata": description.metadata}
    members.update({name: request[override] for override, name in _OVERRIDES.items() if request.get(override)})
    if request.get("ResponseExpires"):
        expires = _http_date(request["ResponseExpires"])
    if description.tags:
        members["TagCount"] = len(description.tags)
    return members, {"expires": expires} if expires else {}


def tags_of_header(header: str | None) -> dict[str, str]:
    """x-amz-tagging: "key=value&key=value"."""
    if not header:
        return {}
    try:
        return checked_tags(parse_qsl(header, keep_blank_values=True, strict_parsing=True))
    except ValueError:
        message = (
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters "
            "without tag name duplicates."
        )
        raise invalid_argument(message, "x-amz-tagging", header) from None


def checked_tags(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Of an object."""
    listed = list(pairs)
    if len(listed) > _MAX_OBJECT_TAGS:
        raise s3_error("BadRequest", f"Object tags cannot be greater than {_MAX_OBJECT_TAGS}", 400)
    return _distinct_tags(listed)


def checked_bucket_tags(tag_set: Iterable[Mapping[str, str]]) -> dict[str, str]:
    listed = [(tag["Key"], tag["Value"]) for tag in tag_set]
    if len(listed) > _MAX_BUCKET_TAGS:
        raise s3_error("BadRequest", f"Bucket tag count cannot be greater than {_MAX_BUCKET_TAGS}", 400)
    return _distinct_tags(listed)


def _distinct_tags(listed: Iterable[tuple[str, str]]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for key, value in listed:
        if key in tags:
            raise s3_error("InvalidTag", "Cannot provide multiple Tags with the same key", 400, TagKey=key)
        if not 1 <= len(key) <= 128 or not _is_tag_text(key) or key.startswith("aws:"):
            raise s3_error("InvalidTag", "The TagKey you have provided is invalid", 400, TagKey=key)
        if len(value) > 256 or not _is_tag_text(value):
            raise s3_error("InvalidTag", "The TagValue you have provided is invalid", 400, TagKey=key, TagValue=value)
        tags[key] = value
    return tags


def _headers(context: RequestContext, request: Mapping[str, Any]) -> dict[str, str]:
    headers = {name: request[name] for name in _HEADERS if request.get(name)}
    encoding = _without_aws_chunked(request.get("ContentEncoding"))
    if encoding:
        headers["ContentEncoding"] = encoding
    if "expires" in context.headers:
        headers["Expires"] = context.headers["expires"]
    elif request.get("Expires"):
        headers["Expires"] = _http_date(request["Expires"])
    return headers


def _without_aws_chunked(encoding: str | None) -> str:
    """aws-chunked is how the body travelled, not how the object is encoded."""
    tokens = (token.strip() for token in (encoding or "").split(","))
    return ",".join(token for token in tokens if token and token.lower() != "aws-chunked")


def _http_date(value: datetime | str) -> str:
    return value if isinstance(value, str) else format_datetime(value, usegmt=True)


def _is_tag_text(text: str) -> bool:
    return all(character.isalnum() or character.isspace() or character in "+-=._:/@" for character in text)
