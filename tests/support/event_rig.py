"""An event queue with everything around it, over a store that can be made to die before or after any of its writes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from lambdad.delivery import PLAIN, Delivery, Envelope, Sender
from lambdad.errors import ServiceError
from lambdad.event_queue.attempt import Attempted, Attempts
from lambdad.event_queue.counters import EventCounters
from lambdad.event_queue.deliverer import Deliverer
from lambdad.event_queue.outbox import Outbox
from lambdad.event_queue.queue import EventQueue, queue_name
from lambdad.model.event import QueuedEvent
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.retry import EventPolicy
from lambdad.model.version import CodeArchive, Version
from lambdad.store.base import Change, Message
from lambdad.store.memory import MemoryStore
from lambdad.store.sqlite import SqliteStore

ACCOUNT, REGION = "000000000000", "us-east-1"
FUNCTION = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
TARGET = f"arn:aws:sqs:{REGION}:{ACCOUNT}:target"
DEAD = f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"
EVENTS = queue_name(f"{ACCOUNT}:{REGION}:f")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Crash(BaseException):
    """The process dies here: no handler of errors sees it."""


class MortalStore:
    """A store whose process dies at the next write, before or after it is done."""

    def __init__(self, store: MemoryStore | SqliteStore) -> None:
        self.inner = store
        self.dies: str | None = None  #: "before" or "after" ...
        self.writes_to_go = 0  #: ... this many further writes

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    async def commit(self, changes: Sequence[Change]) -> None:
        self._maybe_die("before")
        await self.inner.commit(changes)
        self._maybe_die("after")

    async def receive(self, queue: str, *, limit: int, lease_seconds: float) -> Sequence[Message]:
        self._maybe_die("before")
        messages = await self.inner.receive(queue, limit=limit, lease_seconds=lease_seconds)
        self._maybe_die("after")
        return messages

    async def delete(self, queue: str, receipts: Sequence[str]) -> None:
        self._maybe_die("before")
        await self.inner.delete(queue, receipts)
        self._maybe_die("after")

    async def release(self, queue: str, receipt: str, *, visible_at: float, note: bytes | None = None) -> None:
        self._maybe_die("before")
        await self.inner.release(queue, receipt, visible_at=visible_at, note=note)
        self._maybe_die("after")

    def _maybe_die(self, moment: str) -> None:
        if self.dies is None:
            return
        if self.writes_to_go and moment == "after":
            self.writes_to_go -= 1
        elif self.dies == moment and not self.writes_to_go:
            self.dies = None
            raise Crash


class Targets:
    """A receiver that takes what it is sent, or refuses it with `error`."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes, Envelope]] = []
        self.senders: list[Sender] = []
        self.request_ids: list[str] = []
        self.error: Exception | None = None

    async def check(self, target_arn: str, sender: Sender) -> None:
        return None

    async def accept(
        self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str, envelope: Envelope = PLAIN
    ) -> None:
        if self.error is not None:
            raise self.error
        self.taken.append((target_arn, payload, envelope))
        self.senders.append(sender)
        self.request_ids.append(request_id)


class Functions:
    """`behaviour` answers, or raises, for an invocation."""

    def __init__(self) -> None:
        self.policy = EventPolicy(on_success=TARGET, on_failure=TARGET, dead_letter=DEAD)
        self.reserved: int | None = None
        self.is_gone = False
        self.behaviour: Callable[[Invocation], InvocationResult] = succeed
        self.invocations: list[Invocation] = []

    async def resolve(self, event: QueuedEvent, /) -> Version:
        if self.is_gone:
            raise ServiceError("ResourceNotFoundException", "Function not found")
        return Version(
            *event.function_key, "$LATEST", "r", "python3.12", "h.h", CodeArchive("", 0, 0),
            tenant_id=event.tenant_id, reserved_concurrency=self.reserved,
        )  # fmt: skip

    async def event_policy(self, event: QueuedEvent, executed_version: str | None, /) -> EventPolicy:
        return self.policy

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        self.invocations.append(invocation)
        return self.behaviour(invocation)


def succeed(invocation: Invocation) -> InvocationResult:
    return InvocationResult(b'"ok"', "$LATEST")


def fail(invocation: Invocation) -> InvocationResult:
    return InvocationResult(b'{"errorMessage":"no","errorType":"E"}', "$LATEST", "Unhandled")


def throttle(invocation: Invocation) -> InvocationResult:
    raise ServiceError("TooManyRequestsException", "Rate Exceeded.")


def break_down(invocation: Invocation) -> InvocationResult:
    raise OSError("no sandbox")


def new_event(request_id: str, accepted_at: float, qualifier: str | None = None, payload: bytes = b'{"a" : 1}') -> QueuedEvent:
    return QueuedEvent(
        request_id=request_id,
        account_id=ACCOUNT,
        region=REGION,
        function_name="f",
        qualifier=qualifier,
        invoked_function_arn=f"{FUNCTION}:{qualifier}" if qualifier else FUNCTION,
        payload=payload,
        trace_header="Root=1-2-3",
        accepted_at=accepted_at,
    )


class Rig:
    """One process after another over one store. `restart` is a new process over what the last one left."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.clock = Clock()
        self.functions = Functions()
        self.targets = Targets()
        self.counters = EventCounters()
        self.ids = itertools.count(1)
        self.memory = MemoryStore(clock=self.clock)

    async def open(self) -> Rig:
        inner: MemoryStore | SqliteStore = self.memory
        if self.path is not None:
            inner = SqliteStore(self.path, clock=self.clock)
            await inner.open()
        self.store = MortalStore(inner)
        self.queue = EventQueue(self.store, self.counters)  # type: ignore[arg-type]
        self.outbox = Outbox(self.store)  # type: ignore[arg-type]
        self.delivery = Delivery()
        self.delivery.register("sqs", self.targets)
        self.delivery.register("lambda", self.targets)
        self.delivery.register("s3", self.targets)
        self.delivery.register("events", self.targets)
        self.attempts = Attempts(
            self.functions,
            self.functions.invoke,
            self.outbox,
            self.counters,
            clock=self.clock,
            new_id=lambda: f"id-{next(self.ids)}",
        )
        self.deliverer = Deliverer(self.outbox, self.delivery, self.counters, clock=self.clock)
        self.event_queues = await self.queue.open()
        self.notice_queues = await self.outbox.open()
        return self

    async def close(self) -> None:
        if isinstance(self.store.inner, SqliteStore):
            await self.store.inner.close()

    async def restart(self) -> None:
        await self.close()
        await self.open()

    async def accept(self, request_id: str, **arguments: object) -> None:
        await self.queue.accept(new_event(request_id, self.clock.now, **arguments))  # type: ignore[arg-type]

    async def attempt(self) -> Attempted | None:
        """Tries the event that is due, if there is one."""
        for message in await self.store.receive(EVENTS, limit=1, lease_seconds=60):
            return await self.attempts.make(message)
        return None

    async def deliver(self, target: str) -> bool:
        """Has the next notice for the target carried, if one is due."""
        for message in await self.store.receive(f"event-delivery:{target}", limit=1, lease_seconds=60):
            await self.deliverer._carry(message)
            return True
        return False
