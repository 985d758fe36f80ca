"""GetObject, HeadObject and GetObjectAttributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lambdad.model.request import RequestContext, Response
from lambdad.services.s3 import byte_range, checksum, description
from lambdad.services.s3.access import own_bucket
from lambdad.services.s3.byte_range import ByteRange
from lambdad.services.s3.conditions import check_read
from lambdad.services.s3.errors import invalid_argument, invalid_request
from lambdad.services.s3.model import Piece, StoredObject, check_version_id
from lambdad.services.s3.object_reader import PinnedObject, find_object, find_object_and_pieces
from lambdad.services.s3.state import S3State

_MAX_LISTED_PARTS = 1000


async def get_object(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Response:
    bucket = (await own_bucket(state, context, request)).name
    check_version_id(request.get("VersionId"))

    def choose(stored: StoredObject, pieces: Sequence[Piece]) -> ByteRange:
        check_read(request, stored)
        return _wanted(request, stored, pieces)

    pinned = PinnedObject(state, bucket, request["Key"], choose)
    found = await pinned.open()
    body = await pinned.body()
    answer, headers = _shown(request, found.stored, found.wanted)
    answer["Body"] = body
    return Response(answer, status=206 if found.wanted.is_partial else 200, headers=headers)


async def head_object(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Response:
    bucket = (await own_bucket(state, context, request)).name
    check_version_id(request.get("VersionId"))
    pieces: Sequence[Piece] = ()
    if request.get("PartNumber") is None:
        stored = await find_object(state, bucket, request["Key"])
    else:
        stored, pieces = await find_object_and_pieces(state, bucket, request["Key"])
    check_read(request, stored)
    wanted = _wanted(request, stored, pieces)
    answer, headers = _shown(request, stored, wanted)
    return Response(answer, status=206 if wanted.is_partial else 200, headers=headers)


async def get_object_attributes(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    bucket = (await own_bucket(state, context, request)).name
    check_version_id(request.get("VersionId"))
    stored, pieces = await find_object_and_pieces(state, bucket, request["Key"])
    wanted = request.get("ObjectAttributes") or []
    shown = {
        "ETag": stored.etag,
        "ObjectSize": stored.size,
        "StorageClass": "STANDARD",
        "Checksum": checksum.members(stored.checksum),
    }
    answer: dict[str, Any] = {name: value for name, value in shown.items() if name in wanted}
    if "ObjectParts" in wanted and stored.parts_count is not None:
        answer["ObjectParts"] = _parts(request, stored, pieces, stored.parts_count)
    return {"LastModified": last_modified(stored), **answer}


def last_modified(stored: StoredObject) -> datetime:
    """S3 tells it in whole seconds."""
    return datetime.fromtimestamp(int(stored.modified_at), UTC)


def _wanted(request: Mapping[str, Any], stored: StoredObject, pieces: Sequence[Piece]) -> ByteRange:
    number = request.get("PartNumber")
    if number is None:
        return byte_range.of_header(request.get("Range"), stored.size)
    if request.get("Range"):
        raise invalid_request("Cannot specify both Range header and partNumber query parameter")
    return byte_range.of_part(number, [stored.size] if stored.parts_count is None else [piece.size for piece in pieces])


def _shown(request: Mapping[str, Any], stored: StoredObject, wanted: ByteRange) -> tuple[dict[str, Any], dict[str, str]]:
    described, headers = description.shown(stored.description, request)
    answer: dict[str, Any] = {
        "AcceptRanges": "bytes",
        "LastModified": last_modified(stored),
        "ContentLength": wanted.size,
        "ETag": f'"{stored.etag}"',
        **described,
    }
    if wanted.is_partial:
        answer["ContentRange"] = wanted.content_range(stored.size)
    # SDKs compare the checksum with the bytes they get, so a part of the object must come without it.
    if request.get("ChecksumMode") and wanted.size == stored.size:
        answer.update(checksum.members(stored.checksum))
    if request.get("PartNumber") is not None and stored.parts_count is not None:
        answer["PartsCount"] = stored.parts_count
    return answer, headers


def _parts(request: Mapping[str, Any], stored: StoredObject, pieces: Sequence[Piece], count: int) -> dict[str, Any]:
    limit, marker = request.get("MaxParts", _MAX_LISTED_PARTS), request.get("PartNumberMarker", 0)
    if limit < 0 or marker < 0:
        raise invalid_argument("Argument maxParts must be an integer between 0 and 2147483647", "maxParts", limit)
    limit = min(limit, _MAX_LISTED_PARTS)
    page = [
        {"PartNumber": number, "Size": piece.size, checksum.MEMBERS[stored.checksum.algorithm]: piece.checksum}
        for number, piece in enumerate(pieces[marker : marker + limit], marker + 1)
    ]
    return {
        "TotalPartsCount": count,
        "PartNumberMarker": marker,
        "NextPartNumberMarker": marker + len(page),
        "MaxParts": limit,
        "IsTruncated": marker + len(page) < count,
        "Parts": page,
    }
