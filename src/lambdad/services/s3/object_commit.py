"""The one place where an object appears, is replaced or goes: record, references and notifications in one commit.

The last commit to a key wins. Blobs that no object uses any more are released after it; a reader's pin keeps them longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from lambdad.model.request import RequestContext
from lambdad.model.trace_header import passed_on
from lambdad.services.s3 import events, records
from lambdad.services.s3.access import bucket_of_account
from lambdad.services.s3.conditions import UNCONDITIONAL, WriteCondition
from lambdad.services.s3.errors import no_such_key, operation_aborted
from lambdad.services.s3.events import Happening
from lambdad.services.s3.model import Bucket, Description, Piece, StoredObject
from lambdad.services.s3.state import S3State
from lambdad.store.base import Change, Conflict
from lambdad.store.to_the_end import to_the_end

_RELEASED_AT_A_TIME = 32


async def write_object(
    state: S3State,
    context: RequestContext,
    bucket: str,
    key: str,
    stored: StoredObject,
    event_name: str,
    *,
    condition: WriteCondition = UNCONDITIONAL,
    with_changes: Sequence[Change] = (),
) -> None:
    """Makes `stored` the object at `key`. `with_changes` keep its pieces and are committed with it."""
    await to_the_end(_replace(state, context, bucket, key, stored, event_name, condition, with_changes))


async def remove_object(
    state: S3State, context: RequestContext, bucket: str, key: str, *, condition: WriteCondition = UNCONDITIONAL
) -> None:
    """Removing what is not there does nothing, and tells nobody."""
    await to_the_end(_replace(state, context, bucket, key, None, "ObjectRemoved:Delete", condition, ()))


async def describe_object(
    state: S3State,
    context: RequestContext,
    bucket: str,
    key: str,
    change: Callable[[Description], Description],
    event_name: str,
) -> None:
    """Changes what is said about the object at `key`; its bytes and its time stay."""
    async with state.locks.writing(bucket), state.locks.hold(f"{bucket}/{key}"):
        owner, _ = await bucket_of_account(state, context.account_id, bucket)
        record = await records.get_object_record(state.records, bucket, key)
        if record is None:
            raise no_such_key(key)
        stored = records.decode_object(record)
        stored = msgspec.structs.replace(stored, description=change(stored.description))
        happening = Happening(event_name, key, state.clock(), await state.sequencer.next(), stored)
        await commit(state, [records.put_object(bucket, key, stored, record), *_notices(state, context, owner, happening)])


async def commit(state: S3State, changes: Sequence[Change]) -> None:
    try:
        await state.records.commit(changes)
    except Conflict:
        raise operation_aborted() from None


async def release(state: S3State, pieces: Sequence[Piece]) -> None:
    """Call after the commit that forgot the pieces."""
    digests = list({piece.digest for piece in pieces})
    for start in range(0, len(digests), _RELEASED_AT_A_TIME):
        await asyncio.gather(*map(state.blobs.release, digests[start : start + _RELEASED_AT_A_TIME]))


async def _replace(
    state: S3State,
    context: RequestContext,
    bucket: str,
    key: str,
    stored: StoredObject | None,
    event_name: str,
    condition: WriteCondition,
    with_changes: Sequence[Change],
) -> None:
    async with state.locks.writing(bucket), state.locks.hold(f"{bucket}/{key}"):
        owner, _ = await bucket_of_account(state, context.account_id, bucket)
        record = await records.get_object_record(state.records, bucket, key)
        standing = records.decode_object(record) if record else None
        condition.check(key, standing)
        changes = [*with_changes]
        if stored is not None:
            changes.append(records.put_object(bucket, key, stored, record))
        elif record is not None:
            changes.append(records.delete_object(bucket, key, record.revision))
        else:
            return
        gone, removal = await _removal(state, standing)
        at = stored.modified_at if stored else state.clock()
        happening = Happening(event_name, key, at, await state.sequencer.next(), stored)
        await commit(state, [*changes, *removal, *_notices(state, context, owner, happening)])
    await release(state, gone)


async def _removal(state: S3State, standing: StoredObject | None) -> tuple[list[Piece], list[Change]]:
    """What an object leaves behind: its pieces, and the changes that forget them."""
    if standing is None:
        return [], []
    pieces = await records.get_pieces(state.records, standing)
    layout = [records.delete_layout(standing.layout)] if standing.layout else []
    return pieces, [*records.forget(pieces), *layout]


def _notices(state: S3State, context: RequestContext, bucket: Bucket, happening: Happening) -> list[Change]:
    changes = []
    trace_header = passed_on(context.headers.get("x-amzn-trace-id", ""))
    for number, notification in enumerate(events.concerned(bucket, happening.name, happening.key)):
        payload = msgspec.Raw(events.event_json(context, bucket, notification, happening))
        event = records.Event(
            notification.function_arn, bucket.arn, bucket.account_id, state.request_ids(), payload, trace_header
        )
        changes.append(records.send_event(event, f"{happening.sequencer:018X}-{number}"))
    return changes
