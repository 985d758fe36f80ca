"""Records and Queue in one SQLite file, durable at every commit. One process owns the file.

Writes go to one thread that commits them in groups (`writer.py`). Point reads and short lists run on the event loop, where
they cost microseconds; what can be long runs in a thread with a connection of its own. No read waits for a write.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from lambdad.errors import StartupError
from lambdad.store import sql
from lambdad.store.base import Change, Conflict, Delete, Finish, Message, Put, Record, Send
from lambdad.store.wakeup import Wakeups
from lambdad.store.writer import GroupCommitWriter

_INLINE_LIST = 200  #: longest list that is read on the event loop
_BUSY_MILLISECONDS = 5_000

_AFTER_ALL_KEYS = "\U0010ffff" * 1024  #: longer than any key that a service lets through

_WRITER_PRAGMAS = (
    "page_size = 8192",
    "journal_mode = wal",
    "synchronous = full",
    "wal_autocheckpoint = 1000",  # often and little: longer logs made longer pauses, and a thread for it no shorter ones
    "journal_size_limit = 67108864",
    "cache_size = -32768",
    "temp_store = memory",
)
_BROUGHT_AT_ONCE = 1000  #: messages that are brought forward by one write
_READER_PRAGMAS = ("query_only = on", "cache_size = -8192", "mmap_size = 0")


class SqliteStore:
    """Implements Records and Queue. `open` before use, `close` at the end."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._wakeups = Wakeups()
        self._long_reads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-reader")

    async def open(self) -> None:
        """StartupError when the file is damaged, made by a newer lambdad, or cannot be used."""
        connection = await asyncio.to_thread(_open_file, self._path)
        self._reader = _connect(self._path, _READER_PRAGMAS)
        self._long_reader = _connect(self._path, _READER_PRAGMAS)
        self._writer = GroupCommitWriter(connection, asyncio.get_running_loop())

    async def close(self) -> None:
        """Returns when all that was asked for is done and the file is closed."""
        await asyncio.to_thread(self._long_reads.shutdown)
        self._long_reader.close()
        self._reader.close()
        await self._writer.close()

    async def get(self, collection: str, key: str) -> Record | None:
        records = _records(self._reader, sql.GET_RECORD, (collection, key))
        return records[0] if records else None

    async def list(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int = 1000, descending: bool = False
    ) -> Sequence[Record]:
        if limit <= 0:
            return []
        query, bounds = _list_query(prefix, after, descending=descending)
        arguments = (collection, *bounds, limit)
        if limit <= _INLINE_LIST:
            return _records(self._reader, query, arguments)
        records: Sequence[Record] = await self._in_reader_thread(partial(_records, self._long_reader, query, arguments))
        return records

    async def commit(self, changes: Sequence[Change]) -> None:
        if not changes:
            return
        changes = tuple(changes)
        # A single statement is undone by SQLite itself; only a Conflict after other changes needs a savepoint.
        needs_savepoint = len(changes) > 1 and any(_has_condition(change) for change in changes)
        work = partial(_apply, changes, self._clock())
        queues = {change.queue for change in changes if isinstance(change, Send)}
        await self._write(work, needs_savepoint=needs_savepoint, wakes=queues)

    async def receive(self, queue: str, *, limit: int, lease_seconds: float) -> Sequence[Message]:
        if limit <= 0 or not self._has_visible(queue):
            return []
        lease = uuid.uuid4().hex
        now = self._clock()
        rows = await self._write(partial(_receive, queue, now, limit, now + lease_seconds, lease))
        return [
            Message(queue, message_id, body, receive_count + 1, sent_at, f"{number}.{lease}", note or b"")
            for number, message_id, body, receive_count, sent_at, note in rows
        ]

    async def delete(self, queue: str, receipts: Sequence[str]) -> None:
        leases = [lease for lease in map(_parse_receipt, receipts) if lease]
        if leases:
            await self._write(partial(_delete_messages, queue, leases, self._clock()))

    async def release(self, queue: str, receipt: str, *, visible_at: float, note: bytes | None = None) -> None:
        await self._change_lease(sql.RELEASE_MESSAGE, queue, receipt, note, visible_at, wakes={queue})

    async def bring_forward(self, queue: str, *, within_seconds: float) -> None:
        """In steps, so that a long queue neither holds up other writes nor fills the memory."""
        latest = self._clock() + within_seconds
        values = (latest, queue, latest, _BROUGHT_AT_ONCE)
        while await self._write(lambda cursor: cursor.execute(sql.BRING_FORWARD, values).fetchall(), wakes={queue}):
            pass

    async def extend(self, queue: str, receipt: str, *, lease_seconds: float) -> bool:
        return await self._change_lease(sql.EXTEND_LEASE, queue, receipt, self._clock() + lease_seconds)

    async def count(self, queue: str) -> int:
        read = partial(self._long_reader.execute, sql.COUNT_MESSAGES, (queue,))
        count: int = await self._in_reader_thread(lambda: read().get)
        return count

    async def wait(self, queue: str, *, timeout_seconds: float) -> None:
        visible_at = self._next_visible(queue)
        if visible_at is not None:
            timeout_seconds = min(timeout_seconds, visible_at - self._clock())
        if timeout_seconds > 0:
            await self._wakeups.wait(queue, timeout_seconds=timeout_seconds)

    async def _change_lease(
        self, query: str, queue: str, receipt: str, *values: bytes | float | None, wakes: Set[str] = frozenset()
    ) -> bool:
        lease = _parse_receipt(receipt)
        if lease is None:
            return False
        arguments = (*values, lease[0], queue, lease[1], self._clock())
        rows = await self._write(lambda cursor: cursor.execute(query, arguments).fetchall(), wakes=wakes)
        return bool(rows)

    def _has_visible(self, queue: str) -> bool:
        """Spares the writer the polls that find nothing."""
        visible_at = self._next_visible(queue)
        return visible_at is not None and visible_at <= self._clock()

    def _next_visible(self, queue: str) -> float | None:
        visible_at: float | None = self._reader.execute(sql.NEXT_VISIBLE, (queue,)).get
        return visible_at

    async def _write(
        self, work: Callable[[apsw.Cursor], Any], *, needs_savepoint: bool = False, wakes: Set[str] = frozenset()
    ) -> Any:
        """Once submitted the work is done, and its queues' waiters are woken, even if the caller is cancelled."""
        done = partial(self._wakeups.notify, wakes) if wakes else None
        return await self._writer.submit(work, needs_savepoint=needs_savepoint, done=done)

    async def _in_reader_thread(self, read: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._long_reads, read)


def _open_file(path: Path) -> apsw.Connection:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)  # it holds secrets; SQLite gives the mode to the files beside it
        connection = _connect(path, _WRITER_PRAGMAS)
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except (apsw.NotADBError, apsw.CorruptError) as error:
        raise StartupError(f"The store {path} is damaged ({error}); restore it from a backup or move it away.") from error
    except (apsw.Error, OSError) as error:
        raise StartupError(f"The store {path} cannot be opened: {error}.") from error
    return connection


def _connect(path: Path, pragmas: Sequence[str]) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.set_busy_timeout(_BUSY_MILLISECONDS)
    for pragma in pragmas:
        connection.execute(f"pragma {pragma}").fetchall()
    return connection


def _prepare(connection: apsw.Connection, path: Path) -> None:
    """Makes the tables in a new file; checks the version of an old one, and ends the leases of the process before."""
    with connection:
        if not connection.table_exists(None, "schema_version"):
            connection.execute(sql.SCHEMA)
            connection.execute(sql.WRITE_SCHEMA_VERSION, (sql.SCHEMA_VERSION,))
        version = connection.execute(sql.READ_SCHEMA_VERSION).get
        while version in sql.UPGRADES:
            connection.execute(sql.UPGRADES[version])
            version += 1
            connection.execute(sql.SET_SCHEMA_VERSION, (version,))
        if version != sql.SCHEMA_VERSION:
            raise StartupError(
                f"The store {path} has schema version {version} and this lambdad reads version {sql.SCHEMA_VERSION}; "
                "use the lambdad that wrote it, or a newer one."
            )
        connection.execute(sql.END_ALL_LEASES)


def _list_query(prefix: str, after: str, *, descending: bool) -> tuple[str, tuple[str, str]]:
    end = _prefix_end(prefix)
    if descending:
        return sql.LIST_RECORDS_DESCENDING, (prefix, min(after, end) if after else end)
    if after and after >= prefix:
        return sql.LIST_RECORDS, (after, end)
    return sql.LIST_RECORDS_FROM, (prefix, end)


def _prefix_end(prefix: str) -> str:
    """The least text that is greater than every key with the prefix."""
    for index in range(len(prefix) - 1, -1, -1):
        if prefix[index] != "\U0010ffff":
            following = ord(prefix[index]) + 1
            return prefix[:index] + chr(0xE000 if following == 0xD800 else following)  # between these are no characters
    return _AFTER_ALL_KEYS


def _records(connection: apsw.Connection, query: str, arguments: tuple[Any, ...]) -> Sequence[Record]:
    return [Record(*row) for row in connection.execute(query, arguments)]


def _has_condition(change: Change) -> bool:
    if isinstance(change, Send | Finish):
        return isinstance(change, Finish)
    return change.if_revision is not None or (isinstance(change, Put) and change.if_absent)


def _apply(changes: Sequence[Change], now: float, cursor: apsw.Cursor) -> None:
    for change in changes:
        if isinstance(change, Put):
            _put(cursor, change)
        elif isinstance(change, Delete):
            _delete(cursor, change)
        elif isinstance(change, Send):
            _send(cursor, change, now)
        elif not _end_message(cursor, change.queue, _parse_receipt(change.receipt), now):
            raise Conflict(f"a message of {change.queue} is no longer held")


def _put(cursor: apsw.Cursor, put: Put) -> None:
    if put.if_revision is not None:
        arguments = (put.value, put.collection, put.key, put.if_revision)
        if put.if_absent or not cursor.execute(sql.PUT_RECORD_AT, arguments).fetchall():
            raise Conflict(f"{put.collection} {put.key!r} is not at revision {put.if_revision}")
    elif not put.if_absent:
        cursor.execute(sql.PUT_RECORD, (put.collection, put.key, put.value))
    elif not cursor.execute(sql.PUT_ABSENT_RECORD, (put.collection, put.key, put.value)).fetchall():
        raise Conflict(f"{put.collection} {put.key!r} is there already")


def _delete(cursor: apsw.Cursor, delete: Delete) -> None:
    if delete.if_revision is None:
        cursor.execute(sql.DELETE_RECORD, (delete.collection, delete.key))
    elif not cursor.execute(sql.DELETE_RECORD_AT, (delete.collection, delete.key, delete.if_revision)).fetchall():
        raise Conflict(f"{delete.collection} {delete.key!r} is not at revision {delete.if_revision}")


def _send(cursor: apsw.Cursor, send: Send, now: float) -> None:
    for (number,) in cursor.execute(sql.SEND_MESSAGE, (send.queue, send.message_id, send.visible_at, now)).fetchall():
        cursor.execute(sql.SEND_BODY, (number, send.body))


def _receive(queue: str, now: float, limit: int, lease_end: float, lease: str, cursor: apsw.Cursor) -> list[tuple[Any, ...]]:
    rows = cursor.execute(sql.VISIBLE_MESSAGES, (queue, now, limit)).fetchall()
    for row in rows:
        cursor.execute(sql.LEASE_MESSAGE, (lease_end, lease, row[0]))
    return rows


def _delete_messages(queue: str, leases: Sequence[tuple[int, str]], now: float, cursor: apsw.Cursor) -> None:
    for lease in leases:
        _end_message(cursor, queue, lease, now)


def _end_message(cursor: apsw.Cursor, queue: str, lease: tuple[int, str] | None, now: float) -> bool:
    """False when the lease has run out, or never was."""
    if lease is None or not cursor.execute(sql.DELETE_MESSAGE, (lease[0], queue, lease[1], now)).fetchall():
        return False
    cursor.execute(sql.DELETE_BODY, (lease[0],))
    return True


def _parse_receipt(receipt: str) -> tuple[int, str] | None:
    number, _, lease = receipt.partition(".")
    return (int(number), lease) if number.isascii() and number.isdigit() and len(number) < 19 else None
