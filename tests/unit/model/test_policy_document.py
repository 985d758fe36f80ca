"""Which policies can be stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambdad.model.policy_document import Kind, MalformedPolicy, read_policy

ALLOW = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
TRUST = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}


def document(*statements: Any, version: str = "2012-10-17") -> str:
    return json.dumps({"Version": version, "Statement": list(statements)})


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.IDENTITY, document(ALLOW)),
        (Kind.IDENTITY, json.dumps({"Version": "2012-10-17", "Id": "x", "Statement": ALLOW})),
        (Kind.IDENTITY, document({**ALLOW, "Sid": "A1"}, {**ALLOW, "Sid": "A2"}, {**ALLOW, "Sid": ""}, {**ALLOW, "Sid": ""})),
        (Kind.IDENTITY, document({"Effect": "Deny", "NotAction": ["iam:*", "s3:Get*"], "NotResource": ["arn:aws:s3:::b/*"]})),
        (Kind.IDENTITY, document({**ALLOW, "Condition": {"StringLike": {"aws:username": ["a*", "b"]}, "Bool": {"a:b": True}}})),
        (Kind.TRUST, document(TRUST, version="2008-10-17")),
        (Kind.TRUST, document({**TRUST, "Principal": {"AWS": ["111111111111", "arn:aws:iam::111111111111:user/p/u"]}})),
        (Kind.TRUST, document({**TRUST, "Principal": "*", "Action": ["sts:AssumeRole", "sts:TagSession"]})),
        (Kind.TRUST, document({**TRUST, "Principal": {"Federated": "cognito-identity.amazonaws.com"}})),
    ],
)  # fmt: skip
def test_a_sound_policy_is_read(kind: Kind, text: str) -> None:
    """One statement or many, single values or lists."""
    assert read_policy(text, kind).statements


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Kind.IDENTITY, "", "Syntax errors in policy."),
        (Kind.TRUST, "{", "This policy contains invalid Json"),
        (Kind.IDENTITY, "[" * 100_000, "Syntax errors in policy."),
        (Kind.IDENTITY, '{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}', "Syntax errors in policy."),
        (Kind.IDENTITY, "[]", "Syntax errors in policy."),
        (Kind.IDENTITY, json.dumps({"Version": "2012-10-17"}), "Syntax errors in policy."),
        (Kind.IDENTITY, json.dumps({"Version": "2012-10-17", "Statement": [], "Other": 1}), "Syntax errors in policy."),
        (Kind.IDENTITY, document(), "Syntax errors in policy."),
        (Kind.IDENTITY, document("x"), "Syntax errors in policy."),
        (Kind.IDENTITY, document(ALLOW, version="2012-10-18"), "Syntax errors in policy."),
        (Kind.IDENTITY, document(ALLOW, version="2008-10-17"), "version 2012-10-17 or greater"),
        (Kind.IDENTITY, document({**ALLOW, "Effect": "allow"}), "Syntax errors in policy."),
        (Kind.IDENTITY, document({**ALLOW, "Efect": "Allow"}), "Syntax errors in policy."),
        (Kind.IDENTITY, document({**ALLOW, "NotAction": "s3:*"}), "Syntax errors in policy."),
        (Kind.IDENTITY, document({**ALLOW, "Action": []}), "Policy statement must contain actions."),
        (Kind.IDENTITY, document({"Effect": "Allow", "Action": "s3:*"}), "Policy statement must contain resources."),
        (Kind.IDENTITY, document({**ALLOW, "Action": "GetObject"}), "must be prefaced by a vendor"),
        (Kind.IDENTITY, document({**ALLOW, "Action": "s*:Get"}), "Vendor s* is not valid"),
        (Kind.IDENTITY, document({**ALLOW, "Action": 5}), "Syntax errors in policy."),
        (Kind.IDENTITY, document({**ALLOW, "Resource": "bucket"}), 'must be in ARN format or "*"'),
        (Kind.IDENTITY, document({**ALLOW, "Resource": "arn:aws:s3"}), "legacy parsing"),
        (Kind.IDENTITY, document({**ALLOW, "Resource": "arn:aws:s*:::b"}), "cannot contain regexes"),
        (Kind.IDENTITY, document({**ALLOW, "Principal": "*"}), "should not specify a principal"),
        (Kind.IDENTITY, document({**ALLOW, "Sid": "a b"}), "alpha-numeric"),
        (Kind.IDENTITY, document({**ALLOW, "Sid": "a"}, {**ALLOW, "Sid": "a"}), "must be unique"),
        (Kind.IDENTITY, document({**ALLOW, "Condition": []}), "Syntax errors in policy."),
        (Kind.IDENTITY, document({**ALLOW, "Condition": {"StringEquals": "x"}}), "Syntax errors in policy."),
        (Kind.IDENTITY, document({**ALLOW, "Condition": {"StringEquals": {"a:b": {}}}}), "Syntax errors in policy."),
        (Kind.IDENTITY, document({**ALLOW, "Condition": {"StringEqual": {"a:b": "x"}}}), "Invalid Condition type"),
        (Kind.IDENTITY, document({**ALLOW, "Condition": {"StringEquals": {"b": "x"}}}), "must be prefaced by a vendor"),
        (Kind.IDENTITY, document({**ALLOW, "Condition": {"NumericEquals": {"a:b": "x"}}}), "Syntax errors in policy."),
        (Kind.TRUST, document(ALLOW), "Has prohibited field Resource"),
        (Kind.TRUST, document({"Effect": "Allow", "Action": "sts:AssumeRole"}), "Missing required field Principal"),
        (Kind.TRUST, document({**TRUST, "Action": "s3:GetObject"}), "may only specify STS"),
        (Kind.TRUST, document({**TRUST, "Principal": {"AWS": "nobody"}}), 'Invalid principal in policy: "AWS":"nobody"'),
        (Kind.TRUST, document({**TRUST, "Principal": {"Service": "lambda"}}), '"Service":"lambda"'),
        (Kind.TRUST, document({**TRUST, "Principal": {"Other": "x"}}), "Invalid principal in policy"),
        (Kind.TRUST, document({**TRUST, "Principal": {"AWS": []}}), "Invalid principal in policy"),
    ],
)  # fmt: skip
def test_a_malformed_policy_is_refused_in_awss_words(kind: Kind, text: str, message: str) -> None:
    """Nothing that could never match as its author meant is stored."""
    with pytest.raises(MalformedPolicy) as refused:
        read_policy(text, kind)
    assert message in str(refused.value)
