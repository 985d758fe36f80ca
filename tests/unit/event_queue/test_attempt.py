"""One attempt at an event, and what is recorded of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.retry import EventPolicy
from lambdad.model.trace_header import entering
from lambdad.store.base import Send
from support.event_rig import (
    ACCOUNT,
    DEAD,
    EVENTS,
    FUNCTION,
    REGION,
    TARGET,
    Crash,
    Rig,
    break_down,
    fail,
    new_event,
    succeed,
    throttle,
)


@pytest.fixture(params=["memory", "sqlite"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    opened = await Rig(tmp_path / "store.db" if request.param == "sqlite" else None).open()
    yield opened
    await opened.close()


async def due_in(rig: Rig) -> float:
    """Seconds until the one event in the queue is due."""
    for seconds in (0.0, 1.0, 2.0, 4.0, 60.0, 120.0):
        rig.clock.now += seconds
        found = await rig.store.receive(EVENTS, limit=1, lease_seconds=0)
        rig.clock.now -= seconds
        if found:
            await rig.store.release(EVENTS, found[0].receipt, visible_at=rig.clock.now + seconds)
            return seconds
    raise AssertionError("the event is not due within two minutes")


async def told(rig: Rig, target: str) -> dict[str, object]:
    assert await rig.deliver(target)
    arn, payload, _ = rig.targets.taken[-1]
    assert arn == target
    value: dict[str, object] = json.loads(payload)
    return value


async def test_success(rig: Rig) -> None:
    """The invocation has what the event had; its destination is told, the dead-letter queue is not."""
    await rig.accept("r", qualifier="live")
    attempted = await rig.attempt()
    assert attempted is not None
    assert attempted.ran_seconds is not None
    (invocation,) = rig.functions.invocations
    assert (invocation.request_id, invocation.payload, invocation.trace_header) == ("r", b'{"a" : 1}', "Root=1-2-3")
    assert invocation.invoked_function_arn == f"{FUNCTION}:live"
    assert await rig.store.count(EVENTS) == 0
    record = await told(rig, TARGET)
    assert record["requestContext"] == {
        "requestId": "r", "functionArn": f"{FUNCTION}:live", "condition": "Success", "approximateInvokeCount": 1,
    }  # fmt: skip
    assert not await rig.deliver(DEAD)
    (sender,) = rig.targets.senders
    assert (sender.source_arn, sender.source_account) == (f"{FUNCTION}:live", ACCOUNT)


async def test_three_failures(rig: Rig) -> None:
    """A function that fails is tried after one minute and after two, under the same request id; then both are told."""
    rig.functions.behaviour = fail
    await rig.accept("r")
    for wait in (60.0, 120.0):
        await rig.attempt()
        rig.clock.now += wait - 0.5
        assert await rig.attempt() is None
        rig.clock.now += 0.5
    await rig.attempt()
    assert [each.request_id for each in rig.functions.invocations] == ["r"] * 3
    assert await rig.store.count(EVENTS) == 0
    record = await told(rig, TARGET)
    assert record["requestContext"] == {
        "requestId": "r", "functionArn": f"{FUNCTION}:$LATEST", "condition": "RetriesExhausted", "approximateInvokeCount": 3,
    }  # fmt: skip
    assert record["responsePayload"] == {"errorMessage": "no", "errorType": "E"}
    assert await told(rig, DEAD) == {"a": 1}
    attributes = rig.targets.taken[-1][2].attributes
    assert {name: each.value for name, each in attributes.items()} == {
        "RequestID": "r", "ErrorCode": "200", "ErrorMessage": "no",
    }  # fmt: skip
    assert (rig.counters.retried, rig.counters.failed, rig.counters.delivered, rig.counters.dropped) == (2, 1, 2, 0)


async def test_the_count_survives_the_process(tmp_path: Path) -> None:
    """Attempts, age and the next attempt's time are those of the event, whatever process looks."""
    rig = await Rig(tmp_path / "store.db").open()
    rig.functions.behaviour = fail
    await rig.accept("r")
    for wait in (60.0, 120.0):
        await rig.attempt()
        await rig.restart()
        assert rig.event_queues == [EVENTS]
        rig.clock.now += wait - 0.5
        assert await rig.attempt() is None
        rig.clock.now += 0.5
    await rig.attempt()
    assert await rig.store.count(EVENTS) == 0
    await rig.restart()
    assert rig.event_queues == []
    assert sorted(rig.notice_queues) == sorted(f"event-delivery:{target}" for target in (TARGET, DEAD))
    record = await told(rig, TARGET)
    assert isinstance(record["requestContext"], dict)
    assert record["requestContext"]["approximateInvokeCount"] == 3
    await rig.close()


@pytest.mark.parametrize("behaviour", [throttle, break_down])
async def test_put_back(rig: Rig, behaviour: Callable[[Invocation], InvocationResult]) -> None:
    """A throttle or a failure of ours is no attempt: after 1, 2 and 4 seconds again, and the retries are all there."""
    rig.functions.behaviour = behaviour
    await rig.accept("r")
    for wait in (1.0, 2.0, 4.0):
        attempted = await rig.attempt()
        assert attempted is not None
        assert attempted.was_refused
        assert await due_in(rig) == wait
        rig.clock.now += wait
    rig.functions.behaviour = fail
    await rig.attempt()
    assert await due_in(rig) == 60.0


async def test_throttled_until_too_old(rig: Rig) -> None:
    """The record says that the event grew too old, without a response; the dead letter says why it did not run."""
    rig.functions.policy = replace(rig.functions.policy, maximum_age_seconds=60)
    rig.functions.behaviour = throttle
    await rig.accept("r")
    while await rig.store.count(EVENTS):
        await rig.attempt()
        rig.clock.now += 1
    record = await told(rig, TARGET)
    assert isinstance(record["requestContext"], dict)
    assert record["requestContext"]["condition"] == "EventAgeExceeded"
    assert "responseContext" not in record
    await told(rig, DEAD)
    attributes = rig.targets.taken[-1][2].attributes
    assert (attributes["ErrorCode"].value, attributes["ErrorMessage"].value) == ("429", "Rate Exceeded.")


async def test_too_old_when_taken(rig: Rig) -> None:
    """An event that grew too old while nobody was there is not run, and its destination is told."""
    await rig.accept("r")
    rig.clock.now += 21_601
    await rig.attempt()
    assert rig.functions.invocations == []
    record = await told(rig, TARGET)
    assert isinstance(record["requestContext"], dict)
    assert record["requestContext"]["condition"] == "EventAgeExceeded"


async def test_a_reserve_of_nothing(rig: Rig) -> None:
    """Events of a stopped function go straight to the on-failure destination and the dead-letter queue."""
    rig.functions.reserved = 0
    await rig.accept("r")
    await rig.attempt()
    assert rig.functions.invocations == []
    record = await told(rig, TARGET)
    assert isinstance(record["requestContext"], dict)
    assert record["requestContext"]["condition"] == "ZeroReservedConcurrency"
    await told(rig, DEAD)


async def test_nobody_to_tell(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Without destination and dead-letter queue a failed event is dropped, counted and named in the log."""
    rig.functions.policy = EventPolicy(maximum_retries=0)
    rig.functions.behaviour = fail
    await rig.accept("r")
    await rig.attempt()
    assert await rig.store.count(EVENTS) == 0
    assert (rig.counters.failed, rig.counters.dropped) == (1, 1)
    assert f"event r of {FUNCTION} dropped: exhaust retries; last error: no" in caplog.text


async def test_an_event_whose_function_is_gone(rig: Rig) -> None:
    """It is given up without an attempt, and its destination and the dead-letter queue are told."""
    rig.functions.is_gone = True
    await rig.accept("r")
    await rig.attempt()
    assert await rig.store.count(EVENTS) == 0
    record = await told(rig, TARGET)
    assert record["requestContext"] == {
        "requestId": "r", "functionArn": f"{FUNCTION}:$LATEST", "condition": "FunctionNotFound", "approximateInvokeCount": 0,
    }  # fmt: skip
    assert await told(rig, DEAD) == {"a": 1}
    attributes = rig.targets.taken[-1][2].attributes
    assert (attributes["ErrorCode"].value, attributes["ErrorMessage"].value) == ("404", "Function not found")
    assert (rig.counters.failed, rig.counters.dropped) == (1, 0)


async def test_a_function_is_gone_with_nobody_to_tell(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Its events are dropped, counted, with a word in the log."""
    rig.functions.is_gone, rig.functions.policy = True, EventPolicy()
    await rig.accept("r")
    await rig.attempt()
    assert await rig.store.count(EVENTS) == 0
    assert (rig.counters.failed, rig.counters.dropped) == (1, 1)
    assert f"event r of {FUNCTION} dropped: lose function; last error: Function not found" in caplog.text


async def test_a_recursive_loop_is_stopped(rig: Rig) -> None:
    """The seventeenth event of a chain is not run: both are told, with the chain's trace, and it is counted."""
    chain = ""
    for number in range(1, 18):
        chain, _ = entering(chain, (ACCOUNT, REGION, "f"), rig.clock())
        await rig.queue.accept(msgspec.structs.replace(new_event(f"r{number}", rig.clock()), trace_header=chain))
        await rig.attempt()
    assert len(rig.functions.invocations) == 16
    assert await rig.store.count(EVENTS) == 0
    assert (rig.counters.succeeded, rig.counters.failed, rig.counters.recursive_invocations_dropped) == (16, 1, 1)
    while await rig.deliver(TARGET):
        pass
    *_, (_, payload, envelope) = rig.targets.taken
    assert json.loads(payload)["requestContext"] == {
        "requestId": "r17", "functionArn": f"{FUNCTION}:$LATEST",
        "condition": "RecursiveInvocation", "approximateInvokeCount": 0,
    }  # fmt: skip
    assert envelope.trace_header == chain
    await told(rig, DEAD)
    envelope = rig.targets.taken[-1][2]
    assert (envelope.attributes["RequestID"].value, envelope.attributes["ErrorCode"].value) == ("r17", "400")
    assert envelope.trace_header == chain


async def test_retries_are_no_hops_and_loops_may_be_allowed(rig: Rig) -> None:
    """Attempts at one event count once; a function whose setting is Allow goes on."""
    chain = ""
    for _ in range(16):
        chain, _ = entering(chain, (ACCOUNT, REGION, "f"), rig.clock())
    rig.functions.behaviour = fail
    await rig.queue.accept(msgspec.structs.replace(new_event("r", rig.clock()), trace_header=chain))
    for _ in range(3):
        await rig.attempt()
        rig.clock.now += 120
    assert len(rig.functions.invocations) == 3
    rig.functions.policy = EventPolicy(stops_loops=False)
    chain, _ = entering(chain, (ACCOUNT, REGION, "f"), rig.clock())
    await rig.queue.accept(msgspec.structs.replace(new_event("s", rig.clock()), trace_header=chain))
    await rig.attempt()
    assert [each.request_id for each in rig.functions.invocations] == ["r", "r", "r", "s"]


async def test_bytes_that_are_no_event(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """They are dropped with a word in the log."""
    await rig.store.commit([Send(EVENTS, "bad", b"nonsense")])
    assert await rig.attempt() is not None
    assert await rig.store.count(EVENTS) == 0
    assert f"event bad of {EVENTS} dropped: it cannot be read" in caplog.text


async def test_an_event_that_was_taken_from_us(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """Who has lost the lease tells nobody anything: the next attempt decides."""
    await rig.accept("r")
    (message,) = await rig.store.receive(EVENTS, limit=1, lease_seconds=60)
    rig.clock.now += 60
    await rig.attempts.make(message)
    assert "was taken from us while it ran" in caplog.text
    assert not await rig.deliver(TARGET)
    await rig.attempt()
    assert await rig.deliver(TARGET)
    assert not await rig.deliver(TARGET)


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("arn:aws:s3:::bucket", "arn:aws:s3:::bucket/aws/lambda/async/f/1970/01/12/1970-01-12T13.46.40-id-1"),
        (f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:g", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:g"),
    ],
)
async def test_addresses(rig: Rig, target: str, address: str) -> None:
    """A bucket gets an object of its own for each record, the same one at each try; a function is its own address."""
    rig.functions.policy = EventPolicy(maximum_retries=0, on_failure=target)
    rig.functions.behaviour = fail
    await rig.accept("r")
    await rig.attempt()
    rig.targets.error = OSError("not now")
    assert await rig.deliver(target)
    rig.targets.error = None
    rig.clock.now += 1
    assert await rig.deliver(target)
    assert [arn for arn, _, _ in rig.targets.taken] == [address]


async def test_event_bridge(rig: Rig) -> None:
    """An event's detail type says the outcome, its resources the bus and the function."""
    bus = f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"
    rig.functions.policy = EventPolicy(on_success=bus)
    await rig.accept("r")
    await rig.attempt()
    await told(rig, bus)
    envelope = rig.targets.taken[-1][2]
    assert envelope.detail_type == "Lambda Function Invocation Result - Success"
    assert envelope.resources == (bus, f"{FUNCTION}:$LATEST")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("behaviour", [succeed, fail])
async def test_outcome_and_intention_are_one(
    tmp_path: Path, moment: str, behaviour: Callable[[Invocation], InvocationResult]
) -> None:
    """A death at the commit that ends an event leaves the event or the notices of its end: never both, never neither."""
    rig = await Rig(tmp_path / "store.db").open()
    rig.functions.policy = replace(rig.functions.policy, maximum_retries=0)
    rig.functions.behaviour = behaviour
    await rig.accept("r")
    (message,) = await rig.store.receive(EVENTS, limit=1, lease_seconds=60)
    rig.store.dies = moment
    with pytest.raises(Crash):
        await rig.attempts.make(message)
    await rig.restart()
    is_queued = bool(await rig.store.count(EVENTS))
    notices = [await rig.deliver(target) for target in (TARGET, DEAD)]
    assert is_queued == (moment == "before")
    assert notices == [not is_queued, not is_queued and behaviour is fail]
    await rig.close()
