"""Looking for event source mappings, of which there are none."""

from __future__ import annotations

import pytest

from support.lambda_service import ACCOUNT, REGION, World, refused

UUID = "8f3e0a1c-0000-4000-8000-000000000000"


@pytest.mark.parametrize("function_name", ["f", "none", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f:live", None])
async def test_none_is_found(world: World, function_name: str | None) -> None:
    """Tools that ask before they deploy or remove a function get an empty list, whatever they look for."""
    await world.create()
    wanted = {} if function_name is None else {"FunctionName": function_name}
    assert await world.call("ListEventSourceMappings", **wanted) == {"EventSourceMappings": []}
    error = await refused(world.call("GetEventSourceMapping", UUID=UUID))
    assert (error.code, error.message) == ("ResourceNotFoundException", "The resource you requested does not exist.")


async def test_bad_input_is_refused_all_the_same(world: World) -> None:
    """A marker that no page gave, and functions of other regions."""
    error = await refused(world.call("ListEventSourceMappings", Marker="x"))
    assert error.message == "Invalid value for marker: x"
    error = await refused(world.call("ListEventSourceMappings", FunctionName=f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f"))
    assert error.message == f"Functions from 'eu-west-1' are not reachable in this region ('{REGION}')"
