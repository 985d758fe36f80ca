"""A whole resource policy as a caller puts it: what of the policy language Lambda takes, and which policies are public.

What could never let in or keep out anybody who calls this resource is refused: another service's action, another resource,
principals that Lambda never sees.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from ipaddress import ip_network
from typing import Any

from lambdad.model.policy import Policy, is_principal
from lambdad.model.policy_document import Kind, MalformedPolicy, Statement, policy_of
from lambdad.model.policy_pattern import Pattern

_ACTION = re.compile(r"\*|lambda:[a-z0-9*?]+", re.IGNORECASE)
_SID = re.compile(r"[a-zA-Z0-9_.-]{0,100}")

#: Conditions that say who it is that calls. Function URLs that are to be public say so by their own two keys.
_NARROWING_KEYS = frozenset(
    (
        "aws:principalaccount",
        "aws:principalarn",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:sourceaccount",
        "aws:sourcearn",
        "aws:sourceip",
        "aws:sourceorgid",
        "aws:sourceorgpaths",
        "aws:userid",
        "lambda:eventsourcetoken",
        "lambda:functionurlauthtype",
        "lambda:invokedviafunctionurl",
    )
)


_SHORTEST_NAME = 12  #: characters of an account's number, and of an organization's id
_WIDEST: Mapping[int, int] = {4: 8, 6: 32}  #: bits that addresses must have in common, by IP's version


class PublicPolicy(ValueError):
    """The policy would let everybody in."""


def read_resource_policy(text: str, resource_arn: str, revision_id: str) -> Policy:
    """MalformedPolicy, with the reason, for what cannot be read or would have no effect; PublicPolicy."""
    try:
        document = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)
        json.dumps(document, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise MalformedPolicy("The policy is not valid JSON.") from error
    read = policy_of(document, Kind.RESOURCE, lenient=True)
    stated: list[dict[str, Any]] = document["Statement"]
    stated = stated if isinstance(stated, list) else [stated]
    _check_ids(stated)
    for raw, statement in zip(stated, read.statements, strict=True):
        _check_actions(raw)
        _check_principals(raw)
        _check_resources(statement, resource_arn)
        _check_numbers(raw.get("Condition", {}))
    if any(_is_public(statement) for statement in read.statements):
        raise PublicPolicy(resource_arn)
    return Policy(revision_id, tuple(stated), document.get("Version", "2008-10-17"), document.get("Id"))


def _check_ids(stated: list[dict[str, Any]]) -> None:
    ids = [each["Sid"] for each in stated if each.get("Sid", "") != ""]
    for each in ids:
        if not isinstance(each, str) or not _SID.fullmatch(each):
            raise MalformedPolicy(
                f"Statement IDs must have at most 100 of the characters a-z, A-Z, 0-9, -, _ and .; got {each!r}"
            )
    if len(set(ids)) != len(ids):
        raise MalformedPolicy("Statement IDs (SID) in a single policy must be unique.")


def _check_actions(stated: Mapping[str, Any]) -> None:
    for action in _listed(stated.get("Action", stated.get("NotAction"))):
        if not _ACTION.fullmatch(action):
            raise MalformedPolicy(f"A policy of a Lambda resource has actions of Lambda only; got {action}")


def _check_principals(stated: Mapping[str, Any]) -> None:
    element = stated.get("Principal", stated.get("NotPrincipal"))
    if element == "*":
        return
    assert isinstance(element, Mapping)  # or it would not have been read
    for kind, value in element.items():
        for text in _listed(value):
            if not is_principal(kind, text):
                raise MalformedPolicy(f'Invalid principal in policy: "{kind}":"{text}"')


def _check_resources(statement: Statement, resource_arn: str) -> None:
    patterns = statement.resources or ()
    if any(pattern.is_variable for pattern in patterns):
        return  # whether it is this one is known when somebody calls
    if any(pattern.matches(resource_arn, _no_keys) for pattern in patterns) == statement.is_not_resource:
        raise MalformedPolicy(f"Each statement must be about the resource that the policy is put on: {resource_arn}")


def _check_numbers(condition: Mapping[str, Any]) -> None:
    for keys in condition.values():
        for value in keys.values():
            for each in _listed(value):
                if isinstance(each, int | float) and not _is_kept(each):
                    raise MalformedPolicy("A number in a condition is too large: write it as a string.")


def _is_kept(number: float) -> bool:
    """Whether it is the same in the records."""
    return math.isfinite(number) if isinstance(number, float) else -(2**63) <= number < 2**63


def _is_public(statement: Statement) -> bool:
    """Whether it lets in callers of any account, whatever they are and wherever they come from."""
    assert statement.principals is not None
    if not statement.is_allow or not (statement.principals.is_anyone or statement.is_not_principal):
        return False
    return not any(
        condition.key in _NARROWING_KEYS
        and condition.test is not None
        and not condition.is_negated
        and not condition.if_exists
        and condition.quantifier != "ForAllValues"
        and not any(_is_open(condition.key, wanted) for wanted in condition.wanted)
        for condition in statement.conditions
    )


def _is_open(key: str, wanted: Pattern) -> bool:
    """Whether it leaves open who it is: by a variable, which the caller fills in, or by a wildcard."""
    text = wanted.text
    if key == "lambda:invokedviafunctionurl":
        return text.lower() != "true"
    if key == "aws:sourceip":
        return _is_wide(text)
    if wanted.is_variable or not set("*?") & set(text):
        return wanted.is_variable
    if key.endswith("arn"):
        return _leaves_account_open(text)
    return len(re.split("[*?]", text, maxsplit=1)[0]) < _SHORTEST_NAME


def _leaves_account_open(arn: str) -> bool:
    """Buckets have none in their ARN: they are one account's by their name."""
    fields = arn.split(":", 5)
    if len(fields) < 6:
        return re.search(r"\d{12}", arn, re.ASCII) is None
    account, resource = fields[4:]
    return bool(set("*?") & set(account)) if account else resource[:1] in ("*", "?")


def _is_wide(text: str) -> bool:
    try:
        network = ip_network(text, strict=False)
    except ValueError:  # a text with wildcards
        return True
    return network.prefixlen < _WIDEST[network.version]


def _no_keys(key: str) -> None:
    return None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return made


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
