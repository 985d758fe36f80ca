"""What the operations work with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from lambdad.identity import Identities
from lambdad.services.iam.records import IamRecords


@dataclass(slots=True)
class IamState:
    records: IamRecords
    identities: Identities  #: where the access keys of users are
    clock: Callable[[], float] = time.time
