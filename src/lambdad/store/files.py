"""Blobs as content-addressed files: written aside, synced, renamed to `ab/cd/<digest>`, folders synced.

What keeps a blob: a reference record, or a pin (a count in memory, held by a writer or reader). A removal looks for
references first, which suspends it, and then removes only if nobody has pinned the digest since it began to look. Whoever
pins therefore keeps the content, and looks again for references when the last pin goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import io
import os
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from lambdad.store.base import REFERENCES, Blob, BlobWriter, InsufficientStorage, Records

PIECE_BYTES = 1 << 20
_READ_INLINE_BYTES = 64 * 1024  #: pieces that are read without a thread: shorter than the hop to one
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

_Result = TypeVar("_Result")


class _InThread(Protocol):
    async def __call__(self, work: Callable[[], None]) -> None: ...


class FileBlobs:
    """Owns `directory`. Call `open` before use; `sweep` may run at any time after it."""

    def __init__(self, directory: Path, records: Records, *, clock: Callable[[], float] = time.time) -> None:
        self._directory = directory
        self._aside = directory / "tmp"
        self._records = records
        self._started_at = clock()
        self._pins: dict[str, int] = {}
        self._durable_folders: set[Path] = set()  #: at most 65,536
        self._removals: dict[str, set[_Removal]] = {}
        self._threads = ThreadPoolExecutor(max_workers=16, thread_name_prefix="blob")

    async def open(self) -> None:
        """Makes the folders and removes what writers of an earlier process left unfinished."""
        await self._in_thread(self._open)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)

    async def sweep(self) -> int:
        """Removes the blobs from before this start that nothing refers to; returns how many. A killed server leaves them."""
        removed = 0
        for folder in await self._in_thread(partial(_folders, self._directory)):
            for digest in await self._in_thread(partial(_older_files, folder, self._started_at)):
                removed += await self._remove_unreferenced(digest)
        return removed

    def receive(self) -> AbstractAsyncContextManager[BlobWriter]:
        return self._receive()

    def read(self, digest: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        return self._read(self.path(digest), start, end)

    def path(self, digest: str) -> Path:
        path = self._place(digest)
        if not path.is_file():
            raise KeyError(digest)
        return path

    @asynccontextmanager
    async def pin(self, digest: str) -> AsyncIterator[None]:
        self.path(digest)
        self._pin(digest)
        try:
            yield
        finally:
            await self._unpin(digest)

    async def release(self, digest: str) -> None:
        await self._remove_unreferenced(digest)

    @asynccontextmanager
    async def _receive(self) -> AsyncIterator[BlobWriter]:
        writer = _FileWriter(self._aside / uuid.uuid4().hex, self._in_thread, self._keep)
        try:
            yield writer
        finally:
            await writer.end()
            if writer.digest:
                await self._unpin(writer.digest)

    async def _keep(self, written: Path, digest: str) -> None:
        """Gives a complete and synced file its place. The pin comes first, so that no removal can come between."""
        self._pin(digest)
        await self._in_thread(partial(self._rename, written, self._place(digest)))

    def _rename(self, written: Path, place: Path) -> None:
        with _disk_full_told():
            self._rename_durably(written, place)

    def _rename_durably(self, written: Path, place: Path) -> None:
        folder = place.parent
        if folder not in self._durable_folders:  # another thread may have made it and not yet have synced its parent
            folder.mkdir(parents=True, exist_ok=True)
            _sync_folder(folder.parent.parent)
            _sync_folder(folder.parent)
            self._durable_folders.add(folder)
        # Identical content that stands there already is replaced by its like; readers keep the file they have open.
        written.rename(place)
        _sync_folder(place.parent)

    async def _read(self, path: Path, start: int, end: int | None) -> AsyncIterator[bytes]:
        try:
            file = path.open("rb", buffering=0)
        except FileNotFoundError:
            raise KeyError(path.name) from None
        with file:
            size = os.fstat(file.fileno()).st_size
            end = size if end is None else min(end, size)
            while start < end:
                length = min(PIECE_BYTES, end - start)
                if length <= _READ_INLINE_BYTES:
                    piece = os.pread(file.fileno(), length, start)
                else:
                    piece = await self._in_thread(partial(os.pread, file.fileno(), length, start))
                if not piece:
                    raise OSError(errno.EIO, f"the blob {path.name} is shorter than it was")
                start += len(piece)
                yield piece

    async def _remove_unreferenced(self, digest: str) -> bool:
        removal = _Removal()
        self._removals.setdefault(digest, set()).add(removal)
        try:
            if digest in self._pins or await self._records.list(REFERENCES, prefix=f"{digest}/", limit=1):
                return False
            if removal.is_overtaken:
                return False
            doomed = self._aside / uuid.uuid4().hex
            try:
                self._place(digest).rename(doomed)  # on the event loop: between the check and this, nothing can pin
            except FileNotFoundError:
                return False
        finally:
            self._removals[digest].discard(removal)
            if not self._removals[digest]:
                del self._removals[digest]
        await self._in_thread(doomed.unlink)
        return True

    def _pin(self, digest: str) -> None:
        self._pins[digest] = self._pins.get(digest, 0) + 1
        for removal in self._removals.get(digest, ()):
            removal.is_overtaken = True

    async def _unpin(self, digest: str) -> None:
        self._pins[digest] -= 1
        if not self._pins[digest]:
            del self._pins[digest]
            await self._remove_unreferenced(digest)

    def _place(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise KeyError(digest)
        return self._directory / digest[:2] / digest[2:4] / digest

    def _open(self) -> None:
        self._aside.mkdir(parents=True, exist_ok=True)
        for leftover in self._aside.iterdir():
            leftover.unlink()
        _sync_folder(self._directory)
        _sync_folder(self._directory.parent)

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


class _Removal:
    """A removal that is looking for references."""

    is_overtaken = False  #: the digest has been pinned since


class _FileWriter:
    """Collects pieces of PIECE_BYTES; one is hashed and written by a thread while the next is being collected."""

    def __init__(self, path: Path, in_thread: _InThread, keep: Callable[[Path, str], Coroutine[Any, Any, None]]) -> None:
        self._path = path
        self._in_thread = in_thread
        self._keep = keep
        self._pieces: list[bytes] = []
        self._collected = 0
        self._size = 0
        self._hash = hashlib.sha256()
        self._file: io.FileIO | None = None
        self._writing: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._lock = threading.Lock()  # a cancelled write may still be running in its thread when the end comes
        self._is_over = False
        self._is_kept = False
        self.digest: str | None = None  #: set when the digest is pinned

    async def write(self, data: bytes) -> None:
        self._refuse_if_over()
        self._pieces.append(data)
        self._collected += len(data)
        if self._collected >= PIECE_BYTES:
            await self._start_writing()

    async def finish(self) -> Blob:
        self._refuse_if_over()
        await self._written()
        await self._in_thread(partial(self._append_and_sync, self._take()))
        # From here on the digest is pinned, whatever happens next; leaving the block takes the pin away.
        self.digest = self._hash.hexdigest()
        self._keeping = asyncio.create_task(self._keep(self._path, self.digest))
        await asyncio.shield(self._keeping)  # a rename cannot be called back, so `end` waits for it
        self._is_kept = True
        return Blob(self.digest, self._size)

    async def end(self) -> None:
        """Removes the file unless it has been given its place."""
        if self._is_kept:
            return
        for task in (self._writing, self._keeping):
            if task:
                await asyncio.wait((task,))
                if not task.cancelled():
                    task.exception()  # seen, and left aside: whoever leaves the block early has an error of their own
        await self._in_thread(self._discard)

    def _take(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        self._size += self._collected
        self._collected = 0
        return pieces

    async def _start_writing(self) -> None:
        await self._written()
        self._writing = asyncio.create_task(self._in_thread(partial(self._append, self._take())))

    async def _written(self) -> None:
        if self._writing:
            writing, self._writing = self._writing, None
            await writing

    def _append(self, pieces: list[bytes]) -> None:
        with self._lock, _disk_full_told():
            if self._is_over:
                return
            if self._file is None:
                self._file = self._path.open("xb", buffering=0)
            for piece in pieces:
                self._hash.update(piece)
                _write_all(self._file, piece)

    def _append_and_sync(self, pieces: list[bytes]) -> None:
        self._append(pieces)
        with self._lock, _disk_full_told():
            if self._file is None or self._is_over:
                return
            os.fsync(self._file.fileno())
            self._file.close()
            self._is_over = True

    def _discard(self) -> None:
        with self._lock:
            self._is_over = True
            if self._file:
                self._file.close()
            self._path.unlink(missing_ok=True)

    def _refuse_if_over(self) -> None:
        if self._is_over:
            raise ValueError("the blob is finished")


def _write_all(file: io.FileIO, piece: bytes) -> None:
    view = memoryview(piece)
    while view:
        view = view[file.write(view) :]


@contextlib.contextmanager
def _disk_full_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise InsufficientStorage(str(error)) from error
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _folders(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]") if path.is_dir())


def _older_files(folder: Path, than: float) -> list[str]:
    older = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # removed since it was listed
            if path.stat().st_mtime < than:
                older.append(path.name)
    return older
