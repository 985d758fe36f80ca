"""A role, as those see it who assume it or let it be assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lambdad.model.policy_document import PolicyDocument


@dataclass(frozen=True, slots=True)
class TrustedRole:
    arn: str
    name: str
    account_id: str
    unique_id: str
    trust: PolicyDocument
    max_session_seconds: int
    tags: Mapping[str, str] = field(default_factory=dict)
