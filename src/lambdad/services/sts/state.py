"""What the operations work with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lambdad.identity import Identities
from lambdad.model.policy_evaluation import Subject
from lambdad.model.request import Principal
from lambdad.model.role import TrustedRole


class Directory(Protocol):
    """What IAM knows."""

    def subject_of(self, principal: Principal) -> Subject: ...

    def role(self, arn: str) -> TrustedRole | None: ...

    def managed_policy(self, account_id: str, arn: str) -> str | None: ...

    def user_id(self, account_id: str, user_name: str) -> str | None: ...


@dataclass(slots=True)
class StsState:
    directory: Directory
    identities: Identities
    is_enforced: bool  #: with `--auth off` roles that trust nobody can be assumed by anybody
    clock: Callable[[], float] = time.time
