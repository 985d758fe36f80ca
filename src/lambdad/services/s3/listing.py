"""ListObjects and ListObjectsV2."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from lambdad.model.request import RequestContext
from lambdad.services.s3 import paging, records
from lambdad.services.s3.access import own_bucket
from lambdad.services.s3.errors import invalid_argument
from lambdad.services.s3.model import StoredObject, canonical_user_id
from lambdad.services.s3.object_read import last_modified
from lambdad.services.s3.paging import Page
from lambdad.services.s3.state import S3State

_MAX_LISTED = 1000
_TOKEN_MARK = b"1"  #: says how the rest of a continuation token is to be read

_Keyed = tuple[str, StoredObject]


async def list_objects(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    bucket = (await own_bucket(state, context, request)).name
    encode = paging.encoder(request.get("EncodingType"))
    limit = paging.limit_of(request.get("MaxKeys"), "max-keys", _MAX_LISTED)
    marker = request.get("Marker") or ""
    page = await _page(state, bucket, request, marker, limit)
    answer = _answer(bucket, request, page, limit, encode, canonical_user_id(context.account_id))
    answer["Marker"] = encode(marker)
    # Without a delimiter the last key of the page is the next marker, and AWS leaves it to the client to know that.
    if page.is_truncated and request.get("Delimiter"):
        answer["NextMarker"] = encode(page.last_key)
    return answer


async def list_objects_v2(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    bucket = (await own_bucket(state, context, request)).name
    encode = paging.encoder(request.get("EncodingType"))
    limit = paging.limit_of(request.get("MaxKeys"), "max-keys", _MAX_LISTED)
    token = request.get("ContinuationToken")
    after = request.get("StartAfter") or "" if token is None else _key_of(token)
    page = await _page(state, bucket, request, after, limit)
    owner = canonical_user_id(context.account_id) if request.get("FetchOwner") else None
    answer = _answer(bucket, request, page, limit, encode, owner)
    answer["KeyCount"] = page.count
    answer.update(paging.echoed(request, encode, "StartAfter"))
    if token is not None:
        answer["ContinuationToken"] = token
    if page.is_truncated:
        answer["NextContinuationToken"] = _token_of(page.last_key)
    return answer


async def _page(state: S3State, bucket: str, request: Mapping[str, Any], after: str, limit: int) -> Page[_Keyed]:
    prefix, delimiter = request.get("Prefix") or "", request.get("Delimiter") or ""

    async def load(after: str, size: int) -> list[tuple[str, str, _Keyed]]:
        found = await records.list_objects(state.records, bucket, prefix=prefix, after=after, limit=size)
        return [(key, key, (key, stored)) for key, stored in found]

    return await paging.read_page(load, records.after_all_with, prefix, delimiter, after, after, limit)


def _answer(
    bucket: str,
    request: Mapping[str, Any],
    page: Page[_Keyed],
    limit: int,
    encode: Callable[[str], str],
    owner: str | None,
) -> dict[str, Any]:
    return {
        "Name": bucket,
        "Prefix": encode(request.get("Prefix") or ""),
        "MaxKeys": limit,
        "IsTruncated": page.is_truncated,
        "Contents": [_content(encode(key), stored, owner) for key, stored in page.items],
        "CommonPrefixes": [{"Prefix": encode(common)} for common in page.common_prefixes],
        **paging.echoed(request, encode, "Delimiter"),
    }


def _content(key: str, stored: StoredObject, owner: str | None) -> dict[str, Any]:
    return {
        "Key": key,
        "LastModified": last_modified(stored),
        "ETag": f'"{stored.etag}"',
        "ChecksumAlgorithm": [stored.checksum.algorithm],
        "ChecksumType": stored.checksum.type,
        "Size": stored.size,
        "StorageClass": "STANDARD",
        **({"Owner": {"ID": owner}} if owner else {}),
    }


def _token_of(key: str) -> str:
    return base64.urlsafe_b64encode(_TOKEN_MARK + key.encode()).decode()


def _key_of(token: str) -> str:
    try:
        content = base64.urlsafe_b64decode(token)
        if content.startswith(_TOKEN_MARK):
            return content[1:].decode()
    except ValueError:
        pass  # told below, as a token of another form is
    raise invalid_argument("The continuation token provided is incorrect", "continuation-token", token)
