"""CompleteMultipartUpload: the object is the list of the parts' blobs, so no byte is copied."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import msgspec

from lambdad.model.request import RequestContext
from lambdad.services.s3 import checksum, records
from lambdad.services.s3.access import own_bucket
from lambdad.services.s3.conditions import write_condition
from lambdad.services.s3.errors import invalid_request, malformed_xml, no_such_upload, s3_error
from lambdad.services.s3.model import MAX_PARTS, MIN_PART_BYTES, Piece, StoredObject, Upload, UploadedPart
from lambdad.services.s3.object_commit import release, write_object
from lambdad.services.s3.state import S3State
from lambdad.services.s3.upload import algorithm_of, all_parts, ending, type_of
from lambdad.store.to_the_end import to_the_end


async def complete_multipart_upload(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    await own_bucket(state, context, request)
    stored = await to_the_end(_complete(state, context, request))
    bucket, key = request["Bucket"], request["Key"]
    return {
        "Location": f"{context.endpoint}/{bucket}/{quote(key)}",
        "Bucket": bucket,
        "Key": key,
        "ETag": f'"{stored.etag}"',
        **checksum.members(stored.checksum),
    }


async def _complete(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> StoredObject:
    bucket, key, upload_id = request["Bucket"], request["Key"], request["UploadId"]
    condition = write_condition(request)
    async with state.locks.hold(upload_id):
        upload = await records.get_upload(state.records, bucket, key, upload_id)
        if upload is None:
            return await _completed_before(state, bucket, key, upload_id)
        uploaded = await all_parts(state, upload_id)
        chosen = _chosen(request, upload, {part.number: part for part in uploaded})
        stored = _object(state, upload, chosen)
        _check_announced(request, upload, stored)
        numbers = {part.number for part in chosen}
        left_over = [part.piece for part in uploaded if part.number not in numbers]
        changes = [*ending(bucket, upload, uploaded), *records.forget(left_over)]
        if stored.layout:
            changes.append(records.put_layout(stored.layout, _pieces(upload, chosen)))
        await write_object(
            state,
            context,
            bucket,
            key,
            stored,
            "ObjectCreated:CompleteMultipartUpload",
            condition=condition,
            with_changes=changes,
        )
    await release(state, left_over)
    return stored


async def _completed_before(state: S3State, bucket: str, key: str, upload_id: str) -> StoredObject:
    """A client that lost the answer asks again; it gets the same one as long as the object stands."""
    standing = await records.get_object(state.records, bucket, key)
    if standing is None or standing.upload_id != upload_id:
        raise no_such_upload(upload_id)
    return standing


def _chosen(request: Mapping[str, Any], upload: Upload, uploaded: Mapping[int, UploadedPart]) -> list[UploadedPart]:
    """The parts that the client lists, which must be there as it says, in rising order, and large enough."""
    listed = (request.get("MultipartUpload") or {}).get("Parts") or []
    if not 1 <= len(listed) <= MAX_PARTS or any("PartNumber" not in named or "ETag" not in named for named in listed):
        raise malformed_xml()
    numbers = [named["PartNumber"] for named in listed]
    if any(later <= earlier for earlier, later in pairwise(numbers)):
        message = "The list of parts was not in ascending order. The parts list must be specified in order by part number."
        raise s3_error("InvalidPartOrder", message, 400, UploadId=upload.upload_id)
    chosen = [_as_listed(upload, named, uploaded.get(named["PartNumber"])) for named in listed]
    for part in chosen[:-1]:
        if part.piece.size < MIN_PART_BYTES:
            raise s3_error(
                "EntityTooSmall",
                "Your proposed upload is smaller than the minimum allowed size",
                400,
                ProposedSize=part.piece.size,
                MinSizeAllowed=MIN_PART_BYTES,
                PartNumber=part.number,
                ETag=part.etag,
            )
    return chosen


def _as_listed(upload: Upload, named: Mapping[str, Any], part: UploadedPart | None) -> UploadedPart:
    given = {name: named[name] for name in named if name.startswith("Checksum")}
    known = {checksum.MEMBERS[name]: value for name, value in part.checksums.items()} if part else {}
    if part is None or named["ETag"].strip('"') != part.etag or not given.items() <= known.items():
        message = (
            "One or more of the specified parts could not be found.  The part may not have been uploaded, "
            "or the specified entity tag may not match the part's entity tag."
        )
        raise s3_error(
            "InvalidPart", message, 400, UploadId=upload.upload_id, PartNumber=named["PartNumber"], ETag=named["ETag"]
        )
    algorithm = upload.checksum_algorithm
    if algorithm and checksum.MEMBERS[algorithm] not in given and type_of(upload) == "COMPOSITE":
        raise invalid_request(
            f"The upload was created using a {algorithm.lower()} checksum. The complete request must include the checksum "
            f"for each part. It was missing for part {part.number} in the request."
        )
    return part


def _object(state: S3State, upload: Upload, parts: Sequence[UploadedPart]) -> StoredObject:
    md5s = b"".join(bytes.fromhex(part.etag) for part in parts)
    algorithm, pieces = algorithm_of(upload), _pieces(upload, parts)
    summed = [(part.checksums[algorithm], part.piece.size) for part in parts]
    return StoredObject(
        etag=f"{hashlib.md5(md5s, usedforsecurity=False).hexdigest()}-{len(parts)}",
        size=sum(part.piece.size for part in parts),
        modified_at=state.clock(),
        description=upload.description,
        checksum=checksum.combined(algorithm, type_of(upload), summed),
        piece=pieces[0] if len(pieces) == 1 else None,
        layout=None if len(pieces) == 1 else state.ids(),
        parts_count=len(parts),
        upload_id=upload.upload_id,
    )


def _pieces(upload: Upload, parts: Sequence[UploadedPart]) -> list[Piece]:
    algorithm = algorithm_of(upload)
    return [msgspec.structs.replace(part.piece, checksum=part.checksums[algorithm]) for part in parts]


def _check_announced(request: Mapping[str, Any], upload: Upload, stored: StoredObject) -> None:
    """What the client expects of the whole object."""
    expected_size = request.get("MpuObjectSize")
    if expected_size not in (None, stored.size):
        raise invalid_request(
            f"The provided 'x-amz-mp-object-size' header value {expected_size} does not match what was computed: {stored.size}"
        )
    if request.get("ChecksumType") not in (None, type_of(upload)):
        raise invalid_request(
            f"The upload was created using the {type_of(upload)} checksum mode. "
            "The complete request must use the same checksum mode."
        )
    for algorithm, member in checksum.MEMBERS.items():
        expected = request.get(member)
        if expected and algorithm != stored.checksum.algorithm:
            raise invalid_request(
                f"Checksum Type mismatch occurred, expected checksum Type: {stored.checksum.algorithm.lower()}, "
                f"actual checksum Type: {algorithm.lower()}"
            )
        if expected and expected != stored.checksum.value:
            raise checksum.bad_digest(algorithm)
