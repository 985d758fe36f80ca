"""The Principal element of a policy, and how closely it names somebody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

_ACCOUNT = re.compile(r"[0-9]{12}")
_IAM_ARN = re.compile(
    r"arn:aws[a-zA-Z-]*:iam::[0-9]{12}:(?:root|(?:user|role)/[\w+=,.@/-]{1,576})"
    r"|arn:aws[a-zA-Z-]*:sts::[0-9]{12}:(?:assumed-role|federated-user)/[\w+=,.@/-]{1,576}",
    re.ASCII,
)
_UNIQUE_ID = re.compile(r"A(?:IDA|ROA)[A-Z0-9]{12,28}")
_SERVICE = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.amazonaws\.com(\.cn)?|[a-z0-9-]+(\.[a-z0-9-]+)*\.amazon\.com")
_TYPES = frozenset(("AWS", "Service", "Federated", "CanonicalUser"))


class Named(IntEnum):
    """How closely. The closer, the fewer other policies have a say; see `policy_evaluation`."""

    NOT = 0
    ACCOUNT = 1  #: by the account alone: its own policies decide on
    ANYONE = 2  #: by "*", or by the role whose session calls
    EXACTLY = 3  #: the user, or the one session of the role


@dataclass(frozen=True, slots=True)
class Names:
    """Under which names somebody may stand in a Principal element."""

    account_id: str | None = None
    exact: tuple[str, ...] = ()  #: ARN of the user or session, unique id
    role: tuple[str, ...] = ()  #: of the role whose session it is
    service: str | None = None  #: "lambda.amazonaws.com"


@dataclass(frozen=True, slots=True)
class Principals:
    is_anyone: bool = False
    aws: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()

    def naming(self, names: Names) -> Named:
        if names.service is not None:
            return Named.EXACTLY if names.service in self.services else Named.ANYONE if self.is_anyone else Named.NOT
        if not self.aws.isdisjoint(names.exact):
            return Named.EXACTLY
        if self.is_anyone or not self.aws.isdisjoint(names.role):
            return Named.ANYONE
        return Named.ACCOUNT if names.account_id in self.accounts else Named.NOT


def principals_of(element: Any, *, lenient: bool = False) -> Principals | None:
    """None when it is nothing that AWS knows. `lenient` keeps names of forms that IAM would refuse: they name nobody else."""
    if element == "*":
        return Principals(is_anyone=True)
    if not isinstance(element, dict) or not element or not set(element) <= _TYPES:
        return None
    is_anyone = False
    accounts: set[str] = set()
    aws: set[str] = set()
    services: set[str] = set()
    for kind, value in element.items():
        if not _listed(value):
            return None
        for text in _listed(value):
            if not isinstance(text, str) or not text:
                return None
            if kind == "AWS" and text == "*":
                is_anyone = True
            elif kind == "AWS" and (account := account_in(text)):
                accounts.add(account)
            elif kind == "AWS" and (lenient or _IAM_ARN.fullmatch(text) or _UNIQUE_ID.fullmatch(text)):
                aws.add(text)
            elif kind == "Service" and (lenient or _SERVICE.fullmatch(text)):
                services.add(text)
            elif kind in ("AWS", "Service"):
                return None
    return Principals(is_anyone, frozenset(aws), frozenset(accounts), frozenset(services))


def account_in(text: str) -> str | None:
    """The account of an account's number or of its root's ARN."""
    if _ACCOUNT.fullmatch(text):
        return text
    fields = text.split(":")
    is_root = len(fields) == 6 and fields[2:4] == ["iam", ""] and fields[5] == "root" and _ACCOUNT.fullmatch(fields[4])
    return fields[4] if is_root else None


def bad_principal(element: Any) -> str:
    if isinstance(element, Mapping):
        for kind, value in element.items():
            for text in _listed(value):
                if kind not in _TYPES or principals_of({kind: text}) is None:
                    return f'Invalid principal in policy: "{kind}":"{text}"'
    return "Invalid principal in policy"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
