"""The composition root: builds each part once, top to bottom, serves until asked to stop, and takes all down in reverse.

The parts are put together in `assembly/`, in three steps; here they are set to work.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from lambdad import admin
from lambdad.adapters import body_limits, record_limits, with_code_downloads
from lambdad.assembly.control_planes import ControlPlanes, build_control_planes
from lambdad.assembly.data_plane import build_data_plane
from lambdad.assembly.foundation import Foundation, lay_foundation
from lambdad.config import Settings
from lambdad.event_queue.attempt import Attempts
from lambdad.event_queue.deliverer import Deliverer
from lambdad.event_queue.dispatcher import Dispatcher
from lambdad.event_queue.outbox import Outbox
from lambdad.health import Announcement
from lambdad.model.site import Sites
from lambdad.server import RunningServer, ServerStatus, cancelled, stop_signals
from lambdad.services.ecr.upkeep import Upkeep
from lambdad.services.lambda_.resolve import EventFunctions
from lambdad.services.lambda_.url_site import FunctionUrlSite
from lambdad.services.s3.notifier import Notifier
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
    base = await lay_foundation(settings, parts, clock)
    plane = await build_data_plane(base)
    services = await build_control_planes(base, plane)
    status = ServerStatus(
        settings, base.endpoint, base.port, base.sandboxes, plane.programs, plane.invoker, services.counters
    )  # fmt: skip
    application = with_code_downloads(_build_front(base, services, status), services.code_locations)
    plane.inside.listener = HttpListener(application)

    # What was left to do by an earlier server goes on; functions that run for it already reach the front.
    settling = await _start_service_work(base, services)
    dispatcher, of_events = await _start_event_work(base, services)
    for sweep in (base.blobs.sweep(), services.lambda_.archives.sweep()):
        parts.push_async_callback(cancelled, asyncio.create_task(sweep))

    # Open for requests.
    endless = (plane.keeping_logs, *settling, *of_events)
    server = RunningServer(HttpListener(application), status, base.sandboxes, dispatcher, base.grace, endless)
    parts.push_async_callback(server.drain)
    admin_socket = parts.enter_context(admin.listening_socket(settings.data_dir))
    administration = await HttpListener(admin.application(base.identities)).listen(admin_socket)
    parts.push_async_callback(administration.close)
    await server.listen(base.socket)
    gc.freeze()  # what is built now lives to the end: no collection needs to look at it again
    return server


def _build_front(base: Foundation, services: ControlPlanes, status: ServerStatus) -> Front:
    settings, directory = base.settings, services.directory
    return Front(
        services.bound(),
        lookup=base.identities.lookup,
        auth_required=settings.checks_signatures,
        defaults=Defaults(settings.account_id, settings.region),
        internal={"/_lambdad/health": status.answer, "/_localstack/health": status.answer_as_localstack},
        site=Sites(FunctionUrlSite(services.lambda_), services.registry),
        limits=body_limits(base.limits),
        subject_of=directory.subject_of if settings.checks_signatures else None,
    )


async def _start_service_work(base: Foundation, services: ControlPlanes) -> tuple[asyncio.Task[None], ...]:
    """What services do without being asked; the tasks of it that never end."""
    lambda_ = services.lambda_
    await lambda_.managed.start()
    await lambda_.settler.start()
    await lambda_.provisioner.start()
    base.parts.push_async_callback(lambda_.settler.stop)
    reclaiming = base.own_task("The reclaiming of idle functions", lambda_.reclaimer.run(), lambda_.reclaimer.stop)
    upkeep = Upkeep(services.ecr, services.registry.end_idle_uploads)
    expiring = base.own_task("The expiry of images", upkeep.run(), upkeep.stop)
    notifier = Notifier(services.s3)
    await notifier.start()
    base.parts.push_async_callback(notifier.stop)
    return reclaiming, expiring


async def _start_event_work(base: Foundation, services: ControlPlanes) -> tuple[Dispatcher, tuple[asyncio.Task[None], ...]]:
    """Has queued events run, and word of their ends delivered; the tasks that do it."""
    counters, clock = services.counters, base.clock
    outbox = Outbox(base.store)
    deliverer = Deliverer(outbox, services.delivery, counters, clock=clock)
    delivering = await _start(base, "The delivery to destinations", deliverer)
    functions = EventFunctions(services.lambda_)
    invoke = services.lambda_.invoker.invoke
    attempts = Attempts(functions, invoke, outbox, counters, record_limits=record_limits(base.limits), clock=clock)
    dispatcher = Dispatcher(services.events, attempts, clock=clock)
    dispatching = await _start(base, "The dispatch of events", dispatcher)
    return dispatcher, (delivering, dispatching)


async def _start(base: Foundation, name: str, worker: Deliverer | Dispatcher) -> asyncio.Task[None]:
    await worker.open()
    return base.own_task(name, worker.run(), lambda: worker.stop(grace_seconds=base.grace.left()))
