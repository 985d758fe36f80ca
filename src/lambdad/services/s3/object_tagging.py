"""The tags of an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lambdad.model.request import RequestContext, Response
from lambdad.services.s3.access import own_bucket
from lambdad.services.s3.description import checked_tags
from lambdad.services.s3.model import Description, check_key, check_version_id
from lambdad.services.s3.object_commit import describe_object
from lambdad.services.s3.object_reader import find_object
from lambdad.services.s3.state import S3State


async def put_object_tagging(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    tags = checked_tags((tag["Key"], tag["Value"]) for tag in request["Tagging"].get("TagSet") or ())
    await _set_tags(state, context, request, tags, "ObjectTagging:Put")
    return {}


async def get_object_tagging(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    bucket = (await own_bucket(state, context, request)).name
    check_version_id(request.get("VersionId"))
    stored = await find_object(state, bucket, request["Key"])
    return {"TagSet": [{"Key": key, "Value": value} for key, value in stored.description.tags.items()]}


async def delete_object_tagging(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Response:
    await _set_tags(state, context, request, {}, "ObjectTagging:Delete")
    return Response({}, status=204)


async def _set_tags(
    state: S3State, context: RequestContext, request: Mapping[str, Any], tags: dict[str, str], event_name: str
) -> None:
    bucket = (await own_bucket(state, context, request)).name
    check_version_id(request.get("VersionId"))
    check_key(request["Key"])

    def tagged(described: Description) -> Description:
        return msgspec.structs.replace(described, tags=tags)

    await describe_object(state, context, bucket, request["Key"], tagged, event_name)
