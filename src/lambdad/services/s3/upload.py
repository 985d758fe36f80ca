"""A multipart upload as the operations find, fill and end it."""

from __future__ import annotations

from collections.abc import Sequence

from lambdad.services.s3 import records
from lambdad.services.s3.checksum import DEFAULT, TYPES
from lambdad.services.s3.errors import no_such_upload
from lambdad.services.s3.model import MAX_PARTS, Upload, UploadedPart
from lambdad.services.s3.object_commit import commit, release
from lambdad.services.s3.state import S3State
from lambdad.store.base import Change


async def find_upload(state: S3State, bucket: str, key: str, upload_id: str) -> Upload:
    upload = await records.get_upload(state.records, bucket, key, upload_id)
    if upload is None:
        raise no_such_upload(upload_id)
    return upload


def algorithm_of(upload: Upload) -> str:
    """The checksum that is kept of each part."""
    return upload.checksum_algorithm or DEFAULT


def type_of(upload: Upload) -> str:
    return upload.checksum_type or TYPES[algorithm_of(upload)][0]


async def all_parts(state: S3State, upload_id: str) -> list[UploadedPart]:
    return await records.list_parts(state.records, upload_id, limit=MAX_PARTS)


async def put_part(state: S3State, bucket: str, key: str, upload_id: str, part: UploadedPart) -> None:
    """Keeps the part, in place of an earlier one of its number. Its blob must be pinned."""
    async with state.locks.hold(upload_id), state.locks.writing(bucket):
        await find_upload(state, bucket, key, upload_id)
        replaced = await records.get_part(state.records, upload_id, part.number)
        gone = [replaced.piece] if replaced else []
        changes = [records.put_part(upload_id, part), *records.keep([part.piece]), *records.forget(gone)]
        await commit(state, changes)
    await release(state, gone)


async def abort_upload(state: S3State, bucket: str, key: str, upload_id: str) -> None:
    async with state.locks.hold(upload_id), state.locks.writing(bucket):
        await drop_upload(state, bucket, await find_upload(state, bucket, key, upload_id))


async def drop_upload(state: S3State, bucket: str, upload: Upload) -> None:
    """Ends the upload with its parts, for somebody who holds off whoever else would."""
    parts = await all_parts(state, upload.upload_id)
    pieces = [part.piece for part in parts]
    await commit(state, [*ending(bucket, upload, parts), *records.forget(pieces)])
    await release(state, pieces)


def ending(bucket: str, upload: Upload, parts: Sequence[UploadedPart]) -> list[Change]:
    """The changes after which the upload is no more; what becomes of the parts' pieces is said beside them."""
    return [
        records.delete_upload(bucket, upload),
        *(records.delete_part(upload.upload_id, part.number) for part in parts),
    ]
