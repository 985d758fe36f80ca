"""What every store keeps: Records and Queue, in memory and in SQLite."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.store.base import Conflict, Delete, Finish, Message, Put, Send
from support.stores import Clock, Store


async def keys(store: Store, **arguments: object) -> list[str]:
    return [record.key for record in await store.list("c", **arguments)]  # type: ignore[arg-type]


async def put_keys(store: Store, *names: str) -> None:
    await store.commit([Put("c", name, b"") for name in names])


class TestRecords:
    async def test_read_your_writes(self, store: Store) -> None:
        """What was committed is read, with a revision that rises from 1."""
        await store.commit([Put("c", "k", b"one")])
        await store.commit([Put("c", "k", b"two")])
        record = await store.get("c", "k")
        assert record is not None
        assert (record.key, record.value, record.revision) == ("k", b"two", 2)

    async def test_absent(self, store: Store) -> None:
        """A record that was never put, or is in another collection, is None."""
        await store.commit([Put("other", "k", b"")])
        assert await store.get("c", "k") is None

    async def test_delete(self, store: Store) -> None:
        """A deleted record is gone; deleting it again does no harm; made anew it starts at revision 1."""
        await store.commit([Put("c", "k", b"1"), Put("c", "k", b"2")])
        await store.commit([Delete("c", "k")])
        await store.commit([Delete("c", "k")])
        assert await store.get("c", "k") is None
        await store.commit([Put("c", "k", b"3")])
        record = await store.get("c", "k")
        assert record is not None
        assert record.revision == 1

    async def test_empty_commit(self, store: Store) -> None:
        """An empty commit changes nothing, and what is committed at the same time is kept."""
        await put_keys(store, "a")
        await asyncio.gather(store.commit([]), put_keys(store, "b"), store.commit([]))
        await store.commit([])
        assert [(record.key, record.revision) for record in await store.list("c")] == [("a", 1), ("b", 1)]

    @pytest.mark.parametrize(
        "refused",
        [
            Put("c", "there", b"new", if_absent=True),
            Put("c", "there", b"new", if_revision=2),
            Put("c", "nowhere", b"new", if_revision=1),
            Put("c", "there", b"new", if_absent=True, if_revision=1),
            Delete("c", "there", if_revision=2),
            Delete("c", "nowhere", if_revision=1),
        ],
    )
    @pytest.mark.parametrize("place", [0, 1, 2])
    async def test_conflict_does_nothing(self, store: Store, refused: Put | Delete, place: int) -> None:
        """A conflict anywhere in a commit leaves all of it undone."""
        await store.commit([Put("c", "there", b"old")])
        changes: list[Put | Delete | Send] = [Put("c", "a", b""), Send("q", "m", b"")]
        changes.insert(place, refused)
        with pytest.raises(Conflict):
            await store.commit(changes)
        assert await keys(store) == ["there"]
        assert await store.count("q") == 0
        record = await store.get("c", "there")
        assert record is not None
        assert (record.value, record.revision) == (b"old", 1)

    async def test_conflict_restores_what_the_commit_changed(self, store: Store) -> None:
        """Changes that came before the conflict in the same commit are undone, deletes and repeated puts among them."""
        await store.commit([Put("c", "a", b"1"), Put("c", "b", b"2")])
        with pytest.raises(Conflict):
            await store.commit(
                [
                    Delete("c", "a"),
                    Put("c", "b", b"x"),
                    Put("c", "b", b"y"),
                    Put("c", "d", b""),
                    Put("c", "b", b"", if_absent=True),
                ]
            )
        assert [(r.key, r.value, r.revision) for r in await store.list("c")] == [("a", b"1", 1), ("b", b"2", 1)]

    async def test_conditions_see_the_same_commit(self, store: Store) -> None:
        """A condition sees the changes before it in its own commit."""
        await store.commit([Put("c", "k", b"1", if_absent=True), Put("c", "k", b"2", if_revision=1)])
        await store.commit([Delete("c", "k", if_revision=2), Put("c", "k", b"3", if_absent=True)])
        record = await store.get("c", "k")
        assert record is not None
        assert record.value == b"3"

    async def test_one_winner(self, store: Store) -> None:
        """Of many who create the same record at once one succeeds, and the others alone are refused."""

        async def create(number: int) -> bool:
            try:
                await store.commit([Put("c", f"mine-{number}", b""), Put("c", "k", b"%d" % number, if_absent=True)])
            except Conflict:
                return False
            return True

        won = await asyncio.gather(*(create(number) for number in range(50)))
        assert sum(won) == 1
        assert await keys(store, prefix="mine-") == [f"mine-{won.index(True)}"]

    async def test_binary_values(self, store: Store) -> None:
        """Values are bytes of any kind and length."""
        for value in (b"", b"\x00\xff" * 10, bytes(range(256)) * 8192):
            await store.commit([Put("c", "k", value)])
            record = await store.get("c", "k")
            assert record is not None
            assert record.value == value

    async def test_list_order(self, store: Store) -> None:
        """Keys are ordered by their UTF-8 bytes."""
        names = ["", "a", "a/b", "a0", "B", "é", "\uffff", "\U0001f600", "\U0010ffff", "a\x00b"]
        await put_keys(store, *names)
        assert await keys(store) == sorted(names, key=str.encode)

    async def test_list_prefix(self, store: Store) -> None:
        """A prefix selects the keys that start with it, and nothing beside, whatever characters it ends in."""
        names = ["a", "a/", "a/1", "a/\U0010ffff", "a/\U0010ffffz", "a0", "b", "\ud7ff1", "\ue000"]
        await put_keys(store, *names)
        for prefix in ("", "a", "a/", "a/\U0010ffff", "\ud7ff", "c"):
            assert await keys(store, prefix=prefix) == sorted((n for n in names if n.startswith(prefix)), key=str.encode)
        assert await keys(store, prefix="%") == []
        assert await keys(store, prefix="A") == []

    async def test_list_pages(self, store: Store) -> None:
        """Reading on after the last key gives every record once, in both directions."""
        names = [f"{number:03d}" for number in range(1, 450)]
        await put_keys(store, *names, "z")
        for limit in (1, 7, 300):
            for descending in (False, True):
                seen: list[str] = []
                while page := await store.list("c", after=seen[-1] if seen else "", limit=limit, descending=descending):
                    assert len(page) <= limit
                    seen += [record.key for record in page]
                assert seen == sorted([*names, "z"], reverse=descending)

    async def test_list_after(self, store: Store) -> None:
        """`after` excludes itself, need not exist, and may lie outside the prefix."""
        await put_keys(store, "a", "p1", "p2", "p3", "q")
        assert await keys(store, prefix="p", after="p1") == ["p2", "p3"]
        assert await keys(store, prefix="p", after="p11") == ["p2", "p3"]
        assert await keys(store, prefix="p", after="a") == ["p1", "p2", "p3"]
        assert await keys(store, prefix="p", after="z") == []
        assert await keys(store, prefix="p", after="p3", descending=True) == ["p2", "p1"]
        assert await keys(store, prefix="p", after="z", descending=True) == ["p3", "p2", "p1"]
        assert await keys(store, prefix="p", after="a", descending=True) == []
        assert await keys(store, limit=0) == []


class TestQueue:
    async def receive(self, store: Store, limit: int = 10, lease_seconds: float = 30) -> list[Message]:
        return list(await store.receive("q", limit=limit, lease_seconds=lease_seconds))

    async def test_send_and_receive(self, store: Store, clock: Clock) -> None:
        """A message comes with what was sent, once while its lease runs."""
        await store.commit([Send("q", "m", b"body"), Put("c", "k", b"")])
        (message,) = await self.receive(store)
        assert (message.queue, message.message_id, message.body) == ("q", "m", b"body")
        assert (message.receive_count, message.sent_at) == (1, clock.now)
        assert await self.receive(store) == []
        assert await store.count("q") == 1

    async def test_other_queues(self, store: Store) -> None:
        """Queues do not see each other, not even with a receipt."""
        await store.commit([Send("q", "m", b""), Send("r", "m", b"")])
        (message,) = await self.receive(store)
        await store.delete("r", [message.receipt])
        assert not await store.extend("r", message.receipt, lease_seconds=1)
        assert await store.count("r") == 1
        assert await store.count("q") == 1

    async def test_same_id(self, store: Store) -> None:
        """An id that the queue holds is not taken again, until its message is deleted."""
        await store.commit([Send("q", "m", b"first"), Send("q", "m", b"second")])
        await store.commit([Send("q", "m", b"third")])
        (message,) = await self.receive(store)
        assert message.body == b"first"
        await store.delete("q", [message.receipt])
        await store.commit([Send("q", "m", b"fourth")])
        (message,) = await self.receive(store)
        assert (message.body, message.receive_count) == (b"fourth", 1)

    async def test_order(self, store: Store, clock: Clock) -> None:
        """The longest visible come first; those not yet visible do not come."""
        times = {"later": clock.now + 5, "b": clock.now - 1, "c": clock.now, "a": 0.0}
        await store.commit([Send("q", name, b"", visible_at=time) for name, time in times.items()])
        assert [message.message_id for message in await self.receive(store, limit=2)] == ["a", "b"]
        assert [message.message_id for message in await self.receive(store)] == ["c"]
        clock.now += 5
        assert [message.message_id for message in await self.receive(store)] == ["later"]

    async def test_lease_end(self, store: Store, clock: Clock) -> None:
        """When a lease ends the message comes again, counted; the old receipt is worth nothing."""
        await store.commit([Send("q", "m", b"x")])
        (first,) = await self.receive(store, lease_seconds=10)
        clock.now += 10
        await store.delete("q", [first.receipt])
        assert not await store.extend("q", first.receipt, lease_seconds=10)
        (second,) = await self.receive(store, lease_seconds=10)
        assert (second.body, second.receive_count) == (b"x", 2)
        await store.delete("q", [first.receipt])
        await store.release("q", first.receipt, visible_at=0)
        assert await self.receive(store) == []
        await store.delete("q", [second.receipt])
        assert await store.count("q") == 0

    async def test_delete_many(self, store: Store) -> None:
        """Several messages end at once; receipts that say nothing are passed over."""
        await store.commit([Send("q", f"{number}", b"") for number in range(5)])
        receipts = [message.receipt for message in await self.receive(store)]
        await store.delete("q", [*receipts[:3], "", "nonsense", "1.x", f"{10**30}.x", "-1.x", "².x", receipts[0]])
        assert await store.count("q") == 2
        await store.delete("q", [])

    async def test_release(self, store: Store, clock: Clock) -> None:
        """A released message is seen again from the time given."""
        await store.commit([Send("q", "m", b"")])
        (message,) = await self.receive(store)
        await store.release("q", message.receipt, visible_at=clock.now + 3)
        assert await self.receive(store) == []
        clock.now += 3
        (message,) = await self.receive(store)
        assert message.receive_count == 2

    async def test_bring_forward(self, store: Store, clock: Clock) -> None:
        """What waits for a time far off is seen soon; what somebody holds stays theirs, and other queues as they are."""
        await store.commit([Send(queue, "far", b"", visible_at=clock.now + 7200) for queue in ("q", "other")])
        await store.commit([Send("q", "near", b"", visible_at=clock.now + 60), Send("q", "held", b"")])
        (held,) = await self.receive(store, lease_seconds=7200)
        await store.bring_forward("q", within_seconds=300)
        clock.now += 60
        assert [message.message_id for message in await self.receive(store, lease_seconds=7200)] == ["near"]
        clock.now += 240
        assert [message.message_id for message in await self.receive(store, lease_seconds=7200)] == ["far"]
        assert await store.extend("q", held.receipt, lease_seconds=7200)
        assert list(await store.receive("other", limit=1, lease_seconds=30)) == []

    async def test_bring_a_long_queue_forward(self, store: Store, clock: Clock) -> None:
        """However many messages wait for a time far off, all are seen soon."""
        await store.commit([Send("q", str(number), b"", visible_at=clock.now + 7200 + number) for number in range(2500)])
        await store.bring_forward("q", within_seconds=300)
        clock.now += 300
        assert len(await store.receive("q", limit=5000, lease_seconds=30)) == 2500

    async def test_note(self, store: Store, clock: Clock) -> None:
        """A release may write a note, which comes with every later receipt until another replaces it."""
        await store.commit([Send("q", "m", b"body")])
        notes: list[bytes] = []
        for note in (b"first", None, b"", b"last\x00", None):
            (message,) = await self.receive(store)
            notes.append(message.note)
            await store.release("q", message.receipt, visible_at=clock.now, note=note)
        (message,) = await self.receive(store)
        assert [*notes, message.note] == [b"", b"first", b"first", b"", b"last\x00", b"last\x00"]
        await store.release("q", "1.nobody", visible_at=0, note=b"stranger")
        assert message.body == b"body"

    async def test_finish(self, store: Store) -> None:
        """A message ends in one commit with what follows from it."""
        await store.commit([Send("q", "m", b"one")])
        (message,) = await self.receive(store)
        await store.commit([Finish("q", message.receipt), Send("q", "m", b"two"), Send("r", "m", b""), Put("c", "k", b"")])
        assert [each.body for each in await self.receive(store)] == [b"two"]
        assert await store.count("r") == 1
        assert await keys(store) == ["k"]

    @pytest.mark.parametrize("loss", ["ended lease", "received again", "deleted", "other queue", "twice", "nonsense"])
    async def test_finish_of_what_is_not_held(self, store: Store, clock: Clock, loss: str) -> None:
        """Who no longer holds a message cannot end it, and nothing of what was to follow is done."""
        await store.commit([Send("q", "m", b"")])
        (message,) = await self.receive(store, lease_seconds=10)
        finish = [Finish("q", message.receipt)]
        if loss in ("ended lease", "received again"):
            clock.now += 10
        if loss == "received again":
            await self.receive(store)
        if loss == "deleted":
            await store.delete("q", [message.receipt])
        if loss == "other queue":
            finish = [Finish("r", message.receipt)]
        if loss == "twice":
            finish = finish * 2
        if loss == "nonsense":
            finish = [Finish("q", "nonsense")]
        with pytest.raises(Conflict):
            await store.commit([Put("c", "k", b""), Send("r", "m", b""), *finish])
        assert await keys(store) == []
        assert await store.count("r") == 0
        assert await store.count("q") == (0 if loss == "deleted" else 1)

    async def test_one_of_two_finishes(self, store: Store) -> None:
        """Of two that end a message at once one succeeds."""
        await store.commit([Send("q", "m", b"")])
        (message,) = await self.receive(store)

        async def finish(number: int) -> bool:
            try:
                await store.commit([Finish("q", message.receipt), Put("c", f"{number}", b"")])
            except Conflict:
                return False
            return True

        won = await asyncio.gather(*(finish(number) for number in range(10)))
        assert sum(won) == 1
        assert await keys(store) == [f"{won.index(True)}"]

    async def test_extend(self, store: Store, clock: Clock) -> None:
        """An extended lease ends later, and its receipt stays good."""
        await store.commit([Send("q", "m", b"")])
        (message,) = await self.receive(store, lease_seconds=10)
        clock.now += 9
        assert await store.extend("q", message.receipt, lease_seconds=10)
        clock.now += 9
        assert await self.receive(store) == []
        await store.delete("q", [message.receipt])
        assert await store.count("q") == 0

    async def test_two_receivers(self, store: Store) -> None:
        """Receivers at once never get the same message."""
        await store.commit([Send("q", f"{number}", b"") for number in range(100)])
        taken = await asyncio.gather(*(self.receive(store, limit=7) for _ in range(20)))
        ids = [message.message_id for messages in taken for message in messages]
        assert sorted(ids, key=int) == [str(number) for number in range(100)]

    async def test_wait_for_send(self, store: Store) -> None:
        """A waiter wakes at a send, and sees the message."""
        waiting = asyncio.create_task(store.wait("q", timeout_seconds=60))
        await asyncio.sleep(0)
        await store.commit([Send("r", "m", b"")])
        assert not waiting.done()
        await store.commit([Send("q", "m", b"")])
        await asyncio.wait_for(waiting, 60)
        assert len(await self.receive(store)) == 1

    async def test_wait_when_visible(self, store: Store) -> None:
        """There is no waiting while a message is visible: a send before the wait is not missed."""
        await store.commit([Send("q", "m", b"")])
        await asyncio.wait_for(store.wait("q", timeout_seconds=60), 60)
        assert [message.message_id for message in await self.receive(store)] == ["m"]

    async def test_wait_for_release(self, store: Store) -> None:
        """A waiter wakes at a release."""
        await store.commit([Send("q", "m", b"")])
        (message,) = await self.receive(store, lease_seconds=600)
        waiting = asyncio.create_task(store.wait("q", timeout_seconds=60))
        await asyncio.sleep(0)
        assert not waiting.done()
        await store.release("q", message.receipt, visible_at=0)
        await asyncio.wait_for(waiting, 60)
        assert [message.receive_count for message in await self.receive(store)] == [2]

    async def test_wait_until_visible(self, store: Store, clock: Clock) -> None:
        """A waiter wakes when a message becomes visible, which may be long before its timeout."""
        await store.commit([Send("q", "m", b"", visible_at=clock.now + 0.05)])
        waiting = asyncio.create_task(store.wait("q", timeout_seconds=60))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert await self.receive(store) == []
        await asyncio.wait_for(waiting, 60)
        clock.now += 0.05
        assert len(await self.receive(store)) == 1

    async def test_wait_timeout(self, store: Store, clock: Clock) -> None:
        """A waiter ends at its timeout, though nothing is there and nothing becomes visible that soon."""
        await store.commit([Send("q", "m", b"", visible_at=clock.now + 600)])
        waiting = asyncio.create_task(store.wait("q", timeout_seconds=0.01))
        await asyncio.sleep(0)
        assert not waiting.done()
        await asyncio.wait_for(waiting, 60)
        assert await self.receive(store) == []
        assert await store.count("q") == 1
