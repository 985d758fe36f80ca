"""The sandbox of one execution environment and the life in it: made, initialised, killed and initialised again, taken down.

When that happens, and what is invoked in between, is the environment's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lambdad.errors import SandboxError
from lambdad.invocation import restore
from lambdad.invocation.environment_log import EnvironmentLog
from lambdad.invocation.environment_parts import EnvironmentParts
from lambdad.invocation.environment_supplies import EnvironmentSupplies
from lambdad.invocation.failure import Failure
from lambdad.invocation.initialization import Initialization, init_limit
from lambdad.invocation.life import Life
from lambdad.invocation.version_snapshot import VersionSnapshot
from lambdad.model.processor_share import processors
from lambdad.model.version import Version
from lambdad.runtime_api.extension_session import FunctionIdentity
from lambdad.runtime_api.server import RuntimeApiServer
from lambdad.runtime_api.session import Beginning, RuntimeSession
from lambdad.sandbox.base import Sandbox, Snapshot

#: How long killing may take before the environment is replaced: a process may be stuck in the kernel.
KILL_SECONDS = 5.0


class EnvironmentSandbox:
    """`make` and `init` once, `kill` and `init_again` when something in it fails, `shut_down` and `take_down` in the end."""

    def __init__(
        self,
        version: Version,
        parts: EnvironmentParts,
        log: EnvironmentLog,
        initialization: Initialization,
        template_token: str | None,
        life_ended: Callable[[Failure], None],
    ) -> None:
        """With a token it is the template of a snapshot. `life_ended` is told why the life that goes on has ended by itself."""
        self.beginning = Beginning.INIT
        if version.has_snapshot:
            self.beginning = Beginning.CLONE if template_token is None else Beginning.TEMPLATE
        self.began = 0.0  #: when its making began, the snapshot being there
        self.life: Life | None = None  #: the one that goes on, or the last
        self._version = version
        self._parts = parts
        self._log = log
        self._initialization = initialization
        self._token = template_token  #: of a snapshot, for credentials
        self._tell_end = life_ended
        self._loop = asyncio.get_running_loop()
        self._api = RuntimeApiServer(RuntimeSession(self._loop), self._loop)
        self._supplies = EnvironmentSupplies(version, parts, log, self._api)
        self._sandbox: Sandbox | None = None
        self._changing = asyncio.Lock()  #: while processes are being started or killed it cannot be taken down

    async def make(self, is_wanted: Callable[[], bool]) -> bool:
        """False when it is not wanted any more: nobody would take it down. Raises SandboxError, or ServiceError where the
        snapshot cannot be had."""
        source = await self._source()
        try:
            return await self._make(source, is_wanted)
        except SandboxError:
            if source is None or not source.snapshot.is_lost:
                raise
            self._supplies.give_back()  # it was lost while it was cloned, before the function could do anything: once more
        return await self._make(await self._source(), is_wanted)

    async def init(self) -> Failure | None:
        """The first one, or what a clone has instead: to be restored."""
        assert self.life is not None and self._sandbox is not None
        limit = init_limit(self._initialization, self.beginning, self._version, self._parts)
        return await self.life.start(self._sandbox, self._api, limit, self._sandbox.runtime)

    async def init_again(self) -> Failure | None:
        """After `kill`; as long as the invocation has that waits for it."""
        assert self._sandbox is not None
        self._limit_cpu(None)
        life = self._begin_life()
        await self._api.renewed()
        return await life.start(self._sandbox, self._api, None)

    def init_is_over(self) -> None:
        """As on AWS, Init runs at full speed, and what comes then does not."""
        self._limit_cpu(processors(self._version.memory_mb))

    async def take_snapshot(self) -> Snapshot:
        """Of a template whose Init went well. Raises CannotSnapshot, or SandboxError."""
        assert self.life is not None and self._sandbox is not None
        return await restore.take_snapshot(self.life, self._sandbox, self._log.output)

    async def freeze(self) -> None:
        if self._sandbox is not None:
            await self._sandbox.freeze()

    async def thaw(self) -> None:
        assert self._sandbox is not None
        await self._sandbox.thaw()

    def memory_peak_bytes(self) -> int | None:
        return None if self._sandbox is None else self._sandbox.memory_peak_bytes()

    async def kill(self, reason: Failure, is_wanted: Callable[[], bool]) -> None:
        """Ends every process, unless that is not wanted any more. Raises SandboxError when it cannot be done."""
        async with self._changing:
            if not is_wanted():
                return
            assert self._sandbox is not None and self.life is not None
            await self.life.shut_down("timeout" if reason.status == "timeout" else "failure")
            try:
                async with asyncio.timeout(KILL_SECONDS):
                    await self._sandbox.kill_all()
            except TimeoutError as error:
                raise SandboxError(f"its processes have not ended within {KILL_SECONDS:g} seconds") from error
            await self.life.close()

    async def shut_down(self) -> None:
        if self.life is not None:
            self.life.end()
        async with self._changing:
            if self.life is not None and self._sandbox is not None:
                await self._sandbox.thaw()
                await self.life.shut_down("spindown")

    async def take_down(self) -> None:
        """After `shut_down`, however that went."""
        await self._supplies.take_down(self._sandbox, self.life)

    async def _source(self) -> VersionSnapshot | None:
        if self.beginning is not Beginning.CLONE:
            return None
        assert self._parts.snapshots is not None
        source = await self._parts.snapshots.take(self._version)
        self._token = source.token
        return source

    async def _make(self, source: VersionSnapshot | None, is_wanted: Callable[[], bool]) -> bool:
        self.began = self._parts.monotonic()
        async with self._changing:
            if not is_wanted():
                return False
            snapshot = None if source is None else source.snapshot
            spec = await self._supplies.spec(self._initialization, self.beginning, self._token, snapshot)
            sandbox = self._sandbox = await self._parts.sandboxes.start(spec)
            if source is None:
                self._log.init_begins("init")
            else:
                self._log.restore_begins()
            self._begin_life()  # before the first of its processes is let in
            await self._supplies.serve(sandbox)
            return True

    def _begin_life(self) -> Life:
        version, supplies = self._version, self._supplies
        life = self.life = Life(
            self._loop,
            self._log.output,
            FunctionIdentity(version.function_name, version.version, version.handler, version.account_id),
            supplies.variables,
            supplies.extension_names,
            lambda reason: self._life_ended(life, reason),
            self._parts.delivery_memory,
            self.beginning,
            restore.container_credentials(self._token, supplies.credentials, self._parts.clock),
        )
        self._api.renew(life.session)
        return life

    def _life_ended(self, life: Life, reason: Failure) -> None:
        if self.life is life:
            self._tell_end(reason)

    def _limit_cpu(self, share: float | None) -> None:
        if self._parts.has_cpu_quota and self._sandbox is not None:
            self._sandbox.limit_cpu(share)
