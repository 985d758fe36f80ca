"""How S3's nouns are kept: the only module that knows collections and keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from lambdad.services.s3.model import Bucket, Piece, StoredObject, Upload, UploadedPart
from lambdad.store.base import Change, Delete, Put, Record, Records, Send, refer, unrefer

BUCKETS = "s3-bucket"  #: name
BUCKETS_OF_ACCOUNTS = "s3-bucket-of-account"  #: account/name; the value is that of BUCKETS
OBJECTS = "s3-object"  #: bucket/key
LAYOUTS = "s3-object-layout"  #: layout id: the pieces of an object that has several
UPLOADS = "s3-upload"  #: bucket/key, a separator that sorts before all others, upload id
PARTS = "s3-upload-part"  #: upload id/part number
SEQUENCER = "s3-sequencer"
NOTIFICATIONS = "s3-notifications"  #: the queue of events on their way to a function

_SEPARATOR = "\x01"  # with it "a" comes before "a!" although uploads have a tail; upload ids do not contain it
_LAST = "\U0010ffff"

_Noun = TypeVar("_Noun")


class Event(msgspec.Struct, frozen=True):
    """A message on NOTIFICATIONS."""

    function_arn: str
    bucket_arn: str
    account_id: str
    request_id: str  #: of the invocation, the same at each attempt
    payload: msgspec.Raw
    trace_header: str = ""  #: of the request that made the event


async def get_bucket(records: Records, name: str) -> tuple[Bucket, int] | None:
    """The bucket and its revision."""
    record = await records.get(BUCKETS, name)
    return (msgspec.json.decode(record.value, type=Bucket), record.revision) if record else None


async def list_buckets(records: Records, account_id: str, *, prefix: str, after: str, limit: int) -> Sequence[Bucket]:
    start = f"{account_id}/"
    found = await records.list(BUCKETS_OF_ACCOUNTS, prefix=start + prefix, after=start + after, limit=limit)
    return [msgspec.json.decode(record.value, type=Bucket) for record in found]


def put_bucket(bucket: Bucket, revision: int | None) -> list[Change]:
    """Writes a new bucket (`revision` None) or one that stands at `revision`."""
    value = msgspec.json.encode(bucket)
    return [
        Put(BUCKETS, bucket.name, value, if_absent=revision is None, if_revision=revision),
        Put(BUCKETS_OF_ACCOUNTS, f"{bucket.account_id}/{bucket.name}", value),
    ]


def delete_bucket(bucket: Bucket, revision: int) -> list[Change]:
    return [
        Delete(BUCKETS, bucket.name, if_revision=revision),
        Delete(BUCKETS_OF_ACCOUNTS, f"{bucket.account_id}/{bucket.name}"),
    ]


async def get_object_record(records: Records, bucket: str, key: str) -> Record | None:
    return await records.get(OBJECTS, f"{bucket}/{key}")


def decode_object(record: Record) -> StoredObject:
    return msgspec.json.decode(record.value, type=StoredObject)


async def get_object(records: Records, bucket: str, key: str) -> StoredObject | None:
    record = await get_object_record(records, bucket, key)
    return decode_object(record) if record else None


async def list_objects(records: Records, bucket: str, *, prefix: str, after: str, limit: int) -> list[tuple[str, StoredObject]]:
    start = f"{bucket}/"
    found = await records.list(OBJECTS, prefix=start + prefix, after=start + after, limit=limit)
    return [(record.key[len(start) :], decode_object(record)) for record in found]


def put_object(bucket: str, key: str, stored: StoredObject, replaced: Record | None) -> Change:
    revision = replaced.revision if replaced else None
    return Put(OBJECTS, f"{bucket}/{key}", msgspec.json.encode(stored), if_absent=replaced is None, if_revision=revision)


def delete_object(bucket: str, key: str, revision: int) -> Change:
    return Delete(OBJECTS, f"{bucket}/{key}", if_revision=revision)


def after_all_with(prefix: str) -> str:
    """Greater than every key that starts with `prefix`: a key has at most 1,024 bytes, so 256 of the greatest characters."""
    return prefix + _LAST * 257


async def get_pieces(records: Records, stored: StoredObject) -> list[Piece]:
    """The pieces in the order of the bytes; KeyError when the object has been replaced since it was read."""
    if stored.layout is None:
        return [stored.piece] if stored.piece else []
    record = await records.get(LAYOUTS, stored.layout)
    if record is None:
        raise KeyError(stored.layout)
    return msgspec.json.decode(record.value, type=list[Piece])


def put_layout(layout: str, pieces: Sequence[Piece]) -> Change:
    return Put(LAYOUTS, layout, msgspec.json.encode(pieces))


def delete_layout(layout: str) -> Change:
    return Delete(LAYOUTS, layout)


def keep(pieces: Sequence[Piece]) -> list[Change]:
    return [refer(piece.digest, piece.owner) for piece in pieces]


def forget(pieces: Sequence[Piece]) -> list[Change]:
    """Release the blobs after the commit."""
    return [unrefer(piece.digest, piece.owner) for piece in pieces]


async def get_upload(records: Records, bucket: str, key: str, upload_id: str) -> Upload | None:
    record = await records.get(UPLOADS, _upload_key(bucket, key, upload_id))
    upload = msgspec.json.decode(record.value, type=Upload) if record else None
    # An upload id with a separator in it could otherwise name another key's upload.
    return upload if upload and upload.key == key and upload.upload_id == upload_id else None


async def list_uploads(
    records: Records, bucket: str, *, prefix: str, after_key: str, after_upload: str | None, limit: int
) -> list[Upload]:
    """Uploads in the order of key and start, after that upload of `after_key`, or after all of its uploads."""
    start = f"{bucket}/"
    after = start if not after_key else _upload_key(bucket, after_key, _LAST if after_upload is None else after_upload)
    found = await records.list(UPLOADS, prefix=start + prefix, after=after, limit=limit)
    return [msgspec.json.decode(record.value, type=Upload) for record in found]


def put_upload(bucket: str, upload: Upload) -> Change:
    return Put(UPLOADS, _upload_key(bucket, upload.key, upload.upload_id), msgspec.json.encode(upload), if_absent=True)


def delete_upload(bucket: str, upload: Upload) -> Change:
    """A conflict when it has been ended already; it is written once, so it stands at its first revision."""
    return Delete(UPLOADS, _upload_key(bucket, upload.key, upload.upload_id), if_revision=1)


async def get_part(records: Records, upload_id: str, number: int) -> UploadedPart | None:
    return _decoded(await records.get(PARTS, f"{upload_id}/{number:05d}"), UploadedPart)


async def list_parts(records: Records, upload_id: str, *, after: int = 0, limit: int) -> list[UploadedPart]:
    found = await records.list(PARTS, prefix=f"{upload_id}/", after=f"{upload_id}/{after:05d}", limit=limit)
    return [msgspec.json.decode(record.value, type=UploadedPart) for record in found]


def put_part(upload_id: str, part: UploadedPart) -> Change:
    return Put(PARTS, f"{upload_id}/{part.number:05d}", msgspec.json.encode(part))


def delete_part(upload_id: str, number: int) -> Change:
    return Delete(PARTS, f"{upload_id}/{number:05d}")


async def sequencer_bound(records: Records) -> int:
    return _decoded(await records.get(SEQUENCER, "bound"), int) or 0


def put_sequencer_bound(bound: int) -> Change:
    return Put(SEQUENCER, "bound", msgspec.json.encode(bound))


def send_event(event: Event, message_id: str) -> Change:
    return Send(NOTIFICATIONS, message_id, msgspec.json.encode(event))


def decode_event(body: bytes) -> Event:
    return msgspec.json.decode(body, type=Event)


def _upload_key(bucket: str, key: str, upload_id: str) -> str:
    return f"{bucket}/{key}{_SEPARATOR}{upload_id}"


def _decoded(record: Record | None, noun: type[_Noun]) -> _Noun | None:
    return msgspec.json.decode(record.value, type=noun) if record else None
