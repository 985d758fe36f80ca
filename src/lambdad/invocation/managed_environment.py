"""An execution environment of managed instances: its runtime takes several invocations at once, and is never frozen.

As on AWS an invocation that times out fails alone, and the function's code goes on; it keeps its place until it has answered. A
worker of the runtime that dies takes its own invocation with it. What ends the runtime or an extension ends the environment. So
does it when every place has been taken for a while by what nobody waits for any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lambdad.invocation import failure, platform_events
from lambdad.invocation.concurrency import Lease
from lambdad.invocation.environment_log import EnvironmentLog
from lambdad.invocation.environment_parts import EnvironmentParts
from lambdad.invocation.environment_supplies import EnvironmentSupplies
from lambdad.invocation.failure import Failure
from lambdad.invocation.initialization import InitFailed, Initialization, init_limit
from lambdad.invocation.life import Life
from lambdad.invocation.run import Run
from lambdad.invocation.streamed_answer import StreamedAnswer
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.version import Version
from lambdad.runtime_api.concurrent_session import ConcurrentSession
from lambdad.runtime_api.extension_session import ExtensionSession, FunctionIdentity
from lambdad.runtime_api.response_stream import TIMED_OUT, ResponseStream, StreamFailure
from lambdad.runtime_api.server import RuntimeApiServer
from lambdad.runtime_api.session import AnswerKind, Beginning, RuntimeAnswer, RuntimeSession
from lambdad.runtimes.catalog import CUSTOM_RUNTIMES
from lambdad.sandbox.base import ExitStatus, Sandbox

#: How long it is waited for the reason why a worker has ended, which the end of the runtime itself would be.
LAST_WORDS_SECONDS = 0.5
#: So long one may be without a place and without an invocation: what has its places is late, and may never end.
STUCK_SECONDS = 60.0
_WORKER_ENDED = failure.exited(ExitStatus(code=0))


class ManagedEnvironment:
    """Made for one version: `start` once, `run` as often as `free` says, `stop` in the end.

    `ended` is resolved when it has become of no more use, whatever the reason.
    """

    def __init__(self, version: Version, parts: EnvironmentParts) -> None:
        assert version.managed is not None
        self.version = version
        self.is_retired = False  #: gets no more invocations
        self.uses = 0  #: invocations so far
        self._parts = parts
        self._concurrency = version.managed.concurrency
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._api = RuntimeApiServer(RuntimeSession(self._loop), self._loop, self._concurrency)
        self._log = EnvironmentLog(version, parts, Initialization.MANAGED)
        self._supplies = EnvironmentSupplies(version, parts, self._log, self._api)
        self._session: ConcurrentSession | None = None
        self._life: Life | None = None
        self._sandbox: Sandbox | None = None
        self._runs: dict[str, Run] = {}  #: by request id, without an answer, or with one that is still being streamed
        self._answers: dict[str, asyncio.Future[RuntimeAnswer]] = {}
        self._reserved = 0
        self._drained: asyncio.Future[None] | None = None
        self.on_change: Callable[[ManagedEnvironment], None] = lambda environment: None  #: a place is free, or nearly
        self._is_ready = False
        self._giving_up: asyncio.TimerHandle | None = None  #: runs while no place is free and no invocation under way
        self._making = asyncio.Lock()  #: while it is being made it cannot be taken down
        self._stop: asyncio.Task[None] | None = None

    @property
    def memory_mb(self) -> int:
        return self.version.memory_mb

    @property
    def is_available(self) -> bool:
        return self._is_ready and self._stop is None

    @property
    def in_flight(self) -> int:
        """Invocations that it has, or will have in a moment."""
        return len(self._runs) + self._reserved

    @property
    def free(self) -> int:
        """How many more invocations it can take now."""
        return self._session.free - self._reserved if self.is_available and self._session is not None else 0

    def can_take(self, request_id: str) -> bool:
        """Whether it can take this invocation, which it may have had before: an event that timed out is tried again with the
        same id, while the first try may go on."""
        session = self._session
        return self.free > 0 and session is not None and session.idles(request_id)

    # Init

    async def start(self) -> None:
        """Init. Raises SandboxError, or InitFailed; there is no second try."""
        try:
            started = self._parts.monotonic()
            async with self._making:
                if self._stop is not None:
                    return  # stopped meanwhile: nobody would take the sandbox down
                sandbox, life = await self._make_sandbox()
            limit = init_limit(Initialization.MANAGED, Beginning.INIT, self.version, self._parts)
            failed = await life.start(sandbox, self._api, limit, sandbox.runtime)
            if self._stop is not None:
                return
            self._log.init_ends(failed, self._parts.monotonic() - started, "init")
            if failed is not None:
                raise InitFailed(failed)
            if self._parts.has_cpu_quota and self.version.managed is not None:
                sandbox.limit_cpu(self.version.managed.vcpus)
            self._is_ready = True
        except BaseException:
            await self.stop()
            raise

    async def _make_sandbox(self) -> tuple[Sandbox, Life]:
        version, supplies = self.version, self._supplies
        spec = await supplies.spec(Initialization.MANAGED)
        sandbox = self._sandbox = await self._parts.sandboxes.start(spec)
        self._log.init_begins("init")
        identity = FunctionIdentity(version.function_name, version.version, version.handler, version.account_id)
        life = self._life = Life(
            self._loop,
            self._log.output,
            identity,
            supplies.variables,
            supplies.extension_names,
            self._life_ended,
            self._parts.delivery_memory,
            make_session=self._make_session,
        )
        self._api.renew(life.session)
        await supplies.serve(sandbox)
        return sandbox, life

    def _make_session(self, extensions: ExtensionSession) -> RuntimeSession:
        """lambdad's own client has a process and a connection for each invocation; of others nothing is known."""
        is_ours = self.version.runtime not in CUSTOM_RUNTIMES
        self._session = ConcurrentSession(
            self._loop, extensions, self._concurrency, self._place_is_free, dies_with_connection=is_ours
        )
        return self._session

    def _place_is_free(self) -> None:
        self._keep()
        self.on_change(self)

    def _life_ended(self, reason: Failure) -> None:
        """After Init. Whatever has no answer fails with it."""
        for run in self._runs.values():
            run.failure = run.failure or reason
        self._begin_stop()

    # Invoke

    def reserve(self) -> None:
        """A place for an invocation that comes in a moment."""
        self._reserved += 1

    def unreserve(self) -> None:
        """It does not come."""
        self._reserved -= 1

    @property
    def has_place(self) -> bool:
        """Whether what was reserved is still there: its worker may have died since."""
        return self.is_available and self._session is not None and self._session.is_ready

    async def run(self, invocation: Invocation, lease: Lease | None = None) -> InvocationResult:
        """Has the function run, in a place that was reserved. When the caller is cancelled the function goes on, as it does
        after its timeout."""
        session = self._session
        assert session is not None
        self.unreserve()
        self.uses += 1
        run = self._begin(invocation)
        answering = self._answers[invocation.request_id] = session.invoke(run.request())
        try:
            answer = await answering
            if answer.kind is AnswerKind.ENDED and run.failure is None:
                # A worker has died, or all of them have and the reason is about to be known.
                await asyncio.wait([self.ended], timeout=LAST_WORDS_SECONDS)
        except asyncio.CancelledError:
            if answering.done() and not answering.cancelled() and (late := answering.result().stream) is not None:
                late.close()  # it began in the moment in which the caller went away
            run.abandon()
            session.settled(invocation.request_id).add_done_callback(lambda settled: self._conclude(run))
            raise
        if answer.stream is not None:
            return self._streamed(session, run, answer.stream)
        if answer.kind is AnswerKind.ENDED and run.failure is None:
            run.failure = _WORKER_ENDED
        self._conclude(run)
        return run.result(answer)

    def _streamed(self, session: ConcurrentSession, run: Run, stream: ResponseStream) -> InvocationResult:
        run.stream_begins(stream)
        settled = session.settled(run.invocation.request_id)
        settled.add_done_callback(lambda done: self._conclude(run))

        async def until_settled() -> None:
            await asyncio.shield(settled)

        streamed = StreamedAnswer(stream, run, until_settled)
        return InvocationResult(b"", self.version.version, content_type=stream.content_type, stream=streamed)

    def _begin(self, invocation: Invocation) -> Run:
        version = self.version
        deadline_ms = int((self._parts.clock() + version.timeout_seconds) * 1000)
        request_id = invocation.request_id
        timer = self._loop.call_later(version.timeout_seconds, lambda: self._time_out(self._runs[request_id]))
        run = self._runs[request_id] = Run(invocation, self._parts.monotonic(), deadline_ms, timer)
        event = platform_events.start(invocation.request_id, version.version, invocation.trace_header)
        self._log.output.platform(event, None)
        return run

    def _time_out(self, run: Run) -> None:
        """The invoker is told so. The code is not stopped: others run beside it."""
        run.failure = failure.timed_out(self.version.timeout_seconds)
        if run.stream is not None:
            run.stream.finish(StreamFailure(TIMED_OUT))
            self._conclude(run)
            return
        answering = self._answers[run.invocation.request_id]
        if answering.done():
            self._conclude(run)  # nobody waits for it
        else:
            answering.set_result(RuntimeAnswer(AnswerKind.ENDED))

    def _conclude(self, run: Run) -> None:
        request_id = run.invocation.request_id
        if self._runs.get(request_id) is not run:
            return
        del self._runs[request_id]
        self._answers.pop(request_id, None)
        run.timer.cancel()
        self._report(run)
        if not self._runs:
            self._may_be_stuck()
            if self._drained is not None and not self._drained.done():
                self._drained.set_result(None)
        self.on_change(self)

    def _may_be_stuck(self) -> None:
        if self._giving_up is None and self.is_available and self._session is not None and not self._session.is_ready:
            self._giving_up = self._loop.call_later(STUCK_SECONDS, self._begin_stop)

    def _keep(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def _report(self, run: Run) -> None:
        output, invocation, reason = self._log.output, run.invocation, run.failure
        output.drain()
        duration_ms = (self._parts.monotonic() - run.started) * 1000
        status, error_type = ("success", "") if reason is None else (reason.status, reason.reported_type)
        size = 0 if run.stream is None else run.stream.size
        told = (invocation.request_id, status, error_type, duration_ms)
        output.platform(platform_events.runtime_done(*told, size, invocation.trace_header), None)
        output.platform(platform_events.managed_report(*told, invocation.trace_header), None)

    # Shutdown

    def drained(self) -> asyncio.Future[None]:
        """Resolved when no invocation is under way."""
        if self._drained is None or self._drained.done():
            self._drained = self._loop.create_future()
            if not self._runs:
                self._drained.set_result(None)
        return self._drained

    async def stop(self) -> None:
        """Takes everything down; returns when it is gone. Invocations under way fail. May be repeated."""
        for run in list(self._runs.values()):
            run.failure = run.failure or failure.stopped()
        await asyncio.shield(self._begin_stop())

    def _begin_stop(self) -> asyncio.Task[None]:
        self._keep()
        if self._stop is None:
            self._stop = self._loop.create_task(self._tear_down())
            if self._life is not None:
                self._life.end()
            if not self.ended.done():
                self.ended.set_result(None)
        return self._stop

    async def _tear_down(self) -> None:
        try:
            async with self._making:
                if self._life is not None and self._sandbox is not None:
                    await self._life.shut_down("spindown")
        finally:
            await self._supplies.take_down(self._sandbox, self._life)
