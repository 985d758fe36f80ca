"""Delivers an environment's telemetry to the extensions that subscribed to it: in batches, over HTTP or TCP, into the sandbox.

Nobody waits for a slow subscriber: what it does not take is dropped once its buffer is full, and it is told how much.
"""

from __future__ import annotations

import asyncio
import json
import time

from lambdad.errors import SandboxError
from lambdad.invocation import platform_events
from lambdad.invocation.platform_events import PlatformEvent
from lambdad.runtime_api.subscriptions import Subscription
from lambdad.sandbox.base import Sandbox

#: What waits for a subscriber may be so many times its batch.
_BUFFERED_BATCHES = 4
_RETRY_SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0)
_MAX_ANSWER_BYTES = 64 * 1024
_SCHEMAS_WITH_OBJECTS = frozenset({"2022-12-13", "2025-01-29"})
#: The Logs API knows these; the last one from its second schema on.
_LOGS_API = frozenset(
    {
        "platform.start",
        "platform.end",
        "platform.report",
        "platform.fault",
        "platform.extension",
        "platform.logsSubscription",
        "platform.logsDropped",
        "platform.runtimeDone",
        "function",
        "extension",
    }
)


class DeliveryMemory:
    """What may wait for all the subscribers of a server together, beside a little for each."""

    def __init__(self, limit: int = 64 * 1024 * 1024, each: int = 64 * 1024) -> None:
        self._limit = limit
        self._each = each
        self.used = 0

    def has_room(self, size: int, waiting: int) -> bool:
        """For so much more, for one that has so much waiting."""
        return waiting + size <= self._each or self.used + size <= self._limit


class Subscriber:
    """One subscription, from its beginning to the end of the life that it belongs to."""

    def __init__(
        self,
        wish: Subscription,
        sandbox: Sandbox,
        loop: asyncio.AbstractEventLoop,
        *,
        memory: DeliveryMemory,
        has_json_logs: bool = False,
    ) -> None:
        self.wish = wish
        self._memory = memory
        self._sends_objects = has_json_logs and wish.schema in _SCHEMAS_WITH_OBJECTS
        self._sandbox = sandbox
        self._loop = loop
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._dropped_records = 0
        self._dropped_bytes = 0
        self._since: float | None = None  #: when the oldest of the waiting came
        self._news = asyncio.Event()
        self._is_flushing = False
        self._empty = asyncio.Event()
        self._empty.set()
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._task = loop.create_task(self._deliver())

    def hear(self, time_ms: int, event: PlatformEvent) -> None:
        """Takes an event in if it is wanted. Never waits."""
        if not self._wants(event.type) or self._task.done():
            return
        if self.wish.api == "TELEMETRY" and event.type in platform_events.LOGS_API_ONLY:
            return
        data = self._encoded(time_ms, event)
        size, waiting = len(data), self._waiting_bytes
        if waiting + size > self.wish.max_bytes * _BUFFERED_BATCHES or not self._memory.has_room(size, waiting):
            self._dropped_records += 1
            self._dropped_bytes += size
            return
        self._waiting.append(data)
        self._waiting_bytes += size
        self._memory.used += size
        self._empty.clear()
        if self._since is None:
            self._since = self._loop.time()
        self._news.set()

    async def flush(self, seconds: float) -> None:
        """Sends what there is without waiting for more; returns when it is sent or the time is over."""
        self._is_flushing = True
        self._news.set()
        try:
            await asyncio.wait_for(self._empty.wait(), seconds)
        except TimeoutError:
            return

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        self._memory.used -= self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0
        self._disconnect()

    def _wants(self, kind: str) -> bool:
        if self.wish.api == "LOGS" and kind not in _LOGS_API:
            return False
        if kind == "platform.runtimeDone" and self.wish.schema == "2020-08-15":
            return False
        return kind.partition(".")[0] in self.wish.types

    def _encoded(self, time_ms: int, event: PlatformEvent) -> bytes:
        """A line that is a JSON object is sent as one where logs are in JSON, to those who know that schema."""
        document = {"time": platform_events.timestamp(time_ms), "type": event.type, "record": event.record}
        if self._sends_objects and isinstance(event.record, str) and event.record.startswith("{"):
            try:
                return _as_json({**document, "record": json.loads(event.record)})
            except (ValueError, RecursionError):  # it has NaN, which only Python takes for JSON, or is nested without end
                pass
        return _as_json(document)

    async def _deliver(self) -> None:
        while True:
            await self._news.wait()
            await self._until_due()
            batch = self._take()
            if batch and not await self._send(batch):
                if self._is_flushing:  # the end has come, and nobody is there to be told of what is lost
                    self._empty.set()
                    return
                self._dropped_records += len(batch)
                self._dropped_bytes += sum(map(len, batch))
            self._tell_of_losses()
            if not self._waiting:
                self._news.clear()
                self._empty.set()

    async def _until_due(self) -> None:
        """A batch is due when it is full, when its oldest event has waited long enough, or when the end has come."""
        while not self._is_full() and not self._is_flushing and self._since is not None:
            left = self._since + self.wish.timeout_seconds - self._loop.time()
            if left <= 0:
                return
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), left)
            except TimeoutError:
                return

    def _is_full(self) -> bool:
        return len(self._waiting) >= self.wish.max_items or self._waiting_bytes >= self.wish.max_bytes

    def _take(self) -> list[bytes]:
        size, count = 0, 0
        for data in self._waiting[: self.wish.max_items]:
            size += len(data)
            if count and size > self.wish.max_bytes:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        taken = sum(map(len, batch))
        self._waiting_bytes -= taken
        self._memory.used -= taken
        self._since = self._loop.time() if self._waiting else None
        if self._waiting:
            self._news.set()
        return batch

    def _tell_of_losses(self) -> None:
        if self._dropped_records and not self._waiting:
            event = platform_events.logs_dropped(self._dropped_records, self._dropped_bytes)
            self._dropped_records = self._dropped_bytes = 0
            self.hear(int(time.time() * 1000), event)

    async def _send(self, batch: list[bytes]) -> bool:
        """False when the subscriber took it at no try."""
        for pause in (*_RETRY_SECONDS, None):
            try:
                if self.wish.protocol == "TCP":
                    await self._send_by_tcp(batch)
                    return True
                if await self._send_by_http(batch):
                    return True
            except (OSError, SandboxError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                self._disconnect()
            if pause is None or self._is_flushing:
                return False
            await asyncio.sleep(pause)
        return False

    async def _send_by_tcp(self, batch: list[bytes]) -> None:
        _, writer = await self._connected()
        writer.write(b"".join(data + b"\n" for data in batch))
        await writer.drain()

    async def _send_by_http(self, batch: list[bytes]) -> bool:
        wish = self.wish
        body = b"[" + b",".join(batch) + b"]"
        head = (
            f"{wish.method} {wish.path} HTTP/1.1\r\nHost: sandbox.localdomain:{wish.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        reader, writer = await self._connected()
        writer.write(head.encode() + body)
        await writer.drain()
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(answer.partition(" ")[2][:3])
        length = next((line.split(":")[1] for line in answer.split("\r\n") if line.startswith("content-length:")), None)
        if length is None or int(length) > _MAX_ANSWER_BYTES or "connection: close" in answer or answer.startswith("http/1.0"):
            self._disconnect()
        else:
            await reader.readexactly(int(length))
        return 200 <= status < 300

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._connection is None:
            made = await self._sandbox.open_socket()
            try:
                await self._loop.sock_connect(made, (self._sandbox.address, self.wish.port))
                self._connection = await asyncio.open_connection(sock=made, limit=_MAX_ANSWER_BYTES)
            except BaseException:
                made.close()
                raise
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None


def _as_json(document: dict[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
