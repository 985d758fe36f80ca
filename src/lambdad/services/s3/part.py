"""UploadPart and UploadPartCopy."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from lambdad.model.request import RequestContext
from lambdad.services.s3 import byte_range, checksum
from lambdad.services.s3.access import own_bucket
from lambdad.services.s3.byte_range import ByteRange
from lambdad.services.s3.checksum import Announced
from lambdad.services.s3.errors import invalid_request
from lambdad.services.s3.model import Piece, StoredObject, Upload, UploadedPart, check_part_number
from lambdad.services.s3.object_copy import open_source, parse_source
from lambdad.services.s3.object_reader import sliced_bytes
from lambdad.services.s3.receive import Received, received, trailers_of, upload_body
from lambdad.services.s3.state import S3State
from lambdad.services.s3.upload import algorithm_of, find_upload, put_part, type_of
from lambdad.store.to_the_end import to_the_end


async def upload_part(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    bucket = (await own_bucket(state, context, request)).name
    check_part_number(request["PartNumber"])
    upload = await find_upload(state, bucket, request["Key"], request["UploadId"])
    announced = checksum.announced(context, request)
    _check_algorithm(upload, announced)
    body = request.get("Body")
    algorithms = {algorithm_of(upload), announced.algorithm or algorithm_of(upload)}
    source = upload_body(context, body)
    async with received(state, source, algorithms, f"s3/{bucket}/{state.ids()}") as arrived:
        announced.verify(arrived.digests, trailers_of(body))
        part = _part(state, request, upload, arrived, announced.algorithm)
        await to_the_end(put_part(state, bucket, upload.key, upload.upload_id, part))
    return {"ETag": f'"{part.etag}"', **shown_checksum(part)}


async def upload_part_copy(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """A part has an ETag and a checksum of its own, so its bytes are read in any case; they become a blob of their own."""
    bucket = (await own_bucket(state, context, request)).name
    check_part_number(request["PartNumber"])
    upload = await find_upload(state, bucket, request["Key"], request["UploadId"])
    algorithm = algorithm_of(upload)

    def choose(stored: StoredObject, pieces: Sequence[Piece]) -> ByteRange:
        return byte_range.of_copy(request.get("CopySourceRange"), stored.size)

    async with open_source(state, context, request, parse_source(request["CopySource"]), choose) as found:
        source: AsyncIterable[bytes] = sliced_bytes(state, found.slices)
        async with received(state, source, [algorithm], f"s3/{bucket}/{state.ids()}") as arrived:
            part = _part(state, request, upload, arrived, None)
            await to_the_end(put_part(state, bucket, upload.key, upload.upload_id, part))
    modified = datetime.fromtimestamp(int(part.modified_at), UTC)
    return {"CopyPartResult": {"ETag": f'"{part.etag}"', "LastModified": modified, **shown_checksum(part)}}


def shown_checksum(part: UploadedPart) -> dict[str, str]:
    return {checksum.MEMBERS[part.told]: part.checksums[part.told]} if part.told else {}


def _part(state: S3State, request: Mapping[str, Any], upload: Upload, arrived: Received, announced: str | None) -> UploadedPart:
    checksums = {name: arrived.digests.checksum(name) for name in arrived.digests.algorithms}
    told = announced or upload.checksum_algorithm
    return UploadedPart(request["PartNumber"], arrived.digests.md5.hex(), state.clock(), arrived.piece, checksums, told)


def _check_algorithm(upload: Upload, announced: Announced) -> None:
    """Parts keep to the algorithm of their upload; only a checksum over the whole object can do without theirs."""
    wanted, given = upload.checksum_algorithm, announced.algorithm
    if wanted is None or given == wanted or (given is None and type_of(upload) == "FULL_OBJECT"):
        return
    raise invalid_request(
        "Checksum Type mismatch occurred, "
        f"expected checksum Type: {wanted.lower()}, actual checksum Type: {given.lower() if given else 'null'}"
    )
