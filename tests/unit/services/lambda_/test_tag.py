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
            "Only functions have tags here yet",
        ),
        ({"Resource": f"{ARN}none", "Tags": {"a": "b"}}, "Function not found"),
    ],
)
async def test_refusals(world: World, request_: dict[str, Any], message: str) -> None:
    """Tags are few, and of functions only."""
    await world.create()
    error = await refused(world.call("TagResource", **request_))
    assert message in error.message
    assert await world.call("ListTags", Resource=ARN) == {"Tags": {}}
