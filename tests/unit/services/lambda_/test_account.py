"""What an account uses, and may use."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from lambdad.services.lambda_.records import LambdaRecords
from lambdad.store.base import Change
from support.lambda_service import ACCOUNT, CODE, OTHER_CODE, REGION, World, function_request, refused, zip_of


async def test_account_settings(world: World) -> None:
    """The account's use counts functions and all code, its versions and layers too, and follows every change."""
    await world.create(Publish=True)
    layer = await world.call("PublishLayerVersion", LayerName="l", Content={"ZipFile": zip_of({"a": "1"})})
    settings = await world.call("GetAccountSettings")
    assert settings["AccountLimit"]["ConcurrentExecutions"] == 1000
    assert settings["AccountUsage"] == {"TotalCodeSize": 2 * len(CODE) + layer["Content"]["CodeSize"], "FunctionCount": 1}
    await world.call("DeleteFunction", FunctionName="f", Qualifier="1")
    await world.call("DeleteLayerVersion", LayerName="l", VersionNumber=1)
    assert (await world.call("GetAccountSettings"))["AccountUsage"]["TotalCodeSize"] == len(CODE)
    await world.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_CODE, Publish=True)
    assert (await world.call("GetAccountSettings"))["AccountUsage"]["TotalCodeSize"] == 2 * len(OTHER_CODE)
    await world.call("DeleteFunction", FunctionName="f")
    assert (await world.call("GetAccountSettings"))["AccountUsage"] == {"TotalCodeSize": 0, "FunctionCount": 0}


async def test_code_storage_is_limited(world: World) -> None:
    """What would exceed the account's code storage is refused, in every way in."""
    world.state.quotas = replace(world.state.quotas, code_storage_bytes=2 * len(CODE))
    await world.create(Publish=True)
    larger = zip_of({"app.py": "def handler(event, context): return event", "more": "x"})
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    await world.settled()
    for operation, request in (
        ("CreateFunction", function_request("g")),
        ("UpdateFunctionCode", {"FunctionName": "f", "ZipFile": larger}),
        ("PublishVersion", {"FunctionName": "f"}),
        ("PublishLayerVersion", {"LayerName": "l", "Content": {"ZipFile": CODE}}),
    ):
        error = await refused(world.call(operation, **request))
        assert error.code == "CodeStorageExceededException", operation
    assert (await world.call("GetAccountSettings"))["AccountUsage"]["TotalCodeSize"] == 2 * len(CODE)


async def test_sum_taken_while_a_function_is_deleted(world: World) -> None:
    """A deletion that has been committed and not yet been counted is not subtracted from a sum that left it out already."""
    await world.create()
    records = LambdaRecords(world.store)
    stored = await records.function((ACCOUNT, REGION, "f"))
    assert stored is not None
    commit, committed, go_on = world.store.commit, asyncio.Event(), asyncio.Event()

    async def slow(changes: Sequence[Change]) -> None:
        await commit(changes)
        committed.set()
        await go_on.wait()

    world.store.commit = slow  # type: ignore[method-assign]
    deleting = asyncio.create_task(records.delete_function(stored))
    await committed.wait()
    assert await records.code_size(ACCOUNT, REGION) == 0
    go_on.set()
    await deleting
    assert await records.code_size(ACCOUNT, REGION) == 0
