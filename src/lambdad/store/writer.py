"""Group commit: one thread makes everybody's changes, many callers to a transaction, one sync of the disk for all of them.

A caller's future resolves after COMMIT has returned. A caller whose work fails takes nobody with it: Conflict is undone by
its own savepoint; any other failure undoes the group, and then each caller gets a transaction of their own, so that only
the one at fault (or the one for whom the disk had no room) is told so.
"""

from __future__ import annotations

import asyncio
import errno
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import apsw

from lambdad.store.base import Conflict, InsufficientStorage

_GROUP_LIMIT = 512

#: Makes one caller's changes with the given cursor and returns their result.
Work = Callable[[apsw.Cursor], Any]


@dataclass(slots=True)
class _Job:
    work: Work
    needs_savepoint: bool  #: it can raise Conflict after it has changed something
    future: asyncio.Future[Any]
    done: Callable[[], None] | None  #: called on the event loop once the work is done or has failed
    result: Any = field(default=None)
    error: BaseException | None = None


class GroupCommitWriter:
    """Owns the one connection that writes. `submit` and `close` belong to the event loop's thread."""

    def __init__(self, connection: apsw.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self._connection = connection
        self._loop = loop
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(
        self, work: Work, *, needs_savepoint: bool = False, done: Callable[[], None] | None = None
    ) -> asyncio.Future[Any]:
        """Work submitted first is done first. A caller who cancels the future no longer hears of it, but the work cannot be
        called back. When it is done or has failed, `done` is called on the event loop, whatever became of the future."""
        if self._is_closed:
            raise RuntimeError("the store is closed")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.put(_Job(work, needs_savepoint, future, done))
        return future

    async def close(self) -> None:
        """Returns when everything submitted is done and the connection is closed."""
        if not self._is_closed:
            self._is_closed = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            if group:
                self._do(group)
                self._loop.call_soon_threadsafe(_resolve, group)
        self._connection.close()

    def _next_group(self) -> list[_Job] | None:
        """Waits for a job and takes what else is there; None at the end."""
        job = self._jobs.get()
        group: list[_Job] = []
        while job is not None:
            group.append(job)
            if len(group) == _GROUP_LIMIT:
                return group
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return group
        if not group:
            return None
        self._jobs.put(None)  # the end comes after this group
        return group

    def _do(self, group: Sequence[_Job]) -> None:
        try:
            self._transact(group)
        except Exception as error:  # noqa: BLE001 - whatever it was, each caller is told of their own
            if len(group) == 1:
                group[0].error = self._told(error)
                return
            for job in group:
                job.error = None
                self._do((job,))

    def _transact(self, group: Sequence[_Job]) -> None:
        cursor = self._connection.cursor()
        if self._connection.in_transaction:  # an earlier rollback failed
            cursor.execute("rollback")
        cursor.execute("begin immediate")
        try:
            for job in group:
                _perform(cursor, job)
            cursor.execute("commit")
        except BaseException:
            # SQLite has rolled back by itself after some errors, a full disk among them.
            if self._connection.in_transaction:
                cursor.execute("rollback")
            raise

    def _told(self, error: Exception) -> Exception:
        is_disk_full = isinstance(error, apsw.IOError) and self._connection.system_errno in (errno.ENOSPC, errno.EDQUOT)
        if is_disk_full or isinstance(error, apsw.FullError):
            return InsufficientStorage(f"the store has no room: {error}")
        return error


def _perform(cursor: apsw.Cursor, job: _Job) -> None:
    if job.needs_savepoint:
        cursor.execute("savepoint caller")
    try:
        job.result = job.work(cursor)
    except Conflict as conflict:
        job.error = conflict
        if job.needs_savepoint:
            cursor.execute("rollback to caller")
    if job.needs_savepoint:
        cursor.execute("release caller")


def _resolve(group: Sequence[_Job]) -> None:
    for job in group:
        if job.done:
            job.done()
        if job.future.done():
            continue  # cancelled by its caller; the work stands
        if job.error is None:
            job.future.set_result(job.result)
        else:
            job.future.set_exception(job.error)
