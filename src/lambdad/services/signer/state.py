"""What the operations work with; `assembly/` hands in the ways to S3."""

from __future__ import annotations

import asyncio
import secrets
import string
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from lambdad.model.request import BodyStream, RequestContext
from lambdad.services.signer.records import SignerRecords

#: `fetch_object(account_id, bucket, key, version_id)`: the object's bytes; ServiceError with S3's code and message.
FetchObject = Callable[[str, str, str, str | None], AsyncIterator[bytes]]

#: `store_object(context, bucket, key, content)`: durable on return; ServiceError with S3's code and message.
StoreObject = Callable[[RequestContext, str, str, BodyStream], Awaitable[None]]

_VERSION_CHARACTERS = string.ascii_letters + string.digits


def _new_version() -> str:
    return "".join(secrets.choice(_VERSION_CHARACTERS) for _ in range(10))


@dataclass(slots=True)
class SignerState:
    records: SignerRecords
    fetch_object: FetchObject
    store_object: StoreObject
    scratch: Path  #: a folder for packages while they are signed
    max_package_bytes: int
    max_unpacked_bytes: int
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = field(default=lambda: str(uuid.uuid4()))
    new_version: Callable[[], str] = _new_version
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)  #: profiles and revocations change one at a time
    running: set[str] = field(default_factory=set)  #: ids of the jobs at work
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))  #: packages signed at once
