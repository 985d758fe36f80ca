"""Capacity providers: made, shown, changed, tagged and deleted, and what of them means nothing here."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from support.lambda_service import ACCOUNT, OTHER_ACCOUNT, REGION, ROLE, World, capacity, create_provider, refused

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:capacity-provider:p"


async def test_the_life_of_a_provider(world: World) -> None:
    """Its states are AWS's; name and ARN mean the same; what is deleted can be made again."""
    made = await create_provider(world, InstanceRequirements={"Architectures": ["x86_64"]})
    assert made == {
        "CapacityProviderArn": ARN,
        "State": "Pending",
        "VpcConfig": {"SubnetIds": ["subnet-local"], "SecurityGroupIds": []},
        "PermissionsConfig": {"CapacityProviderOperatorRoleArn": ROLE},
        "CapacityProviderScalingConfig": {"MaxVCpuCount": 400, "ScalingMode": "Auto"},
        "InstanceRequirements": {"Architectures": ["x86_64"]},
        "LastModified": "2021-02-04T12:50:07.629+0000",
    }
    for name in ("p", ARN):
        assert (await world.call("GetCapacityProvider", CapacityProviderName=name))["CapacityProvider"] == {
            **made,
            "State": "Active",
        }
    assert (await refused(create_provider(world))).code == "ResourceConflictException"
    world.now[0] += 60
    scaling = {"MaxVCpuCount": 12, "ScalingMode": "Auto"}
    changed = await world.answer("UpdateCapacityProvider", CapacityProviderName=ARN, CapacityProviderScalingConfig=scaling)
    assert changed.status == 202
    assert changed.output["CapacityProvider"]["CapacityProviderScalingConfig"] == scaling
    assert changed.output["CapacityProvider"]["LastModified"] == "2021-02-04T12:51:07.629+0000"
    assert world.managed.limits == {(ACCOUNT, REGION, "p"): 12}
    unchanged = await world.call("UpdateCapacityProvider", CapacityProviderName="p")
    assert unchanged["CapacityProvider"]["CapacityProviderScalingConfig"] == scaling
    gone = await world.answer("DeleteCapacityProvider", CapacityProviderName="p")
    assert (gone.status, gone.output["CapacityProvider"]["State"]) == (202, "Deleting")
    for operation in ("GetCapacityProvider", "UpdateCapacityProvider", "DeleteCapacityProvider"):
        assert (await refused(world.call(operation, CapacityProviderName="p"))).code == "ResourceNotFoundException"
    await create_provider(world)


async def test_a_provider_of_another_region_is_not_made(world: World) -> None:
    """By its ARN: the request is wrong, while one that is to be shown is not there."""
    elsewhere = ARN.replace(REGION, "eu-west-1")
    error = await refused(create_provider(world, CapacityProviderName=elsewhere))
    assert (error.code, elsewhere in error.message) == ("InvalidParameterValueException", True)
    error = await refused(world.call("GetCapacityProvider", CapacityProviderName=elsewhere))
    assert error.code == "ResourceNotFoundException"


async def test_listing_by_state(world: World) -> None:
    """All that are there are Active."""
    await create_provider(world)
    for state, count in (("Active", 1), ("Pending", 0), ("Failed", 0), ("Deleting", 0)):
        assert len((await world.call("ListCapacityProviders", State=state))["CapacityProviders"]) == count
    assert (await world.call("ListCapacityProviders", account=OTHER_ACCOUNT))["CapacityProviders"] == []


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"VpcConfig": {"SubnetIds": ["subnet-0abc"], "SecurityGroupIds": []}}, "'subnet-0abc' does not exist"),
        ({"VpcConfig": {"SubnetIds": ["subnet-local"], "SecurityGroupIds": ["sg-1"]}}, "'sg-1' does not exist"),
        ({"InstanceRequirements": {"Architectures": ["arm64"]}}, "this machine runs x86_64"),
        ({"CapacityProviderScalingConfig": {"ScalingMode": "Manual"}}, "use Auto"),
        ({"PropagateTags": {"Mode": "Explicit"}}, "use Mode None"),
        ({"Tags": {"aws:x": "y"}}, "aws:"),
        ({"Tags": {"lambdad:network": "none"}}, "for functions only"),
        ({"CapacityProviderName": "n" * 65}, "at most 64 characters"),
    ],
)
async def test_what_is_refused(world: World, request_: dict[str, Any], message: str) -> None:
    """What is a fact of EC2 and has no counterpart here is refused by name; nothing is made."""
    error = await refused(create_provider(world, **request_))
    assert error.code == "InvalidParameterValueException" and message in error.message
    assert (await world.call("ListCapacityProviders"))["CapacityProviders"] == []


async def test_whose_it_is(world: World) -> None:
    """Another account's provider is not looked at, changed or used; one of another Region is not there."""
    await create_provider(world)
    for operation in ("GetCapacityProvider", "UpdateCapacityProvider", "DeleteCapacityProvider"):
        error = await refused(world.call(operation, account=OTHER_ACCOUNT, CapacityProviderName=ARN))
        assert error.code == "AccessDeniedException"
    error = await refused(world.call("GetCapacityProvider", CapacityProviderName=ARN.replace(REGION, "eu-west-1")))
    assert error.code == "ResourceNotFoundException"
    theirs = {"LambdaManagedInstancesCapacityProviderConfig": {"CapacityProviderArn": ARN.replace(ACCOUNT, OTHER_ACCOUNT)}}
    assert (await refused(world.create(CapacityProviderConfig=theirs))).code == "ResourceNotFoundException"


async def test_the_operator_role(world: World) -> None:
    """With policies in force it has to be one that Lambda may assume."""
    world.state.can_assume = lambda arn: arn == ROLE
    await create_provider(world)
    role = {"CapacityProviderOperatorRoleArn": f"arn:aws:iam::{ACCOUNT}:role/other"}
    error = await refused(create_provider(world, "q", PermissionsConfig=role))
    assert "cannot be assumed by Lambda" in error.message


async def test_tags(world: World) -> None:
    """As those of functions."""
    await create_provider(world, Tags={"a": "1"})
    await world.call("TagResource", Resource=ARN, Tags={"b": "2"})
    assert (await world.call("ListTags", Resource=ARN))["Tags"] == {"a": "1", "b": "2"}
    await world.call("UntagResource", Resource=ARN, TagKeys=["a", "none"])
    assert (await world.call("ListTags", Resource=ARN))["Tags"] == {"b": "2"}
    many = {f"k{number}": "v" for number in range(50)}
    assert (await refused(world.call("TagResource", Resource=ARN, Tags=many))).code == "InvalidParameterValueException"
    assert (await world.call("ListTags", Resource=ARN))["Tags"] == {"b": "2"}
    assert (await refused(world.call("ListTags", Resource=ARN + "q"))).code == "ResourceNotFoundException"


async def test_no_more_than_an_account_may_have(world: World) -> None:
    """The quota is counted in each account and region, and creations at the same time do not get past it."""
    world.state.quotas = replace(world.state.quotas, capacity_providers=2)
    made = await asyncio.gather(*(create_provider(world, f"p{number}") for number in range(4)), return_exceptions=True)
    refusals = [each for each in made if isinstance(each, BaseException)]
    assert [getattr(each, "code", None) for each in refusals] == ["CapacityProviderLimitExceededException"] * 2


async def test_a_provider_is_not_deleted_under_a_function(world: World) -> None:
    """Of a creation and a deletion at the same time one comes first, and the other sees it."""
    await create_provider(world)
    outcomes = await asyncio.gather(
        world.create(CapacityProviderConfig=capacity()),
        world.call("DeleteCapacityProvider", CapacityProviderName="p"),
        return_exceptions=True,
    )
    codes = [getattr(outcome, "code", "done") for outcome in outcomes]
    assert codes in (["done", "ResourceConflictException"], ["ResourceNotFoundException", "done"])
