"""One execution environment: a sandbox with its Runtime API session, from Init over one invocation at a time to its end."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from socket import socket
from typing import Protocol

from lambdad.invocation import failure, log_lines
from lambdad.invocation.code import CodeStore
from lambdad.invocation.concurrency import Lease
from lambdad.invocation.environment_variables import FunctionCredentials, environment_variables
from lambdad.invocation.failure import Failure
from lambdad.invocation.logs import FunctionLog, LogSink, LogStream
from lambdad.model.execution_environment import EnvironmentEvent, EnvironmentState, after
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.version import Version
from lambdad.runtime_api.server import RuntimeApiServer
from lambdad.runtime_api.session import AnswerKind, InvocationRequest, RuntimeAnswer, RuntimeSession
from lambdad.sandbox.base import ExitStatus, RuntimeProgram, Sandbox, Sandboxes, SandboxSpec, UnpackLimits

INIT_SECONDS = 10.0  #: AWS's limit of the Init phase
#: For what a process that has ended still had in its sockets; they close with it unless a child of it holds them.
LAST_WORDS_SECONDS = 0.2


class Closable(Protocol):
    async def close(self) -> None: ...


#: Serves the AWS endpoint on a listening socket inside the environment of this version, until closed.
ServeEndpoint = Callable[[socket, Version], Awaitable[Closable]]


@dataclass(frozen=True, slots=True)
class EnvironmentParts:
    """What every execution environment is made from."""

    sandboxes: Sandboxes
    code: CodeStore
    program_for: Callable[[str], Awaitable[RuntimeProgram]]
    mint: Callable[[Version], FunctionCredentials]
    log_sink: LogSink
    unpack_limits: UnpackLimits
    serve_endpoint: ServeEndpoint | None = None
    revoke: Callable[[FunctionCredentials], None] = lambda credentials: None
    is_log_sink_full: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex
    init_seconds: float = INIT_SECONDS


@dataclass(slots=True)
class _Run:
    """The invocation that the environment has."""

    invocation: Invocation
    started: float
    timer: asyncio.TimerHandle
    is_answered: bool = False
    lease: Lease | None = None  #: to be given back at the end, when the invoker has gone before it
    failure: Failure | None = None
    log_tail: bytes | None = None
    end: asyncio.Future[None] | None = field(default=None)  #: made by whoever waits for the end of it


class ExecutionEnvironment:
    """Made for one version: `start` once, `run` one at a time, `stop` in the end.

    `ended` is resolved when the environment has become of no more use, whatever the reason.
    """

    def __init__(self, version: Version, parts: EnvironmentParts) -> None:
        self.version = version
        self.state = EnvironmentState.STARTING
        self.is_retired = False  #: not to be used again once its invocation has ended
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._parts = parts
        self._session = RuntimeSession(self._loop)
        self._api = RuntimeApiServer(self._session, self._loop)
        self._log = FunctionLog(self._log_stream(), parts.log_sink, clock=parts.clock, is_sink_full=parts.is_log_sink_full)
        self._sandbox: Sandbox | None = None
        self._endpoint: Closable | None = None
        self._credentials: FunctionCredentials | None = None
        self._code: list[tuple[str, ...]] = []
        self._making = asyncio.Lock()  #: while the sandbox is being made it cannot be taken down
        self._watch: asyncio.Task[None] | None = None
        self._stop: asyncio.Task[None] | None = None
        self._exit: ExitStatus | None = None
        self._init_ms: float | None = None  #: until the first invocation has reported it
        self._init_failure: Failure | None = None
        self._run: _Run | None = None
        self._unreported: tuple[_Run, float] | None = None

    @property
    def is_idle(self) -> bool:
        return self.state is EnvironmentState.IDLE

    @property
    def is_answered(self) -> bool:
        """The invocation was answered, and the runtime is about to ask for the next one."""
        return self._run is not None and self._run.is_answered

    # Init

    async def start(self) -> None:
        """Init. Afterwards the environment is idle, or failed and owes one invocation that failure. Raises SandboxError."""
        started = self._parts.monotonic()
        try:
            async with self._making:
                if self.state is not EnvironmentState.STARTING:
                    return  # stopped meanwhile: nobody would take the sandbox down
                await self._make_sandbox()
            failed = await self._initialize()
        except BaseException:
            await self.stop()
            raise
        self._init_ms = (self._parts.monotonic() - started) * 1000
        if self.state is not EnvironmentState.STARTING:
            return
        if failed is None:
            self._to(EnvironmentEvent.INITIALIZED)
            return
        self._init_failure = failed
        self._log.drain()
        self._log.platform_line(log_lines.init_report(self._init_ms, failed.status, failed.reported_type))
        self._to(EnvironmentEvent.INIT_FAILED)

    async def _make_sandbox(self) -> None:
        parts, version = self._parts, self.version
        task_root = await self._unpacked((version.code.digest,))
        opt_root = await self._unpacked(tuple(layer.digest for layer in version.layers)) if version.layers else None
        self._credentials = parts.mint(version)
        spec = SandboxSpec(
            sandbox_id=parts.new_id(),
            program=await parts.program_for(version.runtime),
            task_root=task_root,
            opt_root=opt_root,
            memory_mb=version.memory_mb,
            tmp_mb=version.ephemeral_storage_mb,
            environment=environment_variables(version, self._credentials, self._log.stream.name),
        )
        sandbox = self._sandbox = await parts.sandboxes.start(spec)
        self._log.open(sandbox.log_pipe, self._loop)
        self._log.platform_line(log_lines.init_start(version.runtime, version.region))
        await self._api.open(sandbox.runtime_listener, sandbox.runtime_connection)
        if sandbox.endpoint_listener is not None and parts.serve_endpoint is not None:
            self._endpoint = await parts.serve_endpoint(sandbox.endpoint_listener, version)
        self._watch = self._loop.create_task(self._watch_exit(sandbox))

    async def _unpacked(self, digests: tuple[str, ...]) -> Path:
        tree = await self._parts.code.acquire(digests, self._parts.unpack_limits)
        self._code.append(digests)
        return tree

    async def _initialize(self) -> Failure | None:
        limit = self._parts.init_seconds
        try:
            async with asyncio.timeout(limit):
                is_ready = await self._session.wait_ready()
        except TimeoutError:
            return failure.timed_out(limit)
        if is_ready and self._exit is None:
            return None
        posted = self._session.init_error
        if posted is not None:
            return failure.posted(posted.error_type, posted.body, posted.content_type)
        return failure.exited(self._exit) if self._exit is not None else failure.stopped()

    async def _watch_exit(self, sandbox: Sandbox) -> None:
        """What the process sent before it ended counts: a runtime posts its error and exits at once."""
        status = await sandbox.exited()
        await self._api.drained(LAST_WORDS_SECONDS)
        self._exit = status
        self._session.end()
        if self.state in {EnvironmentState.IDLE, EnvironmentState.BUSY}:
            self._end(failure.exited(status))

    # Invoke

    async def run(self, invocation: Invocation, lease: Lease | None = None) -> InvocationResult:
        """Has the function run. When the caller is cancelled the function goes on, and the environment is busy to its end."""
        if self._init_failure is not None:
            return self._fail_for_init(invocation, self._init_failure)
        run = self._begin(invocation)
        try:
            answer = await self._session.invoke(self._request(invocation))
            run.is_answered = True
        except asyncio.CancelledError:
            if lease is not None and self._run is run:
                lease.keep()
                run.lease = lease
            raise
        finally:
            self._conclude_when_ready(run)
        if invocation.wants_log_tail:
            await asyncio.shield(self.until_settled())
        return self._result(run, answer)

    def until_settled(self) -> asyncio.Future[None]:
        """Resolved when the environment is no longer busy."""
        run = self._run
        if run is None:
            settled = self._loop.create_future()
            settled.set_result(None)
            return settled
        if run.end is None:
            run.end = self._loop.create_future()
        return run.end

    def _begin(self, invocation: Invocation) -> _Run:
        self._report_unreported()
        self._to(EnvironmentEvent.INVOKE)
        timer = self._loop.call_later(self.version.timeout_seconds, self._time_out)
        run = self._run = _Run(invocation, self._parts.monotonic(), timer)
        self._log.begin(invocation.request_id, self.version.version, wants_tail=invocation.wants_log_tail)
        return run

    def _request(self, invocation: Invocation) -> InvocationRequest:
        return InvocationRequest(
            invocation.request_id,
            invocation.payload,
            int((self._parts.clock() + self.version.timeout_seconds) * 1000),
            invocation.invoked_function_arn,
            invocation.trace_header,
            invocation.client_context,
            invocation.cognito_identity,
        )

    def _conclude_when_ready(self, run: _Run) -> None:
        if self._run is not run:
            return
        if self._session.is_ready:
            self._conclude(run)
        else:
            self._session.ready().add_done_callback(lambda ready: self._conclude(run) if ready.result() else None)

    def _time_out(self) -> None:
        self._session.end()
        self._end(failure.timed_out(self.version.timeout_seconds))

    def _end(self, reason: Failure) -> None:
        """The environment is of no more use, and its invocation, if there is one, fails for this reason."""
        if self._run is not None:
            self._conclude(self._run, reason)
        self._begin_stop()

    def _conclude(self, run: _Run, reason: Failure | None = None) -> None:
        """The end of an invocation: the runtime asks for the next one, or there is a reason why it never will."""
        if self._run is not run:
            return
        self._run = None
        run.timer.cancel()
        run.failure = reason
        duration_ms = (self._parts.monotonic() - run.started) * 1000
        if reason is None:
            self._to(EnvironmentEvent.SETTLED)
        self._unreported = (run, duration_ms)
        if reason is not None or run.invocation.wants_log_tail:
            self._report_unreported()
        else:
            # The answer goes out first.
            self._loop.call_soon(self._report_unreported)
        if run.lease is not None:
            run.lease.give_back()
        if run.end is not None and not run.end.done():
            run.end.set_result(None)

    def _report_unreported(self) -> None:
        if self._unreported is not None:
            (run, duration_ms), self._unreported = self._unreported, None
            self._log.drain()  # reading may have been paused
            run.log_tail = self._report(run.invocation, duration_ms, run.failure)

    def _report(self, invocation: Invocation, duration_ms: float, reason: Failure | None) -> bytes | None:
        if reason is not None and reason.status == "timeout":
            duration_ms = min(duration_ms, self.version.timeout_seconds * 1000)
        figures = log_lines.Report(
            invocation.request_id,
            duration_ms,
            self.version.memory_mb,
            None if self._sandbox is None else self._sandbox.memory_peak_bytes(),
            self._init_ms,
            "" if reason is None else reason.status,
            "" if reason is None else reason.reported_type,
        )
        self._init_ms = None
        return self._log.finish(figures)

    def _result(self, run: _Run, answer: RuntimeAnswer) -> InvocationResult:
        version, tail = self.version.version, run.log_tail
        match answer.kind:
            case AnswerKind.RESPONSE:
                return InvocationResult(answer.body, version, None, tail, answer.content_type)
            case AnswerKind.ENDED:
                reason = run.failure or failure.stopped()
                return InvocationResult(reason.payload(run.invocation.request_id), version, "Unhandled", tail)
            case AnswerKind.TOO_LARGE:
                return InvocationResult(failure.RESPONSE_TOO_LARGE, version, "Unhandled", tail)
            case AnswerKind.INVALID_RESPONSE_MODE:
                return InvocationResult(b"", version, "Unhandled", tail)
            case _:
                reason = failure.posted(answer.error_type, answer.body, answer.content_type)
                body = reason.payload(run.invocation.request_id)
                return InvocationResult(body, version, "Unhandled", tail, answer.content_type)

    def _fail_for_init(self, invocation: Invocation, reason: Failure) -> InvocationResult:
        """What Init came to is told to the invocation that waited for it; Init's time is its duration."""
        self._log.begin(invocation.request_id, self.version.version, wants_tail=invocation.wants_log_tail)
        tail = self._report(invocation, self._init_ms or 0.0, reason)
        body = reason.payload(invocation.request_id)
        return InvocationResult(body, self.version.version, "Unhandled", tail, reason.content_type)

    # Shutdown

    async def stop(self) -> None:
        """Takes everything down; returns when it is gone. An invocation under way fails. May be repeated."""
        if self._run is not None:
            self._session.end()
            self._conclude(self._run, failure.stopped())
        await asyncio.shield(self._begin_stop())

    def _begin_stop(self) -> asyncio.Task[None]:
        if self._stop is None:
            self._report_unreported()
            self._to(EnvironmentEvent.STOP)
            self._stop = self._loop.create_task(self._tear_down())
            if not self.ended.done():
                self.ended.set_result(None)
        return self._stop

    async def _tear_down(self) -> None:
        self._session.end()
        try:
            async with self._making:
                pass
            if self._endpoint is not None:
                await self._endpoint.close()
            await self._api.close()
        finally:
            try:
                if self._sandbox is not None:
                    await self._sandbox.stop()
                if self._watch is not None:
                    await self._watch
            finally:
                self._log.close()
                self._give_back()
                self._to(EnvironmentEvent.GONE)

    def _give_back(self) -> None:
        for digests in self._code:
            self._parts.code.release(digests)
        if self._credentials is not None:
            self._parts.revoke(self._credentials)

    def _to(self, event: EnvironmentEvent) -> None:
        self.state = after(self.state, event)

    def _log_stream(self) -> LogStream:
        version, parts = self.version, self._parts
        day = datetime.fromtimestamp(parts.clock(), UTC).strftime("%Y/%m/%d")
        group = version.log_group or f"/aws/lambda/{version.function_name}"
        return LogStream(version.account_id, version.region, group, f"{day}/[{version.version}]{parts.new_id()}")
