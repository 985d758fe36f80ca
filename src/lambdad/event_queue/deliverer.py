"""Carries notices to their targets: at least once, each target at its own pace, for as long as an event may live at most."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from lambdad.delivery import Delivery, service_of
from lambdad.errors import ServiceError
from lambdad.event_queue.counters import EventCounters
from lambdad.event_queue.outbox import Notice, Outbox, decode_notice
from lambdad.event_queue.stopping import unless_stopped
from lambdad.model.event import MAXIMUM_AGE_SECONDS, backoff_seconds
from lambdad.store.base import InsufficientStorage, Message

logger = logging.getLogger(__name__)

_STORE_TROUBLE_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class DelivererLimits:
    batch: int = 8  #: notices for one target under way at once
    batches: int = 8  #: targets of one service that are told at once
    lease_seconds: float = 60.0
    delivery_seconds: float = 45.0  #: most that one delivery may take; less than the lease
    idle_seconds: float = 60.0  #: how long an empty queue is watched before it is looked whether that is still needed
    patience_seconds: float = MAXIMUM_AGE_SECONDS  #: how long a target that cannot be told is tried


class Deliverer:
    """`open` before the first event is dispatched; then `run` in a task of its owner until `stop`."""

    def __init__(
        self,
        outbox: Outbox,
        delivery: Delivery,
        counters: EventCounters,
        *,
        limits: DelivererLimits = DelivererLimits(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._outbox = outbox
        self._store = outbox.store
        self._delivery = delivery
        self._counters = counters
        self._limits = limits
        self._clock = clock
        self._queues: dict[str, asyncio.Event] = {}  #: queues that are watched; the event is set by a notice that arrives
        self._waiting_queues: list[str] = []
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(limits.batches))
        self._tasks: asyncio.TaskGroup | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()

    async def open(self) -> None:
        """Finds the notices that an earlier process left."""
        self._waiting_queues = await self._outbox.open()
        self._outbox.on_send(self._wake)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as self._tasks:
            for queue in self._waiting_queues:
                self._wake(queue)
            await self._stop.wait()
        self._tasks = None

    async def stop(self, *, grace_seconds: float = 10.0) -> None:
        """Takes no more notices and lets those under way end; after the grace they are left to the next server."""
        self._stop.set()
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=grace_seconds)
        for task in tuple(self._running):
            task.cancel()

    def _wake(self, queue: str) -> None:
        if self._stop.is_set():
            return
        if queue in self._queues:
            self._queues[queue].set()
        elif self._tasks is None:
            if queue not in self._waiting_queues:
                self._waiting_queues.append(queue)
        else:
            self._queues[queue] = asyncio.Event()
            task = self._tasks.create_task(self._watch(queue))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _watch(self, queue: str) -> None:
        while not self._stop.is_set():
            try:
                if not await self._carry_some(queue) and await self._is_over(queue):
                    return
            except Exception:
                logger.exception("%s: the queue cannot be worked on", queue)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _STORE_TROUBLE_PAUSE_SECONDS)

    async def _carry_some(self, queue: str) -> bool:
        async with self._slots[service_of(queue.partition(":")[2])]:
            if self._stop.is_set():
                return True
            limits = self._limits
            messages = await self._store.receive(queue, limit=limits.batch, lease_seconds=limits.lease_seconds)
            await asyncio.gather(*(self._carry(message) for message in messages))
            return bool(messages)

    async def _is_over(self, queue: str) -> bool:
        """Waits for notices; True when the queue is no longer watched because it has long been empty."""
        arrived = self._queues[queue]
        arrived.clear()
        began = time.monotonic()
        await unless_stopped(self._store.wait(queue, timeout_seconds=self._limits.idle_seconds), self._stop)
        if time.monotonic() - began < self._limits.idle_seconds:
            return False
        if await self._store.count(queue) or arrived.is_set():
            return False
        del self._queues[queue]
        return True

    async def _carry(self, message: Message) -> None:
        try:
            notice = decode_notice(message.body)
        except ValueError as error:
            logger.error("%s of %s cannot be read and is dropped: %s", message.message_id, message.queue, error)
            return await self._store.delete(message.queue, (message.receipt,))
        trouble = await self._deliver(notice)
        if trouble is None:
            self._counters.delivered += 1
            return await self._store.delete(message.queue, (message.receipt,))
        self._count_failure(notice)
        next_try = self._clock() + backoff_seconds(message.receive_count)
        if next_try - notice.created_at > self._limits.patience_seconds:
            self._counters.deliveries_abandoned += 1
            logger.error("event %s could not be told to %s, for good: %s", notice.event_id, notice.address, trouble)
            return await self._store.delete(message.queue, (message.receipt,))
        logger.warning("event %s could not be told to %s yet: %s", notice.event_id, notice.address, trouble)
        return await self._store.release(message.queue, message.receipt, visible_at=next_try)

    async def _deliver(self, notice: Notice) -> str | None:
        """None when the target has taken it, else why not."""
        try:
            async with asyncio.timeout(self._limits.delivery_seconds):
                await self._delivery.accept(
                    notice.address, notice.sender, notice.payload, request_id=notice.request_id, envelope=notice.envelope
                )
        except (ServiceError, InsufficientStorage) as error:
            return str(error)
        except TimeoutError:
            return f"no answer within {self._limits.delivery_seconds:g} seconds"
        except Exception as error:
            logger.exception("event %s could not be told to %s", notice.event_id, notice.address)
            return repr(error)
        return None

    def _count_failure(self, notice: Notice) -> None:
        if notice.kind == "dead-letter":
            self._counters.dead_letter_errors += 1
        else:
            self._counters.destination_delivery_failures += 1
