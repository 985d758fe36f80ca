"""What every other part stands on: the data folder, the port, the means to isolate, durable state, and who may call."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from lambdad.config import Settings, endpoint_url
from lambdad.identity import Identities
from lambdad.isolation import choose_sandboxes
from lambdad.model.quota import Quotas, quotas
from lambdad.sandbox.base import Sandboxes
from lambdad.sandbox.privilege import drop_server_capabilities
from lambdad.server import Grace, bind, raise_descriptor_limit
from lambdad.store.files import FileBlobs
from lambdad.store.lock import DataFolderLock
from lambdad.store.sqlite import SqliteStore


@dataclass(frozen=True, slots=True)
class Foundation:
    """`parts` takes down in reverse what was built on this."""

    settings: Settings
    limits: Quotas
    parts: AsyncExitStack
    clock: Callable[[], float]
    grace: Grace
    socket: socket.socket  #: bound, and not listening yet
    endpoint: str
    sandboxes: Sandboxes
    store: SqliteStore
    blobs: FileBlobs
    identities: Identities

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def own_task(
        self, name: str, work: Coroutine[Any, Any, None], stop: Callable[[], Coroutine[Any, Any, None]]
    ) -> asyncio.Task[None]:
        """Runs `work` until `stop`, which is called when the parts are taken down."""
        task = asyncio.create_task(work, name=name)

        async def end() -> None:
            await stop()
            await task

        self.parts.push_async_callback(end)
        return task


async def lay_foundation(settings: Settings, parts: AsyncExitStack, clock: Callable[[], float]) -> Foundation:
    """What must be had comes first, and StartupError says what is not to be had; nothing was made then."""
    limits = quotas(settings.quotas, settings.quota_overrides)
    raise_descriptor_limit()

    parts.enter_context(DataFolderLock(settings.data_dir))
    sock = bind(settings.host, settings.port)
    parts.callback(sock.close)
    endpoint = endpoint_url(settings.host, sock.getsockname()[1])
    sandboxes = choose_sandboxes(settings, endpoint)
    await sandboxes.open()
    parts.push_async_callback(sandboxes.close)
    drop_server_capabilities()

    store = SqliteStore(settings.database, clock=clock)
    await store.open()
    parts.push_async_callback(store.close)
    blobs = FileBlobs(settings.data_dir / "blobs", store)
    await blobs.open()
    parts.push_async_callback(blobs.close)
    identities = Identities(store, clock=clock)
    await identities.open()
    grace = Grace(settings.drain_seconds)
    return Foundation(settings, limits, parts, clock, grace, sock, endpoint, sandboxes, store, blobs, identities)
