"""Policies as documents: read, checked as AWS checks them when they are stored, and put in a form that is quick to ask."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from lambdad.model.policy_condition import BadValue, Condition, UnknownOperator, conditions_of
from lambdad.model.policy_pattern import Keys, Pattern
from lambdad.model.policy_principal import Principals, bad_principal, principals_of

VERSIONS = ("2012-10-17", "2008-10-17")
_SYNTAX = "Syntax errors in policy."
_BAD_SID = "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
_SID = re.compile(r"[0-9A-Za-z]*")
_VENDOR = re.compile(r"[a-zA-Z0-9-]+")
_ACTION = re.compile(r"[a-zA-Z0-9*?]+")
_STATEMENT_ELEMENTS = frozenset(
    ("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition")
)
_SCALARS = (str, bool, int, float)


def _no_keys(key: str) -> None:
    return None


class MalformedPolicy(ValueError):
    """The text is AWS's message."""


class Kind(Enum):
    """What a policy is attached to decides which elements it has."""

    IDENTITY = "identity"  #: of a user, group, role or session, or a permissions boundary: it has no principal
    TRUST = "trust"  #: of a role, for who may assume it: it has no resource
    RESOURCE = "resource"  #: of a function, a bucket: it has both
    REPOSITORY = "repository"  #: of a repository of images: as TRUST, it has no resource


_WITHOUT_RESOURCE = (Kind.TRUST, Kind.REPOSITORY)


@dataclass(frozen=True, slots=True)
class Statement:
    is_allow: bool
    actions: tuple[Pattern, ...]
    is_not_action: bool
    resources: tuple[Pattern, ...] | None  #: None: the resource that the policy is attached to
    is_not_resource: bool
    principals: Principals | None  #: None: whoever the policy is attached to
    is_not_principal: bool
    conditions: tuple[Condition, ...]

    @property
    def is_plain(self) -> bool:
        """Whether it asks nothing but for action and resource."""
        return not self.conditions and not any(pattern.is_variable for pattern in self.resources or ())

    @property
    def asks_for_resource_tags(self) -> bool:
        return any(condition.key.partition(":")[2].startswith("resourcetag/") for condition in self.conditions)

    def is_about(self, action: str) -> bool:
        """`action` is in lower case. Actions have no variables, so this does not change from request to request."""
        return any(pattern.matches(action, _no_keys) for pattern in self.actions) != self.is_not_action

    def covers(self, resource: str, keys: Keys) -> bool:
        """Whether resource and conditions are those of the request."""
        if self.resources is not None:
            if self.is_not_resource and any(pattern.is_variable and pattern.tokens(keys) is None for pattern in self.resources):
                return False  # a variable without a value is nobody's
            if any(pattern.matches(resource, keys) for pattern in self.resources) == self.is_not_resource:
                return False
        return all(condition.holds(keys) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    statements: tuple[Statement, ...]


def read_policy(text: str, kind: Kind, *, lenient: bool = False) -> PolicyDocument:
    """MalformedPolicy for what AWS would not store. `lenient` leaves out the rules of IAM that services do not have."""
    try:
        document = json.loads(text, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise MalformedPolicy("This policy contains invalid Json" if kind is Kind.TRUST else _SYNTAX) from error
    return policy_of(document, kind, lenient=lenient)


def policy_of(document: Any, kind: Kind, *, lenient: bool = False) -> PolicyDocument:
    if not isinstance(document, dict) or not set(document) <= {"Version", "Id", "Statement"}:
        raise MalformedPolicy(_SYNTAX)
    version = document.get("Version", "2008-10-17")
    if version not in VERSIONS or not isinstance(document.get("Id", ""), str):
        raise MalformedPolicy(_SYNTAX)
    if kind is Kind.IDENTITY and version != VERSIONS[0] and not lenient:
        raise MalformedPolicy("Policy document must be version 2012-10-17 or greater.")
    stated = document.get("Statement")
    statements: list[Any] = stated if isinstance(stated, list) else [stated]
    if not statements or not all(isinstance(statement, dict) for statement in statements):
        raise MalformedPolicy(_SYNTAX)
    if not lenient:
        _check_ids(statements)
    return PolicyDocument(tuple(_statement(each, kind, version == VERSIONS[0], lenient) for each in statements))


def _statement(stated: Mapping[str, Any], kind: Kind, has_variables: bool, lenient: bool) -> Statement:
    if not set(stated) <= _STATEMENT_ELEMENTS or stated.get("Effect") not in ("Allow", "Deny"):
        raise MalformedPolicy(_SYNTAX)
    _check_pairs(stated)
    _check_elements_of(kind, stated)
    actions = _texts(stated, "Action", "NotAction")
    if not actions:
        raise MalformedPolicy("Policy statement must contain actions.")
    if not lenient:
        for action in actions:
            _check_action(action, kind)
    resources = _texts(stated, "Resource", "NotResource") if kind not in _WITHOUT_RESOURCE else None
    if resources is not None and not resources:
        raise MalformedPolicy("Policy statement must contain resources.")
    if not lenient:
        for resource in resources or ():
            _check_resource(resource)
    return Statement(
        is_allow=stated["Effect"] == "Allow",
        actions=tuple(Pattern(action, has_variables=False, fold=True) for action in actions),
        is_not_action="NotAction" in stated,
        resources=None if resources is None else tuple(Pattern(each, has_variables=has_variables) for each in resources),
        is_not_resource="NotResource" in stated,
        principals=_principals(stated, lenient) if kind is not Kind.IDENTITY else None,
        is_not_principal="NotPrincipal" in stated,
        conditions=_conditions(stated.get("Condition", {}), has_variables),
    )


def _check_pairs(stated: Mapping[str, Any]) -> None:
    for element in ("Principal", "Action", "Resource"):
        if element in stated and f"Not{element}" in stated:
            raise MalformedPolicy(_SYNTAX)


def _check_elements_of(kind: Kind, stated: Mapping[str, Any]) -> None:
    has_principal = "Principal" in stated or "NotPrincipal" in stated
    if kind is Kind.IDENTITY and has_principal:
        raise MalformedPolicy("Policy document should not specify a principal.")
    if kind in _WITHOUT_RESOURCE and ("Resource" in stated or "NotResource" in stated):
        raise MalformedPolicy("Has prohibited field Resource")
    if kind is not Kind.IDENTITY and not has_principal:
        raise MalformedPolicy("Missing required field Principal")
    if kind is Kind.TRUST and "NotPrincipal" in stated and stated["Effect"] == "Allow":
        raise MalformedPolicy("Allow with NotPrincipal is not allowed.")


def _check_ids(statements: list[dict[str, Any]]) -> None:
    ids = [statement["Sid"] for statement in statements if statement.get("Sid") not in (None, "")]
    if not all(isinstance(each, str) and _SID.fullmatch(each) for each in ids):
        message = (
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
        )
        raise MalformedPolicy(message)
    if len(set(ids)) != len(ids):
        raise MalformedPolicy("Statement IDs (SID) in a single policy must be unique.")


def _check_action(action: str, kind: Kind) -> None:
    if action == "*" and kind is not Kind.TRUST:
        return
    vendor, colon, name = action.partition(":")
    if not colon:
        raise MalformedPolicy("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
    if not _VENDOR.fullmatch(vendor):
        raise MalformedPolicy(f"Vendor {vendor} is not valid")
    if not _ACTION.fullmatch(name):
        raise MalformedPolicy(_SYNTAX)
    if kind is Kind.TRUST and vendor.lower() != "sts":
        raise MalformedPolicy("AssumeRole policy may only specify STS AssumeRole actions.")


def _check_resource(resource: str) -> None:
    if resource == "*":
        return
    fields = resource.split(":", 5)
    if fields[0] != "arn":
        raise MalformedPolicy(f'Resource {resource} must be in ARN format or "*".')
    if len(fields) < 6 and not fields[-1].endswith("*"):
        raise MalformedPolicy("The policy failed legacy parsing")
    if len(fields) > 2 and any(character in fields[2] for character in "*?") and fields[2] != "*":
        raise MalformedPolicy("Resource vendor must be fully qualified and cannot contain regexes.")


def _principals(stated: Mapping[str, Any], lenient: bool) -> Principals:
    element = stated.get("Principal", stated.get("NotPrincipal"))
    found = principals_of(element, lenient=lenient)
    if found is None:
        raise MalformedPolicy(bad_principal(element))
    return found


def _conditions(element: Any, has_variables: bool) -> tuple[Condition, ...]:
    if not isinstance(element, dict):
        raise MalformedPolicy(_SYNTAX)
    made: list[Condition] = []
    for operator, keys in element.items():
        if not isinstance(keys, dict) or not all(map(_is_condition_value, keys.values())):
            raise MalformedPolicy(_SYNTAX)
        try:
            made += conditions_of(operator, keys, has_variables=has_variables)
        except UnknownOperator as error:
            raise MalformedPolicy(f"Invalid Condition type : {operator}") from error
        except BadValue as error:
            raise MalformedPolicy(_SYNTAX) from error
        if any(":" not in key for key in keys):
            raise MalformedPolicy("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
    return tuple(made)


def _is_condition_value(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(each, _SCALARS) for each in value)
    return isinstance(value, _SCALARS)


def _texts(stated: Mapping[str, Any], element: str, opposite: str) -> list[str]:
    value = stated.get(element, stated.get(opposite, []))
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise MalformedPolicy(_SYNTAX)
    return texts


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return made
