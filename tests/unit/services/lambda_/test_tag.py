"""Tags of functions."""

from __future__ import annotations

from typing import Any

import pytest

from support.lambda_service import ACCOUNT, REGION, World, refused

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"


async def test_tags_are_merged_and_removed(world: World) -> None:
    """New tags join the old ones, untagging passes over unknown keys, and the function's revision stays."""
    await world.create(Tags={"a": "1"})
    before = await world.call("GetFunctionConfiguration", FunctionName="f")
    await world.call("TagResource", Resource=ARN, Tags={"a": "2", "b": "3"})
    assert await world.call("ListTags", Resource=ARN) == {"Tags": {"a": "2", "b": "3"}}
    await world.call("UntagResource", Resource=ARN, TagKeys=["a", "z"])
    assert await world.call("ListTags", Resource=ARN) == {"Tags": {"b": "3"}}
    assert await world.call("GetFunctionConfiguration", FunctionName="f") == before


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"Resource": ARN, "Tags": {}}, "An error occurred and the request cannot be processed."),
        ({"Resource": ARN, "Tags": {f"k{n}": "" for n in range(51)}}, "Number of tags exceeds resource tag limit."),
        (
            {"Resource": f"{ARN}:1", "Tags": {"a": "b"}},
            "Tags on function aliases and versions are not supported. Please specify a function ARN.",
        ),
        (
            {"Resource": f"arn:aws:lambda:{REGION}:{ACCOUNT}:event-source-mapping:x", "Tags": {"a": "b"}},
            "The resource you requested does not exist.",
        ),
        ({"Resource": ARN, "Tags": {"lambdad:network": "host"}}, "Tag lambdad:network must be 'none'"),
        ({"Resource": f"{ARN}none", "Tags": {"a": "b"}}, "Function not found"),
    ],
)
async def test_refusals(world: World, request_: dict[str, Any], message: str) -> None:
    """Tags are few, and of functions only."""
    await world.create()
    error = await refused(world.call("TagResource", **request_))
    assert message in error.message
    assert await world.call("ListTags", Resource=ARN) == {"Tags": {}}


async def test_a_function_loses_its_network(world: World) -> None:
    """From the tag on its invocations ask for an environment without a network, and environments of before are ended."""
    await world.create()
    await world.call("Invoke", FunctionName="f", Payload=b"1")
    await world.call("TagResource", Resource=ARN, Tags={"lambdad:network": "none"})
    assert world.invoker.retired[-1] == (ACCOUNT, REGION, "f", None)
    await world.call("Invoke", FunctionName="f", Payload=b"1")
    await world.call("UntagResource", Resource=ARN, TagKeys=["lambdad:network"])
    await world.call("Invoke", FunctionName="f", Payload=b"1")
    before, without, after = [invocation.version for invocation in world.invoker.invocations]
    assert [version.has_network for version in (before, without, after)] == [True, False, True]
    assert before.environment_key == after.environment_key != without.environment_key


async def test_other_tags_end_no_environment(world: World) -> None:
    """Only what changes the network does."""
    await world.create(Tags={"lambdad:network": "none"})
    retired = list(world.invoker.retired)
    await world.call("TagResource", Resource=ARN, Tags={"a": "b", "lambdad:network": "none"})
    await world.call("UntagResource", Resource=ARN, TagKeys=["a"])
    assert world.invoker.retired == retired


async def test_a_function_cannot_be_made_with_an_unknown_network(world: World) -> None:
    """CreateFunction refuses what TagResource does."""
    error = await refused(world.create(Tags={"lambdad:network": "nat"}))
    assert (error.code, "must be 'none'" in error.message) == ("InvalidParameterValueException", True)


async def test_a_backend_that_cannot_withhold_the_network(world: World) -> None:
    """The tag is refused, not accepted and ignored."""
    world.state.network_can_be_withheld = False
    error = await refused(world.create(Tags={"lambdad:network": "none"}))
    assert (error.code, "no effect" in error.message) == ("InvalidParameterValueException", True)
