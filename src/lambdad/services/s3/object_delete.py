"""DeleteObject and DeleteObjects."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.request import RequestContext, Response
from lambdad.services.s3.access import own_bucket
from lambdad.services.s3.conditions import WriteCondition
from lambdad.services.s3.errors import malformed_xml, not_implemented
from lambdad.services.s3.model import check_key, check_version_id
from lambdad.services.s3.object_commit import remove_object
from lambdad.services.s3.state import S3State

_MAX_KEYS = 1000
_AT_A_TIME = 100  #: removals that share the store's group commit


async def delete_object(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Response:
    bucket = (await own_bucket(state, context, request)).name
    check_version_id(request.get("VersionId"))
    check_key(request["Key"])
    await remove_object(state, context, bucket, request["Key"], condition=WriteCondition(request.get("IfMatch")))
    return Response({}, status=204)


async def delete_objects(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Each key by itself: what cannot be removed is told and does not hold up the rest."""
    bucket = (await own_bucket(state, context, request)).name
    listed = request["Delete"].get("Objects") or []
    if not 1 <= len(listed) <= _MAX_KEYS:
        raise malformed_xml()
    outcomes: list[dict[str, Any] | None] = []
    for start in range(0, len(listed), _AT_A_TIME):
        batch = listed[start : start + _AT_A_TIME]
        outcomes += await asyncio.gather(*(_delete(state, context, bucket, named) for named in batch))
    errors = [outcome for outcome in outcomes if outcome]
    answer: dict[str, Any] = {"Errors": errors} if errors else {}
    if not request["Delete"].get("Quiet"):
        deleted = [_named(named) for named, outcome in zip(listed, outcomes, strict=True) if outcome is None]
        answer["Deleted"] = deleted
    return answer


async def _delete(state: S3State, context: RequestContext, bucket: str, named: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        check_version_id(named.get("VersionId"))
        check_key(named["Key"])
        if "LastModifiedTime" in named or "Size" in named:
            raise not_implemented("LastModifiedTime, Size")
        await remove_object(state, context, bucket, named["Key"], condition=WriteCondition(named.get("ETag")))
    except ServiceError as error:
        return {**_named(named), "Code": error.code, "Message": error.message}
    return None


def _named(named: Mapping[str, Any]) -> dict[str, Any]:
    return {name: named[name] for name in ("Key", "VersionId") if named.get(name)}
