"""The snapshot of a version, as an execution environment starts from it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lambdad.model.version import Version
from lambdad.sandbox.base import Snapshot


@dataclass(slots=True)
class VersionSnapshot:
    snapshot: Snapshot
    token: str  #: in its memory: with it each environment asks for credentials of its own
    memory_mb: int
    used_at: float  #: monotonic


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Snapshots that are being closed, and the memory that will be there when they are."""

    memory_mb: int
    closing: Sequence[asyncio.Task[None]]


class SnapshotSource(Protocol):
    async def take(self, version: Version) -> VersionSnapshot:
        """The snapshot, made again if it is not there. ServiceError when it cannot be had."""
        ...
