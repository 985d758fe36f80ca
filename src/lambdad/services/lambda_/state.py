"""What the operations work with, and what they need from the rest of lambdad: `assembly/` hands in the real parts."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from lambdad.delivery import Delivery
from lambdad.event_queue.counters import EventCounters
from lambdad.model.event import QueuedEvent
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.quota import Quotas
from lambdad.model.runtime_version import RuntimeVersion
from lambdad.runtimes.catalog import Policy
from lambdad.services.lambda_.archive import Archives
from lambdad.services.lambda_.code_location import CodeLocations
from lambdad.services.lambda_.code_storage import CodeStorage
from lambdad.services.lambda_.code_trust import SignatureTrust
from lambdad.services.lambda_.function_table import FunctionTable
from lambdad.services.lambda_.image import ImageIntake
from lambdad.services.lambda_.managed_planner import ManagedPlanner
from lambdad.services.lambda_.package import FetchObject
from lambdad.services.lambda_.provisioner import Provisioner
from lambdad.services.lambda_.reclaiming import Reclaimer
from lambdad.services.lambda_.records import LambdaRecords
from lambdad.services.lambda_.settling import Settler
from lambdad.store.keyed_locks import KeyedLocks


class Invoker(Protocol):
    async def invoke(self, invocation: Invocation) -> InvocationResult: ...


class Events(Protocol):
    """The durable queue of asynchronous invocations."""

    async def accept(self, event: QueuedEvent) -> None:
        """Returns when the event is on stable storage."""
        ...


class Runtimes(Protocol):
    def available(self) -> Collection[str]:
        """Identifiers of the runtimes that functions can run on this machine."""
        ...

    async def look_again(self) -> None:
        """Finds runtimes that were installed since the last look."""
        ...

    def version(self, runtime: str) -> RuntimeVersion | None:
        """Which version of the runtime that is; None where functions cannot run it."""
        ...


@dataclass(slots=True)
class LambdaState:
    """The service's collaborators. Their modules (`function_table.py`, `settling.py`, ...) say what each is for."""

    records: LambdaRecords
    functions: FunctionTable
    archives: Archives
    settler: Settler
    reclaimer: Reclaimer
    provisioner: Provisioner
    managed: ManagedPlanner
    code_locations: CodeLocations
    signature_trust: SignatureTrust
    invoker: Invoker
    events: Events
    runtimes: Runtimes
    fetch_object: FetchObject
    delivery: Delivery
    quotas: Quotas
    images: ImageIntake
    runtime_policy: Policy = Policy.OFF  #: whether runtimes past their end are refused, as AWS does
    counters: EventCounters = field(default_factory=EventCounters)
    reserve_locks: KeyedLocks = field(default_factory=KeyedLocks)  #: by account and region, since reserves have a common bound
    provider_locks: KeyedLocks = field(default_factory=KeyedLocks)  #: a capacity provider is there while it gets a use
    layer_locks: KeyedLocks = field(default_factory=KeyedLocks)  #: numbers of a layer's versions are given one at a time
    signing_locks: KeyedLocks = field(default_factory=KeyedLocks)  #: by ARN of a code signing configuration
    network_can_be_withheld: bool = True  #: from one function and not from others
    file_systems: Collection[str] = ()  #: ARNs of the access points that the settings name folders for
    file_system_problem: str | None = None  #: why no function can have one here
    snapshot_problem: str | None = None  #: why no snapshots can be taken here
    architecture: str = "x86_64"  #: of this machine
    #: Whether Lambda may assume a role; None with `--auth off`, when any ARN of a role will do
    can_assume: Callable[[str], bool] | None = None
    code_storage: CodeStorage = field(init=False)
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = field(default=lambda: str(uuid.uuid4()))
    draw: Callable[[], float] = random.random  #: for weighted aliases

    def __post_init__(self) -> None:
        self.code_storage = CodeStorage(self.records.code_size)
