"""Settings of a bucket that can be made, read and taken away: its tags, and what blocks public access to it.

Nothing is public here whatever the blocks say: ACLs cannot be set, and buckets have no policies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lambdad.model.request import RequestContext, Response
from lambdad.services.s3 import records
from lambdad.services.s3.access import own_bucket, own_bucket_and_revision
from lambdad.services.s3.description import checked_bucket_tags
from lambdad.services.s3.errors import s3_error
from lambdad.services.s3.model import ALL_BLOCKS
from lambdad.services.s3.object_commit import commit
from lambdad.services.s3.state import S3State

Request = Mapping[str, Any]


async def put_bucket_tagging(state: S3State, context: RequestContext, request: Request) -> Response:
    """All tags at once; those of before are gone."""
    tags = checked_bucket_tags(request["Tagging"].get("TagSet") or ())
    await _change(state, context, request, tags=tags)
    return Response({}, status=204)


async def get_bucket_tagging(state: S3State, context: RequestContext, request: Request) -> Mapping[str, Any]:
    bucket = await own_bucket(state, context, request)
    if not bucket.tags:
        raise s3_error("NoSuchTagSet", "The TagSet does not exist", 404, BucketName=bucket.name)
    return {"TagSet": [{"Key": key, "Value": value} for key, value in bucket.tags.items()]}


async def delete_bucket_tagging(state: S3State, context: RequestContext, request: Request) -> Response:
    await _change(state, context, request, tags={})
    return Response({}, status=204)


async def put_public_access_block(state: S3State, context: RequestContext, request: Request) -> Mapping[str, Any]:
    """What is left out is off, as at AWS."""
    wanted = request["PublicAccessBlockConfiguration"]
    await _change(state, context, request, blocked_access=tuple(name for name in ALL_BLOCKS if wanted.get(name)))
    return {}


async def get_public_access_block(state: S3State, context: RequestContext, request: Request) -> Mapping[str, Any]:
    bucket = await own_bucket(state, context, request)
    blocked = bucket.blocked_access
    if blocked is None:
        message = "The public access block configuration was not found"
        raise s3_error("NoSuchPublicAccessBlockConfiguration", message, 404, BucketName=bucket.name)
    return {"PublicAccessBlockConfiguration": {name: name in blocked for name in ALL_BLOCKS}}


async def delete_public_access_block(state: S3State, context: RequestContext, request: Request) -> Response:
    await _change(state, context, request, blocked_access=None)
    return Response({}, status=204)


async def _change(state: S3State, context: RequestContext, request: Request, **fields: Any) -> None:
    name = (await own_bucket(state, context, request)).name
    async with state.locks.writing(name):
        bucket, revision = await own_bucket_and_revision(state, context, request)
        await commit(state, records.put_bucket(msgspec.structs.replace(bucket, **fields), revision))
