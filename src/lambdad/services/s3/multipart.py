"""Multipart uploads: begun, given up and listed. Filling one is in `part.py`, ending one in `complete.py`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lambdad.model.request import RequestContext, Response
from lambdad.services.s3 import checksum, description, paging, records
from lambdad.services.s3.access import check_object_acl, own_bucket
from lambdad.services.s3.model import Upload, canonical_user_id, check_key
from lambdad.services.s3.paging import Page
from lambdad.services.s3.part import shown_checksum
from lambdad.services.s3.state import S3State
from lambdad.services.s3.upload import abort_upload, algorithm_of, find_upload
from lambdad.store.to_the_end import to_the_end

_MAX_LISTED = 1000


async def create_multipart_upload(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    bucket = (await own_bucket(state, context, request)).name
    key = request["Key"]
    check_key(key)
    check_object_acl(request)
    algorithm, checksum_type = checksum.supported(request.get("ChecksumAlgorithm")), request.get("ChecksumType")
    checksum.check_type(algorithm, checksum_type)
    if algorithm and not checksum_type:
        checksum_type = checksum.TYPES[algorithm][0]
    now = state.clock()
    # Uploads of one key are listed in the order of their start, so their ids rise with time.
    upload_id = f"{int(now * 1000):012x}{state.ids()}"
    upload = Upload(key, upload_id, now, description.read(context, request), algorithm, checksum_type)
    async with state.locks.writing(bucket):
        await own_bucket(state, context, request)
        await state.records.commit([records.put_upload(bucket, upload)])
    return {"Bucket": bucket, "Key": key, "UploadId": upload_id, **_checksum_wanted(upload)}


async def abort_multipart_upload(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Response:
    bucket = (await own_bucket(state, context, request)).name
    await to_the_end(abort_upload(state, bucket, request["Key"], request["UploadId"]))
    return Response({}, status=204)


async def list_parts(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    bucket = (await own_bucket(state, context, request)).name
    upload = await find_upload(state, bucket, request["Key"], request["UploadId"])
    limit = paging.limit_of(request.get("MaxParts"), "max-parts", _MAX_LISTED)
    marker = paging.limit_of(request.get("PartNumberMarker", 0), "part-number-marker", 10_000)
    found = await records.list_parts(state.records, upload.upload_id, after=marker, limit=limit + 1)
    page = found[:limit]
    owner = {"ID": canonical_user_id(context.account_id)}
    return {
        "Bucket": bucket,
        "Key": upload.key,
        "UploadId": upload.upload_id,
        "Initiator": owner,
        "Owner": owner,
        "StorageClass": "STANDARD",
        "PartNumberMarker": marker,
        "NextPartNumberMarker": page[-1].number if page else 0,
        "MaxParts": limit,
        "IsTruncated": bool(page) and len(found) > limit,
        "Parts": [
            {
                "PartNumber": part.number,
                "LastModified": datetime.fromtimestamp(int(part.modified_at), UTC),
                "ETag": f'"{part.etag}"',
                "Size": part.piece.size,
                **shown_checksum(part),
            }
            for part in page
        ],
        **_checksum_wanted(upload),
    }


async def list_multipart_uploads(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    bucket = (await own_bucket(state, context, request)).name
    limit = paging.limit_of(request.get("MaxUploads"), "max-uploads", _MAX_LISTED)
    prefix, delimiter = request.get("Prefix") or "", request.get("Delimiter") or ""
    after = (request.get("KeyMarker") or "", request.get("UploadIdMarker") if request.get("KeyMarker") else None)

    async def load(after: tuple[str, str | None], size: int) -> list[tuple[tuple[str, str | None], str, Upload]]:
        found = await records.list_uploads(
            state.records, bucket, prefix=prefix, after_key=after[0], after_upload=after[1], limit=size
        )
        return [((upload.key, upload.upload_id), upload.key, upload) for upload in found]

    page: Page[Upload] = await paging.read_page(
        load, lambda common: (records.after_all_with(common), None), prefix, delimiter, after, after[0], limit
    )
    encode = paging.encoder(request.get("EncodingType"))
    owner = {"ID": canonical_user_id(context.account_id)}
    answer: dict[str, Any] = {
        "Bucket": bucket,
        "KeyMarker": encode(after[0]),
        "UploadIdMarker": request.get("UploadIdMarker") or "",
        "Prefix": encode(prefix),
        "MaxUploads": limit,
        "IsTruncated": page.is_truncated,
        "Uploads": [
            {
                "Key": encode(upload.key),
                "UploadId": upload.upload_id,
                "Initiated": datetime.fromtimestamp(int(upload.initiated_at), UTC),
                "StorageClass": "STANDARD",
                "Owner": owner,
                "Initiator": owner,
                **_checksum_wanted(upload),
            }
            for upload in page.items
        ],
        "CommonPrefixes": [{"Prefix": encode(common)} for common in page.common_prefixes],
        **paging.echoed(request, encode, "Delimiter"),
    }
    if page.is_truncated:
        last = page.items[-1] if page.last_is_item else None
        answer["NextKeyMarker"] = encode(last.key if last else page.common_prefixes[-1])
        answer["NextUploadIdMarker"] = last.upload_id if last else ""
    return answer


def _checksum_wanted(upload: Upload) -> dict[str, str]:
    if upload.checksum_algorithm is None:
        return {}
    return {"ChecksumAlgorithm": algorithm_of(upload), "ChecksumType": upload.checksum_type or ""}
