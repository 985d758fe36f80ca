"""Whom resource policies let in."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.model.policy import Caller, Policy, allows, principal_element, service_caller, statement

FUNCTION = "arn:aws:lambda:us-east-1:111111111111:function:f"
BUCKET = "arn:aws:s3:::bucket"
S3 = {"Service": "s3.amazonaws.com"}
BUCKET_CALLER = service_caller("s3.amazonaws.com", BUCKET, "111111111111")


def admits(
    principal: Any = S3,
    action: str = "lambda:InvokeFunction",
    resource: str = FUNCTION,
    caller: Caller = BUCKET_CALLER,
    **given: Any,
) -> bool:
    """Whether a policy of one statement lets a caller invoke the function."""
    policy = Policy("r", (statement("s", principal, action, resource, given),))
    return allows(policy, caller, "lambda:InvokeFunction", FUNCTION)


@pytest.mark.parametrize(
    ("arguments", "admitted"),
    [
        ({}, True),
        ({"action": "lambda:*"}, True),
        ({"action": "lambda:invokefunction"}, True),
        ({"action": "lambda:GetFunction"}, False),
        ({"resource": f"{FUNCTION}:1"}, False),
        ({"resource": "arn:aws:lambda:*:*:function:*"}, True),
        ({"principal": {"Service": "sns.amazonaws.com"}}, False),
        ({"principal": {"AWS": "arn:aws:iam::111111111111:root"}}, False),
        ({"principal": "*"}, True),
        ({"SourceArn": BUCKET}, True),
        ({"SourceArn": "arn:aws:s3:::buck*"}, True),
        ({"SourceArn": "arn:aws:s3:::bucke?"}, True),
        ({"SourceArn": "arn:aws:s3:::buck"}, False),
        ({"SourceArn": "arn:*"}, False),
        ({"SourceArn": "arn:aws:*:::bucket"}, True),
        ({"SourceArn": BUCKET, "SourceAccount": "111111111111"}, True),
        ({"SourceArn": BUCKET, "SourceAccount": "222222222222"}, False),
        ({"EventSourceToken": "token"}, False),
        ({"PrincipalOrgID": "o-abcdefghij"}, False),
        ({"FunctionUrlAuthType": "NONE"}, False),
        ({"InvokedViaFunctionUrl": True}, False),
    ],
)
def test_service_callers(arguments: dict[str, Any], admitted: bool) -> None:
    """Principal, action, resource and every condition must match; an absent condition key fails."""
    assert admits(**arguments) is admitted


@pytest.mark.parametrize(
    ("key", "value"),
    [("aws:PrincipalIsAWSService", "true"), ("aws:PrincipalServiceName", "s3.amazonaws.com")],
)
def test_a_service_is_known_as_one(key: str, value: str) -> None:
    """By the keys that policies on resources ask for services with."""
    for wanted, admitted in ((value, True), ("other", False)):
        made = {**statement("s", "*", "lambda:InvokeFunction", FUNCTION, {}), "Condition": {"StringEquals": {key: wanted}}}
        assert allows(Policy("r", (made,)), BUCKET_CALLER, "lambda:InvokeFunction", FUNCTION) is admitted


@pytest.mark.parametrize(
    ("principal", "admitted"),
    [
        ({"AWS": "arn:aws:iam::222222222222:root"}, True),
        ({"AWS": "arn:aws:iam::222222222222:user/u"}, True),
        ({"AWS": "arn:aws:iam::222222222222:user/other"}, False),
        ({"AWS": "arn:aws:iam::333333333333:root"}, False),
        ("*", True),
        (S3, False),
    ],
)
def test_iam_callers(principal: Any, admitted: bool) -> None:
    """An account's root stands for the whole account, a user's ARN for the user."""
    caller = Caller(principal_arn="arn:aws:iam::222222222222:user/u", account_id="222222222222")
    assert admits(principal, caller=caller) is admitted


def test_other_operators() -> None:
    """StringLike and ArnEquals know wildcards, StringEquals does not, and an unknown operator never holds."""
    outcomes = {}
    for operator, pattern in (
        ("StringLike", "arn:aws:s3:::b*"),
        ("ArnEquals", "arn:aws:s3:::b*"),
        ("StringEquals", "arn:aws:s3:::b*"),
        ("DateGreaterThan", BUCKET),
    ):
        made = {**statement("s", S3, "lambda:*", FUNCTION, {}), "Condition": {operator: {"aws:SourceArn": [pattern]}}}
        outcomes[operator] = allows(Policy("r", (made,)), BUCKET_CALLER, "lambda:InvokeFunction", FUNCTION)
    assert outcomes == {"StringLike": True, "ArnEquals": True, "StringEquals": False, "DateGreaterThan": False}


def test_no_policy_admits_nobody() -> None:
    """Without a policy nobody is let in."""
    assert not allows(None, Caller("s3.amazonaws.com"), "lambda:InvokeFunction", FUNCTION)


def test_hostile_patterns_stay_cheap() -> None:
    """A pattern of many stars is decided in the time a test may take, which backtracking over all of them would not be."""
    caller = service_caller("s3.amazonaws.com", "arn:aws:s3:::" + "a" * 2000, "111111111111")
    assert not admits(SourceArn="arn:aws:s3:::" + "*a" * 500 + "b", caller=caller)


@pytest.mark.parametrize("principal", ["", "nobody", "arn:aws:s3:::x", "12345", "amazonaws.com", "x.amazonaws.org"])
def test_unknown_principals(principal: str) -> None:
    """Nothing that AWS would not take is a principal."""
    assert principal_element(principal) is None
