"""Events that wait before the server starts, written in the queue's own form into the folder of a stopped server."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path

from lambdad.event_queue.queue import EventQueue, queue_name
from lambdad.model.event import QueuedEvent, encode_event
from lambdad.store.base import Send
from lambdad.store.sqlite import SqliteStore

_ACCOUNT, _REGION = "000000000000", "us-east-1"
_IN_A_COMMIT = 4096


def fill(data_dir: Path, function: str, count: int, payload: bytes = b'{"n":1}') -> None:
    """Queues `count` events for the function, accepted now."""
    asyncio.run(_fill(data_dir, function, count, payload))


async def _fill(data_dir: Path, function: str, count: int, payload: bytes) -> None:
    store = SqliteStore(data_dir / "lambdad.sqlite")
    await store.open()
    try:
        queue = EventQueue(store)
        await queue.open()
        first = _event(function, payload)
        await queue.accept(first)  # with the record that names the queue
        name = queue_name(":".join(first.function_key))
        for done in range(1, count, _IN_A_COMMIT):
            some = [_event(function, payload) for _ in range(min(_IN_A_COMMIT, count - done))]
            await store.commit([Send(name, event.request_id, encode_event(event)) for event in some])
    finally:
        await store.close()


def _event(function: str, payload: bytes) -> QueuedEvent:
    return QueuedEvent(
        request_id=str(uuid.uuid4()),
        account_id=_ACCOUNT,
        region=_REGION,
        function_name=function,
        qualifier=None,
        invoked_function_arn=f"arn:aws:lambda:{_REGION}:{_ACCOUNT}:function:{function}",
        payload=payload,
        trace_header="",
        accepted_at=time.time(),
    )
