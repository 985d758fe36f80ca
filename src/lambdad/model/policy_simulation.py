"""What policies would answer, without a request: the evaluation itself, and which policies decided it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lambdad.model.policy_document import PolicyDocument
from lambdad.model.policy_evaluation import Question, Subject, decide, has_statement
from lambdad.model.policy_pattern import variables_in

ALLOWED, EXPLICIT, IMPLICIT = "allowed", "explicitDeny", "implicitDeny"
_STRICTNESS = (ALLOWED, IMPLICIT, EXPLICIT)


@dataclass(frozen=True, slots=True)
class Source:
    """A policy with where it comes from."""

    policy_id: str
    kind: str  #: "user", "group", "role", "aws-managed", "user-managed", "resource", "none"
    document: PolicyDocument
    keys: Sequence[Sequence[str]]  #: condition keys and variables that each of its statements names


def source_of(policy_id: str, kind: str, text: str, document: PolicyDocument) -> Source:
    """`text` is what the document was read from."""
    parsed = json.loads(text)
    stated = parsed["Statement"] if isinstance(parsed["Statement"], list) else [parsed["Statement"]]
    has_variables = parsed.get("Version") == "2012-10-17"
    return Source(policy_id, kind, document, [list(_keys_in(each, has_variables=has_variables)) for each in stated])


@dataclass(frozen=True, slots=True)
class Outcome:
    decision: str
    matched: tuple[Source, ...]  #: with a statement that decided; none where nothing allows
    missing: tuple[str, ...]  #: condition keys that statements on the action ask for and that have no value
    allowed_by_boundary: bool | None = None  #: None without a boundary


def simulate(
    subject: Subject,
    sources: Sequence[Source],
    question: Question,
    *,
    boundary: Source | None = None,
    resource_policy: Source | None = None,
    resource_account: str | None = None,
) -> Outcome:
    """`sources` are the subject's identity policies."""
    decision = decide(
        subject,
        question,
        resource_policy=resource_policy.document if resource_policy else None,
        resource_account=resource_account,
    )
    every = [*sources, *([boundary] if boundary else []), *([resource_policy] if resource_policy else [])]
    allowing = [*sources, *([resource_policy] if resource_policy else [])]
    matched: list[Source] = []
    if decision.is_allowed:
        matched = [each for each in allowing if has_statement(each.document, subject.names, question, is_allow=True)]
    elif decision.is_explicit:
        matched = [each for each in every if has_statement(each.document, subject.names, question, is_allow=False)]
    return Outcome(
        decision=ALLOWED if decision.is_allowed else EXPLICIT if decision.is_explicit else IMPLICIT,
        matched=tuple(matched),
        missing=tuple(key for key in context_keys(every, question.action) if not question.keys(key.lower())),
        allowed_by_boundary=None if boundary is None else _allows(boundary, subject, question),
    )


def strictest(decisions: Iterable[str]) -> str:
    return max(decisions, key=_STRICTNESS.index)


def context_keys(sources: Iterable[Source], action: str | None = None) -> list[str]:
    """The condition keys and variables that policies name, as they spell them, each once; of one action, or of all."""
    found: dict[str, str] = {}
    for source in sources:
        for keys, statement in zip(source.keys, source.document.statements, strict=True):
            if action is None or statement.is_about(action.lower()):
                for key in keys:
                    found.setdefault(key.lower(), key)
    return list(found.values())


def _keys_in(statement: Mapping[str, Any], *, has_variables: bool) -> Iterable[str]:
    conditions: Mapping[str, Mapping[str, Any]] = statement.get("Condition", {})
    for keys in conditions.values():
        yield from keys
    if has_variables:
        values = [
            statement.get("Resource"),
            statement.get("NotResource"),
            *(each for keys in conditions.values() for each in keys.values()),
        ]
        for value in values:
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str):
                    yield from variables_in(text)


def _allows(boundary: Source, subject: Subject, question: Question) -> bool:
    return has_statement(boundary.document, subject.names, question, is_allow=True) and not has_statement(
        boundary.document, subject.names, question, is_allow=False
    )
