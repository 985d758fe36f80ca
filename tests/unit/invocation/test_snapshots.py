"""Snapshots: made once, kept while they are of use, and what becomes of environments without them."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.errors import ServiceError
from lambdad.sandbox.base import ExitStatus

from .conftest import Exit


async def snap_start(runtime) -> None:
    """The runtime client, as a template and as a clone."""
    if runtime.spec.is_template:
        await runtime.ask("GET", "restore/next")
        return
    status, _, _ = await runtime.ask("GET", "restore/next")
    assert status == 200
    while True:
        request_id, body = await runtime.next()
        await runtime.respond(request_id, body)


@pytest.fixture
def snap_world(world):
    world.sandboxes.script = snap_start
    return world


async def test_environments_start_from_one_snapshot(snap_world, version):
    """Made once, for however many; each has its own credentials, and REPORT tells of the restore."""
    one = version(has_snapshot=True)
    assert await snap_world.snapshots.prepare(one) is None
    results = await asyncio.gather(*(snap_world.invoke(one, b"%d" % number) for number in range(3)))
    assert sorted(result.payload for result in results) == [b"0", b"1", b"2"]
    await snap_world.invoke(one, b"3")  # which an idle one takes, and it tells of its last invocation before that
    template, *clones = snap_world.sandboxes.started
    assert len(snap_world.sandboxes.snapshots) == 1
    assert {clone.spec.snapshot for clone in clones} == set(snap_world.sandboxes.snapshots)
    environment = template.spec.environment
    assert environment["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start"
    assert environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"] == "http://127.0.0.1:9001/2021-04-23/credentials"
    assert not [name for name in environment if name in ("AWS_ACCESS_KEY_ID", "AWS_LAMBDA_LOG_STREAM_NAME")]
    assert clones[0].spec.environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"] == environment["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    assert len(snap_world.minted) == 1 + len(clones)
    lines = snap_world.lines()
    assert len([line for line in lines if line.startswith("INIT_REPORT")]) == 1
    assert len([line for line in lines if line.startswith("RESTORE_REPORT Restore Duration:")]) == len(clones)
    assert any("\tRestore Duration: " in line and "\tBilled Restore Duration: " in line for line in lines)


async def test_a_lost_snapshot_is_made_again(snap_world, version):
    one = version(has_snapshot=True)
    assert await snap_world.snapshots.prepare(one) is None
    snap_world.sandboxes.snapshots[0].gone.set()
    assert (await snap_world.invoke(one)).function_error is None
    assert len(snap_world.sandboxes.snapshots) == 2
    assert snap_world.sandboxes.snapshots[0].is_closed


async def test_a_snapshot_lost_while_it_is_cloned_fails_no_invocation(snap_world, version):
    """The function has not run: its environment is made from another one, and what the first attempt took is given back."""
    one = version(has_snapshot=True)
    await snap_world.snapshots.prepare(one)
    snap_world.sandboxes.losses = 1
    assert (await snap_world.invoke(one)).function_error is None
    assert len(snap_world.sandboxes.snapshots) == 2
    template, second, clone = snap_world.sandboxes.started
    assert (template.spec.is_template, second.spec.is_template, clone.spec.is_template) == (True, True, False)
    assert clone.spec.snapshot is snap_world.sandboxes.snapshots[1]
    token = "AWS_CONTAINER_AUTHORIZATION_TOKEN"
    assert clone.spec.environment[token] == second.spec.environment[token] != template.spec.environment[token]
    assert len(snap_world.minted) == 4
    await snap_world.invoker.close(0)
    assert sorted(snap_world.revoked, key=str) == sorted(snap_world.minted, key=str)
    assert snap_world.code.held == 0


async def test_a_snapshot_that_is_lost_again_and_again_is_our_failure(snap_world, version):
    """It is tried twice."""
    one = version(has_snapshot=True)
    await snap_world.snapshots.prepare(one)
    snap_world.sandboxes.losses = 2
    with pytest.raises(ServiceError, match="the snapshot is gone") as failed:
        await snap_world.invoke(one)
    assert failed.value.status == 500
    assert len(snap_world.sandboxes.snapshots) == 2
    assert (await snap_world.invoke(one)).function_error is None


async def test_a_snapshot_goes_with_its_version(snap_world, version):
    """And the memory that it took."""
    one = version(has_snapshot=True)
    await snap_world.snapshots.prepare(one)
    assert snap_world.placement.counts().memory_mb == 40
    await snap_world.invoker.retire(*one.environment_key[:4])
    await snap_world.snapshots.close()
    assert snap_world.sandboxes.snapshots[0].is_closed
    assert snap_world.placement.counts().memory_mb == 0


async def test_a_snapshot_makes_room_for_environments(make_world, version):
    """When no idle environment is left to evict; and its version has it made again."""
    world = make_world(memory_budget_mb=300)
    world.sandboxes.script = lambda runtime: snap_start(runtime)
    one, other = version(has_snapshot=True, memory_mb=128), version("other", memory_mb=300)
    await world.snapshots.prepare(one)
    with pytest.raises(ServiceError):
        await world.placement.claim(301)

    async def plain(runtime) -> None:
        while True:
            request_id, body = await runtime.next()
            await runtime.respond(request_id, body)

    world.sandboxes.script = plain
    given_up, let_go, started = world.sandboxes.snapshots[0], asyncio.Event(), len(world.sandboxes.started)
    close, closing = given_up.close, asyncio.Event()

    async def slow() -> None:
        closing.set()
        await let_go.wait()
        await close()

    given_up.close = slow
    invoked = asyncio.ensure_future(world.invoke(other))
    await closing.wait()
    assert len(world.sandboxes.started) == started  # nobody takes the memory before it is there
    let_go.set()
    assert (await invoked).function_error is None
    assert given_up.is_closed


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        ("posts", "FunctionError.RuntimeInitError", "The function's init failed: E: as asked"),
        ("exits", "FunctionError.RuntimeInitError", "Runtime exited with error: exit status 3"),
        ("runs out of memory", "FunctionError.InitResourceExhausted", "signal: killed"),
        ("asks", "FunctionError", "SnapStart cannot be applied: the function asked for an invocation"),
    ],
)
async def test_an_init_that_fails_says_why(world, version, script, code, reason):
    """Nothing of it is left."""

    async def fail(runtime) -> None:
        if script == "posts":
            await runtime.ask("POST", "init/error", b'{"errorType": "E", "errorMessage": "as asked"}')
        if script == "exits":
            raise Exit(ExitStatus(code=3))
        if script == "runs out of memory":
            raise Exit(ExitStatus(signal=9, out_of_memory=True))
        if script == "asks":
            await runtime.next()

    world.sandboxes.script = fail
    failure = await world.snapshots.prepare(version(has_snapshot=True))
    assert (failure.code, reason in failure.reason) == (code, True), failure
    assert world.sandboxes.running == 0
    assert world.placement.counts().memory_mb == 0


@pytest.mark.parametrize(
    ("how", "code"), [("posts", "SnapStartException"), ("exits", "SnapStartException"), ("hangs", "SnapStartTimeoutException")]
)
async def test_a_restore_that_fails_is_told_to_the_caller(make_world, version, how, code):
    world = make_world(restore_seconds=0.2 if how == "hangs" else 30.0)

    async def fail(runtime) -> None:
        await runtime.ask("GET", "restore/next")
        if runtime.spec.is_template:
            return
        if how == "posts":
            await runtime.ask("POST", "restore/error", b"{}", "Lambda-Runtime-Function-Error-Type: Runtime.AfterRestoreError")
        if how == "exits":
            raise Exit(ExitStatus(code=65))
        await asyncio.Event().wait()

    world.sandboxes.script = fail
    one = version(has_snapshot=True)
    assert await world.snapshots.prepare(one) is None
    with pytest.raises(ServiceError) as refused:
        await world.invoke(one)
    assert refused.value.code == code
    line = next(line for line in world.lines() if line.startswith("RESTORE_REPORT"))
    expected = {
        "posts": "Status: error\tError Type: Runtime.AfterRestoreError",
        "exits": "Status: error\tError Type: Runtime.ExitError",
        "hangs": "Status: timeout\tError Type: Runtime.RestoreHookUserTimeout",
    }
    assert line.endswith(expected[how])


async def test_a_failed_environment_is_replaced_by_a_clone(snap_world, version):
    """Not reset: a new one is as good."""

    async def script(runtime) -> None:
        await runtime.ask("GET", "restore/next")
        if runtime.spec.is_template:
            return
        while True:
            request_id, body = await runtime.next()
            if body == b'"die"':
                raise Exit(ExitStatus(code=3))
            await runtime.respond(request_id, body)

    snap_world.sandboxes.script = script
    one = version(has_snapshot=True)
    assert (await snap_world.invoke(one, b'"die"')).function_error == "Unhandled"
    assert (await snap_world.invoke(one, b"1")).payload == b"1"
    assert [sandbox.runtimes for sandbox in snap_world.sandboxes.started] == [1, 1, 1]
    assert len(snap_world.sandboxes.snapshots) == 1
