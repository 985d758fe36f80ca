"""Parts of images on their way in: begun, sent in pieces, and kept when their digest is right. A restart ends them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from lambdad.errors import ServiceError
from lambdad.images.account_share import AccountShares, Arriving, NoShareLeft
from lambdad.services.ecr.model import RepositoryName, beyond_limit
from lambdad.store.base import Blobs, BlobWriter

MOST = 128  #: at a time; each holds a file open
MOST_OF_ACCOUNT = 32  #: of these; clients send a handful at once
IDLE_SECONDS = 3600.0


class Upload:
    """`received` counts the bytes that are in."""

    def __init__(
        self,
        name: RepositoryName,
        upload_id: str,
        writer: BlobWriter,
        stack: AsyncExitStack,
        arriving: Arriving,
        most_bytes: int,
    ) -> None:
        self.name = name
        self.upload_id = upload_id
        self.received = 0
        self.touched = 0.0
        self.turn = asyncio.Lock()
        self.is_refused = False  #: nobody can go on with it
        self.arriving = arriving
        self._writer = writer
        self._stack = stack
        self._most_bytes = most_bytes

    async def add(self, pieces: AsyncIterator[bytes]) -> None:
        """What was received before the sender was gone stays received: it goes on from there."""
        async for piece in pieces:
            if self.received + len(piece) > self._most_bytes:
                raise ServiceError("BLOB_UPLOAD_INVALID", f"A part has at most {self._most_bytes} bytes.", status=400)
            try:
                self.arriving.add(len(piece))
            except NoShareLeft as error:
                self.is_refused = True
                raise beyond_limit(str(error)) from error
            await self._writer.write(piece)
            self.received += len(piece)

    async def finish(self) -> str:
        """The digest, hex, of what was received. It is pinned until `close`."""
        return (await self._writer.finish()).digest

    async def close(self) -> None:
        await self._stack.aclose()


class Uploads:
    def __init__(
        self,
        blobs: Blobs,
        monotonic: Callable[[], float],
        shares: AccountShares,
        most_bytes: int,
    ) -> None:
        self._blobs = blobs
        self._monotonic = monotonic
        self._shares = shares
        self._most_bytes = most_bytes
        self._uploads: dict[str, Upload] = {}

    async def begin(self, name: RepositoryName) -> Upload:
        await self.end_idle()
        of_account = sum(1 for upload in self._uploads.values() if upload.name.account_id == name.account_id)
        if len(self._uploads) >= MOST or of_account >= MOST_OF_ACCOUNT:
            message = f"There are {MOST_OF_ACCOUNT} uploads of an account and {MOST} in all at a time: end one, or wait."
            raise ServiceError("TOOMANYREQUESTS", message, status=429)
        stack = AsyncExitStack()
        writer = await stack.enter_async_context(self._blobs.receive())
        arriving = self._shares.arriving(name.account_id)
        stack.callback(arriving.end)
        upload = Upload(name, uuid.uuid4().hex, writer, stack, arriving, self._most_bytes)
        upload.touched = self._monotonic()
        self._uploads[upload.upload_id] = upload
        return upload

    def find(self, name: RepositoryName, upload_id: str) -> Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.name != name:
            raise ServiceError("BLOB_UPLOAD_UNKNOWN", "There is no such upload: begin again.", status=404)
        upload.touched = self._monotonic()
        return upload

    @asynccontextmanager
    async def turn(self, name: RepositoryName, upload_id: str) -> AsyncIterator[Upload]:
        """The upload, held against other requests; ServiceError as `find` where one of them has ended it by then."""
        async with self.find(name, upload_id).turn:
            upload = self.find(name, upload_id)
            try:
                yield upload
            finally:
                upload.touched = self._monotonic()  # a large piece may have taken longer than one may be idle
                if upload.is_refused:
                    await self.end(upload)

    async def end(self, upload: Upload) -> None:
        """What was not finished is gone."""
        self._uploads.pop(upload.upload_id, None)
        await upload.close()

    async def close(self) -> None:
        for upload in list(self._uploads.values()):
            await self.end(upload)

    async def end_idle(self) -> None:
        """Those that nobody goes on with."""
        now = self._monotonic()
        for upload in list(self._uploads.values()):
            if now - upload.touched > IDLE_SECONDS and not upload.turn.locked():
                await self.end(upload)
