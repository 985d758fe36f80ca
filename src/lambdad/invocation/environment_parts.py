"""What every execution environment is made from."""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from socket import socket
from typing import Protocol

from lambdad.invocation.code import CodeStore
from lambdad.invocation.environment_variables import FunctionCredentials
from lambdad.invocation.logs import LogSink, LogStream
from lambdad.invocation.output_pipe import Allowance, shared_allowance
from lambdad.invocation.telemetry_delivery import DeliveryMemory
from lambdad.invocation.version_snapshot import SnapshotSource
from lambdad.model.runtime_version import RuntimeVersion, runtime_version, runtime_version_deleted
from lambdad.model.version import Version
from lambdad.sandbox.base import RuntimeProgram, Sandboxes, UnpackLimits

INIT_SECONDS = 10.0  #: AWS's limit of the Init phase
RESTORE_SECONDS = 10.0  #: and of what a function may do between its snapshot and its first invocation


class Closable(Protocol):
    async def close(self) -> None: ...


#: Serves the AWS endpoint on a listening socket inside the environment of this version, until closed.
ServeEndpoint = Callable[[socket, Version], Awaitable[Closable]]


@dataclass(frozen=True, slots=True)
class EnvironmentParts:
    """Collaborators, limits, and sources of time and ids; `assembly/` fills them in."""

    sandboxes: Sandboxes
    code: CodeStore
    program_for: Callable[[str], Awaitable[RuntimeProgram]]  #: by the runtime's identifier
    mint: Callable[[Version], FunctionCredentials]
    log_sink: LogSink
    unpack_limits: UnpackLimits
    runtime_version: Callable[[str], RuntimeVersion] = runtime_version
    serve_endpoint: ServeEndpoint | None = None
    revoke: Callable[[FunctionCredentials], None] = lambda credentials: None
    is_log_sink_full: Callable[[LogStream], bool] = lambda stream: False
    delivery_memory: DeliveryMemory = field(default_factory=DeliveryMemory)
    output_allowance: Allowance = field(default_factory=shared_allowance)
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    new_id: Callable[[], str] = lambda: uuid.uuid4().hex
    init_seconds: float = INIT_SECONDS
    restore_seconds: float = RESTORE_SECONDS
    snapshots: SnapshotSource | None = None  #: for versions with SnapStart
    has_cpu_quota: bool = False  #: outside of Init everything inside is held to the processors of its memory size

    def check_runtime_version(self, version: Version) -> None:
        """What is made ahead of invocations is made on no other version of the runtime either."""
        wanted = version.runtime_version_arn
        if wanted is not None and self.runtime_version(version.runtime).arn(version.region) != wanted:
            raise runtime_version_deleted(version.runtime, wanted)
