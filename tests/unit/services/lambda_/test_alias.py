"""Aliases and how they share invocations."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from support.lambda_service import ACCOUNT, REGION, World, refused

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
CREATE = {"FunctionName": "f", "Name": "live", "FunctionVersion": "1"}


@pytest.fixture
async def versions(world: World) -> AsyncIterator[World]:
    """A function with versions 1 and 2, and 3 of another role."""
    await world.create(Publish=True)
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=5)
    await world.settled()
    await world.call("PublishVersion", FunctionName="f")
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Role=f"arn:aws:iam::{ACCOUNT}:role/other")
    await world.settled()
    await world.call("PublishVersion", FunctionName="f")
    yield world


def weights(**share: float) -> dict[str, Any]:
    return {"AdditionalVersionWeights": {version.removeprefix("v"): weight for version, weight in share.items()}}


async def test_life_of_an_alias(versions: World) -> None:
    """Created, read, moved, listed and deleted; every write gives a new revision id."""
    created = await versions.call("CreateAlias", **CREATE, Description="d", RoutingConfig=weights(v2=0.25))
    assert created == {
        "AliasArn": f"{ARN}:live",
        "Name": "live",
        "FunctionVersion": "1",
        "Description": "d",
        "RevisionId": created["RevisionId"],
        "RoutingConfig": {"AdditionalVersionWeights": {"2": 0.25}},
    }
    assert await versions.call("GetAlias", FunctionName="f", Name="live") == created
    updated = await versions.call(
        "UpdateAlias", FunctionName="f", Name="live", FunctionVersion="2", RoutingConfig={}, RevisionId=created["RevisionId"]
    )
    assert (updated["FunctionVersion"], updated["Description"]) == ("2", "d")
    assert "RoutingConfig" not in updated
    assert updated["RevisionId"] != created["RevisionId"]
    assert (await versions.call("ListAliases", FunctionName="f"))["Aliases"] == [updated]
    assert (await versions.call("ListAliases", FunctionName="f", FunctionVersion="1"))["Aliases"] == []
    await versions.call("DeleteAlias", FunctionName="f", Name="live")
    await versions.call("DeleteAlias", FunctionName="f", Name="live")
    error = await refused(versions.call("GetAlias", FunctionName="f", Name="live"))
    assert error.message == f"Cannot find alias arn: {ARN}:live"


async def test_latest_by_alias(versions: World) -> None:
    """An alias may name $LATEST as long as it shares with nobody."""
    await versions.call("CreateAlias", FunctionName="f", Name="dev", FunctionVersion="$LATEST")
    await versions.call("Invoke", FunctionName="f:dev")
    invocation = versions.invoker.invocations[-1]
    assert (invocation.version.version, invocation.invoked_function_arn) == ("$LATEST", f"{ARN}:dev")
    shown = await versions.call("GetFunctionConfiguration", FunctionName="f", Qualifier="dev")
    assert shown["FunctionArn"] == f"{ARN}:dev"


@pytest.mark.parametrize(("draw", "version"), [(0.0, "2"), (0.2499, "2"), (0.25, "1"), (0.99, "1")])
async def test_weights_are_applied(versions: World, draw: float, version: str) -> None:
    """Each invocation draws by itself; the executed version is in the answer."""
    await versions.call("CreateAlias", **CREATE, RoutingConfig=weights(v2=0.25))
    versions.draws.append(draw)
    answered = await versions.call("Invoke", FunctionName="f", Qualifier="live")
    assert answered["ExecutedVersion"] == version


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        ({"FunctionVersion": "9"}, "ResourceNotFoundException", f"Function not found: {ARN}:9"),
        ({"RoutingConfig": weights(v9=0.5)}, "ResourceNotFoundException", f"Function not found: {ARN}:9"),
        (
            {"RoutingConfig": weights(v2=0.5, v3=0.1)},
            "InvalidParameterValueException",
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        ),
        (
            {"RoutingConfig": weights(v1=0.5)},
            "InvalidParameterValueException",
            "Invalid function version 1. Function version 1 is already included in routing configuration.",
        ),
        (
            {"FunctionVersion": "$LATEST", "RoutingConfig": weights(v1=0.5)},
            "InvalidParameterValueException",
            "$LATEST is not supported for an alias pointing to more than 1 version",
        ),
        ({"RoutingConfig": weights(v3=0.5)}, "InvalidParameterValueException", "same execution role"),
        ({"RoutingConfig": weights(v2=1.5)}, "InvalidParameterValueException", "from 0.0 to 1.0"),
        ({"FunctionName": "none"}, "ResourceNotFoundException", "Function not found"),
    ],
)
async def test_create_refuses(versions: World, request_: dict[str, Any], code: str, message: str) -> None:
    """Versions must exist, be published, distinct and of one role."""
    error = await refused(versions.call("CreateAlias", **{**CREATE, **request_}))
    assert error.code == code
    assert message in error.message
    assert (await versions.call("ListAliases", FunctionName="f"))["Aliases"] == []


async def test_existing_missing_and_stale(versions: World) -> None:
    """A taken name is a conflict, a missing alias is not found, a stale revision id is refused."""
    await versions.call("CreateAlias", **CREATE)
    error = await refused(versions.call("CreateAlias", **CREATE))
    assert (error.code, error.message) == ("ResourceConflictException", f"Alias already exists: {ARN}:live")
    error = await refused(versions.call("UpdateAlias", FunctionName="f", Name="none"))
    assert error.message == f"Alias not found: {ARN}:none"
    error = await refused(versions.call("UpdateAlias", FunctionName="f", Name="live", RevisionId="stale"))
    assert error.code == "PreconditionFailedException"


@pytest.mark.parametrize("weight", [0.0, 0.05, 0.3, 1.0])
async def test_shares_are_as_weighted(versions: World, weight: float) -> None:
    """Of five thousand invocations each version gets its share, within six standard deviations of what chance allows; the
    answer names who ran. The draws are seeded, so that this is decided once for all."""
    await versions.call("CreateAlias", **CREATE, RoutingConfig=weights(v2=weight))
    versions.state.draw = random.Random(20_210_204).random
    invocations = 5_000
    executed: Counter[str] = Counter()
    for _ in range(invocations):
        answered = await versions.call("Invoke", FunctionName="f", Qualifier="live")
        assert answered["ExecutedVersion"] == versions.invoker.invocations[-1].version.version
        executed[answered["ExecutedVersion"]] += 1
    deviation = math.sqrt(invocations * weight * (1 - weight))
    assert abs(executed["2"] - invocations * weight) <= 6 * deviation
    assert executed["1"] + executed["2"] == invocations


@pytest.mark.parametrize(
    "name",
    [
        "f:live",
        f"{ACCOUNT}:function:f:live",
        f"{ARN}:live",
        f"{ACCOUNT}:f:live",
        "function:f:live",
        f"{REGION}:{ACCOUNT}:function:f:live",
    ],
)
@pytest.mark.parametrize("operation", ["Invoke", "InvokeAsync", "GetFunction", "GetFunctionConfiguration", "GetPolicy"])
async def test_qualifiers_in_every_form_of_a_name(versions: World, operation: str, name: str) -> None:
    """An alias may be named within the function's name or beside it, or both alike; two that differ are refused."""
    await versions.call("CreateAlias", **CREATE)
    await versions.call(
        "AddPermission", FunctionName="f", Qualifier="live", StatementId="s", Action="lambda:InvokeFunction", Principal="*"
    )
    body = {"InvokeArgs": b"{}"} if operation == "InvokeAsync" else {}
    by_name = await versions.call(operation, FunctionName=name, **body)
    if operation == "InvokeAsync":
        assert len(await versions.events()) == 1
        return
    beside = await versions.call(operation, FunctionName="f", Qualifier="live")
    both = await versions.call(operation, FunctionName=name, Qualifier="live")
    if operation == "GetFunction":  # links are signed for the moment
        by_name, beside, both = (each["Configuration"] for each in (by_name, beside, both))
    assert by_name == beside == both
    error = await refused(versions.call(operation, FunctionName=name, Qualifier="1"))
    assert error.message == "The derived qualifier from the function name does not match the specified qualifier."


async def test_sharing_versions_have_one_dead_letter_queue(versions: World) -> None:
    """Two versions that share invocations send lost events to the same place, or both nowhere."""
    configuration = versions.state.functions
    async with configuration.change((ACCOUNT, REGION, "f")) as change:
        assert change.stored is not None
        second = change.stored.versions["2"]
        elsewhere = replace(second.configuration, dead_letter=f"arn:aws:sqs:{REGION}:{ACCOUNT}:lost")
        await change.save(
            replace(change.stored, versions={**change.stored.versions, "2": replace(second, configuration=elsewhere)})
        )
    error = await refused(versions.call("CreateAlias", **CREATE, RoutingConfig=weights(v2=0.5)))
    assert error.code == "InvalidParameterValueException"
    assert "same dead-letter queue" in error.message
    await versions.call("CreateAlias", **CREATE)
    error = await refused(versions.call("UpdateAlias", FunctionName="f", Name="live", RoutingConfig=weights(v2=0.5)))
    assert "same dead-letter queue" in error.message
