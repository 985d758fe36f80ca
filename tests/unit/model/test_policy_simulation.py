"""What policies would answer, and which of them decided it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambdad.model.policy_document import Kind, read_policy
from lambdad.model.policy_evaluation import Question, Subject
from lambdad.model.policy_principal import Names
from lambdad.model.policy_simulation import Source, context_keys, simulate, source_of, strictest

ACCOUNT, OTHER = "111111111111", "222222222222"
ANN = f"arn:aws:iam::{ACCOUNT}:user/ann"


def source(name: str, *statements: dict[str, Any], kind: Kind = Kind.IDENTITY, version: str = "2012-10-17") -> Source:
    text = json.dumps({"Version": version, "Statement": list(statements)})
    return source_of(name, "none", text, read_policy(text, kind, lenient=True))


def allow(action: Any = "s3:GetObject", **elements: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": "*", **elements}


def deny(action: Any = "s3:GetObject", **elements: Any) -> dict[str, Any]:
    return {**allow(action, **elements), "Effect": "Deny"}


def outcome(
    *sources: Source, boundary: Source | None = None, resource: Source | None = None, **more: Any
) -> tuple[str, list[str], bool | None]:
    subject = Subject(
        ANN,
        ACCOUNT,
        Names(ACCOUNT, exact=(ANN,)),
        identity=tuple(each.document for each in sources),
        boundary=(boundary.document,) if boundary else None,
    )
    question = Question("s3:GetObject", "arn:aws:s3:::b/k", more.pop("keys", {}).get)
    found = simulate(subject, sources, question, boundary=boundary, resource_policy=resource, **more)
    return found.decision, [each.policy_id for each in found.matched], found.allowed_by_boundary


RESOURCE = source("resource", allow(Principal={"AWS": ANN}), kind=Kind.RESOURCE)


@pytest.mark.parametrize(
    ("sources", "more", "expected"),
    [
        ([], {}, ("implicitDeny", [], None)),
        ([source("a", allow())], {}, ("allowed", ["a"], None)),
        ([source("a", allow()), source("b", allow("s3:*")), source("c", allow("s3:Put*"))], {}, ("allowed", ["a", "b"], None)),
        ([source("a", allow()), source("b", deny())], {}, ("explicitDeny", ["b"], None)),
        ([source("a", allow(), deny())], {}, ("explicitDeny", ["a"], None)),
        ([source("a", allow(Resource="arn:aws:s3:::c/*"))], {}, ("implicitDeny", [], None)),
        ([source("a", allow())], {"boundary": source("x", allow("lambda:*"))}, ("implicitDeny", [], False)),
        ([source("a", allow())], {"boundary": source("x", allow("s3:*"))}, ("allowed", ["a"], True)),
        ([source("a", allow())], {"boundary": source("x", allow("*"), deny())}, ("explicitDeny", ["x"], False)),
        ([], {"resource": RESOURCE}, ("allowed", ["resource"], None)),
        ([], {"resource": RESOURCE, "resource_account": OTHER}, ("implicitDeny", [], None)),
        ([source("a", allow())], {"resource": RESOURCE, "resource_account": OTHER}, ("allowed", ["a", "resource"], None)),
        (
            [source("a", allow())],
            {"resource": source("no", deny(Principal="*"), kind=Kind.RESOURCE)},
            ("explicitDeny", ["no"], None),
        ),
        (
            [source("a", allow(Condition={"StringEquals": {"aws:x": "1"}}))],
            {"keys": {"aws:x": ("1",)}},
            ("allowed", ["a"], None),
        ),
        ([source("a", allow(Condition={"StringEquals": {"aws:x": "1"}}))], {}, ("implicitDeny", [], None)),
    ],
)
def test_outcomes(sources: list[Source], more: dict[str, Any], expected: tuple[str, list[str], bool | None]) -> None:
    """The evaluation's own answer; of a denial the policies that deny, of a permission those that allow."""
    assert outcome(*sources, **more) == expected


def test_missing_keys_are_those_of_statements_on_the_action() -> None:
    """Spelled as in the policy; what has a value is not missing."""
    conditions = {"StringEquals": {"aws:A": "1", "aws:B": "${aws:Who}"}, "Null": {"aws:C": "true"}}
    asks = source("a", allow(Condition=conditions), allow("lambda:*", Condition={"Bool": {"aws:D": "true"}}))
    subject = Subject(ANN, ACCOUNT, Names(ACCOUNT), identity=(asks.document,))
    found = simulate(subject, [asks], Question("s3:GetObject", "*", {"aws:b": ("x",)}.get))
    assert found.missing == ("aws:A", "aws:C", "aws:Who")


def test_the_keys_of_policies() -> None:
    """Of conditions and variables, each once whatever its case; old policies have no variables."""
    statement = allow(
        Resource=["arn:aws:s3:::b/${aws:username}/${*}", "x"], Condition={"StringLike": {"aws:Key": ["${AWS:KEY}", "b"]}}
    )
    statement["Condition"]["NumericLessThan"] = {"s3:max-keys": 3}
    assert context_keys([source("a", statement), source("b", statement)]) == ["aws:Key", "s3:max-keys", "aws:username"]
    assert context_keys([source("a", statement, version="2008-10-17")]) == ["aws:Key", "s3:max-keys"]


def test_the_strictest_of_decisions() -> None:
    """A denial before the lack of a permission before a permission."""
    assert strictest(["allowed", "implicitDeny", "explicitDeny"]) == "explicitDeny"
    assert strictest(["implicitDeny", "allowed"]) == "implicitDeny"
    assert strictest(["allowed"]) == "allowed"
