"""CopyObject, and the source of copies. A copy shares the blobs of its source; no bytes are written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from lambdad.model.request import RequestContext
from lambdad.services.s3 import checksum, description, records
from lambdad.services.s3.access import bucket_of_account, check_object_acl, own_bucket
from lambdad.services.s3.byte_range import ByteRange
from lambdad.services.s3.conditions import check_copy_source, write_condition
from lambdad.services.s3.errors import access_denied, invalid_argument, invalid_request
from lambdad.services.s3.model import (
    Checksum,
    Description,
    Piece,
    StoredObject,
    check_copy_size,
    check_key,
    check_version_id,
)
from lambdad.services.s3.object_commit import write_object
from lambdad.services.s3.object_read import last_modified
from lambdad.services.s3.object_reader import Choose, OpenObject, PinnedObject, sliced_bytes, whole
from lambdad.services.s3.receive import digested
from lambdad.services.s3.state import S3State
from lambdad.store.base import Change


@dataclass(frozen=True, slots=True)
class CopySource:
    bucket: str
    key: str


async def copy_object(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    bucket = (await own_bucket(state, context, request)).name
    key = request["Key"]
    check_key(key)
    check_object_acl(request)
    condition = write_condition(request)
    described = description.read(context, request)
    source = parse_source(request["CopySource"])
    _check_self_copy(CopySource(bucket, key), source, request)
    async with open_source(state, context, request, source) as found:
        etag, summed = await _digests(state, found, checksum.supported(request.get("ChecksumAlgorithm")))
        pieces, changes, layout = _shared(state, bucket, found)
        stored = StoredObject(
            etag=etag,
            size=found.stored.size,
            modified_at=state.clock(),
            description=_described(request, found.stored.description, described),
            checksum=summed,
            piece=None if layout else pieces[0],
            layout=layout,
        )
        await write_object(state, context, bucket, key, stored, "ObjectCreated:Copy", condition=condition, with_changes=changes)
    result = {"ETag": f'"{etag}"', "LastModified": last_modified(stored), **checksum.members(summed)}
    return {"CopyObjectResult": result}


@asynccontextmanager
async def open_source(
    state: S3State, context: RequestContext, request: Mapping[str, Any], source: CopySource, choose: Choose = whole
) -> AsyncIterator[OpenObject]:
    """The object to copy from, pinned, if the caller may read it and its conditions hold."""
    owner, _ = await bucket_of_account(state, context.account_id, source.bucket)
    if request.get("ExpectedSourceBucketOwner") not in (None, owner.account_id):
        raise access_denied()

    def checked(stored: StoredObject, pieces: Sequence[Piece]) -> ByteRange:
        check_copy_source(request, stored)
        wanted = choose(stored, pieces)
        check_copy_size(wanted.size)
        return wanted

    async with PinnedObject(state, source.bucket, source.key, checked) as found:
        yield found


def parse_source(header: str) -> CopySource:
    """x-amz-copy-source: "bucket/key", with or without a slash before it, URL-encoded."""
    path, question, query = header.partition("?")
    if question:
        name, _, version_id = query.partition("=")
        check_version_id(version_id if name == "versionId" else query)
    bucket, _, key = unquote(path, errors="surrogateescape").removeprefix("/").partition("/")
    if not bucket or not key or bucket.startswith("arn:"):
        message = "Copy Source must mention the source bucket and key: sourcebucket/sourcekey"
        raise invalid_argument(message, "x-amz-copy-source", header)
    return CopySource(bucket, key)


def _check_self_copy(target: CopySource, source: CopySource, request: Mapping[str, Any]) -> None:
    if target == source and request.get("MetadataDirective") != "REPLACE":
        raise invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's "
            "metadata, storage class, website redirect location or encryption attributes."
        )


def _described(request: Mapping[str, Any], source: Description, given: Description) -> Description:
    """Headers and metadata by one directive, tags by another; each is of the source unless told to be replaced."""
    tags = given.tags if request.get("TaggingDirective") == "REPLACE" else source.tags
    chosen = given if request.get("MetadataDirective") == "REPLACE" else source
    return msgspec.structs.replace(chosen, tags=tags)


async def _digests(state: S3State, found: OpenObject, algorithm: str | None) -> tuple[str, Checksum]:
    """The copy is one object, whatever parts its source had; its ETag and checksum are then those of the whole content."""
    standing = found.stored.checksum
    wanted = algorithm or standing.algorithm
    if found.stored.parts_count is None and standing.algorithm == wanted:
        return found.stored.etag, standing
    digests = await digested(sliced_bytes(state, found.slices), [wanted])
    return digests.md5.hex(), Checksum(wanted, "FULL_OBJECT", digests.checksum(wanted))


def _shared(state: S3State, bucket: str, found: OpenObject) -> tuple[list[Piece], list[Change], str | None]:
    """The source's blobs under references of the copy; the id of a layout if there are several."""
    pieces = [Piece(piece.digest, piece.size, f"s3/{bucket}/{state.ids()}") for piece in found.pieces]
    changes = records.keep(pieces)
    if len(pieces) == 1:
        return pieces, changes, None
    layout = state.ids()
    return pieces, [*changes, records.put_layout(layout, pieces)], layout
