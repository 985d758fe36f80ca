"""PutObject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.model.request import RequestContext
from lambdad.services.s3 import checksum, description, records
from lambdad.services.s3.access import check_object_acl, own_bucket
from lambdad.services.s3.conditions import write_condition
from lambdad.services.s3.model import Checksum, StoredObject, check_key
from lambdad.services.s3.object_commit import write_object
from lambdad.services.s3.receive import received, trailers_of, upload_body
from lambdad.services.s3.state import S3State


async def put_object(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    bucket = (await own_bucket(state, context, request)).name
    key = request["Key"]
    check_key(key)
    check_object_acl(request)
    described = description.read(context, request)
    announced = checksum.announced(context, request)
    condition = write_condition(request)
    condition.check(key, await records.get_object(state.records, bucket, key))
    algorithm = announced.algorithm or checksum.DEFAULT
    source = upload_body(context, request.get("Body"))
    async with received(state, source, [algorithm], f"s3/{bucket}/{state.ids()}") as arrived:
        announced.verify(arrived.digests, trailers_of(request.get("Body")))
        stored = StoredObject(
            etag=arrived.digests.md5.hex(),
            size=arrived.piece.size,
            modified_at=state.clock(),
            description=described,
            checksum=Checksum(algorithm, "FULL_OBJECT", arrived.digests.checksum(algorithm)),
            piece=arrived.piece,
        )
        kept = records.keep([arrived.piece])
        await write_object(state, context, bucket, key, stored, "ObjectCreated:Put", condition=condition, with_changes=kept)
    return {"ETag": f'"{stored.etag}"', **checksum.members(stored.checksum)}
