"""The parts between "run this version" and a result: runtimes, code, logs, and the environments that they make up."""

from __future__ import annotations

import asyncio
import logging
import os
from dataclasses import dataclass
from pathlib import Path

from lambdad.adapters import EndpointInside, mint_from
from lambdad.assembly.foundation import Foundation
from lambdad.config import Settings
from lambdad.invocation.code import IMAGE_LIMITS, CodeStore
from lambdad.invocation.concurrency import Concurrency
from lambdad.invocation.environment_parts import EnvironmentParts
from lambdad.invocation.execution_environment import ExecutionEnvironment
from lambdad.invocation.image_room import ImageRoom, Room
from lambdad.invocation.invoke import Invoker
from lambdad.invocation.managed import Managed
from lambdad.invocation.managed_environment import ManagedEnvironment
from lambdad.invocation.placement import Placement
from lambdad.invocation.provisioned import STARTED_AT_ONCE, Provisioned
from lambdad.invocation.provisioned_pool import PoolParts
from lambdad.invocation.scaling import ScalingRate
from lambdad.invocation.snapshots import Snapshots
from lambdad.model.concurrency import ConcurrencyLimits
from lambdad.model.runtime_version import runtime_version
from lambdad.model.version import Version
from lambdad.runtimes.families import FAMILIES
from lambdad.runtimes.find import Places
from lambdad.runtimes.programs import RuntimePrograms, check_substitutes, finder_for
from lambdad.sandbox.base import UNBOUNDED, UnpackLimits
from lambdad.services.lambda_.records import LambdaRecords
from lambdad.services.logs.state import LogsState

logger = logging.getLogger(RuntimePrograms.__module__)  #: whose progress is told

_SPARED_BYTES = 1 << 30  #: of the disk, or a twentieth of a small one: unpacked images leave it to everything else


@dataclass(frozen=True, slots=True)
class DataPlane:
    logs: LogsState
    keeping_logs: asyncio.Task[None]
    programs: RuntimePrograms
    code: CodeStore
    inside: EndpointInside  #: to be given the listener before anything is invoked
    functions: LambdaRecords
    invoker: Invoker


async def build_data_plane(base: Foundation) -> DataPlane:
    logs = LogsState(base.store)
    keeping_logs = base.own_task("The keeping of logs", logs.run(), logs.stop)
    programs = await _open_programs(base)
    image_limits = UnpackLimits(base.limits.image_bytes, IMAGE_LIMITS.files)
    image_room = _image_room(base.settings)
    code = CodeStore(
        base.sandboxes, base.blobs, base.settings.data_dir / "code", image_limits=image_limits, image_room=image_room
    )
    await code.open()
    base.parts.push_async_callback(code.close)
    inside = EndpointInside()
    snapshots = Snapshots(lambda version, token: ExecutionEnvironment(version, environment_parts, token))
    environment_parts = _environment_parts(base, logs, programs, code, inside, snapshots)
    functions = LambdaRecords(base.store)
    await functions.open()
    invoker = _build_invoker(base, functions, environment_parts, snapshots)
    base.parts.push_async_callback(lambda: invoker.close(base.grace.left()))
    return DataPlane(logs, keeping_logs, programs, code, inside, functions, invoker)


async def _open_programs(base: Foundation) -> RuntimePrograms:
    settings = base.settings
    finder = finder_for(FAMILIES, Places.usual(os.environ, Path.home()), settings.cache_dir)
    check_substitutes(settings.runtime_substitutes)
    programs = RuntimePrograms(
        settings.cache_dir,
        finder,
        progress=lambda line: logger.info("%s", line),
        substitutes=settings.runtime_substitutes,
    )
    await programs.open()
    base.parts.push_async_callback(programs.close)
    return programs


def _image_room(settings: Settings) -> ImageRoom:
    disk = os.statvfs(settings.data_dir)
    has_counted_files = disk.f_files > 0  # there are file systems that make as many as are wanted
    most = Room(
        settings.image_disk_mb << 20 or disk.f_blocks * disk.f_frsize // 2,
        settings.image_disk_files or (disk.f_files // 2 if has_counted_files else UNBOUNDED),
    )
    spared = min(disk.f_blocks * disk.f_frsize // 20, _SPARED_BYTES)

    def free() -> Room:
        now = os.statvfs(settings.data_dir)
        return Room(now.f_bavail * now.f_frsize - spared, now.f_favail if has_counted_files else UNBOUNDED)

    return ImageRoom(most, free)


def _environment_parts(
    base: Foundation,
    logs: LogsState,
    programs: RuntimePrograms,
    code: CodeStore,
    inside: EndpointInside,
    snapshots: Snapshots,
) -> EnvironmentParts:
    return EnvironmentParts(
        sandboxes=base.sandboxes,
        code=code,
        program_for=programs.prepare,
        runtime_version=lambda runtime: programs.version(runtime) or runtime_version(runtime),
        mint=mint_from(base.identities),
        revoke=lambda credentials: base.identities.revoke(credentials.access_key_id),
        log_sink=logs.buffer.append,
        is_log_sink_full=lambda stream: logs.buffer.is_full_for(stream.account_id, stream.region, stream.group, stream.name),
        unpack_limits=UnpackLimits(base.limits.unzipped_bytes),
        serve_endpoint=inside.serve,
        snapshots=snapshots,
        has_cpu_quota=base.settings.cpu == "strict",
    )


def _build_invoker(
    base: Foundation, functions: LambdaRecords, environment_parts: EnvironmentParts, snapshots: Snapshots
) -> Invoker:
    quotas = base.limits
    concurrent_executions, per_environment = quotas.concurrent_executions, quotas.requests_per_environment

    def limits(version: Version) -> ConcurrencyLimits:
        unreserved = concurrent_executions - functions.claimed_concurrency(version.account_id, version.region)
        reserved = version.reserved_concurrency
        if reserved is not None:
            reserved = max(0, reserved - version.provisioned_concurrency)
        return ConcurrencyLimits(unreserved, reserved, per_environment)

    placement = Placement(
        lambda version: ExecutionEnvironment(version, environment_parts),
        memory_budget_mb=base.settings.memory_budget_mb,
        idle_seconds=base.settings.keep_alive_seconds,
        give_up_snapshots=snapshots.give_up,
        scaling=ScalingRate(quotas.scaling_burst, quotas.scaling_per_minute),
        limits=limits,
    )
    snapshots.room = placement
    managed = Managed(lambda version: ManagedEnvironment(version, environment_parts), placement)
    provisioned = Provisioned(
        PoolParts(
            make=lambda version: ExecutionEnvironment(version, environment_parts, is_provisioned=True),
            room=placement,
            turns=asyncio.Semaphore(STARTED_AT_ONCE),
            requests_per_environment=per_environment,
        )
    )
    return Invoker(Concurrency(limits), placement, provisioned, snapshots, managed)
