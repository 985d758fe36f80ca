"""Users, groups, roles, policies and keys, as their operations keep them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lambdad.services.iam.aws_managed import AWS_MANAGED
from lambdad.services.iam.model import stored_document
from support.iam_service import ACCOUNT, TRUST, Iam, allow, decoded, document, trusting

BASIC = "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"
OWN = f"arn:aws:iam::{ACCOUNT}:policy/p"
POLICY = document(allow())
KINDS = [("User", "u"), ("Group", "g"), ("Role", "r")]


async def make(iam: Iam, kind: str, name: str) -> dict[str, str]:
    """The member that names it."""
    trust = {"AssumeRolePolicyDocument": TRUST} if kind == "Role" else {}
    await iam.call(f"Create{kind}", **{f"{kind}Name": name}, **trust)
    return {f"{kind}Name": name}


@pytest.mark.parametrize(("kind", "name"), KINDS)
async def test_policies_are_put_on_and_taken_off(kind: str, name: str) -> None:
    """Inline and managed; what is on something is listed, and must be off before it is deleted."""
    iam = Iam()
    named = await make(iam, kind, name)
    await iam.call(f"Put{kind}Policy", **named, PolicyName="one", PolicyDocument=POLICY)
    got = await iam.call(f"Get{kind}Policy", **named, PolicyName="one")
    assert decoded(got["PolicyDocument"]) == decoded(POLICY)
    assert (await iam.call(f"List{kind}Policies", **named))["PolicyNames"] == ["one"]
    for _ in range(2):
        await iam.call(f"Attach{kind}Policy", **named, PolicyArn=BASIC)
    attached = (await iam.call(f"ListAttached{kind}Policies", **named))["AttachedPolicies"]
    assert attached == [{"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": BASIC}]
    entities = await iam.call("ListEntitiesForPolicy", PolicyArn=BASIC)
    assert [each[f"{kind}Name"] for each in entities[f"Policy{kind}s"]] == [name]
    assert (await iam.refused(f"Delete{kind}", **named))[1] == "Cannot delete entity, must detach all policies first."
    await iam.call(f"Detach{kind}Policy", **named, PolicyArn=BASIC)
    assert (await iam.refused(f"Detach{kind}Policy", **named, PolicyArn=BASIC))[0] == "NoSuchEntityException"
    assert (await iam.refused(f"Delete{kind}", **named))[1] == "Cannot delete entity, must delete policies first."
    await iam.call(f"Delete{kind}Policy", **named, PolicyName="one")
    gone = ("NoSuchEntityException", f"The {kind.lower()} policy with name one cannot be found.")
    assert await iam.refused(f"Get{kind}Policy", **named, PolicyName="one") == gone
    await iam.call(f"Delete{kind}", **named)
    assert await iam.refused(f"Get{kind}", **named) == (
        "NoSuchEntityException", f"The {kind.lower()} with name {name} cannot be found.",
    )  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), KINDS)
async def test_a_name_is_taken_once_whatever_its_case(kind: str, name: str) -> None:
    """Also when two ask at the same time."""
    iam = Iam()
    await make(iam, kind, name)
    with pytest.raises(Exception, match="already exists"):
        await make(iam, kind, name.upper())
    outcomes = await asyncio.gather(*(make(iam, kind, "same") for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(outcome, Exception) for outcome in outcomes) == 4


@pytest.mark.parametrize(
    ("operation", "request_", "code"),
    [
        ("CreateUser", {"UserName": "a b"}, "ValidationError"),
        ("CreateUser", {"UserName": "../x"}, "ValidationError"),
        ("CreateUser", {"UserName": "ä"}, "ValidationError"),
        ("CreateUser", {"UserName": "u" * 65}, "ValidationError"),
        ("CreateUser", {"UserName": "a", "Path": "no"}, "ValidationError"),
        ("CreateUser", {"UserName": "a", "PermissionsBoundary": OWN}, "NoSuchEntityException"),
        ("CreateUser", {"UserName": "a", "Tags": [{"Key": "k"}, {"Key": "K"}]}, "InvalidInputException"),
        ("CreateUser", {"UserName": "a", "Tags": [{"Key": "aws:k", "Value": "v"}]}, "InvalidInputException"),
        ("CreateUser", {"UserName": "a", "Tags": [{"Key": f"{n}"} for n in range(51)]}, "LimitExceededException"),
        ("CreateRole", {"RoleName": "a", "AssumeRolePolicyDocument": POLICY}, "MalformedPolicyDocumentException"),
        ("CreateRole", {"RoleName": "a", "AssumeRolePolicyDocument": "{" * 100_000}, "MalformedPolicyDocumentException"),
        (
            "CreateRole",
            {"RoleName": "a", "AssumeRolePolicyDocument": trusting({"AWS": [f"arn:aws:iam::{ACCOUNT}:user/{'u' * 60}"] * 30})},
            "LimitExceededException",
        ),
        ("CreatePolicy", {"PolicyName": "a", "PolicyDocument": TRUST}, "MalformedPolicyDocumentException"),
        ("CreatePolicy", {"PolicyName": "a", "PolicyDocument": document(allow(["s3:Get"] * 900))}, "LimitExceededException"),
        ("GetPolicy", {"PolicyArn": OWN}, "NoSuchEntityException"),
        ("GetPolicy", {"PolicyArn": "arn:aws:iam::222222222222:policy/p"}, "NoSuchEntityException"),
        ("DeletePolicy", {"PolicyArn": BASIC}, "AccessDenied"),
        ("CreatePolicyVersion", {"PolicyArn": BASIC, "PolicyDocument": POLICY}, "AccessDenied"),
        ("AttachRolePolicy", {"RoleName": "absent", "PolicyArn": BASIC}, "NoSuchEntityException"),
        ("AddUserToGroup", {"UserName": "absent", "GroupName": "absent"}, "NoSuchEntityException"),
        ("UpdateAccessKey", {"UserName": "absent", "AccessKeyId": "A" * 20, "Status": "Active"}, "NoSuchEntityException"),
        ("ListUsers", {"Marker": "!"}, "ValidationError"),
        ("ListInstanceProfilesForRole", {"RoleName": "absent"}, "NoSuchEntityException"),
    ],
)  # fmt: skip
async def test_bad_input_is_refused_and_keeps_nothing(operation: str, request_: dict[str, Any], code: str) -> None:
    """In AWS's code; afterwards there is nothing."""
    iam = Iam()
    assert (await iam.refused(operation, **request_))[0] == code
    assert not (await iam.call("ListUsers"))["Users"]
    assert not (await iam.call("ListRoles"))["Roles"]
    assert not (await iam.call("ListPolicies", Scope="Local"))["Policies"]


async def test_what_is_not_kept_of_a_user_is_not_there() -> None:
    """Tools look for all of it before they delete a user; for somebody else's they are told that there is no such user."""
    iam = Iam()
    await iam.user()
    for operation, member in (
        ("ListMFADevices", "MFADevices"),
        ("ListSSHPublicKeys", "SSHPublicKeys"),
        ("ListServiceSpecificCredentials", "ServiceSpecificCredentials"),
        ("ListSigningCertificates", "Certificates"),
    ):
        assert await iam.call(operation, UserName="ann") == {member: [], "IsTruncated": False}
        assert (await iam.refused(operation, UserName="absent"))[0] == "NoSuchEntityException"
    for operation in ("GetLoginProfile", "DeleteLoginProfile"):
        assert await iam.refused(operation, UserName="ann") == (
            "NoSuchEntityException", "Login Profile for User ann cannot be found.",
        )  # fmt: skip
    assert not (await iam.call("ListVirtualMFADevices"))["VirtualMFADevices"]
    assert not (await iam.call("ListServerCertificates"))["ServerCertificateMetadataList"]


async def test_inline_policies_have_room_together() -> None:
    """2,048 bytes for a user, not counting white space; what would go beyond changes nothing."""
    iam = Iam()
    await iam.user()
    big = document(allow([f"s3:Get{n:040}" for n in range(30)]))
    await iam.call("PutUserPolicy", UserName="ann", PolicyName="one", PolicyDocument=big + " " * 5000)
    assert await iam.refused("PutUserPolicy", UserName="ann", PolicyName="two", PolicyDocument=big) == (
        "LimitExceededException", "Maximum policy size of 2048 bytes exceeded for user ann",
    )  # fmt: skip
    assert (await iam.call("ListUserPolicies", UserName="ann"))["PolicyNames"] == ["one"]


async def test_a_managed_policy_has_up_to_five_versions() -> None:
    """Numbers are not given twice; the default one stays, and all others go before the policy does."""
    iam = Iam()
    arn = (await iam.call("CreatePolicy", PolicyName="p", PolicyDocument=POLICY, Description="d"))["Policy"]["Arn"]
    assert arn == OWN
    other = document(allow("s3:PutObject"))
    for _ in range(4):
        made = await iam.call("CreatePolicyVersion", PolicyArn=OWN, PolicyDocument=other, SetAsDefault=True)
    assert made["PolicyVersion"]["VersionId"] == "v5"
    assert (await iam.refused("CreatePolicyVersion", PolicyArn=OWN, PolicyDocument=other))[0] == "LimitExceededException"
    assert (await iam.refused("DeletePolicyVersion", PolicyArn=OWN, VersionId="v5"))[0] == "DeleteConflictException"
    await iam.call("DeletePolicyVersion", PolicyArn=OWN, VersionId="v4")
    made = await iam.call("CreatePolicyVersion", PolicyArn=OWN, PolicyDocument=POLICY)
    assert made["PolicyVersion"]["VersionId"] == "v6"
    versions = (await iam.call("ListPolicyVersions", PolicyArn=OWN))["Versions"]
    assert [each["VersionId"] for each in versions] == ["v6", "v5", "v3", "v2", "v1"]
    got = (await iam.call("GetPolicyVersion", PolicyArn=OWN, VersionId="v5"))["PolicyVersion"]
    assert (decoded(got["Document"]), got["IsDefaultVersion"]) == (decoded(other), True)
    assert (await iam.refused("DeletePolicy", PolicyArn=OWN))[0] == "DeleteConflictException"
    await iam.call("SetDefaultPolicyVersion", PolicyArn=OWN, VersionId="v1")
    for version in ("v2", "v3", "v5", "v6"):
        await iam.call("DeletePolicyVersion", PolicyArn=OWN, VersionId=version)
    role = await iam.role(PermissionsBoundary=OWN)
    assert (await iam.refused("DeletePolicy", PolicyArn=OWN))[1] == "Cannot delete a policy attached to entities."
    assert role == f"arn:aws:iam::{ACCOUNT}:role/r"
    await iam.call("DeleteRolePermissionsBoundary", RoleName="r")
    await iam.call("DeletePolicy", PolicyArn=OWN)
    assert (await iam.refused("GetPolicy", PolicyArn=OWN))[0] == "NoSuchEntityException"


async def test_everything_outlives_a_restart() -> None:
    """Entities, keys with their state, memberships and tags are read from the store again."""
    iam = Iam()
    await iam.user(Path="/team/", Tags=[{"Key": "team", "Value": "red"}])
    await iam.call("CreateGroup", GroupName="G")
    await iam.call("AddUserToGroup", UserName="ann", GroupName="g")
    await iam.call("CreatePolicy", PolicyName="p", PolicyDocument=POLICY)
    await iam.role(Description="d", MaxSessionDuration=7200)
    key = (await iam.call("ListAccessKeys", UserName="ann"))["AccessKeyMetadata"][0]["AccessKeyId"]
    await iam.call("UpdateAccessKey", UserName="ann", AccessKeyId=key, Status="Inactive")
    again = await Iam(iam.store).open()
    for operation, request in (
        ("GetUser", {"UserName": "ann"}), ("GetGroup", {"GroupName": "G"}), ("GetRole", {"RoleName": "r"}),
        ("GetPolicy", {"PolicyArn": OWN}), ("ListAccessKeys", {"UserName": "ann"}), ("ListUserTags", {"UserName": "ann"}),
    ):  # fmt: skip
        assert await again.call(operation, **request) == await iam.call(operation, **request)
    assert again.identities.lookup(key) is None
    assert (await again.call("GetGroup", GroupName="G"))["Users"][0]["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/team/ann"


async def test_groups_have_members() -> None:
    """A user is in a group once; a group with members stays, and so does a user in a group."""
    iam = Iam()
    await iam.call("CreateUser", UserName="ann")
    await iam.call("CreateGroup", GroupName="g")
    for _ in range(2):
        await iam.call("AddUserToGroup", UserName="ann", GroupName="g")
    assert [each["GroupName"] for each in (await iam.call("ListGroupsForUser", UserName="ann"))["Groups"]] == ["g"]
    assert (await iam.refused("DeleteGroup", GroupName="g"))[0] == "DeleteConflictException"
    assert (await iam.refused("DeleteUser", UserName="ann"))[0] == "DeleteConflictException"
    await iam.call("RemoveUserFromGroup", UserName="ann", GroupName="g")
    assert (await iam.refused("RemoveUserFromGroup", UserName="ann", GroupName="g"))[0] == "NoSuchEntityException"
    await iam.call("DeleteGroup", GroupName="g")
    await iam.call("DeleteUser", UserName="ann")


async def test_a_user_has_two_keys_at_most_and_may_leave_out_its_name() -> None:
    """Its own operations are about itself; the root must name somebody for keys."""
    iam = Iam()
    iam.caller, root = await iam.user(), iam.caller
    await iam.call("CreateAccessKey")
    assert await iam.refused("CreateAccessKey") == (
        "LimitExceededException", "Cannot exceed quota for AccessKeysPerUser: 2",
    )  # fmt: skip
    assert len((await iam.call("ListAccessKeys"))["AccessKeyMetadata"]) == 2
    assert (await iam.call("GetUser"))["User"]["UserName"] == "ann"
    iam.caller = root
    assert (await iam.call("GetUser"))["User"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    assert (await iam.refused("CreateAccessKey"))[0] == "InvalidInputException"


async def test_roles_are_changed_in_place() -> None:
    """Description, longest session and trust policy; tags by their keys whatever the case."""
    iam = Iam()
    await iam.role()
    await iam.call("UpdateRole", RoleName="r", Description="new", MaxSessionDuration=7200)
    await iam.call("UpdateAssumeRolePolicy", RoleName="r", PolicyDocument=trusting("*"))
    await iam.call("TagRole", RoleName="r", Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    await iam.call("TagRole", RoleName="r", Tags=[{"Key": "A", "Value": "3"}])
    await iam.call("UntagRole", RoleName="r", TagKeys=["B"])
    role = (await iam.call("GetRole", RoleName="r"))["Role"]
    assert (role["Description"], role["MaxSessionDuration"], role["Tags"]) == ("new", 7200, [{"Key": "A", "Value": "3"}])
    assert decoded(role["AssumeRolePolicyDocument"])["Statement"][0]["Principal"] == "*"
    assert (await iam.call("UpdateRoleDescription", RoleName="r", Description="x"))["Role"]["Description"] == "x"


async def test_listings_come_in_pages() -> None:
    """Each item once, in order of name, of the path that was asked for."""
    iam = Iam()
    for number in range(7):
        await iam.call("CreateUser", UserName=f"user{number}", Path="/a/" if number % 2 else "/b/")
    names: list[str] = []
    marker: dict[str, str] = {}
    while True:
        page = await iam.call("ListUsers", MaxItems=3, **marker)
        names += [user["UserName"] for user in page["Users"]]
        if not page["IsTruncated"]:
            break
        marker = {"Marker": page["Marker"]}
    assert names == [f"user{number}" for number in range(7)]
    assert len((await iam.call("ListUsers", PathPrefix="/a/"))["Users"]) == 3
    used = await iam.call("ListPolicies", OnlyAttached=True)
    assert not used["Policies"]
    assert len((await iam.call("ListPolicies", Scope="AWS"))["Policies"]) == len(AWS_MANAGED)


@pytest.mark.parametrize("arn", AWS_MANAGED)
def test_awss_policies_are_sound(arn: str) -> None:
    """Each is a policy that IAM itself would store, under the ARN that AWS gives it."""
    assert stored_document(AWS_MANAGED[arn].document).statements
    assert AWS_MANAGED[arn].arn == arn


async def test_awss_policies_for_execution_roles_are_attached() -> None:
    """Those that AWS's guide names for functions, and what its tutorials attach besides; each has an id of its own."""
    iam = Iam()
    await make(iam, "Role", "r")
    execution = ("Basic", "DynamoDB", "Kinesis", "MSK", "SQSQueue", "VPCAccess")
    names = [
        *(f"service-role/AWSLambda{each}ExecutionRole" for each in execution),
        *("service-role/AWSLambdaRole", "service-role/AmazonS3ObjectLambdaExecutionRolePolicy"),
        *("CloudWatchLambdaInsightsExecutionRolePolicy", "CloudWatchLambdaApplicationSignalsExecutionRolePolicy"),
    ]
    tutorials = ("AmazonDynamoDBFullAccess", "AmazonSSMReadOnlyAccess", "SecretsManagerReadWrite", "AmazonSESFullAccess")
    for name in names:
        await iam.call("AttachRolePolicy", RoleName="r", PolicyArn=f"arn:aws:iam::aws:policy/{name}")
    assert len((await iam.call("ListAttachedRolePolicies", RoleName="r"))["AttachedPolicies"]) == len(names) == 10
    await make(iam, "Group", "g")
    for name in tutorials:
        await iam.call("AttachGroupPolicy", GroupName="g", PolicyArn=f"arn:aws:iam::aws:policy/{name}")
    assert len({policy.unique_id for policy in AWS_MANAGED.values()}) == len(AWS_MANAGED)
