"""What SQLite adds to the store's contract: survival, damage, a full disk."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import apsw
import pytest

from lambdad.errors import StartupError
from lambdad.store import sql
from lambdad.store.base import InsufficientStorage, Put, Send
from lambdad.store.sqlite import SqliteStore

_COMMITS_AND_TELLS = """
    import asyncio, os, sys
    from pathlib import Path
    from lambdad.store.base import Put, Send
    from lambdad.store.sqlite import SqliteStore

    async def commit_for_ever(store, caller):
        number = 0
        while True:
            name = f"{caller}-{number}"
            await store.commit([Put("c", name, b"x" * 2000), Send("q", name, name.encode()), Put("d", name, b"")])
            os.write(1, f"{name}\\n".encode())
            number += 1

    async def main():
        store = SqliteStore(Path(sys.argv[1]))
        await store.open()
        await asyncio.gather(*(commit_for_ever(store, f"{sys.argv[2]}-{caller}") for caller in range(8)))

    asyncio.run(main())
"""


async def opened(path: Path) -> SqliteStore:
    store = SqliteStore(path)
    await store.open()
    return store


async def test_kill_at_any_moment(tmp_path: Path) -> None:
    """After kill -9 every acknowledged commit is there, and no commit is there in part."""
    path = tmp_path / "store.db"
    acknowledged: list[str] = []
    for life in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(_COMMITS_AND_TELLS), str(path), str(life)], stdout=subprocess.PIPE
        )
        assert child.stdout
        first = child.stdout.readline()  # from here on it commits
        time.sleep(random.uniform(0, 0.15))
        os.kill(child.pid, signal.SIGKILL)
        acknowledged += (first + child.stdout.read()).decode().split("\n")[:-1]
        child.stdout.close()
        child.wait()
    store = await opened(path)
    try:
        for name in acknowledged:
            assert await store.get("c", name), f"{name} is lost"
        assert len(acknowledged) > 40
        ids = {message.message_id for message in await store.receive("q", limit=10**6, lease_seconds=60)}
        assert set(acknowledged) <= ids
        for collection in ("c", "d"):
            assert {record.key for record in await store.list(collection, limit=10**6)} == ids
    finally:
        await store.close()


async def test_leases_end_with_their_process(tmp_path: Path) -> None:
    """A message that was leased when the store closed is visible at once after it opens."""
    store = await opened(tmp_path / "store.db")
    await store.commit([Send("q", "m", b"")])
    assert await store.receive("q", limit=1, lease_seconds=900)
    await store.close()
    store = await opened(tmp_path / "store.db")
    (message,) = await store.receive("q", limit=1, lease_seconds=900)
    assert message.receive_count == 2
    await store.close()


async def test_older_schema(tmp_path: Path) -> None:
    """A file of the first version is brought to the present one at its opening, with what it holds."""
    path = tmp_path / "store.db"
    store = SqliteStore(path)
    await store.open()
    await store.commit([Send("q", "m", b"body"), Put("c", "k", b"value")])
    await store.close()
    connection = apsw.Connection(str(path))
    connection.execute("alter table message drop column note; update schema_version set version = 1")
    connection.close()

    for _ in range(2):
        store = SqliteStore(path)
        await store.open()
        (message,) = await store.receive("q", limit=1, lease_seconds=10)
        assert (message.body, message.note) == (b"body", b"")
        assert await store.get("c", "k") is not None
        await store.close()


async def test_newer_schema(tmp_path: Path) -> None:
    """A file of a newer lambdad is refused with a sentence, and left as it is."""
    path = tmp_path / "store.db"
    await (await opened(path)).close()
    connection = apsw.Connection(str(path))
    connection.execute("update schema_version set version = ?", (sql.SCHEMA_VERSION + 1,))
    connection.close()
    with pytest.raises(StartupError, match="has schema version 3 and this lambdad reads version 2"):
        await opened(path)


@pytest.mark.parametrize("damage", ["not-a-database", "header", "pages"])
async def test_damaged_file(tmp_path: Path, damage: str) -> None:
    """A damaged file is refused with one sentence."""
    path = tmp_path / "store.db"
    if damage == "not-a-database":
        path.write_bytes(b"something else " * 1000)
    else:
        store = await opened(path)
        await store.commit([Put("c", f"{number}", b"x" * 3000) for number in range(50)])
        await store.close()
        data = bytearray(path.read_bytes())
        start = 0 if damage == "header" else 100
        data[start : start + 8000] = b"\xaa" * 8000
        path.write_bytes(data)
    with pytest.raises(StartupError, match=r"damaged .*; restore it from a backup or move it away\.$"):
        await opened(path)


async def test_unusable_path(tmp_path: Path) -> None:
    """A path that cannot be a file is refused with one sentence."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "store.db"):
        with pytest.raises(StartupError, match="cannot be opened"):
            await opened(path)


async def test_full_store(tmp_path: Path) -> None:
    """Without room a commit fails as a whole, those with room in the same group succeed, and later ones work again."""
    store = await opened(tmp_path / "store.db")
    await store.commit([Put("c", "before", b"")])
    limit = await store._writer.submit(lambda cursor: cursor.execute("pragma max_page_count = 40").get)
    big = [Put("c", "big", b"x" * 1_000_000), Put("c", "with-big", b"")]
    outcomes = await asyncio.gather(
        store.commit([Put("c", "small-1", b"")]),
        store.commit(big),
        store.commit([Put("c", "small-2", b"")]),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [type(None), InsufficientStorage, type(None)]
    assert [record.key for record in await store.list("c")] == ["before", "small-1", "small-2"]
    assert limit == 40
    await store._writer.submit(lambda cursor: cursor.execute("pragma max_page_count = 1000000").get)
    await store.commit(big)
    assert await store.get("c", "with-big")
    await store.close()


async def test_bad_change_fails_alone(tmp_path: Path) -> None:
    """A change that cannot be stored fails its own caller, wholly, and nobody who shares its transaction."""
    store = await opened(tmp_path / "store.db")
    outcomes = await asyncio.gather(
        *(store.commit([Put("c", f"good-{number}", b"")]) for number in range(5)),
        store.commit([Put("c", "half", b""), Put("c", "lone \ud800 surrogate", b"")]),
        store.commit([Put("c", "good-5", b"")]),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 5 + [UnicodeEncodeError, type(None)]
    assert [record.key for record in await store.list("c")] == [f"good-{number}" for number in range(6)]
    await store.close()


async def test_cancelled_caller(tmp_path: Path) -> None:
    """A caller that is cancelled does not keep the others from their results."""
    store = await opened(tmp_path / "store.db")
    commits = [asyncio.create_task(store.commit([Put("c", f"{number}", b"")])) for number in range(10)]
    await asyncio.sleep(0)
    commits[3].cancel()
    await asyncio.wait(commits)
    assert [commit.cancelled() for commit in commits].count(True) == 1
    assert len(await store.list("c")) == 10
    await store.close()


async def test_close_finishes_what_was_asked(tmp_path: Path) -> None:
    """Closing lets the commits that were under way end; later ones are refused."""
    store = await opened(tmp_path / "store.db")
    commits = [asyncio.create_task(store.commit([Put("c", f"{number}", b"")])) for number in range(700)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*commits)
    with pytest.raises(RuntimeError, match="closed"):
        await store.commit([Put("c", "late", b"")])
    store = await opened(tmp_path / "store.db")
    assert len(await store.list("c")) == 700
    await store.close()


_FILLS_THE_DISK = """
    import asyncio, os, sys
    from pathlib import Path
    from lambdad.store.base import InsufficientStorage, Put
    from lambdad.store.files import FileBlobs
    from lambdad.store.sqlite import SqliteStore

    async def main(folder):
        store = SqliteStore(folder / "store.db")
        await store.open()
        blobs = FileBlobs(folder / "blobs", store)
        await blobs.open()
        kept = 0
        try:
            while True:
                await store.commit([Put("c", f"{kept}", b"x" * 50_000), Put("d", f"{kept}", b"")])
                kept += 1
        except InsufficientStorage:
            pass
        assert kept > 3, kept
        for collection in ("c", "d"):
            assert len(await store.list(collection)) == kept
        (folder / "ballast").unlink()
        await store.commit([Put("c", "after", b"")])
        try:
            async with blobs.receive() as writer:
                for _ in range(20):
                    await writer.write(b"x" * 1_000_000)
                await writer.finish()
            raise AssertionError("20 MB fit into 6")
        except InsufficientStorage:
            pass
        assert not [path for path in (folder / "blobs").rglob("*") if path.is_file()]
        async with blobs.receive() as writer:
            await writer.write(b"x")
            await writer.finish()
        await blobs.close()
        await store.close()
        store = SqliteStore(folder / "store.db")
        await store.open()
        assert len(await store.list("d")) == kept and await store.get("c", "after")
        await store.close()
        print("well")

    asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.root
def test_full_disk(tmp_path: Path) -> None:
    """On a full disk commits and blobs fail as a whole, and work again when there is room."""
    commands = (
        f"mount -t tmpfs -o size=6m none {tmp_path} && head -c 2000000 /dev/zero >{tmp_path}/ballast && "
        f'exec {sys.executable} -c "$0" {tmp_path}'
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", commands, textwrap.dedent(_FILLS_THE_DISK)],
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert (done.stdout, done.returncode) == ("well\n", 0), done.stderr


async def test_cancelled_sender_wakes_the_waiter(tmp_path: Path) -> None:
    """A send whose caller is cancelled is made all the same, and wakes who waits for its queue."""
    store = await opened(tmp_path / "store.db")
    waiting = asyncio.create_task(store.wait("q", timeout_seconds=60))
    await asyncio.sleep(0)
    sending = asyncio.create_task(store.commit([Send("q", "m", b"")]))
    await asyncio.sleep(0)
    sending.cancel()
    await asyncio.wait_for(waiting, 60)
    assert await store.count("q") == 1
    await store.close()


async def test_its_files_are_its_owners_alone(tmp_path: Path) -> None:
    """The store holds the secrets of access keys: no other user can read it, whatever the umask."""
    path = tmp_path / "store.sqlite"
    store = SqliteStore(path)
    await store.open()
    await store.commit([Put("c", "k", b"v")])
    assert {file.stat().st_mode & 0o777 for file in tmp_path.glob("store.sqlite*")} == {0o600}
    await store.close()
