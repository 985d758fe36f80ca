"""From a request's principal to the subject with all its policies."""

from __future__ import annotations

import pytest

from lambdad.errors import ServiceError
from lambdad.model.policy_evaluation import Decision, Question, decide
from lambdad.model.request import Principal
from support.iam_service import ACCOUNT, ROOT, Iam, allow, document, trusting

GET = "s3:GetObject"
ADMIN = "arn:aws:iam::aws:policy/AdministratorAccess"


def decision(iam: Iam, principal: Principal, action: str = GET) -> Decision:
    subject = iam.directory.subject_of(principal)
    return decide(subject, Question(action, "arn:aws:s3:::b/k", lambda key: (subject.keys or {}).get(key)))


async def test_a_subject_follows_every_change() -> None:
    """What was concluded before a change of IAM is not used after it."""
    iam = Iam()
    ann = await iam.user()
    assert not decision(iam, ann).is_allowed
    await iam.call("PutUserPolicy", UserName="ann", PolicyName="p", PolicyDocument=document(allow()))
    assert decision(iam, ann).is_allowed
    await iam.call("DeleteUserPolicy", UserName="ann", PolicyName="p")
    await iam.call("CreateGroup", GroupName="g")
    await iam.call("AttachGroupPolicy", GroupName="g", PolicyArn=ADMIN)
    await iam.call("AddUserToGroup", UserName="ann", GroupName="g")
    assert decision(iam, ann).is_allowed
    await iam.call("CreatePolicy", PolicyName="b", PolicyDocument=document(allow("s3:PutObject")))
    await iam.call("PutUserPermissionsBoundary", UserName="ann", PermissionsBoundary=f"arn:aws:iam::{ACCOUNT}:policy/b")
    assert decision(iam, ann).because == f"because no permissions boundary allows the {GET} action"
    assert decision(iam, ann, "s3:PutObject").is_allowed


async def test_variables_are_the_callers() -> None:
    """Its name, its id and its tags."""
    iam = Iam()
    ann = await iam.user(Tags=[{"Key": "Team", "Value": "red"}])
    user_id = (await iam.call("GetUser", UserName="ann"))["User"]["UserId"]
    subject = iam.directory.subject_of(ann)
    assert subject.keys is not None
    assert subject.keys["aws:username"] == ("ann",)
    assert subject.keys["aws:userid"] == (user_id,)
    assert subject.keys["aws:principaltag/team"] == ("red",)
    assert subject.keys["aws:principalarn"] == (ann.arn,)


async def test_whoever_is_not_there_has_no_rights() -> None:
    """A principal without a credential is nobody, save the root of an account, who needs none with `--auth off`."""
    iam = Iam()
    assert decision(iam, ROOT).is_allowed
    nobody = Principal(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:user/absent", "AKIAABSENT")
    assert not decision(iam, nobody).is_allowed


async def test_a_function_has_the_rights_of_its_role() -> None:
    """None while there is no such role; the role's afterwards; none again when it is deleted."""
    iam = Iam()
    arn = f"arn:aws:iam::{ACCOUNT}:role/r"
    minted = iam.identities.mint(ACCOUNT, arn, "f", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f")
    function = Principal(ACCOUNT, minted.principal_arn, minted.access_key_id)
    assert not decision(iam, function).is_allowed
    await iam.role()
    await iam.call("AttachRolePolicy", RoleName="r", PolicyArn=ADMIN)
    assert decision(iam, function).is_allowed
    keys = iam.directory.subject_of(function).keys or {}
    assert keys["lambda:sourcefunctionarn"] == (f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f",)
    await iam.call("DetachRolePolicy", RoleName="r", PolicyArn=ADMIN)
    await iam.call("DeleteRole", RoleName="r")
    assert not decision(iam, function).is_allowed


async def test_a_role_sends_where_its_policies_say() -> None:
    """To dead-letter queues and destinations; into a bucket when it may put objects there."""
    iam = Iam()
    arn = await iam.role()
    queue, bucket = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q", "arn:aws:s3:::b"
    for target in (queue, bucket, f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f"):
        with pytest.raises(ServiceError) as refusal:
            iam.directory.permit_delivery(arn, target)
        assert refusal.value.code == "AccessDeniedException"
    sends = document(allow("sqs:SendMessage", queue), allow("s3:PutObject", f"{bucket}/*"))
    await iam.call("PutRolePolicy", RoleName="r", PolicyName="p", PolicyDocument=sends)
    for target in (queue, bucket, f"{bucket}/key"):
        iam.directory.permit_delivery(arn, target)
    elsewhere = {**allow("sqs:*"), "Effect": "Deny", "Condition": {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}}
    await iam.call("PutRolePolicy", RoleName="r", PolicyName="here", PolicyDocument=document(elsewhere))
    with pytest.raises(ServiceError, match="with an explicit deny"):
        iam.directory.permit_delivery(arn, queue)
    await iam.call("DeleteRolePolicy", RoleName="r", PolicyName="here")
    with pytest.raises(ServiceError, match="assumed-role/absent/awslambda is not authorized to perform: sqs:SendMessage"):
        iam.directory.permit_delivery(f"arn:aws:iam::{ACCOUNT}:role/absent", queue)


async def test_lambda_assumes_roles_that_trust_it() -> None:
    """By its name, and under the conditions that the trust policy sets."""
    iam = Iam()
    own = {"Condition": {"StringEquals": {"aws:SourceAccount": ACCOUNT}}}
    other = {"Condition": {"StringEquals": {"aws:SourceAccount": "222222222222"}}}
    service = {"Service": "lambda.amazonaws.com"}
    roles = {
        await iam.role("yes"): True,
        await iam.role("own", trusting(service, **own)): True,
        await iam.role("other", trusting(service, **other)): False,
        await iam.role("ec2", trusting({"Service": "ec2.amazonaws.com"})): False,
        f"arn:aws:iam::{ACCOUNT}:role/path/yes": False,
        "arn:aws:iam::222222222222:role/yes": False,
        "no arn": False,
    }
    for arn, expected in roles.items():
        assert iam.directory.may_be_assumed_by("lambda.amazonaws.com", arn) is expected
