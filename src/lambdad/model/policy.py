"""Resource policies: the statements that AddPermission makes, and whom they let in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_ACCOUNT = re.compile(r"\d{12}")
_IAM_ARN = re.compile(r"arn:aws[a-zA-Z-]*:(iam|sts)::(\d{12}):.+")
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?")


@dataclass(frozen=True, slots=True)
class Policy:
    """The statements on one function, version, alias or layer version."""

    revision_id: str
    statements: tuple[Mapping[str, Any], ...] = ()

    def document(self) -> dict[str, Any]:
        return {"Version": "2012-10-17", "Id": "default", "Statement": list(self.statements)}

    def has(self, statement_id: str) -> bool:
        return any(statement["Sid"] == statement_id for statement in self.statements)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a service on somebody's behalf, or an IAM principal."""

    service_principal: str | None = None  #: "s3.amazonaws.com"
    principal_arn: str | None = None  #: "arn:aws:iam::111111111111:user/u"
    account_id: str | None = None  #: account of the IAM principal
    context: Mapping[str, str] = field(default_factory=dict)  #: condition keys in lower case: "aws:sourcearn"


def service_caller(service_principal: str, source_arn: str, source_account: str) -> Caller:
    return Caller(service_principal, context={"aws:sourcearn": source_arn, "aws:sourceaccount": source_account})


def principal_element(principal: str) -> Any:
    """The policy's reading of a Principal parameter; None when it is nothing that AWS knows."""
    if principal == "*":
        return "*"
    if _ACCOUNT.fullmatch(principal):
        return {"AWS": f"arn:aws:iam::{principal}:root"}
    if _IAM_ARN.fullmatch(principal):
        return {"AWS": principal}
    if _SERVICE.fullmatch(principal):
        return {"Service": principal}
    return None


#: Parameter of AddPermission -> (condition operator, condition key as AWS prints it).
CONDITIONS: Mapping[str, tuple[str, str]] = {
    "PrincipalOrgID": ("StringEquals", "aws:PrincipalOrgID"),
    "SourceAccount": ("StringEquals", "AWS:SourceAccount"),
    "EventSourceToken": ("StringEquals", "lambda:EventSourceToken"),
    "FunctionUrlAuthType": ("StringEquals", "lambda:FunctionUrlAuthType"),
    "InvokedViaFunctionUrl": ("Bool", "lambda:InvokedViaFunctionUrl"),
    "SourceArn": ("ArnLike", "AWS:SourceArn"),
}


def statement(sid: str, principal: Any, action: str, resource: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """A statement in AWS's key order; `parameters` are those of AddPermission."""
    conditions: dict[str, dict[str, str]] = {}
    for parameter, (operator, key) in CONDITIONS.items():
        if parameter in parameters:
            value = parameters[parameter]
            conditions.setdefault(operator, {})[key] = str(value).lower() if isinstance(value, bool) else value
    made = {"Sid": sid, "Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource}
    return {**made, "Condition": conditions} if conditions else made


def allows(policy: Policy | None, caller: Caller, action: str, resource: str) -> bool:
    """Whether a statement lets the caller in. Without a policy nobody is."""
    return policy is not None and any(_admits(each, caller, action, resource) for each in policy.statements)


def _admits(each: Mapping[str, Any], caller: Caller, action: str, resource: str) -> bool:
    return (
        each["Effect"] == "Allow"
        and _matches_principal(each["Principal"], caller)
        and _matches_any(each["Action"], action.lower(), fold=True)
        and _matches_any(each["Resource"], resource)
        and all(_holds(operator, keys, caller.context) for operator, keys in each.get("Condition", {}).items())
    )


def _matches_principal(element: Any, caller: Caller) -> bool:
    if element == "*":
        return True
    if caller.service_principal is not None:
        return caller.service_principal in _listed(element.get("Service", ()))
    for arn in _listed(element.get("AWS", ())):
        if arn in ("*", caller.principal_arn, caller.account_id, f"arn:aws:iam::{caller.account_id}:root"):
            return True
    return False


def _holds(operator: str, keys: Mapping[str, Any], context: Mapping[str, str]) -> bool:
    """One condition operator. A key that the request lacks fails it, and so does an operator that is not known here."""
    test = _OPERATORS.get(operator)
    if test is None:
        return False
    for key, wanted in keys.items():
        actual = context.get(key.lower())
        if actual is None or not any(test(value, actual) for value in _listed(wanted)):
            return False
    return True


def _arn_like(pattern: str, actual: str) -> bool:
    """Each of the six fields of an ARN is matched on its own, so that `*` does not reach over a colon of the first five."""
    patterns, parts = pattern.split(":", 5), actual.split(":", 5)
    return len(patterns) == len(parts) == 6 and all(map(_wildcard_match, patterns, parts))


def _wildcard_match(pattern: str, actual: str) -> bool:
    """`*` and `?`, by walking both texts with one step back: a pattern of many stars costs no more than their product."""
    at, star, resume = 0, -1, 0
    position = 0
    while position < len(actual):
        if at < len(pattern) and pattern[at] == "*":
            star, resume, at = at, position, at + 1
        elif at < len(pattern) and pattern[at] in ("?", actual[position]):
            at, position = at + 1, position + 1
        elif star >= 0:
            resume += 1
            at, position = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")


def _equals(wanted: str, actual: str) -> bool:
    return wanted == actual


def _same_truth(wanted: str, actual: str) -> bool:
    return wanted.lower() == actual.lower()


_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "StringEquals": _equals,
    "StringLike": _wildcard_match,
    "ArnLike": _arn_like,
    "ArnEquals": _arn_like,  # AWS gives both the same meaning
    "Bool": _same_truth,
}


def _matches_any(patterns: str | Iterable[str], actual: str, *, fold: bool = False) -> bool:
    return any(_wildcard_match(pattern.lower() if fold else pattern, actual) for pattern in _listed(patterns))


def _listed(value: str | Iterable[str]) -> Iterable[str]:
    return (value,) if isinstance(value, str) else value
