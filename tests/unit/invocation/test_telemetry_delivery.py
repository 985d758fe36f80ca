"""Delivery of telemetry to a subscriber, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from lambdad.errors import SandboxError
from lambdad.invocation import platform_events
from lambdad.invocation.telemetry_delivery import DeliveryMemory, Subscriber
from lambdad.runtime_api.subscriptions import Subscription

WISH = Subscription("x", "TELEMETRY", "2022-12-13", ("platform", "function"), "HTTP", 0, "/in", timeout_seconds=0.02)


class Receiver:
    """An HTTP or TCP server that keeps what it is sent. `refuse` of the next requests are answered with 500."""

    def __init__(self) -> None:
        self.batches: list[list[dict[str, object]]] = []
        self.requests: list[bytes] = []
        self.arrived = asyncio.Event()
        self.refuse = 0
        self.closes = False
        self.nonsense: list[bytes] = []  #: what the next requests are answered with
        self.hold: asyncio.Event | None = None
        self.connections = 0

    async def open(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**22)
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        self._server.close()

    @property
    def events(self) -> list[dict[str, object]]:
        return [event for batch in self.batches for event in batch]

    async def expect(self, count: int, kind: str = "") -> list[dict[str, object]]:
        """All events so far, once there are so many (of this type)."""
        async with asyncio.timeout(60):
            while sum(event["type"] == kind or not kind for event in self.events) < count:
                self.arrived.clear()
                await self.arrived.wait()
        return self.events

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\n"):
                if head.startswith(b"{"):
                    self._take([json.loads(head)])
                    continue
                head += await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                if self.hold is not None:
                    await self.hold.wait()
                if self.nonsense:
                    writer.write(self.nonsense.pop(0))
                    continue
                if self.refuse:
                    self.refuse -= 1
                    writer.write(b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno")
                    continue
                self.requests.append(head)
                self._take(json.loads(body))
                end = b"Connection: close\r\n\r\n" if self.closes else b"Content-Length: 2\r\n\r\nok"
                writer.write(b"HTTP/1.1 200 OK\r\n" + end)
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _take(self, batch: list[dict[str, object]]) -> None:
        self.batches.append(batch)
        self.arrived.set()


class Inside:
    """As much of a sandbox as delivery needs."""

    address = "127.0.0.1"

    async def open_socket(self) -> socket.socket:
        made = socket.socket()
        made.setblocking(False)
        return made


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


async def subscriber(receiver: Receiver, has_json_logs: bool = False, **changes: object) -> Subscriber:
    wish = replace(WISH, port=await receiver.open(), **changes)  # type: ignore[arg-type]
    return subscribed(wish, has_json_logs=has_json_logs)


def subscribed(wish: Subscription, memory: DeliveryMemory | None = None, *, has_json_logs: bool = False) -> Subscriber:
    loop = asyncio.get_running_loop()
    return Subscriber(wish, Inside(), loop, memory=memory or DeliveryMemory(), has_json_logs=has_json_logs)  # type: ignore[arg-type]


async def test_events_arrive_in_batches(receiver: Receiver) -> None:
    """A JSON array of events in their order, by POST to the path, with time, type and record."""
    one = await subscriber(receiver)
    one.hear(1_700_000_000_123, platform_events.start("id", "$LATEST", ""))
    one.hear(1_700_000_000_124, platform_events.line("function", "hello"))
    one.hear(1_700_000_000_125, platform_events.line("extension", "not wanted"))
    one.hear(1_700_000_000_125, platform_events.end("not of this API"))
    one.hear(1_700_000_000_125, platform_events.fault("nor this"))
    assert await receiver.expect(2) == [
        {"time": "2023-11-14T22:13:20.123Z", "type": "platform.start", "record": {"requestId": "id", "version": "$LATEST"}},
        {"time": "2023-11-14T22:13:20.124Z", "type": "function", "record": "hello"},
    ]
    assert len(receiver.batches) == 1
    assert receiver.requests[0].startswith(b"POST /in HTTP/1.1\r\nHost: sandbox.localdomain:")
    await one.close()


@pytest.mark.parametrize(
    ("schema", "has_json_logs", "first"),
    [
        ("2022-12-13", True, {"a": 1}),
        ("2025-01-29", True, {"a": 1}),
        ("2022-07-01", True, '{"a": 1}'),
        ("2022-12-13", False, '{"a": 1}'),
    ],
)
async def test_lines_of_json_are_objects(receiver: Receiver, schema: str, has_json_logs: bool, first: object) -> None:
    """Where logs are in JSON, in newer schemas; else they are text, as is what only looks like an object."""
    one = await subscriber(receiver, has_json_logs, schema=schema)
    no_objects = ['{"a": ', '["a"]', '{"a": NaN}', '{"a": 1e999}', '{"a":' * 50_000 + "1" + "}" * 50_000]
    for text in ('{"a": 1}', *no_objects):
        one.hear(0, platform_events.line("function", text))
    assert [event["record"] for event in await receiver.expect(1 + len(no_objects))] == [first, *no_objects]
    await one.close()


async def test_a_subscriber_that_answers_nonsense(receiver: Receiver) -> None:
    """It is asked again on another connection, and loses nothing once it answers as it should."""
    one = await subscriber(receiver)
    receiver.nonsense = [
        b"\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 what\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ]
    one.hear(0, platform_events.line("function", "hello"))
    assert [event["record"] for event in await receiver.expect(1)] == ["hello"]
    assert receiver.connections == 5
    await one.close()


async def test_a_full_batch_does_not_wait(receiver: Receiver) -> None:
    """It is sent when it has its number of events, however long the timeout is; a batch is never larger."""
    one = await subscriber(receiver, max_items=1000, timeout_seconds=30.0)
    for number in range(2500):
        one.hear(0, platform_events.line("function", str(number)))
    await receiver.expect(2000)
    await one.flush(5)
    assert [event["record"] for event in await receiver.expect(2500)] == [str(number) for number in range(2500)]
    assert max(len(batch) for batch in receiver.batches) == 1000
    await one.close()


async def test_by_tcp(receiver: Receiver) -> None:
    """One JSON object a line, on one connection."""
    one = await subscriber(receiver, protocol="TCP")
    for number in range(3):
        one.hear(0, platform_events.line("function", str(number)))
        await receiver.expect(number + 1)
    assert receiver.connections == 1
    await one.close()


async def test_refused_batches_are_tried_again(receiver: Receiver) -> None:
    """After an error, and after the connection was closed, nothing is lost or doubled."""
    one = await subscriber(receiver)
    receiver.refuse = 2
    one.hear(0, platform_events.line("function", "1"))
    assert [event["record"] for event in await receiver.expect(1)] == ["1"]
    receiver.closes = True
    for number in ("2", "3", "4"):
        one.hear(0, platform_events.line("function", number))
        await receiver.expect(int(number))
    assert [event["record"] for event in receiver.events] == ["1", "2", "3", "4"]
    await one.close()


async def test_a_slow_subscriber_loses_events_and_is_told(receiver: Receiver) -> None:
    """What waits is bounded; once it takes events again, it hears how many were dropped."""
    receiver.hold = asyncio.Event()
    one = await subscriber(receiver)
    for _ in range(3000):
        one.hear(0, platform_events.line("function", "x" * 1000))
    receiver.hold.set()
    await receiver.expect(1, "platform.logsDropped")
    received = sum(event["type"] == "function" for event in receiver.events)
    (lost,) = [event["record"] for event in receiver.events if event["type"] == "platform.logsDropped"]
    assert lost["droppedRecords"] == 3000 - received  # type: ignore[index]
    assert received < 1200
    await one.close()


async def test_nobody_listens(receiver: Receiver) -> None:
    """The subscriber that is not there costs nobody anything; flush and close return."""
    await receiver.open()
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    memory = DeliveryMemory()
    one = subscribed(replace(WISH, port=port), memory)
    one.hear(0, platform_events.line("function", "x"))
    assert memory.used > 0
    await asyncio.wait_for(one.flush(0.2), 60)
    await asyncio.wait_for(one.close(), 60)
    assert memory.used == 0


@pytest.mark.parametrize(
    "answer", [b"\x00\xff\r\n\r\n", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b""]
)
async def test_answers_that_make_no_sense(answer: bytes) -> None:
    """A hostile subscriber harms nobody: the delivery is given up."""
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"]")
        asked.set()
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    memory = DeliveryMemory()
    one = subscribed(replace(WISH, port=port), memory)
    one.hear(0, platform_events.line("function", "x"))
    await asyncio.wait_for(one.flush(0.3), 60)
    await asyncio.wait_for(asked.wait(), 60)
    await asyncio.wait_for(one.close(), 60)
    assert memory.used == 0
    server.close()


async def test_the_logs_api_has_its_own_events(receiver: Receiver) -> None:
    """END and the fault are told, Init's events are not, and runtimeDone only from the second schema on."""
    one = await subscriber(receiver, api="LOGS", schema="2020-08-15", method="PUT")
    one.hear(0, platform_events.init_report("init", "success", "", 1.0))
    one.hear(0, platform_events.runtime_done("id", "success", "", 1.0, 2, ""))
    one.hear(0, platform_events.end("id"))
    one.hear(0, platform_events.fault("id"))
    ended, fault = await receiver.expect(2)
    assert ended["type"] == "platform.end"
    assert (fault["type"], fault["record"]) == ("platform.fault", "RequestId: id Process exited before completing request")
    assert receiver.requests[0].startswith(b"PUT ")
    await one.close()


async def test_all_subscribers_share_what_may_wait(receiver: Receiver) -> None:
    """One that takes nothing fills what all have together; another still has a little of its own, and closing gives back."""
    receiver.hold = asyncio.Event()
    port, memory = await receiver.open(), DeliveryMemory(limit=10_000, each=2_000)
    wish = replace(WISH, port=port, timeout_seconds=30.0)
    greedy, late = subscribed(wish, memory), subscribed(wish, memory)
    for _ in range(100):
        greedy.hear(0, platform_events.line("function", "x" * 400))
    full = memory.used
    assert 9_000 < full <= 10_000
    for _ in range(100):
        late.hear(0, platform_events.line("function", "x" * 400))
    assert full + 1_000 < memory.used <= full + 2_000
    await greedy.close()
    await late.close()
    assert memory.used == 0


async def test_one_that_never_answers(receiver: Receiver) -> None:
    """A subscriber that takes a batch and says nothing keeps nobody waiting beyond the time for the flush."""
    receiver.hold = asyncio.Event()
    memory = DeliveryMemory()
    one = subscribed(replace(WISH, port=await receiver.open()), memory)
    for _ in range(3000):
        one.hear(0, platform_events.line("function", "x" * 1000))
    assert memory.used <= 4 * WISH.max_bytes
    await asyncio.wait_for(one.flush(0.2), 60)
    await asyncio.wait_for(one.close(), 60)
    assert memory.used == 0


async def test_an_answer_that_does_not_end() -> None:
    """An answer of any length is not kept: its connection is given up once it has grown too long."""
    connections, second = [], asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        if len(connections) == 2:
            second.set()
        await reader.readuntil(b"]")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    memory = DeliveryMemory()
    one = subscribed(replace(WISH, port=server.sockets[0].getsockname()[1]), memory)
    one.hear(0, platform_events.line("function", "x"))
    await asyncio.wait_for(second.wait(), 60)
    await asyncio.wait_for(one.close(), 60)
    assert memory.used == 0
    server.close()
    for writer in connections:
        writer.transport.abort()


class Gone(Inside):
    """A sandbox that has ended: it says so without taking a moment."""

    tries = 0

    async def open_socket(self) -> socket.socket:
        self.tries += 1
        if self.tries > 20:
            raise asyncio.CancelledError  # else a delivery that never gives up would keep everything else from running
        raise SandboxError("the sandbox has ended")


async def test_the_last_delivery_to_a_sandbox_that_is_gone_is_given_up() -> None:
    """And keeps nobody else waiting. What is told afterwards takes no memory."""
    gone, memory = Gone(), DeliveryMemory()
    one = Subscriber(WISH, gone, asyncio.get_running_loop(), memory=memory)  # type: ignore[arg-type]
    one.hear(1_700_000_000_123, platform_events.start("id", "$LATEST", ""))
    await one.flush(10)
    assert gone.tries == 1
    one.hear(1_700_000_000_124, platform_events.end("id"))
    one.hear(1_700_000_000_124, platform_events.start("id", "$LATEST", ""))
    assert memory.used == 0
    await one.close()
