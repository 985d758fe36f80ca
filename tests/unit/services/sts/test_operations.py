"""Who one is, and temporary credentials."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.model.request import Principal
from support.iam_service import ACCOUNT, ROOT, Iam, allow, document, trusting

ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"


def caller_of(iam: Iam, output: dict[str, Any]) -> Principal:
    credential = iam.identities.lookup(output["Credentials"]["AccessKeyId"])
    assert credential is not None
    assert credential.session_token == output["Credentials"]["SessionToken"]
    return Principal(credential.account_id, credential.principal_arn, credential.access_key_id)


async def world() -> tuple[Iam, str]:
    """Ann, who may assume anything that lets her, and a role that trusts her."""
    iam = Iam()
    ann = await iam.user()
    await iam.call("PutUserPolicy", UserName="ann", PolicyName="p", PolicyDocument=document(allow("sts:*")))
    role = await iam.role("r", trusting({"AWS": ann.arn}), MaxSessionDuration=7200)
    iam.caller = ann
    return iam, role


async def test_everybody_may_ask_who_it_is() -> None:
    """The root, a user, a session of a role, and a function."""
    iam, role = await world()
    session = await iam.call("AssumeRole", RoleArn=role, RoleSessionName="one")
    iam.caller = caller_of(iam, session)
    who = await iam.call("GetCallerIdentity")
    assert who["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/r/one"
    assert who["UserId"] == session["AssumedRoleUser"]["AssumedRoleId"]
    iam.caller = ROOT
    assert await iam.call("GetCallerIdentity") == {"UserId": ACCOUNT, "Account": ACCOUNT, "Arn": ROOT.arn}
    minted = iam.identities.mint(ACCOUNT, role, "f")
    iam.caller = Principal(ACCOUNT, minted.principal_arn, minted.access_key_id)
    assert (await iam.call("GetCallerIdentity"))["UserId"].endswith(":f")


@pytest.mark.parametrize(
    ("trust", "request_", "is_assumed"),
    [
        ({}, {}, True),
        ({"Principal": {"AWS": "222222222222"}}, {}, False),
        ({"Effect": "Deny"}, {}, False),
        ({"Condition": {"StringEquals": {"sts:ExternalId": "xyz"}}}, {"ExternalId": "xyz"}, True),
        ({"Condition": {"StringEquals": {"sts:ExternalId": "xyz"}}}, {"ExternalId": "abc"}, False),
        ({"Condition": {"StringEquals": {"sts:ExternalId": "xyz"}}}, {}, False),
        ({"Condition": {"StringLike": {"sts:RoleSessionName": "${aws:username}"}}}, {"RoleSessionName": "ann"}, True),
        ({"Condition": {"StringLike": {"sts:RoleSessionName": "${aws:username}"}}}, {}, False),
        ({}, {"Tags": [{"Key": "a", "Value": "b"}]}, False),
        ({"Action": ["sts:AssumeRole", "sts:TagSession"]}, {"Tags": [{"Key": "a", "Value": "b"}]}, True),
        (
            {"Action": ["sts:AssumeRole", "sts:TagSession"], "Condition": {"StringEquals": {"aws:RequestTag/A": "c"}}},
            {"Tags": [{"Key": "a", "Value": "b"}]},
            False,
        ),
        ({}, {"SourceIdentity": "ann"}, False),
        ({"Action": ["sts:AssumeRole", "sts:SetSourceIdentity"]}, {"SourceIdentity": "ann"}, True),
    ],
)
async def test_a_trust_policy_decides_who_assumes_a_role(
    trust: dict[str, Any], request_: dict[str, Any], is_assumed: bool
) -> None:
    """With its conditions, and with the further actions that tags and a source identity need."""
    iam, role = await world()
    statement = {"Effect": "Allow", "Principal": {"AWS": iam.caller.arn}, "Action": "sts:AssumeRole", **trust}
    ann, iam.caller = iam.caller, ROOT
    await iam.call("UpdateAssumeRolePolicy", RoleName="r", PolicyDocument=document(statement))
    iam.caller = ann
    wanted = {"RoleArn": role, "RoleSessionName": "one", **request_}
    if is_assumed:
        assert (await iam.call("AssumeRole", **wanted))["Credentials"]
    else:
        code, message = await iam.refused("AssumeRole", **wanted)
        assert code == "AccessDenied"
        assert message.startswith(f"User: {ann.arn} is not authorized to perform: sts:")


async def test_a_session_has_the_tags_and_limits_it_was_given() -> None:
    """Session policies narrow it, tags are its principal tags, and it knows when it was issued."""
    iam, role = await world()
    ann, iam.caller = iam.caller, ROOT
    tagging = trusting({"AWS": ann.arn}, ["sts:AssumeRole", "sts:TagSession"])
    await iam.call("UpdateAssumeRolePolicy", RoleName="r", PolicyDocument=tagging)
    iam.caller = ann
    output = await iam.call(
        "AssumeRole", RoleArn=role, RoleSessionName="one", DurationSeconds=900, Policy=document(allow("s3:*")),
        PolicyArns=[{"arn": ADMIN}], Tags=[{"Key": "Team", "Value": "red"}],
    )  # fmt: skip
    assert output["Credentials"]["Expiration"].timestamp() == iam.now + 900
    assert output["PackedPolicySize"] >= 1
    subject = iam.directory.subject_of(caller_of(iam, output))
    assert subject.session is not None
    assert len(subject.session) == 2
    assert subject.keys is not None
    assert subject.keys["aws:principaltag/team"] == ("red",)
    assert subject.keys["aws:tokenissuetime"] == (str(iam.now),)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"DurationSeconds": 7201}, "ValidationError"),
        ({"Policy": "{"}, "MalformedPolicyDocument"),
        ({"Policy": document(allow(["s3:GetObject"] * 200))}, "PackedPolicyTooLarge"),
        ({"PolicyArns": [{"arn": f"arn:aws:iam::{ACCOUNT}:policy/absent"}]}, "MalformedPolicyDocument"),
        ({"PolicyArns": [{"arn": ADMIN}] * 11}, "ValidationError"),
        ({"Tags": [{"Key": "a", "Value": "b"}, {"Key": "A", "Value": "c"}]}, "InvalidParameterValue"),
        ({"Tags": [{"Key": "a", "Value": "b"}], "TransitiveTagKeys": ["b"]}, "InvalidParameterValue"),
        ({"TransitiveTagKeys": ["a"]}, "InvalidParameterValue"),
        ({"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/absent"}, "AccessDenied"),
        ({"RoleArn": "arn:aws:iam::222222222222:role/r"}, "AccessDenied"),
        ({"RoleArn": "no ARN but long enough"}, "AccessDenied"),
    ],
)
async def test_bad_input_gives_no_session(request_: dict[str, Any], code: str) -> None:
    """Refused in AWS's code."""
    iam, role = await world()
    assert (await iam.refused("AssumeRole", **{"RoleArn": role, "RoleSessionName": "one", **request_}))[0] == code


async def test_root_assumes_no_role_and_chains_last_an_hour() -> None:
    """As on AWS; a role that another role assumes lasts an hour at most."""
    iam, role = await world()
    session = await iam.call("AssumeRole", RoleArn=role, RoleSessionName="one", DurationSeconds=7200)
    iam.caller = ROOT
    assert await iam.refused("AssumeRole", RoleArn=role, RoleSessionName="one") == (
        "AccessDenied", "Roles may not be assumed by root accounts.",
    )  # fmt: skip
    next_role = await iam.role("next", trusting({"AWS": role}), MaxSessionDuration=7200)
    iam.caller = caller_of(iam, session)
    assert (await iam.call("AssumeRole", RoleArn=next_role, RoleSessionName="two"))["Credentials"]
    refused = await iam.refused("AssumeRole", RoleArn=next_role, RoleSessionName="two", DurationSeconds=7200)
    assert refused[0] == "ValidationError"


async def test_transitive_tags_go_along_a_chain_of_roles() -> None:
    """The others end with their session; no role on the way can set another value, and each must let them in."""
    iam, role = await world()
    tagging = ["sts:AssumeRole", "sts:TagSession"]
    ann, iam.caller = iam.caller, ROOT
    only = {"ForAllValues:StringEquals": {"sts:TransitiveTagKeys": ["Team"]}}
    await iam.call("UpdateAssumeRolePolicy", RoleName="r", PolicyDocument=trusting({"AWS": ann.arn}, tagging, Condition=only))
    last = await iam.role("last", trusting({"AWS": role}, tagging))
    plain = await iam.role("plain", trusting({"AWS": role}))
    await iam.call("AttachRolePolicy", RoleName="r", PolicyArn=ADMIN)
    iam.caller = ann
    tags = [{"Key": "Team", "Value": "red"}, {"Key": "Shift", "Value": "night"}]
    wanted = {"RoleArn": role, "RoleSessionName": "one", "Tags": tags}
    assert (await iam.refused("AssumeRole", **wanted, TransitiveTagKeys=["Shift"]))[0] == "AccessDenied"
    first = await iam.call("AssumeRole", **wanted, TransitiveTagKeys=["team"])
    iam.caller = caller_of(iam, first)
    next_one = {"RoleArn": last, "RoleSessionName": "two"}
    second = caller_of(iam, await iam.call("AssumeRole", **next_one, Tags=[{"Key": "shift", "Value": "day"}]))
    keys = iam.directory.subject_of(second).keys or {}
    assert (keys["aws:principaltag/team"], keys["aws:principaltag/shift"]) == (("red",), ("day",))
    assert await iam.refused("AssumeRole", **next_one, Tags=[{"Key": "TEAM", "Value": "blue"}]) == (
        "InvalidParameterValue",
        "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the "
        "calling session.",
    )
    assert "sts:TagSession" in (await iam.refused("AssumeRole", RoleArn=plain, RoleSessionName="two"))[1]


async def test_a_chain_of_roles_gathers_no_more_tags_than_a_session_has() -> None:
    """A role that may assume itself would have ever larger sessions, each kept on the disk."""
    iam, role = await world()
    tagging = ["sts:AssumeRole", "sts:TagSession"]
    ann, iam.caller = iam.caller, ROOT
    await iam.call("UpdateAssumeRolePolicy", RoleName="r", PolicyDocument=trusting({"AWS": [ann.arn, role]}, tagging))
    await iam.call("AttachRolePolicy", RoleName="r", PolicyArn=ADMIN)
    iam.caller = ann
    wanted = {"RoleArn": role, "RoleSessionName": "one"}
    keys = [f"key-{number}" for number in range(49)]
    tags = [{"Key": key, "Value": "v"} for key in keys]
    iam.caller = caller_of(iam, await iam.call("AssumeRole", **wanted, Tags=tags, TransitiveTagKeys=keys))
    more = [{"Key": "more", "Value": "v"}, {"Key": "too many", "Value": "v"}]
    assert (await iam.refused("AssumeRole", **wanted, Tags=more))[0] == "PackedPolicyTooLarge"
    session = await iam.call("AssumeRole", **wanted, Tags=more[:1], TransitiveTagKeys=["more"])
    assert session["PackedPolicySize"] < 100
    iam.caller = caller_of(iam, session)
    assert await iam.call("AssumeRole", **wanted)
    assert (await iam.refused("AssumeRole", **wanted, Tags=more[1:]))[0] == "PackedPolicyTooLarge"


async def test_a_source_identity_goes_along_a_chain_of_roles() -> None:
    """No role on the way can drop it or set another one, and each must let it be set."""
    iam, role = await world()
    setting = ["sts:AssumeRole", "sts:SetSourceIdentity"]
    ann, iam.caller = iam.caller, ROOT
    await iam.call("UpdateAssumeRolePolicy", RoleName="r", PolicyDocument=trusting({"AWS": ann.arn}, setting))
    last = await iam.role("last", trusting({"AWS": role}, setting))
    plain = await iam.role("plain", trusting({"AWS": role}))
    await iam.call("AttachRolePolicy", RoleName="r", PolicyArn=ADMIN)
    iam.caller = ann
    first = await iam.call("AssumeRole", RoleArn=role, RoleSessionName="one", SourceIdentity="ann")
    iam.caller = caller_of(iam, first)
    assert (await iam.call("AssumeRole", RoleArn=last, RoleSessionName="two"))["SourceIdentity"] == "ann"
    refused = await iam.refused("AssumeRole", RoleArn=last, RoleSessionName="two", SourceIdentity="bob")
    assert refused[0] == "AccessDenied"
    assert "sts:SetSourceIdentity" in refused[1]
    assert "sts:SetSourceIdentity" in (await iam.refused("AssumeRole", RoleArn=plain, RoleSessionName="two"))[1]


async def test_nobody_is_asked_with_auth_off() -> None:
    """Then any role that is there is assumed, by the root too."""
    iam = Iam(is_enforced=False)
    role = await iam.role()
    assert (await iam.call("AssumeRole", RoleArn=role, RoleSessionName="one"))["Credentials"]
    assert (await iam.refused("AssumeRole", RoleArn=f"{role}2", RoleSessionName="one"))[0] == "AccessDenied"


async def test_a_token_stands_for_its_user_until_it_ends() -> None:
    """GetSessionToken gives the user's own rights; sessions cannot get another one; a restart loses none."""
    iam, _ = await world()
    output = await iam.call("GetSessionToken", DurationSeconds=1800)
    session = caller_of(iam, output)
    assert session.arn == iam.caller.arn
    again = await Iam(iam.store).open()
    assert again.identities.lookup(session.access_key_id or "") == iam.identities.lookup(session.access_key_id or "")
    assert iam.directory.subject_of(session).identity == iam.directory.subject_of(iam.caller).identity
    iam.caller = session
    assert (await iam.refused("GetSessionToken"))[0] == "AccessDenied"
    assert await iam.refused("GetAccessKeyInfo", AccessKeyId=session.access_key_id) == (
        "AccessDenied", "Cannot call GetAccessKeyInfo with session credentials",
    )  # fmt: skip
    assert iam.directory.subject_of(session).is_own_session
    iam.caller = ROOT
    (key,) = (await iam.call("ListAccessKeys", UserName="ann"))["AccessKeyMetadata"]
    await iam.call("DeleteAccessKey", UserName="ann", AccessKeyId=key["AccessKeyId"])
    await iam.call("DeleteUserPolicy", UserName="ann", PolicyName="p")
    await iam.call("DeleteUser", UserName="ann")
    await iam.user()
    await iam.call("AttachUserPolicy", UserName="ann", PolicyArn=ADMIN)
    assert not iam.directory.subject_of(session).identity  # it was another ann's
    assert (await iam.call("GetAccessKeyInfo", AccessKeyId=session.access_key_id)) == {"Account": ACCOUNT}
    assert (await iam.refused("GetAccessKeyInfo", AccessKeyId="AKIANOBODYKNOWSIT"))[0] == "ValidationError"
