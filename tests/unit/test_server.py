"""Where a server listens, when it must end, and how long it may take."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lambdad.errors import StartupError
from lambdad.server import Grace, RunningServer, bind


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("192.0.2.1", "cannot be had: .*; name an address of this machine with --host"),
        ("no-such-host.invalid", "cannot be had: .*; name an address of this machine with --host"),
    ],
)
def test_an_address_that_is_not_this_machines_is_not_a_matter_of_the_port(host: str, words: str) -> None:
    """What is wrong is said with the setting that mends it."""
    with pytest.raises(StartupError, match=rf"^Port 0 at {host} {words}\.$"):
        bind(host, 0)


def test_a_port_that_is_taken_is_said() -> None:
    """On every system, whatever its number for that."""
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError, match=rf"^Port {port} at 127.0.0.1 is in use; choose another with --port"):
            bind("127.0.0.1", port)


def test_one_grace_for_all():
    """Parts that are stopped one after the other share one time, which begins with the first of them and ends once."""
    now = [100.0]
    grace = Grace(30, monotonic=lambda: now[0])
    now[0] = 200.0
    assert grace.left() == 30
    now[0] = 220.0
    assert grace.left() == 10
    now[0] = 300.0
    assert grace.left() == 0


class Backend:
    """The one thing of an isolation backend that matters here."""

    def __init__(self) -> None:
        self.loss: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def lost(self) -> str:
        return await self.loss


def server(backend: Backend, *tasks: asyncio.Task[None]) -> RunningServer:
    nothing: Any = None
    return RunningServer(nothing, nothing, backend, nothing, Grace(0), tasks)


async def test_returns_when_asked_to_stop():
    """The wish to stop ends the wait, and nothing of the wait is left."""
    asked = asyncio.Event()
    asked.set()
    await server(Backend()).until_lost(asked)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_lost_sandboxes_end_the_server():
    """When no function can run any more the server ends with the backend's sentence."""
    backend = Backend()
    backend.loss.set_result("the launcher has ended")
    with pytest.raises(StartupError, match="the launcher has ended"):
        await server(backend).until_lost(asyncio.Event())


@pytest.mark.parametrize("fails", [True, False])
async def test_a_task_that_ends_too_early_ends_the_server(fails: bool):
    """Without the task that runs events the server would take them and never run them: it ends instead, with the cause."""

    async def work() -> None:
        if fails:
            raise ValueError("broken")

    task = asyncio.create_task(work(), name="The dispatch of events")
    with pytest.raises(ValueError if fails else StartupError, match="broken" if fails else "The dispatch of events"):
        await server(Backend(), task).until_lost(asyncio.Event())
