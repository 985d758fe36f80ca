"""The composition root: builds each part once, top to bottom, serves until asked to stop, and takes all down in reverse."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import platform
import secrets
import time
from collections.abc import Callable, Collection, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import msgspec.structs

from lambdad import admin
from lambdad.adapters import (
    EndpointInside,
    body_limits,
    fetch_from,
    mint_from,
    principal_of,
    record_limits,
    with_code_downloads,
)
from lambdad.config import Settings, endpoint_credentials, endpoint_url
from lambdad.delivery import Delivery
from lambdad.event_queue.attempt import Attempts
from lambdad.event_queue.counters import EventCounters
from lambdad.event_queue.deliverer import Deliverer
from lambdad.event_queue.dispatcher import Dispatcher
from lambdad.event_queue.outbox import Outbox
from lambdad.event_queue.queue import EventQueue
from lambdad.health import Announcement
from lambdad.identity import Identities
from lambdad.images.places import ImagePlaces
from lambdad.invocation.code import IMAGE_LIMITS, CodeStore
from lambdad.invocation.concurrency import Concurrency
from lambdad.invocation.environment_parts import EnvironmentParts
from lambdad.invocation.execution_environment import ExecutionEnvironment
from lambdad.invocation.image_room import Room
from lambdad.invocation.invoke import Invoker
from lambdad.invocation.managed import Managed
from lambdad.invocation.managed_environment import ManagedEnvironment
from lambdad.invocation.placement import Placement
from lambdad.invocation.provisioned import STARTED_AT_ONCE, Provisioned
from lambdad.invocation.provisioned_pool import PoolParts
from lambdad.invocation.scaling import ScalingRate
from lambdad.invocation.snapshots import Snapshots
from lambdad.isolation import choose_sandboxes
from lambdad.model.concurrency import ConcurrencyLimits
from lambdad.model.quota import Quotas, quotas
from lambdad.model.request import RequestContext
from lambdad.model.runtime_version import runtime_version
from lambdad.model.service import BoundService
from lambdad.model.site import Site, Sites
from lambdad.model.version import Version
from lambdad.remote import RemoteServices
from lambdad.runtimes.families import FAMILIES
from lambdad.runtimes.find import Places
from lambdad.runtimes.programs import RuntimePrograms, check_substitutes, finder_for
from lambdad.sandbox.base import UNBOUNDED, Sandboxes, UnpackLimits
from lambdad.sandbox.privilege import drop_server_capabilities
from lambdad.server import Grace, RunningServer, ServerStatus, bind, cancelled, raise_descriptor_limit, stop_signals
from lambdad.services.ecr import SERVICE as ECR
from lambdad.services.ecr.lifecycle import Lifecycles
from lambdad.services.ecr.model import RepositoryName
from lambdad.services.ecr.own_images import OwnImages
from lambdad.services.ecr.pull_right import PullRight
from lambdad.services.ecr.records import EcrRecords
from lambdad.services.ecr.registry_site import RegistrySite
from lambdad.services.ecr.state import EcrState
from lambdad.services.ecr.token import Tokens
from lambdad.services.iam import SERVICE as IAM
from lambdad.services.iam.directory import Directory
from lambdad.services.iam.records import IamRecords
from lambdad.services.iam.state import IamState
from lambdad.services.lambda_ import SERVICE as LAMBDA
from lambdad.services.lambda_.archive import Archives
from lambdad.services.lambda_.code_location import CodeLocations
from lambdad.services.lambda_.function_table import FunctionTable
from lambdad.services.lambda_.image import ImageIntake
from lambdad.services.lambda_.image_fetch import ImageFetch
from lambdad.services.lambda_.managed_planner import ManagedPlanner
from lambdad.services.lambda_.provisioner import Provisioner
from lambdad.services.lambda_.receiver import LambdaReceiver
from lambdad.services.lambda_.reclaiming import Reclaimer
from lambdad.services.lambda_.records import LambdaRecords
from lambdad.services.lambda_.resolve import EventFunctions
from lambdad.services.lambda_.settling import Settler
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.url_site import FunctionUrlSite
from lambdad.services.logs import SERVICE as LOGS
from lambdad.services.logs.state import LogsState
from lambdad.services.s3 import SERVICE as S3
from lambdad.services.s3.notifier import Notifier
from lambdad.services.s3.object_write import put_object
from lambdad.services.s3.receiver import S3Receiver
from lambdad.services.s3.state import S3State
from lambdad.services.signer import SERVICE as SIGNER
from lambdad.services.signer.records import SignerRecords
from lambdad.services.signer.state import SignerState
from lambdad.services.signer.trust import SignatureTrust
from lambdad.services.sts import SERVICE as STS
from lambdad.services.sts.state import StsState
from lambdad.store.files import FileBlobs
from lambdad.store.lock import DataDirectoryLock
from lambdad.store.sqlite import SqliteStore
from lambdad.wire.authorize import Defaults
from lambdad.wire.front import Front
from lambdad.wire.listener import HttpListener

logger = logging.getLogger(__name__)


async def serve(
    settings: Settings, *, announce: Callable[[Announcement], None], clock: Callable[[], float] = time.time
) -> None:
    """Serves until SIGINT or SIGTERM, then drains. StartupError when it cannot start, or go on because nothing can run
    functions any more; nothing is left behind either way."""
    asked_to_stop = stop_signals()
    async with AsyncExitStack() as parts:
        server = await _build(settings, parts, clock)
        announce(server.status.announcement())
        await server.until_lost(asked_to_stop)
        logger.info("Stopping: running invocations have %g seconds to end.", settings.drain_seconds)
        await server.drain()


async def _build(settings: Settings, parts: AsyncExitStack, clock: Callable[[], float]) -> RunningServer:
    """Every part, in the order in which they need each other; `parts` takes them down in reverse."""
    limits = quotas(settings.quotas, settings.quota_overrides)
    raise_descriptor_limit()

    # What must be had before anything is made: the data folder, the port, the means to isolate.
    parts.enter_context(DataDirectoryLock(settings.data_dir))
    sock = bind(settings.host, settings.port)
    parts.callback(sock.close)
    endpoint = endpoint_url(settings.host, sock.getsockname()[1])
    sandboxes = choose_sandboxes(settings, endpoint)
    await sandboxes.open()
    parts.push_async_callback(sandboxes.close)
    drop_server_capabilities()

    # Durable state.
    store = SqliteStore(settings.database, clock=clock)
    await store.open()
    parts.push_async_callback(store.close)
    blobs = FileBlobs(settings.data_dir / "blobs", store)
    await blobs.open()
    parts.push_async_callback(blobs.close)
    identities = Identities(store, clock=clock)
    await identities.open()
    iam_records = IamRecords(store)
    await iam_records.open()
    directory = Directory(iam_records, identities.lookup)
    signer_records = SignerRecords(store)
    is_enforced = settings.checks_signatures

    # The data plane.
    logs = LogsState(store)
    keeping_logs = _own_task(parts, "The keeping of logs", logs.run(), logs.stop)
    programs = await _open_programs(settings, parts)
    image_limits = UnpackLimits(limits.image_bytes, IMAGE_LIMITS.files)
    code = CodeStore(sandboxes, blobs, settings.data_dir / "code", image_limits=image_limits, image_room=_image_room(settings))
    await code.open()
    parts.push_async_callback(code.close)
    inside = EndpointInside()
    snapshots = Snapshots(lambda version, token: ExecutionEnvironment(version, environment_parts, token))
    environment_parts = _environment_parts(settings, limits, sandboxes, code, programs, identities, logs, inside, snapshots)
    functions = LambdaRecords(store)
    await functions.open()
    invoker = _build_invoker(settings, limits, functions, environment_parts, snapshots)
    grace = Grace(settings.drain_seconds)
    parts.push_async_callback(lambda: invoker.close(grace.left()))

    # Services, and the ways between them.
    delivery = Delivery(directory.permit_delivery if is_enforced else None)
    s3 = S3State(store, blobs, store, delivery)
    counters = EventCounters()
    events = EventQueue(store, counters)
    code_locations = CodeLocations(secrets.token_bytes(32), blobs)
    ecr = _ecr_state(settings, store, blobs, identities, directory, sock.getsockname()[1], clock)
    places = _image_places(settings, ecr)
    lambda_ = _lambda_state(
        functions,
        blobs,
        code,
        code_locations,
        SignatureTrust(signer_records),
        programs,
        invoker,
        events,
        counters,
        s3,
        delivery,
        limits,
        clock,
        network_can_be_withheld=sandboxes.network.mode != "host",
        snapshot_problem=sandboxes.snapshot_problem,
        file_systems=settings.file_systems,
        file_system_problem=sandboxes.file_system_problem,
        images=ImageIntake(places, blobs, sandboxes.image_problem),
        image_fetch=ImageFetch(places, blobs),
        inactive_after_days=settings.inactive_after_days,
        can_assume=partial(directory.may_be_assumed_by, "lambda.amazonaws.com") if is_enforced else None,
    )
    registry = RegistrySite(ecr)
    parts.push_async_callback(registry.close)
    iam = IamState(iam_records, identities, clock)
    sts = StsState(directory, identities, is_enforced, clock)
    signer = _signer_state(settings, signer_records, s3, limits, clock)
    delivery.register("lambda", LambdaReceiver(lambda_))
    delivery.register("s3", S3Receiver(s3))
    remote = RemoteServices(settings.endpoints, endpoint_credentials(os.environ, settings))
    remote.register_with(delivery)
    parts.push_async_callback(remote.close)

    # The front.
    services = [
        BoundService(LAMBDA, lambda_),
        BoundService(S3, s3),
        BoundService(LOGS, logs),
        BoundService(IAM, iam),
        BoundService(STS, sts),
        BoundService(ECR, ecr),
        BoundService(SIGNER, signer),
    ]
    status = ServerStatus(settings, endpoint, sock.getsockname()[1], sandboxes, programs, invoker, counters)
    front = _build_front(settings, limits, services, identities, directory, status, Sites(FunctionUrlSite(lambda_), registry))
    application = with_code_downloads(front, code_locations)
    inside.listener = HttpListener(application)

    # What was left to do by an earlier server goes on; functions that run for it already reach the front.
    await lambda_.managed.start()
    await lambda_.settler.start()
    await lambda_.provisioner.start()
    parts.push_async_callback(lambda_.settler.stop)
    reclaiming = _own_task(parts, "The reclaiming of idle functions", lambda_.reclaimer.run(), lambda_.reclaimer.stop)
    lifecycles = Lifecycles(ecr)
    expiring = _own_task(parts, "The expiry of images", lifecycles.run(), lifecycles.stop)
    notifier = Notifier(s3)
    await notifier.start()
    parts.push_async_callback(notifier.stop)
    dispatcher, of_events = await _start_event_work(parts, store, delivery, events, lambda_, counters, limits, grace, clock)
    for sweep in (blobs.sweep(), lambda_.archives.sweep()):
        parts.push_async_callback(cancelled, asyncio.create_task(sweep))

    # Open for requests.
    endless = (keeping_logs, reclaiming, expiring, *of_events)
    server = RunningServer(HttpListener(application), status, sandboxes, dispatcher, grace, endless)
    parts.push_async_callback(server.drain)
    admin_socket = parts.enter_context(admin.listening_socket(settings.data_dir))
    administration = await HttpListener(admin.application(identities)).listen(admin_socket)
    parts.push_async_callback(administration.close)
    await server.listen(sock)
    gc.freeze()  # what is built now lives to the end: no collection needs to look at it again
    return server


async def _start_event_work(
    parts: AsyncExitStack,
    store: SqliteStore,
    delivery: Delivery,
    events: EventQueue,
    lambda_: LambdaState,
    counters: EventCounters,
    limits: Quotas,
    grace: Grace,
    clock: Callable[[], float],
) -> tuple[Dispatcher, tuple[asyncio.Task[None], ...]]:
    """Has queued events run, and word of their ends delivered; the tasks that do it."""
    outbox = Outbox(store)
    deliverer = Deliverer(outbox, delivery, counters, clock=clock)
    delivering = await _start(parts, "The delivery to destinations", deliverer, grace)
    functions = EventFunctions(lambda_)
    attempts = Attempts(
        functions, lambda_.invoker.invoke, outbox, counters, record_limits=record_limits(limits), clock=clock
    )  # fmt: skip
    dispatcher = Dispatcher(events, attempts, clock=clock)
    dispatching = await _start(parts, "The dispatch of events", dispatcher, grace)
    return dispatcher, (delivering, dispatching)


def _build_front(
    settings: Settings,
    limits: Quotas,
    services: list[BoundService],
    identities: Identities,
    directory: Directory,
    status: ServerStatus,
    site: Site,
) -> Front:
    return Front(
        services,
        lookup=identities.lookup,
        auth_required=settings.checks_signatures,
        defaults=Defaults(settings.account_id, settings.region),
        internal={"/_lambdad/health": status.answer, "/_localstack/health": status.answer_as_localstack},
        site=site,
        limits=body_limits(limits),
        subject_of=directory.subject_of if settings.checks_signatures else None,
    )


async def _start(parts: AsyncExitStack, name: str, worker: Deliverer | Dispatcher, grace: Grace) -> asyncio.Task[None]:
    await worker.open()
    return _own_task(parts, name, worker.run(), lambda: worker.stop(grace_seconds=grace.left()))


def _ecr_state(
    settings: Settings,
    store: SqliteStore,
    blobs: FileBlobs,
    identities: Identities,
    directory: Directory,
    port: int,
    clock: Callable[[], float],
) -> EcrState:
    return EcrState(
        records=EcrRecords(store, blobs),
        blobs=blobs,
        tokens=Tokens(secrets.token_bytes(32), clock=clock),
        account_id=settings.account_id,
        region=settings.region,
        port=port,
        is_enforced=settings.checks_signatures,
        principal_of=partial(principal_of, identities, clock),
        subject_of=directory.subject_of if settings.checks_signatures else None,
        clock=clock,
    )


async def _open_programs(settings: Settings, parts: AsyncExitStack) -> RuntimePrograms:
    finder = finder_for(FAMILIES, Places.usual(os.environ, Path.home()), settings.cache_dir)
    check_substitutes(settings.runtime_substitutes)
    programs = RuntimePrograms(
        settings.cache_dir,
        finder,
        progress=lambda line: logger.info("%s", line),
        substitutes=settings.runtime_substitutes,
    )
    await programs.open()
    parts.push_async_callback(programs.close)
    return programs


def _environment_parts(
    settings: Settings,
    limits: Quotas,
    sandboxes: Sandboxes,
    code: CodeStore,
    programs: RuntimePrograms,
    identities: Identities,
    logs: LogsState,
    inside: EndpointInside,
    snapshots: Snapshots,
) -> EnvironmentParts:
    return EnvironmentParts(
        sandboxes=sandboxes,
        code=code,
        program_for=programs.prepare,
        runtime_version=lambda runtime: programs.version(runtime) or runtime_version(runtime),
        mint=mint_from(identities),
        revoke=lambda credentials: identities.revoke(credentials.access_key_id),
        log_sink=logs.buffer.append,
        is_log_sink_full=lambda stream: logs.buffer.is_full_for(stream.account_id, stream.region, stream.group, stream.name),
        unpack_limits=UnpackLimits(limits.unzipped_bytes),
        serve_endpoint=inside.serve,
        snapshots=snapshots,
        has_cpu_quota=settings.cpu == "strict",
    )


def _build_invoker(
    settings: Settings,
    quotas: Quotas,
    functions: LambdaRecords,
    environment_parts: EnvironmentParts,
    snapshots: Snapshots,
) -> Invoker:
    concurrent_executions, per_environment = quotas.concurrent_executions, quotas.requests_per_environment

    def limits(version: Version) -> ConcurrencyLimits:
        unreserved = concurrent_executions - functions.claimed_concurrency(version.account_id, version.region)
        reserved = version.reserved_concurrency
        if reserved is not None:
            reserved = max(0, reserved - version.provisioned_concurrency)
        return ConcurrencyLimits(unreserved, reserved, per_environment)

    placement = Placement(
        lambda version: ExecutionEnvironment(version, environment_parts),
        memory_budget_mb=settings.memory_budget_mb,
        idle_seconds=settings.keep_alive_seconds,
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


def _lambda_state(
    records: LambdaRecords,
    blobs: FileBlobs,
    code: CodeStore,
    code_locations: CodeLocations,
    signature_trust: SignatureTrust,
    programs: RuntimePrograms,
    invoker: Invoker,
    events: EventQueue,
    counters: EventCounters,
    s3: S3State,
    delivery: Delivery,
    limits: Quotas,
    clock: Callable[[], float],
    *,
    network_can_be_withheld: bool,
    snapshot_problem: str | None,
    file_systems: Collection[str],
    file_system_problem: str | None,
    images: ImageIntake,
    image_fetch: ImageFetch,
    inactive_after_days: int | None,
    can_assume: Callable[[str], bool] | None,
) -> LambdaState:
    archives = Archives(records, blobs, code, signature_trust, limits.unzipped_bytes)
    functions = FunctionTable(records, archives.release)
    settler = Settler(records, functions, archives, image_fetch, programs, invoker, invoker.snapshots, invoker.managed)
    idle_seconds = None if inactive_after_days is None else inactive_after_days * 86400.0

    return LambdaState(
        records=records,
        functions=functions,
        archives=archives,
        settler=settler,
        reclaimer=Reclaimer(records, functions, settler, idle_seconds, clock=clock),
        provisioner=Provisioner(records, functions, invoker.provisioned),
        managed=ManagedPlanner(records, functions, invoker.managed),
        code_locations=code_locations,
        signature_trust=signature_trust,
        invoker=invoker,
        events=events,
        counters=counters,
        runtimes=programs,
        fetch_object=fetch_from(s3),
        delivery=delivery,
        clock=clock,
        quotas=limits,
        network_can_be_withheld=network_can_be_withheld,
        snapshot_problem=snapshot_problem,
        file_systems=file_systems,
        file_system_problem=file_system_problem,
        images=images,
        can_assume=can_assume,
        architecture="arm64" if platform.machine() in ("aarch64", "arm64") else "x86_64",
    )


def _signer_state(
    settings: Settings, records: SignerRecords, s3: S3State, limits: Quotas, clock: Callable[[], float]
) -> SignerState:
    async def store_object(context: RequestContext, bucket: str, key: str, content: bytes) -> None:
        as_caller = msgspec.structs.replace(context, service="s3", operation="PutObject", headers={})
        await put_object(s3, as_caller, {"Bucket": bucket, "Key": key, "Body": content})

    scratch = settings.data_dir / "signing"
    scratch.mkdir(mode=0o700, exist_ok=True)
    return SignerState(
        records=records,
        fetch_object=fetch_from(s3),
        store_object=store_object,
        scratch=scratch,
        max_package_bytes=limits.zip_bytes,
        max_unpacked_bytes=limits.unzipped_bytes,
        clock=clock,
    )


def _image_room(settings: Settings) -> Room:
    disk = os.statvfs(settings.data_dir)
    has_counted_files = disk.f_files > 0  # there are file systems that make as many as are wanted
    return Room(
        settings.image_disk_mb << 20 or disk.f_blocks * disk.f_frsize // 2,
        settings.image_disk_files or (disk.f_files // 2 if has_counted_files else UNBOUNDED),
    )


def _image_places(settings: Settings, ecr: EcrState) -> ImagePlaces:
    right = PullRight(ecr)

    async def check_pull(context: RequestContext, account_id: str, region: str, repository: str, function_arn: str) -> None:
        await right.check(context, RepositoryName(account_id, region, repository), function_arn)

    return ImagePlaces(
        lambda account_id, region, repository: OwnImages(ecr, RepositoryName(account_id, region, repository)),
        settings.image_folders,
        settings.registries,
        check_pull=check_pull if ecr.subject_of is not None else None,
        pull_seconds=settings.image_pull_seconds,
    )


def _own_task(
    parts: AsyncExitStack, name: str, work: Coroutine[Any, Any, None], stop: Callable[[], Coroutine[Any, Any, None]]
) -> asyncio.Task[None]:
    """Runs `work` until `stop`, which is called when the parts are taken down."""
    task = asyncio.create_task(work, name=name)

    async def end() -> None:
        await stop()
        await task

    parts.push_async_callback(end)
    return task
