"""What the S3 operations work with."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from lambdad.delivery import Delivery
from lambdad.services.s3.locks import Locks
from lambdad.services.s3.sequencer import Sequencer
from lambdad.store.base import Blobs, Queue, Records


def _unique_id() -> str:
    return uuid.uuid4().hex


@dataclass(slots=True)
class S3State:
    records: Records
    blobs: Blobs
    queue: Queue
    delivery: Delivery
    clock: Callable[[], float] = time.time
    ids: Callable[[], str] = _unique_id  #: unique, of letters and digits
    request_ids: Callable[[], str] = field(default=lambda: str(uuid.uuid4()))  #: of the invocations that events ask for
    locks: Locks = field(default_factory=Locks)
    sequencer: Sequencer = field(init=False)

    def __post_init__(self) -> None:
        self.sequencer = Sequencer(self.records, self.clock)
