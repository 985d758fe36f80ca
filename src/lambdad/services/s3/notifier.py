"""Carries committed events to their functions. At least once: an event leaves the queue when its function's queue has it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from lambdad.delivery import Envelope, Sender
from lambdad.errors import ServiceError
from lambdad.services.s3 import records
from lambdad.services.s3.notification import SERVICE_PRINCIPAL
from lambdad.services.s3.state import S3State
from lambdad.store.base import InsufficientStorage, Message

_log = logging.getLogger(__name__)

_BATCH = 32
_LEASE_SECONDS = 60.0
_LOOK_AGAIN_SECONDS = 30.0  #: for messages that become visible without a word from this process
_LONGEST_WAIT_SECONDS = 300.0
_FULL_DISK_SECONDS = 5.0
#: the owner of the function took the permission or the function away: AWS drops such events too
_REFUSALS = ("AccessDenied", "AccessDeniedException", "ResourceNotFoundException")


class Notifier:
    """`app.py` runs it: `start` at the beginning, `stop` at the end."""

    def __init__(self, state: S3State) -> None:
        self._state = state
        self._queue = state.queue
        self._delivery = state.delivery
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="s3-notifier")

    async def stop(self) -> None:
        """Events under way stay leased; after the lease they are delivered by whoever runs then."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                messages = await self._queue.receive(records.NOTIFICATIONS, limit=_BATCH, lease_seconds=_LEASE_SECONDS)
                if messages:
                    await self._carry(messages)
                else:
                    await self._queue.wait(records.NOTIFICATIONS, timeout_seconds=_LOOK_AGAIN_SECONDS)
            except InsufficientStorage as full:
                _log.warning("S3 notifications wait for room in the store: %s", full)
                await asyncio.sleep(_FULL_DISK_SECONDS)
            except Exception:  # noqa: BLE001 - logged, and the loop goes on
                _log.exception("S3 notifications: could not work on the queue")
                await asyncio.sleep(1.0)  # the store is in trouble; asking it at once again would not help it

    async def _carry(self, messages: Sequence[Message]) -> None:
        outcomes = await asyncio.gather(*(self._is_finished(message) for message in messages))
        finished = [message.receipt for message, is_finished in zip(messages, outcomes, strict=True) if is_finished]
        await self._queue.delete(records.NOTIFICATIONS, finished)
        for message, is_finished in zip(messages, outcomes, strict=True):
            if not is_finished:
                visible_at = self._state.clock() + _wait_seconds(message.receive_count)
                await self._queue.release(records.NOTIFICATIONS, message.receipt, visible_at=visible_at)

    async def _is_finished(self, message: Message) -> bool:
        """Whether the event has been taken, or refused for good."""
        event = records.decode_event(message.body)
        sender = Sender(SERVICE_PRINCIPAL, event.bucket_arn, event.account_id)
        try:
            await self._delivery.accept(
                event.function_arn,
                sender,
                bytes(event.payload),
                request_id=event.request_id,
                envelope=Envelope(trace_header=event.trace_header),
            )
        except ServiceError as error:
            if error.code in _REFUSALS:
                _log.warning("S3 event %s of %s dropped: %s", event.request_id, event.bucket_arn, error)
                return True
            _log.warning("S3 event %s of %s will be tried again: %s", event.request_id, event.bucket_arn, error)
            return False
        except InsufficientStorage as full:
            _log.warning("S3 event %s of %s will be tried again: %s", event.request_id, event.bucket_arn, full)
            return False
        except Exception:  # noqa: BLE001 - logged, and the event goes back
            _log.exception("S3 event %s of %s will be tried again", event.request_id, event.bucket_arn)
            return False
        return True


def _wait_seconds(receive_count: int) -> float:
    return min(2.0 ** min(receive_count - 1, 30), _LONGEST_WAIT_SECONDS)
