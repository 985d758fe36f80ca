"""Notices reach their targets: at least once, tried again, and one target's trouble is its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lambdad.delivery import PLAIN, Delivery, Envelope, Sender
from lambdad.errors import ServiceError
from lambdad.event_queue.counters import EventCounters
from lambdad.event_queue.deliverer import Deliverer, DelivererLimits
from lambdad.event_queue.outbox import Notice, Outbox, decode_notice, encode_notice
from lambdad.model.destination import Attribute
from lambdad.store.base import InsufficientStorage, Send
from lambdad.store.memory import MemoryStore
from lambdad.store.sqlite import SqliteStore
from support.event_rig import ACCOUNT, FUNCTION, REGION, Clock

QUEUE_A, QUEUE_B = (f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}" for name in "ab")


class Target:
    """`behaviour` is called with the payload, and may raise or be awaited."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bytes, str, Envelope]] = []
        self.behaviour: Callable[[str, bytes], object] = lambda target_arn, payload: None
        self.changed = asyncio.Event()
        self.tries = 0

    async def check(self, target_arn: str, sender: Sender) -> None:
        return None

    async def accept(
        self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str, envelope: Envelope = PLAIN
    ) -> None:
        self.tries += 1
        self.changed.set()
        outcome = self.behaviour(target_arn, payload)
        if asyncio.iscoroutine(outcome):
            await outcome
        self.taken.append((target_arn, payload, request_id, envelope))
        self.changed.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_so():
                self.changed.clear()
                await self.changed.wait()


def notice(event_id: str, target_arn: str = QUEUE_A, *, kind: str = "destination", created_at: float = 1_000_000.0) -> Notice:
    return Notice(
        kind=kind,  # type: ignore[arg-type]
        target_arn=target_arn,
        address=target_arn,
        sender=Sender("lambda.amazonaws.com", FUNCTION, ACCOUNT, "arn:aws:iam::000000000000:role/r"),
        envelope=Envelope({"a": Attribute("String", "1")}, "type", ("one", "two")),
        event_id=event_id,
        request_id=f"to-{event_id}",
        created_at=created_at,
        payload=b"\xff\n" + event_id.encode(),
    )


@asynccontextmanager
async def delivering(
    store: MemoryStore | SqliteStore, target: Target, clock: Clock, grace_seconds: float = 10, **limits: float
) -> AsyncIterator[tuple[Outbox, EventCounters]]:
    outbox, delivery, counters = Outbox(store), Delivery(), EventCounters()
    delivery.register("sqs", target)
    deliverer = Deliverer(outbox, delivery, counters, limits=DelivererLimits(**limits), clock=clock)  # type: ignore[arg-type]
    await deliverer.open()
    running = asyncio.create_task(deliverer.run())
    try:
        yield outbox, counters
    finally:
        await deliverer.stop(grace_seconds=grace_seconds)
        await running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryStore:
    return MemoryStore(clock=clock)


@pytest.fixture
def target() -> Target:
    return Target()


def test_a_notice_is_read_as_it_was_written() -> None:
    """Sender, envelope and the payload's own bytes."""
    assert decode_notice(encode_notice(notice("e"))) == notice("e")
    for data in (b"", b"{}\n", b"nonsense", b"\n\n"):
        with pytest.raises(ValueError):
            decode_notice(data)


async def test_notices_are_carried(store: MemoryStore, target: Target, clock: Clock) -> None:
    """Each with its payload, envelope and request id, in one go; then their queues are empty."""
    async with delivering(store, target, clock) as (outbox, counters):
        await outbox.commit([], [notice("1"), notice("1", kind="dead-letter"), notice("1", QUEUE_B)])
        await target.until(lambda: len(target.taken) == 3)
    assert sorted(arn for arn, _, _, _ in target.taken) == [QUEUE_A, QUEUE_A, QUEUE_B]
    assert target.taken[0][1:] == (b"\xff\n1", "to-1", notice("1").envelope)
    assert counters.delivered == 3
    assert await store.count(f"event-delivery:{QUEUE_A}") == 0


async def test_notices_of_an_earlier_process(tmp_path: Path, target: Target, clock: Clock) -> None:
    """What a dead process did not deliver is delivered by the next; queues that are empty are forgotten."""
    store = SqliteStore(tmp_path / "store.db", clock=clock)
    await store.open()
    await Outbox(store).commit([], [notice("1"), notice("2", QUEUE_B)])
    assert await store.receive(f"event-delivery:{QUEUE_A}", limit=1, lease_seconds=900)
    await store.close()
    store = SqliteStore(tmp_path / "store.db", clock=clock)
    await store.open()
    async with delivering(store, target, clock):
        await target.until(lambda: len(target.taken) == 2)
    assert await Outbox(store).open() == []
    assert await store.list("event-delivery-queue") == []
    await store.close()


@pytest.mark.parametrize(
    "error", [ServiceError("AccessDenied", "no"), InsufficientStorage("full"), OSError("broken"), ValueError("mistake")]
)
async def test_what_fails_is_tried_again(
    store: MemoryStore, target: Target, clock: Clock, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """After 1, 2, 4 ... seconds, each failure counted under its own name, until the target takes it."""
    trouble: list[Exception] = [error] * 3

    def behaviour(target_arn: str, payload: bytes) -> None:
        if trouble:
            raise trouble.pop()

    target.behaviour = behaviour
    queue = f"event-delivery:{QUEUE_A}"
    async with delivering(store, target, clock) as (outbox, counters):
        await outbox.commit([], [notice("1", kind="dead-letter")])
        waits = []
        for tries in (1, 2, 3):
            await target.until(lambda tries=tries: target.tries == tries)  # type: ignore[misc]
            while (visible_at := store._queues[queue]["1/dead-letter"].visible_at) > clock.now + 59:
                await asyncio.sleep(0)
            waits.append(visible_at - clock.now)
            clock.now = visible_at
            store._wakeups.notify([queue])
        await target.until(lambda: len(target.taken) == 1)
    assert waits == [1, 2, 4]
    assert (counters.dead_letter_errors, counters.destination_delivery_failures) == (3, 0)
    assert (counters.delivered, counters.deliveries_abandoned) == (1, 0)
    assert f"event 1 could not be told to {QUEUE_A} yet" in caplog.text


async def test_a_target_that_never_takes_it(
    store: MemoryStore, target: Target, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """After six hours it is given up, counted, and named in the log."""

    def behaviour(target_arn: str, payload: bytes) -> None:
        raise ServiceError("AWS.SimpleQueueService.NonExistentQueue", "no such queue")

    target.behaviour = behaviour
    async with delivering(store, target, clock) as (outbox, counters):
        await outbox.commit([], [notice("1", created_at=clock.now - 21_599.5)])
        async with asyncio.timeout(60):
            while await store.count(f"event-delivery:{QUEUE_A}"):
                await asyncio.sleep(0)
    assert (counters.destination_delivery_failures, counters.deliveries_abandoned) == (1, 1)
    assert f"event 1 could not be told to {QUEUE_A}, for good" in caplog.text
    assert "no such queue" in caplog.text


async def test_one_target_holds_up_no_other(store: MemoryStore, target: Target, clock: Clock) -> None:
    """While one target hangs, with many notices waiting for it, another gets all of its own."""
    hanging = asyncio.Event()
    target.behaviour = lambda target_arn, payload: hanging.wait() if target_arn == QUEUE_A else None
    async with delivering(store, target, clock) as (outbox, _):
        await outbox.commit([], [notice(f"{number}") for number in range(50)])
        await target.until(lambda: target.tries >= 8)
        await outbox.commit([], [notice(f"{number}", QUEUE_B) for number in range(50)])
        await target.until(lambda: len(target.taken) == 50)
        assert {arn for arn, _, _, _ in target.taken} == {QUEUE_B}
        hanging.set()
        await target.until(lambda: len(target.taken) == 100)


async def test_a_delivery_without_an_end(store: MemoryStore, target: Target, clock: Clock) -> None:
    """A target that does not answer is given up in time, and tried again."""
    target.behaviour = lambda target_arn, payload: asyncio.Event().wait()
    async with delivering(store, target, clock, delivery_seconds=0.01) as (outbox, counters):
        await outbox.commit([], [notice("1")])
        await target.until(lambda: target.tries == 1)
        async with asyncio.timeout(60):
            while not counters.destination_delivery_failures:
                await asyncio.sleep(0.001)
    assert await store.count(f"event-delivery:{QUEUE_A}") == 1


async def test_stop(store: MemoryStore, target: Target, clock: Clock) -> None:
    """What is under way may end; what does not end within the grace stays for the next server."""
    target.behaviour = lambda target_arn, payload: asyncio.Event().wait() if target_arn == QUEUE_B else None
    async with delivering(store, target, clock, grace_seconds=0.01) as (outbox, _):
        await outbox.commit([], [notice("1"), notice("2", QUEUE_B)])
        await target.until(lambda: len(target.taken) == 1 and target.tries == 2)
    assert await store.count(f"event-delivery:{QUEUE_B}") == 1
    await outbox.commit([], [notice("3")])  # an event that ended during the stop
    assert await store.count(f"event-delivery:{QUEUE_A}") == 1


async def test_an_idle_queue_is_watched_again(store: MemoryStore, target: Target, clock: Clock) -> None:
    """A target that has long been told nothing costs nothing, and its next notice is carried all the same."""
    async with delivering(store, target, clock, idle_seconds=0.01) as (outbox, _):
        for number in range(20):
            await outbox.commit([], [notice(f"{number}")])
            await target.until(lambda number=number: len(target.taken) == number + 1)  # type: ignore[misc]
            await asyncio.sleep(0.012 if number % 2 else 0)


async def test_bytes_that_are_no_notice(
    store: MemoryStore, target: Target, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """They are dropped with a word in the log, and those behind them are carried."""
    async with delivering(store, target, clock) as (outbox, _):
        await store.commit([Send(f"event-delivery:{QUEUE_A}", "bad", b"nonsense")])
        await outbox.commit([], [notice("1")])
        await target.until(lambda: len(target.taken) == 1)
    assert await store.count(f"event-delivery:{QUEUE_A}") == 0
    assert "cannot be read and is dropped" in caplog.text
