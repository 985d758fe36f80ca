"""Whose images are asked for first, where a registry elsewhere is slow."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from lambdad.images.places import ASKING, ASKING_OF_ACCOUNT, ImagePlaces
from lambdad.images.reference import RemoteImage
from lambdad.images.source import BusyRegistry, ImageSource, MissingImage
from lambdad.model.image import Registry
from lambdad.model.request import Principal, RequestContext

ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"


def own(*_: str) -> ImageSource:
    raise AssertionError("none of these is in a repository of lambdad's own")


def context(account_id: str) -> RequestContext:
    principal = Principal(account_id, f"arn:aws:iam::{account_id}:root")
    return RequestContext("request", "lambda", "CreateFunction", account_id, "us-east-1", principal, "127.0.0.1", "http://here")


class SilentRegistry:
    """Takes every request and answers none."""

    def __init__(self, server: asyncio.Server, asked: asyncio.Semaphore) -> None:
        self.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.asked = asked  #: as often as it was

    def places(self, **settings: Any) -> ImagePlaces:
        return ImagePlaces(own, [], [Registry(self.host, is_insecure=True)], **settings)

    async def ask(self, places: ImagePlaces, account_id: str) -> None:
        source = await places.open(RemoteImage(self.host, "r", "v1"), context(account_id), ARN)
        try:
            await source.document("v1")
        finally:
            await source.close()


@pytest.fixture
async def silent() -> AsyncIterator[SilentRegistry]:
    asked = asyncio.Semaphore(0)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.release()
        with contextlib.suppress(ConnectionError):
            await reader.read()  # until it is broken off
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield SilentRegistry(server, asked)
    for thread in waiting_threads():
        await asyncio.to_thread(thread.join)


def waiting_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("registry")]


async def test_an_account_has_so_many_threads_at_a_silent_registry(silent: SilentRegistry) -> None:
    """Another account's requests go past those of it that wait, and all that wait have their turn when others end."""
    places = silent.places()
    work = [asyncio.create_task(silent.ask(places, "1" * 12)) for _ in range(3 * ASKING)]
    work.append(asyncio.create_task(silent.ask(places, "2" * 12)))
    for _ in range(ASKING_OF_ACCOUNT + 1):
        await silent.asked.acquire()
    await asyncio.sleep(0)
    assert silent.asked.locked()  # nobody else has asked
    assert len(waiting_threads()) == ASKING_OF_ACCOUNT + 1
    for task in (*work[:ASKING_OF_ACCOUNT], work[-1]):
        task.cancel()
    for _ in range(ASKING_OF_ACCOUNT):
        await silent.asked.acquire()
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)


async def test_many_accounts_share_what_a_registry_is_asked_by(silent: SilentRegistry) -> None:
    places = silent.places()
    work = [asyncio.create_task(silent.ask(places, f"{number:012}")) for number in range(3 * ASKING)]
    for _ in range(ASKING):
        await silent.asked.acquire()
    assert len(waiting_threads()) == ASKING
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)


async def test_who_has_no_turn_in_time_is_told(silent: SilentRegistry) -> None:
    """And whoever does not wait any more leaves nothing behind that others would wait for."""
    places = silent.places(patience_seconds=0.01)
    work = [asyncio.create_task(silent.ask(places, "1" * 12)) for _ in range(ASKING_OF_ACCOUNT)]
    for _ in work:
        await silent.asked.acquire()
    with pytest.raises(BusyRegistry, match=f"for {ASKING_OF_ACCOUNT} other images of the account"):
        await silent.ask(places, "1" * 12)
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    later = silent.places(pull_seconds=0.5)
    with pytest.raises(MissingImage, match="has not sent it within"):
        await silent.ask(later, "1" * 12)


async def test_a_turn_lasts_as_long_as_its_thread(silent: SilentRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that cannot be connected to holds a thread for longer than its request waits: whoever gives up at once and comes
    again has no more threads than one who waits."""
    is_trying, may_fail = threading.Semaphore(0), threading.Event()

    def connect(*_: Any) -> socket.socket:
        is_trying.release()
        may_fail.wait(60)
        raise OSError("no route")

    monkeypatch.setattr(socket, "create_connection", connect)
    places = silent.places()
    try:
        for _ in range(ASKING_OF_ACCOUNT):
            task = asyncio.create_task(silent.ask(places, "1" * 12))
            await asyncio.to_thread(is_trying.acquire)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        late = asyncio.create_task(places.open(RemoteImage(silent.host, "r", "v1"), context("1" * 12), ARN))
        await asyncio.sleep(0)
        assert len(waiting_threads()) == ASKING_OF_ACCOUNT
        assert not late.done()
    finally:
        may_fail.set()
    await (await late).close()
