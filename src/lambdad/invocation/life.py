"""What runs in a sandbox from one Init to the next reset: external extensions and the runtime, with their sessions.

The order is AWS's: extensions are started and have to register, then the runtime is started, and Init is over when all of them
have asked for work.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import islice
from pathlib import Path

from lambdad.errors import SandboxEnded, SandboxError
from lambdad.invocation import failure, log_lines, platform_events
from lambdad.invocation.extension_output import ExtensionOutput
from lambdad.invocation.failure import Failure
from lambdad.invocation.layer_tree import in_layers
from lambdad.invocation.logs import FunctionLog
from lambdad.invocation.platform_events import PlatformEvent
from lambdad.invocation.telemetry_delivery import DeliveryMemory, Subscriber
from lambdad.runtime_api.credentials import ContainerCredentials
from lambdad.runtime_api.extension_session import MAX_EXTENSIONS, ExtensionSession, FunctionIdentity
from lambdad.runtime_api.response_stream import RESET
from lambdad.runtime_api.server import RuntimeApiServer
from lambdad.runtime_api.session import Beginning, RuntimeSession
from lambdad.runtime_api.subscriptions import Subscription
from lambdad.sandbox.base import ExitStatus, Sandbox, SandboxProcess

EXTENSIONS_DIR = "/opt/extensions"
#: For what a process that has ended still had in its sockets; they close with it unless a child of it holds them.
LAST_WORDS_SECONDS = 0.2
#: AWS's budgets for the Shutdown phase, and the share of it that the runtime gets before the extensions.
INTERNAL_BUDGET_SECONDS = 0.5
EXTERNAL_BUDGET_SECONDS = 2.0
RUNTIME_SHARE = 0.3
FLUSH_SHARE = 0.25  #: for telemetry that is still to be delivered, before that
_MOST_LOOKED_AT = 1000  #: entries of /opt/extensions, files and others
#: Not in the environment of an extension, besides all names with an underscore first.
_NOT_FOR_EXTENSIONS = frozenset(
    {
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)


class Life:
    """`on_end` is told once, when it cannot go on after Init: the runtime has ended, or an extension has failed."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        log: FunctionLog,
        identity: FunctionIdentity,
        environment: Mapping[str, str],
        extension_names: Sequence[str],
        on_end: Callable[[Failure], None],
        memory: DeliveryMemory | None = None,
        beginning: Beginning = Beginning.INIT,
        credentials: ContainerCredentials | None = None,
        make_session: Callable[[ExtensionSession], RuntimeSession] | None = None,
    ) -> None:
        """With `make_session` the runtime takes several invocations at once, of which extensions hear nothing."""
        self.extensions = ExtensionSession(
            loop,
            identity,
            extension_names,
            self._extension_failed,
            self._subscribe,
            hears_of_invocations=make_session is None,
        )
        if make_session is None:
            self.session = RuntimeSession(loop, self.extensions, beginning, credentials)
        else:
            self.session = make_session(self.extensions)
        self._loop = loop
        self._log = log
        self._environment = environment
        self._names = extension_names
        self._on_end = on_end
        self._memory = memory or DeliveryMemory()
        self._runtime: SandboxProcess | None = None
        self._programs: dict[str, SandboxProcess] = {}
        self._outputs: list[ExtensionOutput] = []
        self._subscribers: list[Subscriber] = []
        self._sandbox: Sandbox | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: Failure | None = None
        self._is_over = False
        self._is_ready = False

    @property
    def is_settled(self) -> bool:
        """Runtime and extensions wait for the next invocation."""
        return self.session.is_ready and self.extensions.is_settled

    async def start(
        self,
        sandbox: Sandbox,
        api: RuntimeApiServer,
        limit_seconds: float | None,
        running: SandboxProcess | None = None,
    ) -> Failure | None:
        """Init. None if all went well, else why not. Without a limit somebody else has to `end` it. `running` is the runtime
        if it was started already, together with the sandbox."""
        try:
            async with asyncio.timeout(limit_seconds):
                is_ready = await self._start(sandbox, api, running)
        except TimeoutError:
            return failure.timed_out(limit_seconds or 0.0)
        except SandboxError as error:
            return failure.broken(str(error))
        if is_ready and not self._is_over:
            self._is_ready = True
            return None
        posted = self.session.init_error
        if posted is not None:
            return failure.posted(posted.error_type, posted.body, posted.content_type)
        return self._failure or failure.stopped()

    def end(self, stream_error: str = RESET) -> None:
        """What happens from now on is not told any more; whoever waits for the sessions is, in a stream by this error type."""
        self._is_over = True
        self.session.end(stream_error)
        self.extensions.end()

    async def shut_down(self, reason: str) -> None:
        """Gives runtime and extensions the time that AWS gives them to end by themselves; `reason` is "spindown", "timeout" or
        "failure". Afterwards the sandbox has to be cleared or stopped."""
        self.end()
        registered = self.extensions.registered
        if not registered:
            return
        has_external = any(extension.is_external for extension in registered)
        budget = EXTERNAL_BUDGET_SECONDS if has_external else INTERNAL_BUDGET_SECONDS
        begun = self._loop.time()
        if self._subscribers:
            await asyncio.gather(*(subscriber.flush(budget * FLUSH_SHARE) for subscriber in self._subscribers))
        await self._end_runtime(is_killed=reason != "spindown", seconds=budget * RUNTIME_SHARE if has_external else budget)
        told = self.extensions.shut_down(reason, int((time.time() + begun + budget - self._loop.time()) * 1000))
        ends = [self._programs[extension.name].exited() for extension in told if extension.name in self._programs]
        if ends:
            waiting = [asyncio.ensure_future(end) for end in ends]
            _, late = await asyncio.wait(waiting, timeout=max(0.0, begun + budget - self._loop.time()))
            for task in late:
                task.cancel()

    async def close(self) -> None:
        """To be called when every process is dead: reads what they have left."""
        self.end()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for output in self._outputs:
            output.close()
        self._log.hear, self._log.listeners = None, 0
        self._log.forget_early()
        for subscriber in self._subscribers:
            await subscriber.close()

    # Init

    async def _start(self, sandbox: Sandbox, api: RuntimeApiServer, running: SandboxProcess | None) -> bool:
        self._sandbox = sandbox
        for name in self._names:
            await self._start_extension(sandbox, name)
        if self._names and not await self.extensions.all_registered():
            return False
        await self._start_runtime(running or await sandbox.run_runtime(self._environment), api)
        is_ready = await self.session.wait_ready()
        self.extensions.close_registration()
        if is_ready and not self.extensions.is_empty:
            is_ready = await self.extensions.all_ready()
            for extension in self.extensions.registered:
                event = platform_events.extension(extension.name, "Ready", extension.events)
                self._log.platform(event, log_lines.extension(extension.name, extension.events))
        self.extensions.close_subscriptions()
        self._log.forget_early()
        return is_ready

    async def _start_extension(self, sandbox: Sandbox, name: str) -> None:
        environment = {
            key: value for key, value in self._environment.items() if not key.startswith("_") and key not in _NOT_FOR_EXTENSIONS
        }
        try:
            process = await sandbox.run(f"{EXTENSIONS_DIR}/{name}", environment)
        except SandboxEnded:
            raise  # the extension is not to blame
        except SandboxError as error:
            text = f"fork/exec {EXTENSIONS_DIR}/{name}: {str(error).lower()}"
            self._failure = Failure("Extension.LaunchError", text, reported_type="Extension.LaunchError")
            self.end()
            return
        self._programs[name] = process
        output = ExtensionOutput(process.log_pipe, self._loop, self._log)
        self._outputs.append(output)
        self._spawn(self._watch_extension(name, process))

    async def _start_runtime(self, process: SandboxProcess, api: RuntimeApiServer) -> None:
        self._runtime = process
        self._log.open(process.log_pipe, self._loop)
        if process.connection is not None:
            await api.adopt(process.connection)
        self._spawn(self._watch_runtime(process, api))

    # The ends

    async def _watch_runtime(self, process: SandboxProcess, api: RuntimeApiServer) -> None:
        """What the process sent before it ended counts: a runtime posts its error and exits at once."""
        status = await process.exited()
        if not self._is_over:
            await api.drained(LAST_WORDS_SECONDS)
        self._fail(failure.exited(status))

    async def _watch_extension(self, name: str, process: SandboxProcess) -> None:
        status = await process.exited()
        if not self._is_over:
            self.extensions.note_exit(name, _exit_text(status))

    def _extension_failed(self, error_type: str, message: str) -> None:
        self._fail(Failure(error_type, message, reported_type=error_type))

    def _subscribe(self, wish: Subscription) -> None:
        """What happened before, since Init began, is sent as well."""
        assert self._sandbox is not None
        if any(one.wish == wish for one in self._subscribers):
            return  # said once more
        for old in [one for one in self._subscribers if (one.wish.extension, one.wish.api) == (wish.extension, wish.api)]:
            self._subscribers.remove(old)
            self._spawn(old.close())
        subscriber = Subscriber(
            wish,
            self._sandbox,
            self._loop,
            memory=self._memory,
            has_json_logs=self._log.settings.format == "JSON",
        )
        for time_ms, event in self._log.early():
            subscriber.hear(time_ms, event)
        self._subscribers.append(subscriber)
        self._log.hear = self._tell_subscribers
        self._log.listeners = len(self._subscribers)
        told = platform_events.subscription(wish.api, wish.extension, wish.types)
        self._log.platform(told, log_lines.subscription(wish.api, wish.extension, wish.types))

    def _tell_subscribers(self, time_ms: int, event: PlatformEvent) -> None:
        for subscriber in self._subscribers:
            subscriber.hear(time_ms, event)

    def _fail(self, reason: Failure) -> None:
        if self._is_over:
            return
        self._failure = reason
        self.end()
        if self._is_ready:
            self._on_end(reason)

    async def _end_runtime(self, *, is_killed: bool, seconds: float) -> None:
        process = self._runtime
        if process is None:
            return
        ended = asyncio.ensure_future(process.exited())
        if not is_killed:
            process.signal(signal.SIGTERM)
            await asyncio.wait([ended], timeout=seconds)
        if not ended.done():
            process.signal(signal.SIGKILL)
            await asyncio.wait([ended], timeout=seconds)
        ended.cancel()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def external_extensions(opt_root: Path) -> list[str]:
    """The files directly in /opt/extensions, in order; what is not a file is none.

    A link that leads out of /opt counts as a file: only inside is there what it leads to. One more than there may be is enough,
    for it is refused; whoever made the folder may have put any number of files there.
    """
    folder = in_layers(opt_root, "/opt/extensions")
    if folder is None or not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in islice(entries, _MOST_LOOKED_AT))
    paths = ((name, in_layers(opt_root, f"/opt/extensions/{name}")) for name in names)
    found = (name for name, path in paths if path is None or path.is_file())
    return list(islice(found, MAX_EXTENSIONS + 1))


def _exit_text(status: ExitStatus) -> str:
    if status.signal is not None:
        return failure.signal_text(status.signal)
    return f"exit status {status.code}" if status.code else "exit code 0"
