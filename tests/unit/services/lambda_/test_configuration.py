"""The settings of a function, changed member by member."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lambdad.errors import ServiceError
from lambdad.services.lambda_.record_keys import STACKS
from support.lambda_service import World, digest_of, refused, zip_of


async def test_given_members_replace_and_absent_ones_stay(world: World) -> None:
    """Environment is replaced whole, Layers [] clears, and what is not named stays."""
    layers = [
        await world.call("PublishLayerVersion", LayerName=name, Content={"ZipFile": zip_of({"python/x.py": name})})
        for name in ("one", "two")
    ]
    await world.create(
        Environment={"Variables": {"A1": "1", "B2": "2"}}, Timeout=9, Layers=[each["LayerVersionArn"] for each in layers]
    )
    stack = tuple(digest_of(zip_of({"python/x.py": name})) for name in ("one", "two"))
    assert world.code_store.path(stack).is_dir()
    assert await world.store.list(STACKS)
    request = {"Environment": {"Variables": {"C3": "3"}}, "Layers": [], "MemorySize": 256}
    updated = await world.call("UpdateFunctionConfiguration", FunctionName="f", **request)
    assert updated["Environment"] == {"Variables": {"C3": "3"}}
    assert "Layers" not in updated
    assert (updated["Timeout"], updated["MemorySize"]) == (9, 256)
    await world.settled()
    assert not world.code_store.path(stack).exists()
    assert not await world.store.list(STACKS)
    assert world.blobs.path(stack[0]).is_file()


async def test_redundant_update_gets_a_new_revision(world: World) -> None:
    """An update that changes nothing still changes the revision id."""
    await world.create()
    before = await world.call("GetFunctionConfiguration", FunctionName="f")
    updated = await world.call("UpdateFunctionConfiguration", FunctionName="f")
    assert updated["RevisionId"] != before["RevisionId"]


async def test_revision_must_match(world: World) -> None:
    """A stale revision id is refused with 412 and the current one accepted."""
    await world.create()
    error = await refused(world.call("UpdateFunctionConfiguration", FunctionName="f", RevisionId="stale"))
    assert error.code == "PreconditionFailedException"
    assert error.message == (
        "The Revision Id provided does not match the latest Revision Id. "
        "Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
    )
    current = (await world.call("GetFunctionConfiguration", FunctionName="f"))["RevisionId"]
    await world.call("UpdateFunctionConfiguration", FunctionName="f", RevisionId=current)


async def test_two_updates_at_once(world: World) -> None:
    """Of two updates with one revision id, one is made and the other refused."""
    await world.create()
    current = (await world.call("GetFunctionConfiguration", FunctionName="f"))["RevisionId"]
    calls = [world.call("UpdateFunctionConfiguration", FunctionName="f", RevisionId=current, Timeout=n) for n in (5, 6)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(isinstance(outcome, ServiceError) for outcome in outcomes) == [False, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"FunctionName": "f:1"}, "This operation is permitted on Lambda functions only."),
        ({"Timeout": 901}, "less than or equal to 900"),
        ({"Runtime": "python3.7"}, "python3.7"),
        ({"TracingConfig": {"Mode": "Active"}}, "not supported"),
        ({"Handler": ""}, "handler"),
    ],
)
async def test_update_refuses(world: World, change: dict[str, Any], message: str) -> None:
    """The same rules hold as at creation, and a refused update changes nothing."""
    await world.create()
    before = await world.call("GetFunctionConfiguration", FunctionName="f")
    error = await refused(world.call("UpdateFunctionConfiguration", **{"FunctionName": "f", **change}))
    assert message in error.message
    assert await world.call("GetFunctionConfiguration", FunctionName="f") == before
