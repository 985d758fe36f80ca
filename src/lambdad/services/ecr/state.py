"""What the operations and the registry work with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lambdad.model.policy_evaluation import Subject
from lambdad.model.quota import Quotas
from lambdad.model.request import Principal
from lambdad.services.ecr.records import EcrRecords
from lambdad.services.ecr.token import Tokens
from lambdad.store.base import Blobs


@dataclass(slots=True)
class EcrState:
    records: EcrRecords
    blobs: Blobs
    tokens: Tokens
    account_id: str  #: whose repositories those are that are addressed without an account
    region: str
    port: int  #: of the registry, in the addresses of repositories
    is_enforced: bool = False  #: who pushes and pulls must say who it is
    #: Who has an access key; None for one that is unknown, or whose time is over.
    principal_of: Callable[[str], Principal | None] = field(default=lambda access_key_id: None)
    subject_of: Callable[[Principal], Subject] | None = None  #: with all its policies; None where they are not asked
    clock: Callable[[], float] = field(default=time.time)
    quotas: Quotas = field(default_factory=Quotas)
