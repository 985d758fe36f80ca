"""Zips of functions and layers: taken in, checked, kept while something refers to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

from lambdad.errors import ServiceError
from lambdad.model.image import ImageLayer, ImageUse
from lambdad.model.version import CodeArchive
from lambdad.sandbox.base import UnpackLimits, UnpackReport
from lambdad.services.lambda_.code_trust import SignatureTrust, signature_of
from lambdad.services.lambda_.records import LambdaRecords, Stack
from lambdad.services.lambda_.refusal import invalid_parameter
from lambdad.store.base import Blobs

BAD_ZIP = "Could not unzip uploaded file. Please check your file, then try to upload again."


class CodeStore(Protocol):
    """Archives unpacked once per content."""

    async def unpack(self, digests: Stack, limits: UnpackLimits) -> UnpackReport:
        """Checks and unpacks the archives one over the other; at once where that was done before. Images have limits of their
        own, whatever is given."""
        ...

    async def discard(self, digests: Stack) -> None:
        """Removes what was unpacked of just these archives, as soon as nothing runs from it."""
        ...


class Archives:
    def __init__(
        self, records: LambdaRecords, blobs: Blobs, code_store: CodeStore, trust: SignatureTrust, unzipped_bytes: int
    ) -> None:
        self._records = records
        self._blobs = blobs
        self._code_store = code_store
        self._trust = trust
        self._unzipped_bytes = unzipped_bytes
        self._held: Counter[str] = Counter()

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

    async def unpack_image(self, image: ImageUse) -> None:
        """Layer by layer. ServiceError when one is not fit to be run. What nothing refers to is gone again afterwards: a
        function may be deleted meanwhile."""
        try:
            for layer, stack in zip(image.image.layers, image.stacks(), strict=True):
                await self._unpack_layer(layer, stack)
        finally:
            await self.release(image.stacks())

    async def _unpack_layer(self, layer: ImageLayer, stack: Stack) -> None:
        report = await self._code_store.unpack(stack, UnpackLimits(self._unzipped_bytes))
        if report.refusal is not None:
            raise invalid_parameter(f"The image cannot be unpacked ({report.refusal}: {report.detail}).")
        if report.diff_id != layer.diff_id:
            raise invalid_parameter("The image cannot be unpacked (a layer is not the one that its configuration names).")

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
