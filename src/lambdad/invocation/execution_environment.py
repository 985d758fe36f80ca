"""One execution environment: a sandbox with its Runtime API session, from Init over one invocation at a time to its end.

What fails in it is reset, as on AWS: all processes are killed, the sandbox and its /tmp stay, and the next invocation begins
with an Init of its own, within the function's timeout.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from lambdad.errors import SandboxError
from lambdad.invocation import failure, restore
from lambdad.invocation.concurrency import Lease
from lambdad.invocation.environment_log import EnvironmentLog
from lambdad.invocation.environment_parts import EnvironmentParts
from lambdad.invocation.environment_sandbox import EnvironmentSandbox
from lambdad.invocation.failure import Failure
from lambdad.invocation.initialization import InitFailed, Initialization
from lambdad.invocation.life import Life
from lambdad.invocation.run import Run, Timing
from lambdad.invocation.streamed_answer import StreamedAnswer
from lambdad.model.execution_environment import AVAILABLE, EnvironmentEvent, EnvironmentState, after
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.version import Version
from lambdad.runtime_api.response_stream import RESET, TIMED_OUT
from lambdad.runtime_api.session import AnswerKind, Beginning, RuntimeAnswer
from lambdad.sandbox.base import Snapshot

#: An environment that fails so often without a success in between is replaced: its /tmp may be what makes it fail.
MAX_RESETS = 3


class ExecutionEnvironment:
    """Made for one version: `start` once, `run` one at a time, `stop` in the end.

    `ended` is resolved when the environment has become of no more use, whatever the reason.
    """

    def __init__(
        self,
        version: Version,
        parts: EnvironmentParts,
        template_token: str | None = None,
        *,
        is_provisioned: bool = False,
    ) -> None:
        """With a token it is the template of a snapshot: after `start` comes `take_snapshot`, and then `stop`."""
        self.version = version
        self._initialization = Initialization.PROVISIONED if is_provisioned else Initialization.ON_DEMAND
        if template_token is not None:
            self._initialization = Initialization.SNAP_START
        self.state = EnvironmentState.STARTING
        self.is_retired = False  #: not to be used again once its invocation has ended
        self.idle_since = 0.0
        self.uses = 0  #: invocations that went well
        self.kept_from = 0.0  #: see `KeepAlive`
        self.init_seconds = 0.0  #: what the last Init took, and another one would cost
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._parts = parts
        self._log = EnvironmentLog(version, parts, self._initialization)
        self._sandbox = EnvironmentSandbox(version, parts, self._log, self._initialization, template_token, self._life_ended)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop: asyncio.Task[None] | None = None
        self._run: Run | None = None
        self._unreported: tuple[Run, float] | None = None
        self._resets = 0  #: since the last success
        self._was_reset: asyncio.Future[None] | None = None  #: while it is being reset

    @property
    def memory_mb(self) -> int:
        return self.version.memory_mb

    @property
    def is_available(self) -> bool:
        return self.state in AVAILABLE

    @property
    def is_nearly_free(self) -> bool:
        """The invocation was answered and the runtime is about to ask for the next one, or it failed and is being reset."""
        return self._was_reset is not None or (self._run is not None and self._run.is_nearly_over)

    # Init

    async def start(self) -> None:
        """Init. Afterwards the environment is idle, or reset: the next invocation tries again. Raises SandboxError.

        From a snapshot, or ahead of invocations, there is no next try: it raises ServiceError or InitFailed.
        """
        try:
            sandbox = self._sandbox
            if not await sandbox.make(lambda: self.state is EnvironmentState.STARTING):
                return
            made = self._parts.monotonic()
            failed = await sandbox.init()
            self.init_seconds = self._parts.monotonic() - sandbox.began
            if self.state is not EnvironmentState.STARTING:
                return
            if sandbox.beginning is Beginning.CLONE:
                sandbox.init_is_over()
                self._log.restore_ends(failed, self.init_seconds, self._parts.monotonic() - made)
                restore.check_restored(failed, self._parts.restore_seconds)
                self._to(EnvironmentEvent.INITIALIZED)
                return
            if failed is None:
                sandbox.init_is_over()
                self._log.init_ends(None, self.init_seconds, "init")
                self._to(EnvironmentEvent.INITIALIZED)
                return
            self._log.init_ends(failed, self.init_seconds, "init")
            if self._initialization is not Initialization.ON_DEMAND:
                raise InitFailed(failed)
            self._to(EnvironmentEvent.FAILED)
            await self._reset(failed)
        except BaseException:
            await self.stop()
            raise

    async def take_snapshot(self) -> Snapshot:
        """Of a template whose Init went well. Raises CannotSnapshot, or SandboxError."""
        return await self._sandbox.take_snapshot()

    def _life_ended(self, reason: Failure) -> None:
        if self.state is EnvironmentState.BUSY:
            self._fail(reason)
        elif self.state in {EnvironmentState.IDLE, EnvironmentState.FROZEN}:
            self._begin_stop()

    # Invoke

    async def run(self, invocation: Invocation, lease: Lease | None = None) -> InvocationResult:
        """Has the function run. When the caller is cancelled the function goes on, and the environment is busy to its end.

        It is too when the response is a stream, which has only begun when this returns.
        """
        state = self.state
        run = self._begin(invocation)
        try:
            if state is EnvironmentState.RESET:
                answer = await asyncio.shield(self._loop.create_task(self._run_after_init(run)))
            else:
                if state is EnvironmentState.FROZEN:
                    await self._sandbox.thaw()
                self._log.invocation_begins(run)
                answer = await self._hand_over(run)
        except asyncio.CancelledError:
            run.abandon()
            self._keep(lease, run)
            raise
        if run.stream is not None:
            self._keep(lease, run)
            streamed = StreamedAnswer(run.stream, run, lambda: self._until_over(run))
            return InvocationResult(b"", self.version.version, content_type=answer.content_type, stream=streamed)
        if invocation.wants_log_tail and run.failure is None:
            await asyncio.shield(self.until_settled())
        return run.result(answer)

    async def _hand_over(self, run: Run) -> RuntimeAnswer:
        life = self._sandbox.life
        assert life is not None
        request = run.request()
        try:
            if not life.extensions.is_empty:
                life.extensions.invoke(request)
            answering = life.session.invoke(request)
            try:
                answer = await answering
            except asyncio.CancelledError:
                if not answering.cancelled() and (late := answering.result().stream) is not None:
                    late.close()  # it began in the moment in which the caller went away
                raise
            if answer.stream is not None:
                run.stream_begins(answer.stream)
            run.is_answered = True
            if self._log.wants_details and answer.kind is not AnswerKind.ENDED:
                run.timing = Timing(self._parts.monotonic(), answer.transfer_seconds, len(answer.body))
            return answer
        finally:
            self._conclude_when_settled(run, life)

    async def _run_after_init(self, run: Run) -> RuntimeAnswer:
        """Init once more, within the function's timeout, then the invocation."""
        self._log.init_begins("invoke")
        failed = await self._sandbox.init_again()
        if self._run is run:
            self.init_seconds = self._parts.monotonic() - run.started
            if failed is None:
                self._sandbox.init_is_over()
                self._log.init_ends(None, self.init_seconds, "invoke")
                self._log.invocation_begins(run)
                return await self._hand_over(run)
            self._fail(failed)
        return RuntimeAnswer(AnswerKind.ENDED)

    def _keep(self, lease: Lease | None, run: Run) -> None:
        """The unit of concurrency is in use until the run has ended."""
        if lease is not None and self._run is run:
            lease.keep()
            run.lease = lease

    async def _until_over(self, run: Run) -> None:
        if self._run is run:
            await asyncio.shield(self.until_settled())

    def until_settled(self) -> asyncio.Future[None]:
        """Resolved when the environment is neither busy nor being reset."""
        if self._was_reset is not None:
            return self._was_reset
        run = self._run
        if run is None:
            settled = self._loop.create_future()
            settled.set_result(None)
            return settled
        if run.end is None:
            run.end = self._loop.create_future()
        return run.end

    def _begin(self, invocation: Invocation) -> Run:
        self._report_unreported()
        self._to(EnvironmentEvent.INVOKE)
        timeout = self.version.timeout_seconds
        deadline_ms = int((self._parts.clock() + timeout) * 1000)
        timer = self._loop.call_later(timeout, self._time_out)
        run = self._run = Run(invocation, self._parts.monotonic(), deadline_ms, timer)
        return run

    def _conclude_when_settled(self, run: Run, life: Life) -> None:
        if self._run is not run:
            return
        if run.timing is not None and run.timing.done is None and life.session.is_ready:
            self._log.runtime_is_done(run, None)
        if life.is_settled:
            self._conclude(run)
        else:
            waited_for = life.extensions.settled() if life.session.is_ready else life.session.ready()
            waited_for.add_done_callback(lambda done: self._conclude_when_settled(run, life) if done.result() else None)

    def _time_out(self) -> None:
        self._fail(failure.timed_out(self.version.timeout_seconds))

    def _fail(self, reason: Failure) -> None:
        """The invocation fails for this reason; the environment is reset, or replaced if that has not helped."""
        run = self._run
        assert run is not None
        self._conclude(run, reason)
        if self._sandbox.life is not None:
            self._sandbox.life.end(TIMED_OUT if reason.status == "timeout" else RESET)
        self._resets += 1
        # Where /tmp is memory, what fills it would make the next process run out as well.
        # From a snapshot a new environment is as good, and as quick.
        is_clone = self._sandbox.beginning is Beginning.CLONE
        if is_clone or self._resets > MAX_RESETS or reason.reported_type == "Runtime.OutOfMemory":
            self._begin_stop()
        else:
            self._to(EnvironmentEvent.FAILED)
            self._was_reset = self._loop.create_future()
            self._spawn(self._reset_or_stop(reason))
        self._resolve_end(run)

    def _conclude(self, run: Run, reason: Failure | None = None) -> None:
        """The end of an invocation: the runtime asks for the next one, or there is a reason why it never will."""
        if self._run is not run:
            return
        self._run = None
        run.timer.cancel()
        run.failure = reason
        now = self._parts.monotonic()
        if reason is None:
            self._to(EnvironmentEvent.SETTLED)
            self._resets = 0
            self.uses += 1
        elif not run.is_begun:
            self._log.init_ends(reason, now - run.started, "invoke")
            self._log.invocation_begins(run)
        if reason is not None and self._log.wants_details and (run.timing is None or run.timing.done is None):
            self._log.runtime_is_done(run, reason)
        life = self._sandbox.life
        if run.timing is not None and run.timing.done is not None and life is not None and life.extensions.registered:
            run.extension_overhead = self._log.span("extensionOverhead", run.timing.done, now)
        self._unreported = (run, (now - run.started) * 1000)
        if reason is not None or run.invocation.wants_log_tail:
            self._report_unreported()
        else:
            # The answer goes out first.
            self._loop.call_soon(self._report_unreported)
        if run.lease is not None:
            run.lease.give_back()
        if reason is None:
            self._resolve_end(run)

    def _resolve_end(self, run: Run) -> None:
        if run.end is not None and not run.end.done():
            run.end.set_result(None)

    def _report_unreported(self) -> None:
        if self._unreported is not None:
            (run, duration_ms), self._unreported = self._unreported, None
            self._log.invocation_ends(run, duration_ms, self._sandbox.memory_peak_bytes())

    # Between invocations

    async def freeze(self) -> None:
        """Everything inside stands still until the next invocation. To be called when it has been idle for a moment."""
        if self.state is EnvironmentState.IDLE:
            self._report_unreported()
            self._to(EnvironmentEvent.FROZE)
            await self._sandbox.freeze()

    async def _reset_or_stop(self, reason: Failure) -> None:
        try:
            await self._reset(reason)
        except SandboxError:  # the sandbox itself is gone, or something in it does not die
            self._begin_stop()
        finally:
            if self._was_reset is not None:
                self._was_reset.set_result(None)
                self._was_reset = None

    async def _reset(self, reason: Failure) -> None:
        """Kills every process. Raises SandboxError when that cannot be done."""
        await self._sandbox.kill(reason, lambda: self.state is EnvironmentState.RESETTING)
        if self.state is EnvironmentState.RESETTING:
            self._to(EnvironmentEvent.WAS_RESET)

    # Shutdown

    async def stop(self) -> None:
        """Takes everything down; returns when it is gone. An invocation under way fails. May be repeated."""
        run = self._run
        if run is not None:
            if self._sandbox.life is not None:
                self._sandbox.life.end()
            self._conclude(run, failure.stopped())
            self._resolve_end(run)
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
        try:
            await self._sandbox.shut_down()
        finally:
            try:
                await self._sandbox.take_down()
                if self._tasks:
                    await asyncio.wait(self._tasks)
            finally:
                self._to(EnvironmentEvent.GONE)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _to(self, event: EnvironmentEvent) -> None:
        self.state = after(self.state, event)
