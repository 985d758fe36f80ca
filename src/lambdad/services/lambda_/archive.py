"""Zips of functions and layers: taken in, checked, kept while something refers to them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from lambdad.errors import ServiceError
from lambdad.model.function import Failure
from lambdad.model.image import ImageUse
from lambdad.model.version import CodeArchive
from lambdad.sandbox.base import UnpackLimits, UnpackReport
from lambdad.services.lambda_.code_trust import SignatureTrust, signature_of
from lambdad.services.lambda_.records import LambdaRecords
from lambdad.services.lambda_.refusal import invalid_parameter
from lambdad.services.lambda_.stored_function import Stack
from lambdad.store.base import Blobs

IMAGE_SECONDS = 1800.0  #: in which an image has to be unpacked
BAD_ZIP = "Could not unzip uploaded file. Please check your file, then try to upload again."


class CodeStore(Protocol):
    """Archives unpacked once per content."""

    async def unpack(self, digests: Stack, limits: UnpackLimits) -> UnpackReport:
        """Checks and unpacks the archives one over the other; at once where that was done before. Images have limits of their
        own, whatever is given."""
        ...

    def give_up(self, digests: Stack) -> None:
        """Ends the unpacking of just these archives if nobody waits for it."""
        ...

    def has(self, digests: Stack) -> bool:
        """Whether there is a tree of just these archives."""
        ...

    async def discard(self, digests: Stack) -> None:
        """Removes what was unpacked of just these archives, as soon as nothing runs from it."""
        ...

    async def sweep(self, is_wanted: Callable[[str], Awaitable[bool]]) -> int:
        """Removes what an earlier server has left and nothing wants, by its name; returns how many."""
        ...


@dataclass(eq=False, slots=True)
class _Unpacking:
    """An image that is being unpacked, layer by layer."""

    wanted: frozenset[Stack]
    made: set[Stack] = field(default_factory=set)  #: for it, and for no image that is there


class Archives:
    def __init__(
        self,
        records: LambdaRecords,
        blobs: Blobs,
        code_store: CodeStore,
        trust: SignatureTrust,
        unzipped_bytes: int,
        *,
        image_seconds: float = IMAGE_SECONDS,
    ) -> None:
        self._records = records
        self._blobs = blobs
        self._code_store = code_store
        self._trust = trust
        self._unzipped_bytes = unzipped_bytes
        self._image_seconds = image_seconds
        self._held: Counter[str] = Counter()
        self._unpackings: list[_Unpacking] = []

    @asynccontextmanager
    async def receive(self, content: AsyncIterator[bytes]) -> AsyncIterator[CodeArchive]:
        """A checked zip, kept if the block commits a reference to it and gone without a trace if not."""
        async with self._blobs.receive() as writer:
            async for piece in content:
                await writer.write(piece)
            blob = await writer.finish()
            async with self.holding([blob.digest]):
                unpacked_size = await self.unpack((blob.digest,))
                signature = await signature_of(self._trust, self._blobs.path(blob.digest))
                yield CodeArchive(blob.digest, blob.size, unpacked_size, signature)

    @asynccontextmanager
    async def holding(self, digests: Iterable[str]) -> AsyncIterator[None]:
        """Keeps archives in place while something that refers to them is on its way to the records.

        KeyError when one is already gone.
        """
        held = set(digests)
        async with AsyncExitStack() as stack:
            for digest in held:
                await stack.enter_async_context(self._blobs.pin(digest))
            self._held.update(held)
            try:
                yield
            finally:
                self._held.subtract(held)
                await self.release((digest,) for digest in held)

    async def unpack(self, digests: Stack) -> int:
        """Bytes unpacked. ServiceError in AWS's words when a zip is not fit to be run."""
        report = await self._code_store.unpack(digests, UnpackLimits(self._unzipped_bytes))
        if report.refusal is not None:
            raise refused_zip(report, self._unzipped_bytes)
        return report.unpacked_bytes

    async def unpack_image(self, image: ImageUse) -> Failure | None:
        """Layer by layer. A failure where it is not fit to be run, or there is no room for it: then nothing of what was made
        for it stays. What nothing refers to is gone afterwards as well: a function may be deleted meanwhile."""
        unpacking = _Unpacking(frozenset(image.stacks()))
        self._unpackings.append(unpacking)
        try:
            failure = await self._unpack_in_time(image, unpacking)
            if failure is None:
                for other in self._unpackings:
                    other.made -= unpacking.wanted
            else:
                await self._discard_made(image, unpacking)
        finally:
            self._unpackings.remove(unpacking)
            await self.release(image.stacks())
        return failure

    async def _unpack_in_time(self, image: ImageUse, unpacking: _Unpacking) -> Failure | None:
        try:
            async with asyncio.timeout(self._image_seconds):
                return await self._unpack_layers(image, unpacking.made)
        except TimeoutError:
            return Failure("InvalidImage", f"The image cannot be unpacked within {self._image_seconds:.0f} seconds.")

    async def _discard_made(self, image: ImageUse, unpacking: _Unpacking) -> None:
        """What another image needs that is just being unpacked goes with that one, should it fail as well."""
        for stack in reversed(image.stacks()):
            if stack not in unpacking.made:
                continue
            others = [other for other in self._unpackings if other is not unpacking and stack in other.wanted]
            if others:
                others[0].made.add(stack)
            else:
                await self._code_store.discard(stack)

    async def _unpack_layers(self, image: ImageUse, made: set[Stack]) -> Failure | None:
        for layer, stack in zip(image.image.layers, image.stacks(), strict=True):
            if not self._code_store.has(stack):
                made.add(stack)
            try:
                report = await self._code_store.unpack(stack, UnpackLimits(self._unzipped_bytes))
            except asyncio.CancelledError:  # the function is gone, or the time is over
                self._code_store.give_up(stack)
                raise
            if report.refusal == "no-room":
                return Failure("InsufficientCapacity", f"The image cannot be unpacked: {report.detail}.")
            if report.refusal is not None:
                return Failure("InvalidImage", f"The image cannot be unpacked ({report.refusal}: {report.detail}).")
            if report.diff_id != layer.diff_id:
                reason = "a layer is not the one that its configuration names"
                return Failure("InvalidImage", f"The image cannot be unpacked ({reason}).")
        return None

    async def sweep(self) -> int:
        """Removes what a killed server has left unpacked though nothing refers to it; returns how many trees."""
        return await self._code_store.sweep(self._records.is_wanted)

    async def release(self, stacks: Iterable[Stack]) -> None:
        """Drops archives, and what was unpacked of them together, that nothing refers to any more and nobody holds."""
        for digests in set(stacks):
            if any(self._held[digest] > 0 for digest in digests):
                continue
            for digest in digests:
                self._held.pop(digest, None)
            if not await self._records.is_referenced(digests):
                await self._code_store.discard(digests)
                if len(digests) == 1:
                    await self._blobs.release(digests[0])


def refused_zip(report: UnpackReport, unzipped_bytes: int) -> ServiceError:
    """AWS has three sentences for all that can be wrong with a zip; the reason follows its own."""
    if report.refusal == "too-big":
        return too_big(unzipped_bytes)
    if report.refusal == "empty":
        return invalid_parameter("Uploaded file must be a non-empty zip")
    if report.refusal == "not-a-zip":
        return invalid_parameter(BAD_ZIP)
    return invalid_parameter(
        f"{BAD_ZIP} ({report.refusal}: {report.detail})" if report.detail else f"{BAD_ZIP} ({report.refusal})"
    )


def too_big(unzipped_bytes: int) -> ServiceError:
    return invalid_parameter(f"Unzipped size must be smaller than {unzipped_bytes} bytes")
