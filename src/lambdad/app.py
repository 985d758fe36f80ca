"""The composition root: builds each part once, top to bottom, serves until asked to stop, and takes all down in reverse."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import platform
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any

import msgspec.structs

from lambdad import admin
from lambdad.config import Settings, endpoint_credentials, endpoint_url
from lambdad.delivery import Delivery
from lambdad.errors import StartupError
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
from lambdad.invocation.environment_variables import FunctionCredentials
from lambdad.invocation.execution_environment import ExecutionEnvironment
from lambdad.invocation.invoke import Invoker
from lambdad.invocation.managed import Managed
from lambdad.invocation.managed_environment import ManagedEnvironment
from lambdad.invocation.placement import Placement
from lambdad.invocation.provisioned import STARTED_AT_ONCE, Provisioned
from lambdad.invocation.provisioned_pool import PoolParts
from lambdad.invocation.scaling import ScalingRate
from lambdad.invocation.snapshots import Snapshots
from lambdad.model.concurrency import ConcurrencyLimits
from lambdad.model.quota import Quotas, quotas
from lambdad.model.request import Principal, RequestContext
from lambdad.model.runtime_version import runtime_version
from lambdad.model.service import BoundService
from lambdad.model.site import Site, Sites
from lambdad.model.version import Version
from lambdad.remote import RemoteServices
from lambdad.runtimes.families import FAMILIES
from lambdad.runtimes.find import Places
from lambdad.runtimes.programs import RuntimePrograms, check_substitutes, finder_for
from lambdad.sandbox.base import Sandboxes, UnpackLimits
from lambdad.sandbox.namespace import NamespaceSandboxes
from lambdad.sandbox.oci import DEFAULT_RUNTIME, OciSandboxes
from lambdad.sandbox.privilege import drop_server_capabilities
from lambdad.sandbox.process import ProcessSandboxes
from lambdad.server import Grace, RunningServer, ServerStatus, bind, cancelled, raise_descriptor_limit, stop_signals
from lambdad.services.ecr import SERVICE as ECR
from lambdad.services.ecr.model import RepositoryName
from lambdad.services.ecr.own_images import OwnImages
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
from lambdad.services.lambda_.managed_planner import ManagedPlanner
from lambdad.services.lambda_.provisioner import Provisioner
from lambdad.services.lambda_.receiver import LambdaReceiver
from lambdad.services.lambda_.records import LambdaRecords
from lambdad.services.lambda_.resolve import EventFunctions
from lambdad.services.lambda_.settling import Settler
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.url_address import owns as is_function_url
from lambdad.services.lambda_.url_site import FunctionUrlSite
from lambdad.services.logs import SERVICE as LOGS
from lambdad.services.logs.state import LogsState
from lambdad.services.s3 import SERVICE as S3
from lambdad.services.s3.notifier import Notifier
from lambdad.services.s3.object_reader import open_object
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
from lambdad.wire.body import BodyLimit, BodyLimits
from lambdad.wire.front import Front
from lambdad.wire.listener import HttpListener, Listening

logger = logging.getLogger(__name__)

_CODE_PATH = "/_lambdad/code/"
#: At a time, to the endpoint inside one environment: more than any client's pool, too few to use up the server's descriptors.
_MAX_CONNECTIONS_FROM_INSIDE = 256


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
    sandboxes = _choose_sandboxes(settings, endpoint)
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
    code = CodeStore(sandboxes, blobs, settings.data_dir / "code", image_limits=image_limits)
    await code.open()
    parts.push_async_callback(code.close)
    inside = _EndpointInside()
    snapshots = Snapshots(lambda version, token: ExecutionEnvironment(version, environment_parts, token))
    environment_parts = EnvironmentParts(
        sandboxes=sandboxes,
        code=code,
        program_for=programs.prepare,
        runtime_version=lambda runtime: programs.version(runtime) or runtime_version(runtime),
        mint=_mint_from(identities),
        revoke=lambda credentials: identities.revoke(credentials.access_key_id),
        log_sink=logs.buffer.append,
        is_log_sink_full=lambda stream: logs.buffer.is_full_for(stream.account_id, stream.region, stream.group, stream.name),
        unpack_limits=UnpackLimits(limits.unzipped_bytes),
        serve_endpoint=inside.serve,
        snapshots=snapshots,
        has_cpu_quota=settings.cpu == "strict",
    )
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
    ecr = EcrState(
        EcrRecords(store, blobs),
        blobs,
        Tokens(secrets.token_bytes(32), clock=clock),
        settings.account_id,
        settings.region,
        sock.getsockname()[1],
        is_enforced,
        partial(_principal_of, identities, clock),
        clock,
    )
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
        images=ImageIntake(_image_places(settings, ecr), blobs, sandboxes.image_problem),
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
    application = _with_code_downloads(front, code_locations)
    inside.listener = HttpListener(application)

    # What was left to do by an earlier server goes on; functions that run for it already reach the front.
    await lambda_.managed.start()
    await lambda_.settler.start()
    await lambda_.provisioner.start()
    parts.push_async_callback(lambda_.settler.stop)
    notifier = Notifier(s3)
    await notifier.start()
    parts.push_async_callback(notifier.stop)
    outbox = Outbox(store)
    deliverer = Deliverer(outbox, delivery, counters, clock=clock)
    delivering = await _start(parts, "The delivery to destinations", deliverer, grace)
    attempts = Attempts(
        EventFunctions(lambda_), invoker.invoke, outbox, counters, record_limits=_record_limits(limits), clock=clock
    )
    dispatcher = Dispatcher(events, attempts, clock=clock)
    dispatching = await _start(parts, "The dispatch of events", dispatcher, grace)
    sweeping = asyncio.create_task(blobs.sweep())
    parts.push_async_callback(cancelled, sweeping)

    # Open for requests.
    server = RunningServer(
        HttpListener(application), status, sandboxes, dispatcher, grace, (keeping_logs, delivering, dispatching)
    )
    parts.push_async_callback(server.drain)
    admin_socket = parts.enter_context(admin.listening_socket(settings.data_dir))
    administration = await HttpListener(admin.application(identities)).listen(admin_socket)
    parts.push_async_callback(administration.close)
    await server.listen(sock)
    gc.freeze()  # what is built now lives to the end: no collection needs to look at it again
    return server


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
        limits=_body_limits(limits),
        subject_of=directory.subject_of if settings.checks_signatures else None,
    )


async def _start(parts: AsyncExitStack, name: str, worker: Deliverer | Dispatcher, grace: Grace) -> asyncio.Task[None]:
    await worker.open()
    return _own_task(parts, name, worker.run(), lambda: worker.stop(grace_seconds=grace.left()))


def _principal_of(identities: Identities, clock: Callable[[], float], access_key_id: str) -> Principal | None:
    """Who has an access key whose time is not over."""
    credential = identities.lookup(access_key_id)
    if credential is None or (credential.expires_at is not None and credential.expires_at <= clock()):
        return None
    return Principal(credential.account_id, credential.principal_arn, access_key_id)


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


def _choose_sandboxes(settings: Settings, endpoint: str) -> Sandboxes:
    """`auto` is isolation or nothing: code runs unisolated only where the user said so."""
    state_dir = settings.data_dir / "sandboxes"
    has_cpu_quota = settings.cpu == "strict"
    if settings.oci_runtime and settings.isolation != "oci":
        raise StartupError(
            f"--oci-runtime {settings.oci_runtime} has no effect without --isolation oci; leave it out, or add that."
        )
    if settings.isolation == "process":
        if has_cpu_quota:
            raise StartupError("--isolation process cannot hold functions to AWS's processor quota; leave out --cpu strict.")
        if settings.network != "auto":
            raise StartupError(f"--isolation process has the machine's network; leave out --network {settings.network}.")
        return ProcessSandboxes(state_dir, endpoint)
    if settings.isolation == "oci":
        runtime = settings.oci_runtime or DEFAULT_RUNTIME
        return OciSandboxes(
            state_dir, runtime, has_cpu_quota=has_cpu_quota, network=settings.network, file_systems=settings.file_systems
        )
    try:
        return NamespaceSandboxes(
            state_dir,
            spares=settings.spares,
            has_cpu_quota=has_cpu_quota,
            network=settings.network,
            file_systems=settings.file_systems,
        )
    except StartupError as error:
        raise StartupError(
            f"Functions cannot be isolated here: {str(error).rstrip('.')}. "
            "To run their code as your own user without isolation, say --isolation process."
        ) from error


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
    can_assume: Callable[[str], bool] | None,
) -> LambdaState:
    archives = Archives(records, blobs, code, signature_trust, limits.unzipped_bytes)
    functions = FunctionTable(records, archives.release)

    return LambdaState(
        records=records,
        functions=functions,
        archives=archives,
        settler=Settler(records, functions, archives, programs, invoker, invoker.snapshots, invoker.managed),
        provisioner=Provisioner(records, functions, invoker.provisioned),
        managed=ManagedPlanner(records, functions, invoker.managed),
        code_locations=code_locations,
        signature_trust=signature_trust,
        invoker=invoker,
        events=events,
        counters=counters,
        runtimes=programs,
        fetch_object=_fetch_from(s3),
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
        fetch_object=_fetch_from(s3),
        store_object=store_object,
        scratch=scratch,
        max_package_bytes=limits.zip_bytes,
        max_unpacked_bytes=limits.unzipped_bytes,
        clock=clock,
    )


def _fetch_from(s3: S3State) -> Callable[[str, str, str, str | None], AsyncIterator[bytes]]:
    async def fetch_object(account_id: str, bucket: str, key: str, version_id: str | None) -> AsyncIterator[bytes]:
        _, content = await open_object(s3, account_id, bucket, key, version_id)
        async for piece in content:
            yield piece

    return fetch_object


def _image_places(settings: Settings, ecr: EcrState) -> ImagePlaces:
    return ImagePlaces(
        lambda account_id, region, repository: OwnImages(ecr, RepositoryName(account_id, region, repository)),
        settings.image_folders,
        settings.registries,
        keeps_accounts_apart=settings.checks_signatures,
    )


def _mint_from(identities: Identities) -> Callable[[Version], FunctionCredentials]:
    def mint(version: Version) -> FunctionCredentials:
        credential = identities.mint(version.account_id, version.role, version.function_name)
        return FunctionCredentials(credential.access_key_id, credential.secret, credential.session_token or "")

    return mint


class _EndpointInside:
    """Serves the AWS endpoint on the sockets inside environments; they may start before the front is built."""

    listener: HttpListener | None = None

    async def serve(self, sock: socket.socket, version: Version) -> Listening:
        assert self.listener is not None  # nothing invokes functions before the front is there
        return await self.listener.listen(sock, max_connections=_MAX_CONNECTIONS_FROM_INSIDE)


def _record_limits(limits: Quotas) -> dict[str, int]:
    """Bytes that a target takes of a record; S3 takes any."""
    return dict.fromkeys(("lambda", "sqs"), limits.async_payload_bytes) | dict.fromkeys(("sns", "events"), 256 * 1024)


def _body_limits(limits: Quotas) -> BodyLimits:
    """Requests far over a limit are refused while they arrive; what is only slightly over gets the operation's own words."""
    invoke = BodyLimit(limits.sync_payload_bytes + 1024 * 1024, "InvokeFunction", named_size=limits.sync_payload_bytes)
    operations = ("Invoke", "InvokeAsync", "InvokeWithResponseStream")
    return BodyLimits(limits.create_request_bytes, {("lambda", operation): invoke for operation in operations})


def _with_code_downloads(front: Front, code_locations: CodeLocations) -> Callable[..., Coroutine[Any, Any, None]]:
    """Code.Location URLs carry a signature of their own and stream, so they go past the front."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_CODE_PATH) and not _is_function_url(scope):
            await code_locations(scope, receive, send)
        else:
            await front(scope, receive, send)

    return application


def _is_function_url(scope: Any) -> bool:
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return is_function_url(host.decode("latin-1").lower(), scope["raw_path"].decode("latin-1"))


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
