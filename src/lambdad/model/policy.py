"""Resource policies: the statements that AddPermission makes, and whom they let in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import msgspec

from lambdad.model.policy_document import Kind, MalformedPolicy, PolicyDocument, policy_of
from lambdad.model.policy_evaluation import Question, admits, has_statement
from lambdad.model.policy_principal import Names

_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_IAM_ARN = re.compile(r"arn:aws[a-zA-Z-]*:(iam|sts)::(\d{12}):.+", re.ASCII)
_UNIQUE_ID = re.compile(r"A(?:IDA|ROA)[A-Z0-9]{12,28}")
#: Alexa's are of amazon.com: "alexa-appkit.amazon.com", "alexa-connectedhome.amazon.com".
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.(amazonaws\.com(\.cn)?|amazon\.com)")


@dataclass(frozen=True, slots=True)
class Policy:
    """The statements on one function, version, alias or layer version."""

    revision_id: str
    statements: tuple[Mapping[str, Any], ...] = ()
    version: str = "2012-10-17"  #: of the policy language
    id: str | None = "default"  #: None where a whole document was put without one

    def document(self) -> dict[str, Any]:
        named = {} if self.id is None else {"Id": self.id}
        return {"Version": self.version, **named, "Statement": list(self.statements)}

    def has(self, statement_id: str) -> bool:
        return any(statement.get("Sid") == statement_id for statement in self.statements)

    def extended(self, added: Mapping[str, Any], revision_id: str) -> Policy:
        return replace(self, revision_id=revision_id, statements=(*self.statements, added))

    def reduced(self, statement_id: str, revision_id: str) -> Policy:
        kept = tuple(each for each in self.statements if each.get("Sid") != statement_id)
        return replace(self, revision_id=revision_id, statements=kept)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a service on somebody's behalf, or an IAM principal."""

    service_principal: str | None = None  #: "s3.amazonaws.com"
    principal_arn: str | None = None  #: "arn:aws:iam::111111111111:user/u"
    account_id: str | None = None  #: account of the IAM principal
    context: Mapping[str, str] = field(default_factory=dict)  #: condition keys in lower case: "aws:sourcearn"


def service_caller(service_principal: str, source_arn: str, source_account: str) -> Caller:
    context = {
        "aws:sourcearn": source_arn,
        "aws:sourceaccount": source_account,
        "aws:principalisawsservice": "true",
        "aws:principalservicename": service_principal,
    }
    return Caller(service_principal, context=context)


def is_principal(kind: str, text: str) -> bool:
    """Whether an entry of a Principal element names somebody who can call Lambda: of the other kinds nobody does."""
    if kind == "AWS":
        return text == "*" or bool(_ACCOUNT.fullmatch(text) or _IAM_ARN.fullmatch(text) or _UNIQUE_ID.fullmatch(text))
    return kind == "Service" and _SERVICE.fullmatch(text) is not None


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
    """Whether the policy lets the caller in. Without a policy nobody is."""
    return policy is not None and admits(document_of(policy), _names(caller), _question(caller, action, resource))


def denies(policy: Policy | None, caller: Caller, action: str, resource: str) -> bool:
    """Whether a statement keeps the caller out, whoever else would let it in."""
    if policy is None:
        return False
    return has_statement(document_of(policy), _names(caller), _question(caller, action, resource), is_allow=False)


def _names(caller: Caller) -> Names:
    if caller.service_principal is not None:
        return Names(service=caller.service_principal)
    return Names(caller.account_id, exact=(caller.principal_arn,) if caller.principal_arn else ())


def _question(caller: Caller, action: str, resource: str) -> Question:
    def keys(key: str) -> tuple[str, ...] | None:
        value = caller.context.get(key)
        return None if value is None else (value,)

    return Question(action, resource, keys)


def document_of(policy: Policy) -> PolicyDocument:
    """In the form that is quick to ask. One that cannot be read lets nobody in."""
    return _read(msgspec.json.encode(policy.document()))


@lru_cache(4096)
def _read(text: bytes) -> PolicyDocument:
    try:
        return policy_of(msgspec.json.decode(text), Kind.RESOURCE, lenient=True)
    except MalformedPolicy:
        return _NOBODY


_NOBODY = policy_of(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"},
    },
    Kind.RESOURCE,
)
