"""Functions in memory and in the records stay one, whatever interrupts a change."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from lambdad.services.lambda_.function_table import FunctionTable
from lambdad.services.lambda_.record_keys import FUNCTIONS
from lambdad.services.lambda_.records import LambdaRecords
from lambdad.store.base import Change
from support.lambda_service import ACCOUNT, REGION, World, refused

KEY = (ACCOUNT, REGION, "f")


async def ignore(dropped: object) -> None:
    """Nothing is to be released."""


async def test_a_change_survives_its_caller(world: World) -> None:
    """A caller who goes away during the commit leaves memory and records alike."""
    await world.create()
    commit, committing, go_on = world.store.commit, asyncio.Event(), asyncio.Event()

    async def slow(changes: Sequence[Change]) -> None:
        committing.set()
        await go_on.wait()
        await commit(changes)

    world.store.commit = slow  # type: ignore[method-assign]
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    tagging = asyncio.create_task(world.call("TagResource", Resource=arn, Tags={"a": "b"}))
    await committing.wait()
    tagging.cancel()
    go_on.set()
    await asyncio.wait([tagging])
    assert tagging.cancelled()
    assert (await world.call("ListTags", Resource=arn))["Tags"] == {"a": "b"}
    kept = await LambdaRecords(world.store).function(KEY)
    assert kept is not None
    assert kept.function.tags == {"a": "b"}
    await world.call("TagResource", Resource=arn, Tags={"c": "d"})


async def test_a_change_made_elsewhere_is_noticed(world: World) -> None:
    """When another writer was faster, the change is a conflict, and the next one sees what stands."""
    await world.create()
    other = FunctionTable(LambdaRecords(world.store), ignore)
    async with other.change(KEY) as change:
        assert change.stored is not None
        function = replace(change.stored.function, tags={"by": "other"})
        await change.save(replace(change.stored, function=function))
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    error = await refused(world.call("TagResource", Resource=arn, Tags={"a": "b"}))
    assert error.code == "ResourceConflictException"
    await world.call("TagResource", Resource=arn, Tags={"a": "b"})
    assert (await world.call("ListTags", Resource=arn))["Tags"] == {"by": "other", "a": "b"}


async def test_failed_commit_keeps_memory_as_it_was(world: World) -> None:
    """A commit that fails changes neither the records nor what is in memory."""
    await world.create()

    async def full(changes: Sequence[Change]) -> None:
        raise OSError("no space left on device")

    commit, world.store.commit = world.store.commit, full  # type: ignore[method-assign]
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    outcome = await asyncio.gather(world.call("TagResource", Resource=arn, Tags={"a": "b"}), return_exceptions=True)
    assert isinstance(outcome[0], OSError)
    world.store.commit = commit  # type: ignore[method-assign]
    assert (await world.call("ListTags", Resource=arn))["Tags"] == {}


async def test_memory_is_bounded(world: World) -> None:
    """Only the most recently used functions stay in memory; the others are loaded again."""
    for name in ("a", "b", "c"):
        await world.create(name)
    table = FunctionTable(LambdaRecords(world.store), ignore, max_functions=2)
    loaded = [await table.find((ACCOUNT, REGION, name)) for name in ("a", "b", "a", "c", "a")]
    assert loaded[0] is loaded[2] is loaded[4]
    assert list(table._stored) == [(ACCOUNT, REGION, "c"), (ACCOUNT, REGION, "a")]
    again = await table.find((ACCOUNT, REGION, "b"))
    assert again is not loaded[1]
    assert again == loaded[1]
    assert len(table._runnable) == 2


async def test_everything_is_read_back(world: World) -> None:
    """A new process reads versions, aliases, policies and settings as they were."""
    await world.create(Publish=True, Environment={"Variables": {"A1": "b"}}, Tags={"t": "u"})
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    permission = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
    await world.call("AddPermission", FunctionName="f", **permission)
    await world.call("AddPermission", FunctionName="f", Qualifier="live", **permission)
    assert await LambdaRecords(world.store).function(KEY) == await world.state.functions.find(KEY)


async def test_delete_leaves_no_record(world: World) -> None:
    """After deletion no collection holds anything of the function."""
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    await world.call("AddPermission", FunctionName="f", StatementId="s", Action="lambda:*", Principal="*")
    await world.call("DeleteFunction", FunctionName="f")
    assert FUNCTIONS in world.store._collections
    assert [name for name, each in world.store._collections.items() if each.records] == []
