"""A running server: what it says of itself, when it must end, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from lambdad.config import Settings
from lambdad.errors import StartupError
from lambdad.event_queue.counters import EventCounters
from lambdad.event_queue.dispatcher import Dispatcher
from lambdad.health import Announcement, EnvironmentCounts, health_document, localstack_health_document
from lambdad.invocation.invoke import Invoker
from lambdad.runtimes.programs import RuntimePrograms
from lambdad.sandbox.base import Sandboxes
from lambdad.wire.internal import InternalRequest, InternalResponse
from lambdad.wire.listener import HttpListener, Listening

SERVICES = ("lambda", "s3", "logs", "iam", "sts", "signer", "ecr")


class Grace:
    """The one time that all that is under way has to end in, however many parts wait for theirs in turn."""

    def __init__(self, seconds: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._monotonic = monotonic
        self._end: float | None = None

    def left(self) -> float:
        """The time begins with the first question."""
        if self._end is None:
            self._end = self._monotonic() + self._seconds
        return max(0.0, self._end - self._monotonic())


class ServerStatus:
    """What the server says of itself, now."""

    def __init__(
        self,
        settings: Settings,
        endpoint: str,
        port: int,
        sandboxes: Sandboxes,
        programs: RuntimePrograms,
        invoker: Invoker,
        events: EventCounters,
    ) -> None:
        self.is_draining = False
        self._settings = settings
        self._endpoint = endpoint
        self._port = port
        self._sandboxes = sandboxes
        self._programs = programs
        self._invoker = invoker
        self._events = events
        self._started = time.monotonic()

    def announcement(self) -> Announcement:
        return Announcement(
            endpoint=self._endpoint,
            port=self._port,
            pid=os.getpid(),
            data_dir=self._settings.data_dir,
            isolation=self._sandboxes.name,
            weaknesses=self._sandboxes.weaknesses,
            network=self._sandboxes.network.mode,
            network_remark=self._sandboxes.network.remark,
            cpu=self._settings.cpu if self._sandboxes.shares_processors else "none",
            auth=self._settings.auth,
            quotas=self._settings.quotas_shown,
            runtimes=sorted(self._programs.available(), key=_by_number),
            runtime_problems=self._programs.problems(),
        )

    async def answer(self, request: InternalRequest) -> InternalResponse:
        counts = self._invoker.counts()
        document = health_document(
            self.announcement(),
            environments=EnvironmentCounts(busy=counts.busy, idle=counts.idle, starting=counts.starting),
            uptime_seconds=time.monotonic() - self._started,
            services=SERVICES,
            is_draining=self.is_draining,
            concurrency=self._invoker.concurrency_figures(),
            events=self._events.shown(),
            pre_booted=self._sandboxes.pre_booted,
        )
        return InternalResponse(body=json.dumps(document).encode())

    async def answer_as_localstack(self, request: InternalRequest) -> InternalResponse:
        return InternalResponse(body=json.dumps(localstack_health_document(SERVICES)).encode())


class RunningServer:
    """What takes requests from outside, for the moment of its stop."""

    def __init__(
        self,
        listener: HttpListener,
        status: ServerStatus,
        sandboxes: Sandboxes,
        dispatcher: Dispatcher,
        grace: Grace,
        tasks: Sequence[asyncio.Task[None]] = (),
    ) -> None:
        self.status = status
        self._tasks = tasks
        self._dispatcher = dispatcher
        self._grace = grace
        self._sandboxes = sandboxes
        self._listener = listener
        self._listenings: list[Listening] = []

    async def listen(self, sock: socket.socket) -> None:
        self._listenings.append(await self._listener.listen(sock))

    async def until_lost(self, asked_to_stop: asyncio.Event) -> None:
        """Returns when asked to stop; raises when the sandboxes, or a task that must run to the end, are lost before."""
        lost = asyncio.create_task(self._sandboxes.lost())
        asked = asyncio.create_task(asked_to_stop.wait())
        try:
            await asyncio.wait((lost, asked, *self._tasks), return_when=asyncio.FIRST_COMPLETED)
            if lost.done():
                raise StartupError(lost.result())
            for task in self._tasks:
                if task.done():
                    task.result()
                    raise StartupError(f"{task.get_name()} has ended, and the server cannot go on without.")
        finally:
            await cancelled(lost)
            await cancelled(asked)

    async def drain(self) -> None:
        """Takes no more requests and no more events; those under way end at the same time. May be repeated."""
        self.status.is_draining = True
        seconds = self._grace.left()
        await asyncio.gather(
            self._listener.drain(self._listenings, grace_seconds=seconds), self._dispatcher.stop(grace_seconds=seconds)
        )


def bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(socket.SOMAXCONN)  # taken now: a second server must fail here and not when it begins to serve
    except OSError as error:
        sock.close()
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be had: {error.strerror}"
        is_host_wrong = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        advice = (
            "name an address of this machine with --host" if is_host_wrong else "choose another with --port (0: any free one)"
        )
        raise StartupError(f"Port {port} at {host} {reason}; {advice}.") from error
    return sock


def raise_descriptor_limit() -> None:
    """Each execution environment costs the server a handful of descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS names a hard limit that it does not grant
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def stop_signals() -> asyncio.Event:
    """Set by the first SIGINT or SIGTERM; a second one ends the process at once, which loses nothing acknowledged."""
    asked = asyncio.Event()

    def stop(number: int) -> None:
        if asked.is_set():
            os._exit(128 + number)  # what a shell says of a program that a signal has ended
        asked.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop, number)
    return asked


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _by_number(runtime: str) -> tuple[int, ...]:
    return tuple(int(part) for part in runtime.removeprefix("python").split(".") if part.isdigit())
