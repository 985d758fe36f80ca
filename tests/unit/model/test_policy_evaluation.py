"""Who may do what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.policy_document import Kind, PolicyDocument, read_policy
from lambdad.model.policy_evaluation import (
    Decision,
    Question,
    Subject,
    admits,
    decide,
    decide_trust,
    refusal_text,
)
from lambdad.model.policy_principal import Names

HOME, OTHER = "111111111111", "222222222222"
USER = f"arn:aws:iam::{HOME}:user/ann"
ROLE = f"arn:aws:iam::{HOME}:role/r"
SESSION = f"arn:aws:sts::{HOME}:assumed-role/r/s"
FUNCTION = f"arn:aws:lambda:us-east-1:{HOME}:function:f"
ACTION = "lambda:InvokeFunction"
KEYS = {"aws:username": ("ann",), "aws:sourceip": ("10.0.0.1",)}


def policy(*statements: dict[str, Any], kind: Kind = Kind.IDENTITY) -> PolicyDocument:
    return read_policy(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}), kind)


def rule(effect: str = "Allow", action: str = ACTION, resource: str = "*", **elements: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **elements}


def on_function(principal: Any, effect: str = "Allow", **elements: Any) -> PolicyDocument:
    return policy(rule(effect, Principal=principal, **elements), kind=Kind.RESOURCE)


def question(action: str = ACTION, resource: str = FUNCTION) -> Question:
    return Question(action, resource, KEYS.get)


def user(*identity: PolicyDocument, **given: Any) -> Subject:
    return Subject(USER, HOME, Names(HOME, exact=(USER,)), identity=identity, **given)


def session(*identity: PolicyDocument, **given: Any) -> Subject:
    return Subject(SESSION, HOME, Names(HOME, exact=(SESSION,), role=(ROLE,)), identity=identity, **given)


ALLOWING, DENYING, EMPTY = policy(rule()), policy(rule("Deny")), policy(rule(action="s3:GetObject"))
ROOT = Subject(f"arn:aws:iam::{HOME}:root", HOME, Names(HOME, exact=(f"arn:aws:iam::{HOME}:root",)), is_root=True)
NO_IDENTITY = f"because no identity-based policy allows the {ACTION} action"
NO_RESOURCE = f"because no resource-based policy allows the {ACTION} action"
NO_BOUNDARY = f"because no permissions boundary allows the {ACTION} action"
NO_SESSION = f"because no session policy allows the {ACTION} action"


@pytest.mark.parametrize(
    ("subject", "resource_policy", "owner", "because"),
    [
        (user(), None, None, NO_IDENTITY),
        (user(ALLOWING), None, None, ""),
        (user(EMPTY), None, None, NO_IDENTITY),
        (user(ALLOWING, DENYING), None, None, "with an explicit deny in an identity-based policy"),
        (ROOT, None, None, ""),
        (ROOT, on_function("*", "Deny"), None, "with an explicit deny in a resource-based policy"),
        (user(ALLOWING), on_function("*", "Deny"), None, "with an explicit deny in a resource-based policy"),
        (user(policy(rule(action="lambda:*"))), None, None, ""),
        (user(policy(rule(action="LAMBDA:invokefunction"))), None, None, ""),
        (user(policy({"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"})), None, None, ""),
        (user(policy({"Effect": "Allow", "NotAction": "lambda:*", "Resource": "*"})), None, None, NO_IDENTITY),
        (user(policy({"Effect": "Allow", "Action": ACTION, "NotResource": "arn:aws:lambda:*:*:function:g"})), None, None, ""),
        (user(policy({"Effect": "Allow", "Action": ACTION, "NotResource": FUNCTION})), None, None, NO_IDENTITY),
        (user(policy(rule(resource=f"{FUNCTION}:*"))), None, None, NO_IDENTITY),
        (user(policy(rule(resource="arn:aws:lambda:*:*:function:${aws:username}"))), None, None, NO_IDENTITY),
        (user(policy(rule(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}))), None, None, ""),
        (user(policy(rule(Condition={"IpAddress": {"aws:SourceIp": "11.0.0.0/8"}}))), None, None, NO_IDENTITY),
        # The boundary.
        (user(ALLOWING, boundary=(ALLOWING,)), None, None, ""),
        (user(ALLOWING, boundary=(EMPTY,)), None, None, NO_BOUNDARY),
        (user(ALLOWING, boundary=(ALLOWING, DENYING)), None, None, "with an explicit deny in a permissions boundary"),
        (user(boundary=(ALLOWING,)), None, None, NO_IDENTITY),
        # The session's policies.
        (session(ALLOWING, session=(EMPTY,)), None, None, NO_SESSION),
        (session(ALLOWING, session=(ALLOWING,)), None, None, ""),
        (session(ALLOWING, session=(DENYING,)), None, None, "with an explicit deny in a session policy"),
        (session(session=(ALLOWING,)), None, None, NO_IDENTITY),
        # The resource's policy within an account.
        (user(), on_function({"AWS": USER}), None, ""),
        (user(boundary=(EMPTY,)), on_function({"AWS": USER}), None, ""),
        (user(DENYING), on_function({"AWS": USER}), None, "with an explicit deny in an identity-based policy"),
        (user(), on_function({"AWS": HOME}), None, NO_IDENTITY),
        (user(ALLOWING), on_function({"AWS": OTHER}), None, ""),
        (session(), on_function({"AWS": ROLE}), None, ""),
        (session(boundary=(EMPTY,)), on_function({"AWS": ROLE}), None, NO_BOUNDARY),
        (session(session=(EMPTY,)), on_function({"AWS": ROLE}), None, NO_SESSION),
        (session(session=(EMPTY,)), on_function({"AWS": SESSION}), None, ""),
        (user(), on_function("*"), None, ""),
        # Another account's resource.
        (user(ALLOWING), None, OTHER, NO_RESOURCE),
        (user(ALLOWING), on_function({"AWS": HOME}), OTHER, ""),
        (user(ALLOWING), on_function({"AWS": USER}), OTHER, ""),
        (user(), on_function({"AWS": USER}), OTHER, NO_IDENTITY),
        (user(ALLOWING, boundary=(EMPTY,)), on_function({"AWS": USER}), OTHER, NO_BOUNDARY),
        (ROOT, None, OTHER, NO_RESOURCE),
        (ROOT, on_function({"AWS": HOME}), OTHER, ""),
    ],
)  # fmt: skip
def test_the_order_of_evaluation_is_awss(
    subject: Subject, resource_policy: PolicyDocument | None, owner: str | None, because: str
) -> None:
    """Denials first, then who must allow it; the reason of a refusal names the kind of policy that decided."""
    decision = decide(subject, question(), resource_policy=resource_policy, resource_account=owner)
    assert decision == Decision(not because, because)


def test_not_principal_denies_all_but_the_named() -> None:
    """Deny with NotPrincipal leaves in peace whom it names."""
    denies = policy({"Effect": "Deny", "NotPrincipal": {"AWS": USER}, "Action": ACTION, "Resource": "*"}, kind=Kind.RESOURCE)
    assert decide(user(ALLOWING), question(), resource_policy=denies).is_allowed
    assert not decide(session(ALLOWING), question(), resource_policy=denies).is_allowed


def test_a_variable_without_value_matches_under_not_resource_neither() -> None:
    """A statement about somebody's own things is nobody's when there is no such name."""
    grants = policy({"Effect": "Allow", "Action": "*", "NotResource": "arn:aws:s3:::${aws:PrincipalTag/team}/*"})
    assert not decide(user(grants), question()).is_allowed


@pytest.mark.parametrize(
    ("subject", "principal", "because"),
    [
        (user(), {"AWS": USER}, ""),
        (user(), {"AWS": HOME}, "because no identity-based policy allows the sts:AssumeRole action"),
        (user(policy(rule(action="sts:*"))), {"AWS": HOME}, ""),
        (user(policy(rule(action="sts:*"))), {"AWS": OTHER}, "because no role trust policy allows the sts:AssumeRole action"),
        (ROOT, {"AWS": HOME}, ""),
        (ROOT, {"Service": "lambda.amazonaws.com"}, "because no role trust policy allows the sts:AssumeRole action"),
    ],
)
def test_a_role_is_assumed_by_whom_it_trusts(subject: Subject, principal: Any, because: str) -> None:
    """Who is trusted through its account needs a policy of its own besides."""
    trust = policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}, kind=Kind.TRUST)
    assert decide_trust(subject, question("sts:AssumeRole", ROLE), trust) == Decision(not because, because)


def test_a_service_is_let_in_by_its_name() -> None:
    """Lambda assumes the roles that trust it, and no others."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    asked = question("sts:AssumeRole", ROLE)
    assert admits(policy(trust, kind=Kind.TRUST), Names(service="lambda.amazonaws.com"), asked)
    assert not admits(policy(trust, kind=Kind.TRUST), Names(service="ec2.amazonaws.com"), asked)
    assert not admits(policy(trust, {**trust, "Effect": "Deny"}, kind=Kind.TRUST), Names(service="lambda.amazonaws.com"), asked)


def test_a_refusal_reads_as_awss() -> None:
    """Tools and people search for these words."""
    assert refusal_text(USER, ACTION, FUNCTION, NO_IDENTITY) == (
        f"User: {USER} is not authorized to perform: lambda:InvokeFunction on resource: {FUNCTION} "
        "because no identity-based policy allows the lambda:InvokeFunction action"
    )


_RULES = st.builds(
    rule,
    st.sampled_from(("Allow", "Deny")),
    st.sampled_from((ACTION, "lambda:*", "*", "s3:GetObject", "lambda:Get*")),
    st.sampled_from(("*", FUNCTION, "arn:aws:lambda:*:*:function:?", "arn:aws:s3:::b")),
)
_POLICIES = st.lists(_RULES, min_size=1, max_size=4).map(lambda rules: policy(*rules))


@given(st.lists(_POLICIES, max_size=4), st.randoms())
def test_the_order_of_policies_does_not_matter(policies: list[PolicyDocument], random: Any) -> None:
    """Nor does that of their statements."""
    shuffled = [PolicyDocument(tuple(random.sample(each.statements, len(each.statements)))) for each in policies]
    random.shuffle(shuffled)
    assert decide(user(*policies), question()) == decide(user(*shuffled), question())


@given(st.lists(_POLICIES, max_size=3), st.sampled_from(("identity", "boundary", "session", "resource")))
def test_an_explicit_denial_wins(policies: list[PolicyDocument], where: str) -> None:
    """Whatever else allows it, in whichever policy it stands."""
    given: dict[str, Any] = {"boundary": (ALLOWING,), "session": (ALLOWING,)}
    if where in given:
        given[where] = (*policies, DENYING, ALLOWING)
    subject = session(*policies, ALLOWING, *([DENYING] if where == "identity" else []), **given)
    resource_policy = on_function({"AWS": SESSION}, "Deny" if where == "resource" else "Allow")
    decision = decide(subject, question(), resource_policy=resource_policy)
    assert not decision.is_allowed
    assert decision.because.startswith("with an explicit deny")
