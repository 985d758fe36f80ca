"""What an account uses, and may use."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from lambdad.errors import ServiceError
from lambdad.services.lambda_.function_table import FunctionChange
from lambdad.services.lambda_.records import LambdaRecords
from lambdad.services.lambda_.stored_function import FunctionKey
from lambdad.store.base import Change
from support.lambda_service import (
    ACCOUNT,
    CODE,
    OTHER_ACCOUNT,
    OTHER_CODE,
    REGION,
    World,
    function_request,
    refused,
    zip_of,
)


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


async def test_code_kept_at_the_same_time(world: World) -> None:
    """Of many creations at once so many are made as there is room for, by whatever way they bring code; the rest is refused."""
    await world.create()
    world.state.quotas = replace(world.state.quotas, code_storage_bytes=4 * len(CODE))
    calls = [world.call("CreateFunction", **function_request(f"f{number}")) for number in range(4)]
    calls += [world.call("PublishLayerVersion", LayerName=f"l{number}", Content={"ZipFile": CODE}) for number in range(4)]
    calls.append(world.call("PublishVersion", FunctionName="f"))
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    refusals = [outcome for outcome in outcomes if isinstance(outcome, ServiceError)]
    assert {refusal.code for refusal in refusals} == {"CodeStorageExceededException"}
    assert len(outcomes) - len(refusals) == 3
    assert (await world.call("GetAccountSettings"))["AccountUsage"]["TotalCodeSize"] == 4 * len(CODE)


async def test_a_creation_and_a_publication_for_the_last_room(world: World) -> None:
    """Of a function that somebody else made meanwhile: neither waits with what the other waits for."""
    arriving, uploaded, waiting = asyncio.Event(), asyncio.Event(), asyncio.Event()
    functions = world.state.functions
    change = functions.change

    async def slow(account: str, bucket: str, key: str, version: str | None) -> AsyncIterator[bytes]:
        arriving.set()
        await uploaded.wait()
        yield CODE

    def noted(key: FunctionKey) -> AbstractAsyncContextManager[FunctionChange]:
        waiting.set()
        return change(key)

    world.state.fetch_object = slow
    world.state.quotas = replace(world.state.quotas, code_storage_bytes=2 * len(CODE))
    request = {**function_request(), "Code": {"S3Bucket": "b", "S3Key": "k"}}
    creating = asyncio.create_task(world.call("CreateFunction", **request))
    await arriving.wait()
    await world.create()
    async with change((ACCOUNT, REGION, "f")):
        publishing = asyncio.create_task(world.call("PublishVersion", FunctionName="f"))
        await asyncio.sleep(0)
        functions.change = noted  # type: ignore[method-assign]
        uploaded.set()
        await waiting.wait()
    done, _ = await asyncio.wait((creating, publishing), timeout=60)
    assert done == {creating, publishing}
    assert (await publishing)["Version"] == "1"
    assert (await refused(creating)).code == "ResourceConflictException"


async def test_functions_are_counted_and_not_their_versions(world: World) -> None:
    """FunctionCount is of functions in this account and Region; what is reserved or provisioned is not unreserved any more."""
    for name in ("f", "g"):
        await world.create(name, Publish=True)
    await world.call("CreateFunction", account=OTHER_ACCOUNT, **function_request("theirs"))
    await world.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=100)
    await world.call("PutProvisionedConcurrencyConfig", FunctionName="g", Qualifier="1", ProvisionedConcurrentExecutions=7)
    settings = await world.call("GetAccountSettings")
    assert settings["AccountUsage"]["FunctionCount"] == 2
    assert settings["AccountLimit"]["UnreservedConcurrentExecutions"] == 1000 - 107
    await world.call("DeleteFunction", FunctionName="f")
    settings = await world.call("GetAccountSettings")
    assert settings["AccountUsage"]["FunctionCount"] == 1
    assert settings["AccountLimit"]["UnreservedConcurrentExecutions"] == 1000 - 7
