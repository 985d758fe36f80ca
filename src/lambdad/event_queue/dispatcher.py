"""Takes accepted events from their queues and has them invoked: at least once, and one function's trouble stays its own.

Each function with events has a lane: a task that leases its oldest events as fast as its `Pace` and the `Slots` let it.
`attempt.py` runs an event and records what becomes of it. The lease is prolonged meanwhile, and ends by itself if this process
dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from lambdad.event_queue.attempt import Attempts
from lambdad.event_queue.clock_watch import ClockWatch
from lambdad.event_queue.lane import Lane, Slots
from lambdad.event_queue.named_queues import LONGEST_WAIT_SECONDS
from lambdad.event_queue.pace import STALL_SECONDS, Pace
from lambdad.event_queue.queue import EventQueue
from lambdad.event_queue.stopping import unless_stopped
from lambdad.store.base import Message

logger = logging.getLogger(__name__)

_LARGEST_RECEIVE = 32
#: While a flood of events for a function is being accepted, its waiting ones are taken so many at a time, so far apart.
_TRICKLE = 2
_TRICKLE_SECONDS = 0.02
_STORE_TROUBLE_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class DispatcherLimits:
    function_in_flight: int = 500  #: most events of one function that run at once
    shared_in_flight: int = 1000  #: most events that run at once beyond each function's guaranteed ones
    guaranteed_in_flight: int = 4  #: events of a function that may always run, however busy the others are
    lease_seconds: float = 60.0
    idle_seconds: float = 60.0  #: how long an empty lane stays before it looks whether it is still needed


class Dispatcher:
    """`open` before the first event is accepted; then `run` in a task of its owner until `stop`."""

    def __init__(
        self,
        events: EventQueue,
        attempts: Attempts,
        *,
        limits: DispatcherLimits = DispatcherLimits(),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._events = events
        self._store = events.store
        self._attempts = attempts
        self._limits = limits
        self._clock = clock
        self._slots = Slots(shared=limits.shared_in_flight, guaranteed=limits.guaranteed_in_flight)
        self._lanes: dict[str, Lane] = {}
        self._running: dict[asyncio.Task[None], Message] = {}
        self._waiting_queues: list[str] = []
        self._tasks: asyncio.TaskGroup | None = None
        self._stop = asyncio.Event()
        self._drained = asyncio.Event()

    async def open(self) -> None:
        """Finds the events that an earlier process left."""
        self._waiting_queues = await self._events.open()
        self._events.on_accept(self._wake)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as self._tasks:
            leases = self._tasks.create_task(self._keep_leases())
            for queue in self._waiting_queues:
                self._wake(queue)
            await self._drained.wait()
            leases.cancel()
        self._tasks = None

    async def stop(self, *, grace_seconds: float = 10.0) -> None:
        """Takes no more events, lets the running ones end, and after the grace gives the others back to their queues."""
        self._stop.set()
        for lane in self._lanes.values():
            lane.changed.set()
        if self._running:
            await asyncio.wait(tuple(self._running), timeout=grace_seconds)
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(tuple(self._running))
        for message in self._running.values():  # of tasks that were cancelled before their first step
            await self._give_back(message)
        self._drained.set()

    def _wake(self, queue: str) -> None:
        if self._tasks is None or self._stop.is_set():
            if not self._stop.is_set() and queue not in self._waiting_queues:
                self._waiting_queues.append(queue)
        elif queue in self._lanes:
            self._lanes[queue].arrivals.add(time.monotonic())
            self._lanes[queue].changed.set()
        else:
            lane = self._lanes[queue] = Lane(queue, Pace(most=self._limits.function_in_flight))
            self._tasks.create_task(self._run_lane(lane))

    async def _run_lane(self, lane: Lane) -> None:
        while not self._stop.is_set():
            try:
                if not await self._take_events(lane) and await self._is_over(lane):
                    return
            except Exception:
                logger.exception("events of %s cannot be taken", lane.queue)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _STORE_TROUBLE_PAUSE_SECONDS)

    async def _take_events(self, lane: Lane) -> bool:
        """Starts what may be started now; False when the queue has nothing to give."""
        limit = await self._wait_for_slots(lane)
        if not limit:
            return True
        if lane.arrivals.are_many(time.monotonic()):
            # Events that wait are safe; those at the door are not. A function's flood is let in first, and run meanwhile at a
            # trickle; other functions' events are not held up by it.
            limit = min(limit, _TRICKLE)
            await unless_stopped(asyncio.sleep(_TRICKLE_SECONDS), self._stop)
        messages = await self._store.receive(lane.queue, limit=limit, lease_seconds=self._limits.lease_seconds)
        assert self._tasks is not None
        for message in messages:
            if self._stop.is_set():
                await self._give_back(message)
                continue
            self._slots.take(lane)
            task = self._tasks.create_task(self._run_event(lane, message))
            self._running[task] = message
        return bool(messages)

    async def _wait_for_slots(self, lane: Lane) -> int:
        """How many events the lane may take now; 0 when it has to ask again."""
        lane.changed.clear()
        pause_seconds = lane.pace.not_before - self._clock()
        available = self._slots.available(lane)
        if available and pause_seconds <= 0:
            return min(available, _LARGEST_RECEIVE)
        if not available and lane.in_flight < lane.pace.at_once:
            self._slots.call_when_free(lane)
        is_full = lane.in_flight >= lane.pace.at_once
        patience_seconds = pause_seconds if pause_seconds > 0 else STALL_SECONDS if is_full else None
        try:
            async with asyncio.timeout(patience_seconds):
                await lane.changed.wait()
        except TimeoutError:
            if pause_seconds <= 0:
                lane.pace.stalled()
        return 0

    async def _is_over(self, lane: Lane) -> bool:
        """Waits for events; True when the lane has gone because its queue has long been empty."""
        began = time.monotonic()
        await unless_stopped(self._store.wait(lane.queue, timeout_seconds=self._limits.idle_seconds), self._stop)
        # Counting costs more the more events wait for a later time, so it is done only after a long silence.
        if lane.in_flight or time.monotonic() - began < self._limits.idle_seconds:
            return False
        lane.changed.clear()
        if await self._store.count(lane.queue) or lane.changed.is_set():
            return False
        self._slots.forget(lane)
        del self._lanes[lane.queue]
        return True

    async def _run_event(self, lane: Lane, message: Message) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await self._try_event(lane, message)
        except asyncio.CancelledError:
            await self._give_back(message)
            raise
        except Exception:
            # The lease ends by itself, and the event is taken again.
            logger.exception("the end of event %s could not be recorded", message.message_id)
        finally:
            del self._running[task]
            self._slots.give_back(lane)

    async def _give_back(self, message: Message) -> None:
        try:
            await self._store.release(message.queue, message.receipt, visible_at=self._clock())
        except Exception:
            # The next server ends all leases, and takes it again.
            logger.exception("event %s could not be given back", message.message_id)

    async def _try_event(self, lane: Lane, message: Message) -> None:
        attempted = await self._attempts.make(message)
        if attempted.ran_seconds is not None:
            lane.pace.succeeded(attempted.ran_seconds)
        elif attempted.was_refused:
            lane.pace.throttled(self._clock())

    async def _keep_leases(self) -> None:
        """Prolongs the leases of running events well before their ends, and looks at the clock by which events wait."""
        lease_seconds = self._limits.lease_seconds
        watch = ClockWatch(self._clock)
        while True:
            await asyncio.sleep(lease_seconds / 3)
            if watch.was_put_back():
                await self._bring_forward()
            for message in tuple(self._running.values()):
                try:
                    await self._store.extend(message.queue, message.receipt, lease_seconds=lease_seconds)
                except Exception:
                    logger.exception("the lease of event %s could not be prolonged", message.message_id)

    async def _bring_forward(self) -> None:
        """After the clock was put back: nothing waits for longer than it was told to."""
        for lane in tuple(self._lanes.values()):
            try:
                await self._store.bring_forward(lane.queue, within_seconds=LONGEST_WAIT_SECONDS)
            except Exception:
                logger.exception("events of %s may wait for too long after the clock was put back", lane.queue)
            lane.pace.clock_was_put_back(self._clock())
            lane.changed.set()
