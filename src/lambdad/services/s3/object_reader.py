"""Reads an object's bytes: who has begun to read gets the old bytes to the end, whatever happens to the object meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NamedTuple

from lambdad.services.s3 import records
from lambdad.services.s3.access import bucket_of_account
from lambdad.services.s3.byte_range import ByteRange
from lambdad.services.s3.errors import no_such_key
from lambdad.services.s3.model import Piece, StoredObject, check_key, check_version_id
from lambdad.services.s3.state import S3State

_PINS_AT_A_TIME = 64  #: an object may have 10,000 pieces; others get a turn in between

#: What is wanted of an object as it stands; raises ServiceError when it should not be read at all.
Choose = Callable[[StoredObject, Sequence[Piece]], ByteRange]


class Slice(NamedTuple):
    """A run of bytes of a blob."""

    digest: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class OpenObject:
    """An object whose wanted bytes stay as long as it is pinned."""

    stored: StoredObject
    pieces: Sequence[Piece]  #: all of them
    wanted: ByteRange
    slices: Sequence[Slice]  #: of the pieces, what makes the wanted bytes


async def open_object(
    state: S3State, account_id: str, bucket: str, key: str, version: str | None = None
) -> tuple[int, AsyncIterator[bytes]]:
    """The size and the bytes, for another service that acts for `account_id`. Iterate to the end or `aclose`."""
    check_version_id(version)
    await bucket_of_account(state, account_id, bucket)
    pinned = PinnedObject(state, bucket, key)
    found = await pinned.open()
    return found.stored.size, await pinned.body()


async def find_object(state: S3State, bucket: str, key: str) -> StoredObject:
    check_key(key)
    stored = await records.get_object(state.records, bucket, key)
    if stored is None:
        raise no_such_key(key)
    return stored


async def find_object_and_pieces(state: S3State, bucket: str, key: str) -> tuple[StoredObject, Sequence[Piece]]:
    while True:
        stored = await find_object(state, bucket, key)
        try:
            return stored, await records.get_pieces(state.records, stored)
        except KeyError:
            if await find_object(state, bucket, key) == stored:
                raise  # not overtaken by a writer: the layout is missing


def whole(stored: StoredObject, pieces: Sequence[Piece]) -> ByteRange:
    return ByteRange(0, stored.size, is_partial=False)


class PinnedObject:
    """An object as it stands. Between `open` and `close` the wanted bytes stay; as a context manager it does both."""

    def __init__(self, state: S3State, bucket: str, key: str, choose: Choose = whole) -> None:
        check_key(key)
        self._state = state
        self._bucket = bucket
        self._key = key
        self._choose = choose
        self._pins: list[AbstractAsyncContextManager[None]] = []
        self._slices: Sequence[Slice] = ()

    async def __aenter__(self) -> OpenObject:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> OpenObject:
        while True:
            record = await records.get_object_record(self._state.records, self._bucket, self._key)
            if record is None:
                raise no_such_key(self._key)
            stored = records.decode_object(record)
            try:
                pieces = await records.get_pieces(self._state.records, stored)
                wanted = self._choose(stored, pieces)
                self._slices = slices(pieces, wanted)
                await self._pin()
            except KeyError:
                again = await records.get_object_record(self._state.records, self._bucket, self._key)
                if again == record:
                    raise  # not overtaken by a writer: the blob is missing
            else:
                return OpenObject(stored, pieces, wanted, self._slices)

    async def close(self) -> None:
        while self._pins:
            for _ in range(min(_PINS_AT_A_TIME, len(self._pins))):
                await self._pins.pop().__aexit__(None, None, None)
            await asyncio.sleep(0)

    async def body(self) -> AsyncIterator[bytes]:
        """The wanted bytes. Closes when the iteration ends or is given up; nobody else need do so then."""
        stream = self._stream()
        await anext(stream)  # a generator that has begun is closed by the event loop even if nobody iterates it
        return stream

    async def _pin(self) -> None:
        try:
            for number, digest in enumerate({part.digest for part in self._slices}, 1):
                pin = self._state.blobs.pin(digest)
                await pin.__aenter__()
                self._pins.append(pin)
                if number % _PINS_AT_A_TIME == 0:
                    await asyncio.sleep(0)
        except BaseException:
            await self.close()
            raise

    async def _stream(self) -> AsyncIterator[bytes]:
        try:
            yield b""
            async for data in sliced_bytes(self._state, self._slices):
                yield data
        finally:
            await self.close()


def slices(pieces: Sequence[Piece], wanted: ByteRange) -> list[Slice]:
    """Where the wanted bytes lie."""
    found: list[Slice] = []
    offset = 0
    for piece in pieces:
        start, end = max(0, wanted.start - offset), min(piece.size, wanted.end - offset)
        if start < end:
            found.append(Slice(piece.digest, start, end))
        offset += piece.size
    return found


async def sliced_bytes(state: S3State, wanted: Sequence[Slice]) -> AsyncIterator[bytes]:
    """The bytes of slices of pinned blobs."""
    for digest, start, end in wanted:
        async for data in state.blobs.read(digest, start=start, end=end):
            yield data
