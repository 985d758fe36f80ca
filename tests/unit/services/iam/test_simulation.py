"""The policy simulator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambdad.model.policy_evaluation import Question, decide
from support.iam_service import ACCOUNT, TRUST, Iam, allow, document

ANN = f"arn:aws:iam::{ACCOUNT}:user/ann"
OBJECTS = ["arn:aws:s3:::b/1", "arn:aws:s3:::c/1"]
DENY = {**allow("s3:DeleteObject"), "Effect": "Deny"}


async def iam() -> Iam:
    return await Iam().open()


async def custom(world: Iam, *statements: Any, **more: Any) -> list[dict[str, Any]]:
    request = {"PolicyInputList": [document(*statements)], "ActionNames": ["s3:GetObject"], **more}
    results: list[dict[str, Any]] = (await world.call("SimulateCustomPolicy", **request))["EvaluationResults"]
    return results


async def test_a_result_for_each_action() -> None:
    """With the policies that decided; without resources it is about all of them."""
    actions = ["s3:GetObject", "s3:DeleteObject", "lambda:InvokeFunction"]
    results = await custom(await iam(), allow("s3:*"), DENY, ActionNames=actions)
    given = [{"SourcePolicyId": "PolicyInputList.1", "SourcePolicyType": "none"}]
    assert [(each["EvalActionName"], each["EvalDecision"], each["MatchedStatements"]) for each in results] == [
        ("s3:GetObject", "allowed", given),
        ("s3:DeleteObject", "explicitDeny", given),
        ("lambda:InvokeFunction", "implicitDeny", []),
    ]
    assert all("ResourceSpecificResults" not in each and each["EvalResourceName"] == "*" for each in results)


async def test_each_resource_has_its_own_result() -> None:
    """The action's is the strictest of them."""
    (result,) = await custom(await iam(), allow(resource="arn:aws:s3:::b/*"), ResourceArns=OBJECTS)
    assert result["EvalDecision"] == "implicitDeny"
    specific = [(each["EvalResourceName"], each["EvalResourceDecision"]) for each in result["ResourceSpecificResults"]]
    assert specific == [(OBJECTS[0], "allowed"), (OBJECTS[1], "implicitDeny")]


async def test_context_entries_are_the_request() -> None:
    """What policies ask for and is not given is named, at the action or at its resources."""
    world = await iam()
    asks = allow(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})
    (result,) = await custom(world, asks)
    assert (result["EvalDecision"], result["MissingContextValues"]) == ("implicitDeny", ["aws:SourceIp"])
    entry = {"ContextKeyName": "AWS:SourceIp", "ContextKeyValues": ["10.1.2.3"], "ContextKeyType": "ip"}
    (result,) = await custom(world, asks, ContextEntries=[entry])
    assert (result["EvalDecision"], result["MissingContextValues"]) == ("allowed", [])
    (result,) = await custom(world, asks, ResourceArns=OBJECTS)
    assert result["MissingContextValues"] == []
    assert [each["MissingContextValues"] for each in result["ResourceSpecificResults"]] == [["aws:SourceIp"]] * 2


async def test_policies_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many actions and resources they are put to."""
    world, read = await iam(), json.loads
    texts: list[str] = []

    def noted(text: str, **how: Any) -> Any:
        texts.append(text)
        return read(text, **how)

    monkeypatch.setattr(json, "loads", noted)
    actions = [f"s3:Get{number}" for number in range(20)]
    assert len(await custom(world, allow("s3:*"), ActionNames=actions, ResourceArns=OBJECTS)) == 20
    assert len(texts) == 2  # to check it, and for the keys that it names


async def test_a_resource_s_policy_is_compared_with_the_caller() -> None:
    """In its account it suffices; across accounts the caller's own must allow as well."""
    world = await iam()
    policy = document(allow("s3:GetObject", Principal={"AWS": ANN}))
    more = {"ResourcePolicy": policy, "CallerArn": ANN, "ResourceArns": OBJECTS[:1]}
    (result,) = await custom(world, allow("s3:PutObject"), **more)
    assert result["MatchedStatements"] == [{"SourcePolicyId": "ResourcePolicy", "SourcePolicyType": "resource"}]
    (result,) = await custom(world, allow("s3:PutObject"), **more, ResourceOwner="arn:aws:iam::222222222222:root")
    assert result["EvalDecision"] == "implicitDeny"
    (result,) = await custom(world, allow(), **more, ResourceOwner="arn:aws:iam::222222222222:root")
    assert result["EvalDecision"] == "allowed"


async def test_the_policies_of_a_user_its_groups_and_boundary() -> None:
    """Inline, managed and AWS's own, each named as it is; what is left out counts as detached."""
    world = await iam()
    await world.user()
    await world.call("PutUserPolicy", UserName="ann", PolicyName="own", PolicyDocument=document(allow("s3:GetObject")))
    await world.call("CreateGroup", GroupName="g")
    await world.call("AddUserToGroup", GroupName="g", UserName="ann")
    await world.call("PutGroupPolicy", GroupName="g", PolicyName="of-group", PolicyDocument=document(allow("s3:PutObject")))
    made = await world.call("CreatePolicy", PolicyName="managed", PolicyDocument=document(allow("s3:*")))
    await world.call("AttachUserPolicy", UserName="ann", PolicyArn=made["Policy"]["Arn"])
    actions = {"PolicySourceArn": ANN, "ActionNames": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"]}

    async def matched(**more: Any) -> list[list[str]]:
        results = (await world.call("SimulatePrincipalPolicy", **actions, **more))["EvaluationResults"]
        return [sorted(each["SourcePolicyId"] for each in result["MatchedStatements"]) for result in results]

    assert await matched() == [["managed", "user_ann_own"], ["group_g_of-group", "managed"], ["managed"]]
    assert await matched(PolicyExclusionList=[{"PolicyArn": made["Policy"]["Arn"]}]) == [
        ["user_ann_own"],
        ["group_g_of-group"],
        [],
    ]
    assert await matched(PolicyExclusionList=[{"PolicyType": "inline"}]) == [["managed"]] * 3
    inline = {"PolicyName": "own", "AttachmentType": "user", "AttachmentName": "ann"}
    assert (await matched(PolicyExclusionList=[{"InlinePolicyIdentifier": inline}]))[0] == ["managed"]
    assert (await matched(PolicyInputList=[document(allow("s3:ListBucket"))]))[2] == ["PolicyInputList.1", "managed"]
    bounds = await world.call("CreatePolicy", PolicyName="bounds", PolicyDocument=document(allow("s3:GetObject")))
    await world.call("PutUserPermissionsBoundary", UserName="ann", PermissionsBoundary=bounds["Policy"]["Arn"])
    results = (await world.call("SimulatePrincipalPolicy", **actions))["EvaluationResults"]
    assert [each["EvalDecision"] for each in results] == ["allowed", "implicitDeny", "implicitDeny"]
    detail = [each["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"] for each in results]
    assert detail == [True, False, False]
    assert [bool(each) for each in await matched(PolicyExclusionList=[{"PolicyType": "permission-boundary"}])] == [True] * 3
    given = [document(allow("s3:PutObject"))]
    assert [bool(each) for each in await matched(PermissionsBoundaryPolicyInputList=given)] == [False, True, False]


async def test_who_is_simulated_is_known_to_the_policies() -> None:
    """A user's name and tags, as in a request of its; another caller is not taken for it."""
    world = await iam()
    await world.user(Tags=[{"Key": "Team", "Value": "a"}])
    own = allow(resource="arn:aws:s3:::b/${aws:username}/${aws:PrincipalTag/team}")
    await world.call("PutUserPolicy", UserName="ann", PolicyName="own", PolicyDocument=document(own))
    request = {"PolicySourceArn": ANN, "ActionNames": ["s3:GetObject"], "ResourceArns": ["arn:aws:s3:::b/ann/a"]}
    decision = (await world.call("SimulatePrincipalPolicy", **request))["EvaluationResults"][0]["EvalDecision"]
    assert decision == "allowed"
    bob = ANN.replace("ann", "bob")
    decision = (await world.call("SimulatePrincipalPolicy", **request, CallerArn=bob))["EvaluationResults"][0]["EvalDecision"]
    assert decision == "implicitDeny"


async def test_the_simulator_agrees_with_the_evaluation() -> None:
    """For a user with its key, on the same policies: what it may do is what is simulated."""
    world = await iam()
    principal = await world.user()
    text = document(allow("s3:*", "arn:aws:s3:::b/*"), {**DENY, "Resource": "arn:aws:s3:::b/1"})
    await world.call("PutUserPolicy", UserName="ann", PolicyName="own", PolicyDocument=text)
    actions = ["s3:GetObject", "s3:DeleteObject", "s3:CreateBucket"]
    request = {"PolicySourceArn": ANN, "ActionNames": actions, "ResourceArns": OBJECTS}
    simulated = [
        each["EvalResourceDecision"] == "allowed"
        for result in (await world.call("SimulatePrincipalPolicy", **request))["EvaluationResults"]
        for each in result["ResourceSpecificResults"]
    ]
    subject = world.directory.subject_of(principal)
    keys: dict[str, tuple[str, ...]] = {}
    decided = [decide(subject, Question(action, arn, keys.get)).is_allowed for action in actions for arn in OBJECTS]
    assert simulated == decided == [True, False, False, False, True, False]


async def test_context_keys() -> None:
    """Of policies that are given, and of a role's with its boundary."""
    world = await iam()
    asks = document(allow(Condition={"Bool": {"aws:SecureTransport": "true"}}))
    names = await world.call(
        "GetContextKeysForCustomPolicy", PolicyInputList=[asks, document(allow(resource="arn:aws:s3:::${aws:username}"))]
    )
    assert names == {"ContextKeyNames": ["aws:SecureTransport", "aws:username"]}
    arn = await world.role()
    await world.call("PutRolePolicy", RoleName="r", PolicyName="p", PolicyDocument=asks)
    names = await world.call("GetContextKeysForPrincipalPolicy", PolicySourceArn=arn, PolicyInputList=[asks])
    assert names == {"ContextKeyNames": ["aws:SecureTransport"]}


async def test_results_come_in_pages() -> None:
    """By actions; a page is bounded by what it costs, however much is asked for."""
    world = await iam()
    actions = [f"s3:Get{'x' * number}" for number in range(1, 8)]
    request = {"PolicyInputList": [document(allow("s3:*"))], "ActionNames": actions, "ResourceArns": OBJECTS * 100}
    found: list[str] = []
    marker: dict[str, str] = {}
    while True:
        page = await world.call("SimulateCustomPolicy", **request, MaxItems=1000, **marker)
        assert len(page["EvaluationResults"]) <= 2
        found += [each["EvalActionName"] for each in page["EvaluationResults"]]
        if not page["IsTruncated"]:
            break
        marker = {"Marker": page["Marker"]}
    assert found == actions


_TYPES = ("numeric", "numericList", "boolean", "ip", "binary", "date")
_SOUND: dict[str, Any] = {"PolicyInputList": [document(allow())], "ActionNames": ["s3:GetObject"]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"PolicyInputList": ["{"]}, "PolicyInputList has a policy that cannot be read"),
        ({"PolicyInputList": [document(allow(Principal="*"))]}, "should not specify a principal"),
        ({"PolicyInputList": ["[" * 100_000]}, "cannot be read"),
        ({"PermissionsBoundaryPolicyInputList": [document(allow())] * 2}, "one permissions boundary at most"),
        ({"ResourcePolicy": document(allow(Principal="*"))}, "CallerArn is required"),
        ({"ResourcePolicy": document(allow()), "CallerArn": ANN}, "Missing required field Principal"),
        ({"CallerArn": f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s"}, "The caller of a simulation"),
        ({"CallerArn": "ann"}, "The caller of a simulation"),
        ({"ActionNames": ["s3:*"]}, "without wildcards"),
        ({"ActionNames": ["GetObject"]}, "without wildcards"),
        ({"ResourceArns": ["b"]}, "A resource is named by its ARN"),
        ({"ResourceArns": ["arn:aws:s3:::b"] * 501}, "At most 500 resources"),
        ({"ContextEntries": [{"ContextKeyName": "aws:x"}]}, "and values"),
        ({"ContextEntries": [{"ContextKeyName": "nokey", "ContextKeyValues": ["a"]}]}, "the name of a condition key"),
        (
            {"ContextEntries": [{"ContextKeyName": "aws:x", "ContextKeyValues": ["a", "b"], "ContextKeyType": "string"}]},
            "say stringList",
        ),
        *(
            ({"ContextEntries": [{"ContextKeyName": "a:x", "ContextKeyValues": ["!"], "ContextKeyType": kind}]}, f"type {kind}")
            for kind in _TYPES
        ),
    ],
)  # fmt: skip
async def test_what_cannot_be_simulated(change: dict[str, Any], reason: str) -> None:
    """Is refused as invalid input, with the reason."""
    code, message = await (await iam()).refused("SimulateCustomPolicy", **{**_SOUND, **change})
    assert code == "InvalidInputException"
    assert reason in message


@pytest.mark.parametrize(
    ("arn", "code"),
    [
        (ANN, "NoSuchEntityException"),
        (f"arn:aws:iam::{ACCOUNT}:user/path/r", "NoSuchEntityException"),
        (f"arn:aws:iam::{ACCOUNT}:group/r", "NoSuchEntityException"),
        ("arn:aws:iam::222222222222:role/r", "NoSuchEntityException"),
        (f"arn:aws:iam::{ACCOUNT}:policy/r", "InvalidInputException"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/r/s", "InvalidInputException"),
        ("r" * 20, "InvalidInputException"),
    ],
)
async def test_principals_that_are_not_there(arn: str, code: str) -> None:
    """Or that are none, or another account's."""
    world = await iam()
    await world.call("CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    for operation in ("SimulatePrincipalPolicy", "GetContextKeysForPrincipalPolicy"):
        assert (await world.refused(operation, PolicySourceArn=arn, ActionNames=["s3:GetObject"]))[0] == code


async def test_an_identifier_of_a_policy_is_of_one_kind() -> None:
    """Neither none nor two."""
    world = await iam()
    arn = await world.role()
    for identifier in ({}, {"PolicyType": "inline", "PolicyArn": arn}):
        refusal = await world.refused(
            "SimulatePrincipalPolicy", PolicySourceArn=arn, ActionNames=["s3:GetObject"], PolicyExclusionList=[identifier]
        )
        assert refusal[0] == "InvalidInputException"
