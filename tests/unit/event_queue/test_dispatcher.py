"""Accepted events get invoked, at least once, each function at its own pace."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lambdad.errors import ServiceError
from lambdad.event_queue.attempt import Attempts
from lambdad.event_queue.dispatcher import Dispatcher, DispatcherLimits
from lambdad.event_queue.outbox import Outbox
from lambdad.event_queue.queue import EventQueue, queue_name
from lambdad.model.event import QueuedEvent
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.retry import EventPolicy
from lambdad.model.version import CodeArchive, Version
from lambdad.store.base import Send
from lambdad.store.memory import MemoryStore
from lambdad.store.sqlite import SqliteStore

ACCOUNT, REGION = "000000000000", "us-east-1"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Functions:
    """Stands for everything below the dispatcher: `behaviour` says what an invocation does."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[str] = []
        self.invocations: list[Invocation] = []
        self.running: Counter[str] = Counter()
        self.most_running: Counter[str] = Counter()
        self.behaviour: Callable[[Invocation], object] = lambda invocation: None
        self.policy = EventPolicy()
        self.changed = asyncio.Event()

    async def resolve(self, event: QueuedEvent, /) -> Version:
        if event.function_name == "gone":
            raise ServiceError("ResourceNotFoundException", "Function not found")
        return Version(*event.function_key, event.qualifier or "$LATEST", "r", "python3.12", "h.h", CodeArchive("", 0, 0))

    async def event_policy(self, event: QueuedEvent, executed_version: str | None, /) -> EventPolicy:
        return self.policy

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        name = invocation.version.function_name
        self.started.append(invocation.request_id)
        self.invocations.append(invocation)
        self.running[name] += 1
        self.most_running[name] = max(self.most_running[name], self.running[name])
        self.changed.set()
        try:
            outcome = self.behaviour(invocation)
            if asyncio.iscoroutine(outcome):
                await outcome
        finally:
            self.running[name] -= 1
            self.changed.set()
        self.ended.append(invocation.request_id)
        return InvocationResult(b"null", "$LATEST")

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def functions() -> Functions:
    return Functions()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock=clock)


@asynccontextmanager
async def dispatching(
    store: MemoryStore | SqliteStore,
    functions: Functions,
    clock: Callable[[], float],
    grace_seconds: float = 10,
    **limits: float,
) -> AsyncIterator[EventQueue]:
    events = EventQueue(store)
    attempts = Attempts(functions, functions.invoke, Outbox(store), clock=clock)
    dispatcher = Dispatcher(events, attempts, limits=DispatcherLimits(**limits), clock=clock)  # type: ignore[arg-type]
    await dispatcher.open()
    running = asyncio.create_task(dispatcher.run())
    try:
        yield events
    finally:
        await dispatcher.stop(grace_seconds=grace_seconds)
        await running


def event(number: int | str, function_name: str = "f", accepted_at: float = 1_000_000.0) -> QueuedEvent:
    return QueuedEvent(
        request_id=f"{number}",
        account_id=ACCOUNT,
        region=REGION,
        function_name=function_name,
        qualifier="live",
        invoked_function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function_name}:live",
        payload=b'{"a" : 1}',
        trace_header="Root=1-2-3",
        accepted_at=accepted_at,
    )


def queue_of(function_name: str = "f") -> str:
    return queue_name(f"{ACCOUNT}:{REGION}:{function_name}")


async def test_an_event_is_invoked(store: MemoryStore, functions: Functions, clock: Clock) -> None:
    """The invocation has what the event had, and the event ends with it."""
    async with dispatching(store, functions, clock) as events:
        await events.accept(event("request"))
        await functions.until(lambda: functions.ended == ["request"])
    (invocation,) = functions.invocations
    assert invocation.payload == b'{"a" : 1}'
    assert (invocation.trace_header, invocation.client_context) == ("Root=1-2-3", None)
    assert invocation.invoked_function_arn.endswith(":function:f:live")
    assert invocation.version.version == "live"
    assert await store.count(queue_of()) == 0


async def test_events_of_an_earlier_process(tmp_path: Path, functions: Functions, clock: Clock) -> None:
    """Events accepted by a process that is gone are found and invoked, those it was running too."""
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    events = EventQueue(store)
    for number in range(5):
        await events.accept(event(number, function_name=f"f{number % 2}"))
    assert await store.receive(queue_of("f0"), limit=1, lease_seconds=900)
    await store.close()

    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    async with dispatching(store, functions, clock):
        await functions.until(lambda: len(functions.ended) == 5)
    assert sorted(functions.ended) == ["0", "1", "2", "3", "4"]
    assert [await store.count(queue_of(name)) for name in ("f0", "f1")] == [0, 0]
    assert await EventQueue(store).open() == []
    assert await store.list("event-queue") == []
    await store.close()


async def test_same_request_id(store: MemoryStore, functions: Functions, clock: Clock) -> None:
    """A request id is taken once while it is queued."""
    events = EventQueue(store)
    await events.accept(event("a"))
    await events.accept(event("a"))
    async with dispatching(store, functions, clock) as events:
        await events.accept(event("b"))
        await functions.until(lambda: len(functions.ended) == 2)
    assert sorted(functions.ended) == ["a", "b"]


async def test_throttle(store: MemoryStore, functions: Functions, clock: Clock) -> None:
    """A throttled event comes again after 1, 2, 4 ... seconds, under the same request id."""
    throttles = 3

    def behaviour(invocation: Invocation) -> None:
        nonlocal throttles
        if throttles:
            throttles -= 1
            raise ServiceError("TooManyRequestsException", "Rate Exceeded.")

    functions.behaviour = behaviour
    waits = []
    async with dispatching(store, functions, clock) as events:
        await events.accept(event("a"))
        for attempt in range(1, 4):
            await functions.until(lambda attempt=attempt: len(functions.started) == attempt)  # type: ignore[misc]
            while (visible_at := store._queues[queue_of()]["a"].visible_at) > clock.now + 59:
                await asyncio.sleep(0)
            waits.append(visible_at - clock.now)
            clock.now = visible_at
            store._wakeups.notify([queue_of()])
        await functions.until(lambda: functions.ended == ["a"])
    assert waits == [1, 2, 4]
    assert await store.count(queue_of()) == 0


async def test_system_error(store: MemoryStore, functions: Functions, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A failure of ours is logged and puts the event back."""

    def behaviour(invocation: Invocation) -> None:
        raise OSError("no sandbox")

    functions.behaviour = behaviour
    async with dispatching(store, functions, clock) as events:
        await events.accept(event("a"))
        await functions.until(lambda: functions.started == ["a"])
    assert await store.count(queue_of()) == 1
    assert "event a of arn:aws:lambda:us-east-1:000000000000:function:f:live put back" in caplog.text
    assert "no sandbox" in caplog.text


@pytest.mark.parametrize(
    ("function_name", "accepted_at", "reason"),
    [("gone", 1_000_000.0, "lose function; last error: "), ("f", 1_000_000.0 - 21_601, "expire; last error: none")],
)
async def test_dropped(
    store: MemoryStore,
    functions: Functions,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    function_name: str,
    accepted_at: float,
    reason: str,
) -> None:
    """An event whose function is gone, or that is older than six hours, is dropped with a word in the log."""
    async with dispatching(store, functions, clock) as events:
        await events.accept(event("a", function_name, accepted_at))
        await events.accept(event("b", "other"))
        await functions.until(lambda: functions.ended == ["b"])
    assert await store.count(queue_of(function_name)) == 0
    assert reason in caplog.text


async def test_dropped_when_too_old_for_another_attempt(store: MemoryStore, functions: Functions, clock: Clock) -> None:
    """A throttled event whose next attempt would come too late is dropped."""

    def behaviour(invocation: Invocation) -> None:
        raise ServiceError("TooManyRequestsException", "Rate Exceeded.")

    functions.behaviour = behaviour
    async with dispatching(store, functions, clock) as events:
        await events.accept(event("a", accepted_at=clock.now - 21_599.5))
        await functions.until(lambda: functions.started == ["a"])
    assert await store.count(queue_of()) == 0


async def test_unreadable_event(
    store: MemoryStore, functions: Functions, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that are no event are dropped with a word in the log, and those behind them are run."""
    async with dispatching(store, functions, clock) as events:
        await store.commit([Send(queue_of(), "bad", b"nonsense")])
        await events.accept(event("good"))
        await functions.until(lambda: functions.ended == ["good"])
    assert await store.count(queue_of()) == 0
    assert "event bad" in caplog.text


async def test_a_flood_stays_its_own(store: MemoryStore, functions: Functions, clock: Clock) -> None:
    """A flood for a function that hangs takes no more than the limits, and another function's events run at once."""
    release = asyncio.Event()
    functions.behaviour = lambda invocation: release.wait() if invocation.version.function_name == "flood" else None
    async with dispatching(
        store, functions, clock, shared_in_flight=10, guaranteed_in_flight=2, function_in_flight=50
    ) as events:
        for number in range(200):
            await events.accept(event(f"flood-{number}", "flood"))
        await functions.until(lambda: functions.running["flood"] >= 8)
        for number in range(20):
            await events.accept(event(f"other-{number}", "other"))
        await functions.until(lambda: sum(name.startswith("other") for name in functions.ended) == 20)
        release.set()
        await functions.until(lambda: len(functions.ended) == 220)
    assert functions.most_running["flood"] <= 12
    assert len(set(functions.ended)) == 220


async def test_throttled_function_is_probed(store: MemoryStore, functions: Functions, clock: Clock) -> None:
    """While a function is throttled its many events are not all tried."""

    def behaviour(invocation: Invocation) -> None:
        raise ServiceError("TooManyRequestsException", "Rate Exceeded.")

    functions.behaviour = behaviour
    queue = EventQueue(store)
    for number in range(500):
        await queue.accept(event(number))
    await queue.accept(event("other", "other"))
    async with dispatching(store, functions, clock):
        await functions.until(lambda: "other" in functions.started)
    assert len(functions.started) < 40
    assert await store.count(queue_of()) == 500


async def test_stop_waits(store: MemoryStore, functions: Functions, clock: Clock) -> None:
    """Stopping lets the running events end, and takes no others."""
    release = asyncio.Event()
    functions.behaviour = lambda invocation: release.wait()
    async with dispatching(store, functions, clock, function_in_flight=8) as events:
        for number in range(20):
            await events.accept(event(number))
        await functions.until(lambda: functions.running["f"] == 8)
        asyncio.get_running_loop().call_later(0.05, release.set)
    assert len(functions.ended) == 8
    assert await store.count(queue_of()) == 12


async def test_stop_gives_back(store: MemoryStore, functions: Functions, clock: Clock) -> None:
    """What does not end within the grace goes back to its queue, to be seen at once."""
    functions.behaviour = lambda invocation: asyncio.Event().wait()
    async with dispatching(store, functions, clock, grace_seconds=0.01) as events:
        await events.accept(event("a"))
        await functions.until(lambda: functions.running["f"] == 1)
    (message,) = await store.receive(queue_of(), limit=10, lease_seconds=1)
    assert message.message_id == "a"


async def test_stop_while_receiving(
    store: MemoryStore, functions: Functions, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events that arrive from the store when the stop has been asked for go back unrun."""
    received, may_return = asyncio.Event(), asyncio.Event()
    receive = store.receive

    async def slow(queue: str, *, limit: int, lease_seconds: float) -> object:
        messages = await receive(queue, limit=limit, lease_seconds=lease_seconds)
        received.set()
        await may_return.wait()
        return messages

    monkeypatch.setattr(store, "receive", slow)
    async with dispatching(store, functions, clock) as events:
        await events.accept(event("a"))
        await received.wait()
        asyncio.get_running_loop().call_soon(may_return.set)
    assert functions.started == []
    assert len(await receive(queue_of(), limit=1, lease_seconds=1)) == 1


async def test_long_runs_keep_their_lease(tmp_path: Path, functions: Functions, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that runs longer than the lease, which is prolonged at each third of it, is not started twice."""
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    prolonged, extend = asyncio.Semaphore(0), store.extend

    async def noticing(queue: str, receipt: str, *, lease_seconds: float) -> bool:
        try:
            return await extend(queue, receipt, lease_seconds=lease_seconds)
        finally:
            prolonged.release()

    async def run(invocation: Invocation) -> None:
        for _ in range(4):
            await prolonged.acquire()

    monkeypatch.setattr(store, "extend", noticing)
    functions.behaviour = run
    async with dispatching(store, functions, time.time, lease_seconds=2.0) as events:
        await events.accept(event("a", accepted_at=time.time()))
        await functions.until(lambda: functions.ended == ["a"])
    assert functions.started == ["a"]
    assert await store.count(queue_of()) == 0
    await store.close()


async def test_a_clock_put_back_makes_no_event_wait_long(
    store: MemoryStore, functions: Functions, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hours back: an event that waits for its next attempt waits five minutes, the longest pause, and not hours."""
    brought_forward = asyncio.Event()
    bring_forward = store.bring_forward

    async def noticing(queue: str, *, within_seconds: float) -> None:
        await bring_forward(queue, within_seconds=within_seconds)
        if clock.now < 1_000_000:
            brought_forward.set()

    monkeypatch.setattr(store, "bring_forward", noticing)

    def throttled(invocation: Invocation) -> None:
        raise ServiceError("TooManyRequestsException", "Rate Exceeded.")

    functions.behaviour = throttled
    async with dispatching(store, functions, clock, lease_seconds=0.05) as events, asyncio.timeout(60):
        await events.accept(event("a"))
        await functions.until(lambda: functions.started == ["a"])
        functions.behaviour = lambda invocation: None
        clock.now -= 7200
        await brought_forward.wait()
        clock.now += 299
        await events.accept(event("b"))
        await functions.until(lambda: "b" in functions.ended)
        clock.now += 1
        await events.accept(event("c"))
        await functions.until(lambda: "a" in functions.ended)
    assert functions.started.count("a") >= 2


@pytest.mark.parametrize("seconds", [-7200.0, 7200.0])
async def test_events_of_a_time_before_the_clock_was_moved(tmp_path: Path, functions: Functions, seconds: float) -> None:
    """A server that starts with another time tries what waits within five minutes, and gives up nothing that is not too old."""
    clock = Clock()
    store = SqliteStore(tmp_path / "store.db", clock=clock)
    await store.open()
    queue = EventQueue(store)
    await queue.accept(event("a"))
    [message] = await store.receive(queue_of(), limit=1, lease_seconds=60)
    await store.release(queue_of(), message.receipt, visible_at=clock.now + 120)
    await store.close()

    clock.now += seconds
    store = SqliteStore(tmp_path / "store.db", clock=clock)
    await store.open()
    async with dispatching(store, functions, clock):
        clock.now += 300
        await EventQueue(store).accept(event("other", "other"))
        await store.bring_forward(queue_of(), within_seconds=0)  # wakes who waits for it
        await functions.until(lambda: functions.ended == ["a"])
    assert await store.count(queue_of()) == 0
    await store.close()


async def test_idle_lane_ends_and_comes_back(store: MemoryStore, functions: Functions, clock: Clock) -> None:
    """A function whose queue has been empty for a while costs nothing, and its next event is taken all the same."""
    async with dispatching(store, functions, clock, idle_seconds=0.01) as events:
        for number in range(20):
            await events.accept(event(number))
            await functions.until(lambda number=number: functions.ended[-1:] == [f"{number}"])  # type: ignore[misc]
            await asyncio.sleep(0.012 if number % 2 else 0)  # the lane may have ended, be ending, or still be there
    assert functions.started == [f"{number}" for number in range(20)]


async def test_store_trouble(
    store: MemoryStore, functions: Functions, clock: Clock, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the end of an event cannot be recorded, that is logged and the dispatcher goes on."""

    async def fail(*arguments: object) -> None:
        raise OSError("disk")

    with monkeypatch.context() as patch:
        patch.setattr(store, "delete", fail)
        async with dispatching(store, functions, clock) as events:
            await events.accept(event("a"))
            await functions.until(lambda: functions.ended == ["a"])
    assert "the end of event a could not be recorded" in caplog.text
    assert caplog.records[-1].levelno == logging.ERROR


async def test_a_flood_holds_up_nobody_else(
    store: MemoryStore, functions: Functions, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While events of one function arrive by the thousand and it is run at a trickle, those of another are run at once."""
    monkeypatch.setattr("lambdad.event_queue.dispatcher._TRICKLE_SECONDS", 3600.0)
    async with dispatching(store, functions, clock) as events:
        for number in range(1000):
            await events.accept(event(f"flood-{number}", "flood"))
        for number in range(30):
            await events.accept(event(f"other-{number}", "other"))
        await functions.until(lambda: sum(name.startswith("other-") for name in functions.ended) == 30)
        assert sum(name.startswith("flood-") for name in functions.ended) < 1000
