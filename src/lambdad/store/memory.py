"""Records and Queue in memory, for tests: it forgets everything at the end of the process."""

from __future__ import annotations

import bisect
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lambdad.store.base import Change, Conflict, Delete, Finish, Message, Put, Record, Send
from lambdad.store.wakeup import Wakeups


class _Collection:
    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.keys: list[str] = []

    def put(self, record: Record) -> None:
        if record.key not in self.records:
            bisect.insort(self.keys, record.key)
        self.records[record.key] = record

    def delete(self, key: str) -> None:
        if self.records.pop(key, None) is not None:
            del self.keys[bisect.bisect_left(self.keys, key)]


@dataclass(slots=True)
class _Waiting:
    """A message as it stands in its queue."""

    message_id: str
    body: bytes
    visible_at: float
    sent_at: float
    order: int
    receive_count: int = 0
    receipt: str | None = None
    note: bytes = b""


class MemoryStore:
    """Implements Records and Queue. For blobs use `FileBlobs(tmp_path, memory_store)`."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._collections: dict[str, _Collection] = {}
        self._queues: dict[str, dict[str, _Waiting]] = {}
        self._wakeups = Wakeups()
        self._sent = 0

    async def get(self, collection: str, key: str) -> Record | None:
        return self._collection(collection).records.get(key)

    async def list(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int = 1000, descending: bool = False
    ) -> Sequence[Record]:
        found = self._collection(collection)
        matching = [key for key in found.keys[bisect.bisect_left(found.keys, prefix) :] if key.startswith(prefix)]
        if descending:
            matching = [key for key in reversed(matching) if not after or key < after]
        else:
            matching = [key for key in matching if key > after or not after]
        return [found.records[key] for key in matching[: max(0, limit)]]

    async def commit(self, changes: Sequence[Change]) -> None:
        undo: list[tuple[str, str, Record | None]] = []
        of_queues: list[Send | Finish] = []
        try:
            for change in changes:
                if isinstance(change, Send | Finish):
                    self._check_held(change, of_queues)
                    of_queues.append(change)
                else:
                    undo.append((change.collection, change.key, self._collection(change.collection).records.get(change.key)))
                    self._apply(change)
        except Conflict:
            self._undo(undo)
            raise
        for step in of_queues:
            if isinstance(step, Send):
                self._send(step)
            else:
                self._end(step.queue, step.receipt)
        self._wakeups.notify({step.queue for step in of_queues if isinstance(step, Send)})

    async def receive(self, queue: str, *, limit: int, lease_seconds: float) -> Sequence[Message]:
        now = self._clock()
        visible = [waiting for waiting in self._queues.get(queue, {}).values() if waiting.visible_at <= now]
        visible.sort(key=lambda waiting: (waiting.visible_at, waiting.order))
        messages = []
        for waiting in visible[: max(0, limit)]:
            waiting.visible_at = now + lease_seconds
            waiting.receive_count += 1
            waiting.receipt = uuid.uuid4().hex
            messages.append(
                Message(
                    queue,
                    waiting.message_id,
                    waiting.body,
                    waiting.receive_count,
                    waiting.sent_at,
                    waiting.receipt,
                    waiting.note,
                )
            )
        return messages

    async def delete(self, queue: str, receipts: Sequence[str]) -> None:
        for receipt in receipts:
            self._end(queue, receipt)

    async def release(self, queue: str, receipt: str, *, visible_at: float, note: bytes | None = None) -> None:
        waiting = self._leased(queue, receipt)
        if waiting:
            waiting.visible_at = visible_at
            waiting.receipt = None
            waiting.note = waiting.note if note is None else bytes(note)
            self._wakeups.notify((queue,))

    async def bring_forward(self, queue: str, *, within_seconds: float) -> None:
        latest = self._clock() + within_seconds
        for waiting in self._queues.get(queue, {}).values():
            if waiting.receipt is None:
                waiting.visible_at = min(waiting.visible_at, latest)
        self._wakeups.notify((queue,))

    async def extend(self, queue: str, receipt: str, *, lease_seconds: float) -> bool:
        waiting = self._leased(queue, receipt)
        if waiting:
            waiting.visible_at = self._clock() + lease_seconds
        return waiting is not None

    async def count(self, queue: str) -> int:
        return len(self._queues.get(queue, {}))

    async def wait(self, queue: str, *, timeout_seconds: float) -> None:
        next_visible = min((waiting.visible_at for waiting in self._queues.get(queue, {}).values()), default=None)
        if next_visible is not None:
            timeout_seconds = min(timeout_seconds, next_visible - self._clock())
        if timeout_seconds > 0:
            await self._wakeups.wait(queue, timeout_seconds=timeout_seconds)

    def _collection(self, name: str) -> _Collection:
        return self._collections.setdefault(name, _Collection())

    def _apply(self, change: Put | Delete) -> None:
        collection = self._collection(change.collection)
        standing = collection.records.get(change.key)
        if change.if_revision is not None and (standing is None or standing.revision != change.if_revision):
            raise Conflict(f"{change.collection} {change.key!r} is not at revision {change.if_revision}")
        if isinstance(change, Delete):
            collection.delete(change.key)
            return
        if change.if_absent and standing is not None:
            raise Conflict(f"{change.collection} {change.key!r} is there already")
        collection.put(Record(change.key, bytes(change.value), standing.revision + 1 if standing else 1))

    def _undo(self, undo: Sequence[tuple[str, str, Record | None]]) -> None:
        for name, key, before in reversed(undo):
            if before is None:
                self._collection(name).delete(key)
            else:
                self._collection(name).put(before)

    def _check_held(self, change: Send | Finish, before: Sequence[Send | Finish]) -> None:
        if isinstance(change, Finish) and (change in before or self._leased(change.queue, change.receipt) is None):
            raise Conflict(f"a message of {change.queue} is no longer held")

    def _end(self, queue: str, receipt: str) -> None:
        waiting = self._leased(queue, receipt)
        if waiting:
            del self._queues[queue][waiting.message_id]

    def _send(self, send: Send) -> None:
        queue = self._queues.setdefault(send.queue, {})
        if send.message_id not in queue:
            self._sent += 1
            queue[send.message_id] = _Waiting(send.message_id, bytes(send.body), send.visible_at, self._clock(), self._sent)

    def _leased(self, queue: str, receipt: str) -> _Waiting | None:
        """The message that the receipt leases still; a lease that has run out no longer counts."""
        now = self._clock()
        for waiting in self._queues.get(queue, {}).values():
            if waiting.receipt == receipt and waiting.visible_at > now:
                return waiting
        return None
