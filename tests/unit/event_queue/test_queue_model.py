"""The event queue against a model of it in a few lines, with the process dying at any of its writes.

The promise: an acknowledged event waits with the attempts it has had, or has ended and everybody who is to be told of it is, or
will be; each in its time, whatever died when.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lambdad.errors import ServiceError
from lambdad.model.retry import EventPolicy
from support.event_rig import DEAD, EVENTS, TARGET, Crash, Rig, break_down, fail, succeed, throttle

SIX_HOURS = 21_600
BEHAVIOURS = {"succeed": succeed, "fail": fail, "throttle": throttle, "break down": break_down}
earliness = st.sampled_from([0.0, 0.0, 0.0, 0.25, None])
deaths = st.sampled_from([None] * 6 + [(moment, write) for moment in ("before", "after") for write in (0, 1)])
#: Where the store lies: syncing to a disk would prove nothing more here, the deaths are not those of the machine.
_FOLDER = "/dev/shm" if Path("/dev/shm").is_dir() else None


@dataclass
class ModelEvent:
    accepted_at: float
    order: int
    due_at: float = 0.0
    failures: int = 0
    put_backs: int = 0
    is_certain: bool = True  #: False when its sender died before it heard of it


@dataclass
class ModelNotice:
    request_id: str
    condition: str  #: empty for a dead letter
    count: int
    created_at: float
    due_at: float = 0.0
    tries: int = 0
    order: int = 0


@dataclass
class Model:
    events: dict[str, ModelEvent] = field(default_factory=dict)
    notices: dict[str, list[ModelNotice]] = field(default_factory=lambda: {TARGET: [], DEAD: []})
    told: dict[str, list[tuple[str, str, int]]] = field(default_factory=lambda: {TARGET: [], DEAD: []})
    forgotten: set[str] = field(default_factory=set)  #: ended with nobody to tell, or never told in six hours
    order: int = 0

    def next_event(self, now: float) -> str | None:
        due = [(event.due_at, event.order, name) for name, event in self.events.items() if event.due_at <= now]
        return min(due)[2] if due else None

    def attempt(
        self, name: str, behaviour: str, policy: EventPolicy, reserved: int | None, now: float, *, is_gone: bool
    ) -> None:
        event = self.events[name]
        if now - event.accepted_at > policy.maximum_age_seconds:
            return self._end(name, "EventAgeExceeded", policy, now)
        if is_gone:
            return self._end(name, "FunctionNotFound", policy, now)
        if reserved == 0:
            return self._end(name, "ZeroReservedConcurrency", policy, now)
        if behaviour == "succeed":
            return self._end(name, "Success", policy, now)
        if behaviour == "fail":
            event.failures += 1
            event.put_backs = 0
            if event.failures > policy.maximum_retries:
                return self._end(name, "RetriesExhausted", policy, now)
            wait = {1: 60, 2: 120}[event.failures]
        else:
            event.put_backs += 1
            wait = min(300, 2 ** (event.put_backs - 1))
        if now + wait - event.accepted_at > policy.maximum_age_seconds:
            return self._end(name, "EventAgeExceeded", policy, now)
        event.due_at = now + wait
        return None

    def _end(self, name: str, condition: str, policy: EventPolicy, now: float) -> None:
        event = self.events.pop(name)
        target = policy.on_success if condition == "Success" else policy.on_failure
        if target:
            self._tell(target, ModelNotice(name, condition, event.failures + (condition == "Success"), now))
        if condition != "Success" and policy.dead_letter:
            self._tell(policy.dead_letter, ModelNotice(name, "", 0, now))
        if not target and (condition == "Success" or not policy.dead_letter):
            self.forgotten.add(name)

    def _tell(self, target: str, notice: ModelNotice) -> None:
        self.order += 1
        notice.order = self.order
        self.notices[target].append(notice)

    def next_notice(self, target: str, now: float) -> ModelNotice | None:
        due = [notice for notice in self.notices[target] if notice.due_at <= now]
        return min(due, key=lambda notice: (notice.due_at, notice.order)) if due else None

    def deliver(self, target: str, notice: ModelNotice, is_taken: bool, now: float) -> None:
        if is_taken:
            self.told[target].append((notice.request_id, notice.condition, notice.count))
            self.notices[target].remove(notice)
            return
        notice.due_at = now + min(300, 2 ** (notice.tries - 1))
        if notice.due_at - notice.created_at > SIX_HOURS:
            self.notices[target].remove(notice)
            self.forgotten.add(notice.request_id)


class EventQueueMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=_FOLDER)
        self.loop = asyncio.new_event_loop()
        self.rig = self.run(Rig(Path(self.folder.name) / "store.db").open())
        self.model = Model()
        self.number = 0

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        self.run(self.rig.close())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.folder.cleanup()

    def survives(self, work: Any, death: tuple[str, int] | None) -> bool:
        """Runs the work in a process that may die in it, and then in one that lives again. False when it died."""
        if death is not None:
            self.rig.store.dies, self.rig.store.writes_to_go = death
        try:
            self.run(work)
        except Crash:
            self.run(self.rig.restart())
            return False
        self.rig.store.dies = None
        return True

    @rule(death=deaths)
    def accept(self, death: tuple[str, int] | None) -> None:
        self.number += 1
        name = f"event-{self.number:04d}"
        has_survived = self.survives(self.rig.accept(name), death)
        if has_survived or death == ("after", 0):
            self.model.order += 1
            self.model.events[name] = ModelEvent(self.rig.clock.now, self.model.order, is_certain=has_survived)

    def wait_for(self, due: list[float], seconds_early: float | None) -> None:
        """Moves the clock to the first time at which something is due, or a little before; not at all with None."""
        if due and seconds_early is not None:
            self.rig.clock.now = max(self.rig.clock.now, min(due) - seconds_early)

    @rule(behaviour=st.sampled_from(list(BEHAVIOURS)), death=deaths, seconds_early=earliness)
    def attempt(self, behaviour: str, death: tuple[str, int] | None, seconds_early: float | None) -> None:
        self.wait_for([event.due_at for event in self.model.events.values()], seconds_early)
        now = self.rig.clock.now
        expected = self.model.next_event(now)
        self.rig.functions.behaviour = BEHAVIOURS[behaviour]
        ran = len(self.rig.functions.invocations)
        has_survived = self.survives(self.rig.attempt(), death)
        invocations = [each.request_id for each in self.rig.functions.invocations[ran:]]
        if expected is None:
            assert invocations == []
            return
        functions, age = self.rig.functions, now - self.model.events[expected].accepted_at
        policy = functions.policy
        may_run = age <= policy.maximum_age_seconds and functions.reserved != 0 and not functions.is_gone
        if has_survived or death is None or death[1] == 1:
            assert invocations == ([expected] if may_run else [])
        else:
            assert invocations == []
        # Writes of an attempt: the lease, then the outcome.
        if has_survived or death == ("after", 1):
            self.model.attempt(expected, behaviour, policy, functions.reserved, now, is_gone=functions.is_gone)
        elif death != ("before", 0):
            self.model.events[expected].due_at = 0.0  # the lease died with its process

    @rule(to=st.sampled_from([TARGET, DEAD]), is_taken=st.booleans(), death=deaths, seconds_early=earliness)
    def deliver(self, to: str, is_taken: bool, death: tuple[str, int] | None, seconds_early: float | None) -> None:
        self.wait_for([notice.due_at for notice in self.model.notices[to]], seconds_early)
        now = self.rig.clock.now
        notice = self.model.next_notice(to, now)
        self.rig.targets.error = None if is_taken else ServiceError("ServiceUnavailable", "no")
        has_survived = self.survives(self.rig.deliver(to), death)
        if notice is None:
            return
        if has_survived or death in (("after", 1), ("before", 1), ("after", 0)):
            notice.tries += 1
        if has_survived or death == ("after", 1):
            self.model.deliver(to, notice, is_taken, now)
        elif death != ("before", 0):
            notice.due_at = 0.0
            if is_taken and death == ("before", 1):  # the target has it, and will get it again
                self.model.told[to].append((notice.request_id, notice.condition, notice.count))

    @rule(seconds=st.sampled_from([0.5, 30, 3600]))
    def pass_time(self, seconds: float) -> None:
        self.rig.clock.now += seconds

    @rule(
        retries=st.integers(0, 2),
        age=st.sampled_from([60, 200, SIX_HOURS]),
        on_success=st.sampled_from([None, TARGET]),
        on_failure=st.sampled_from([None, TARGET]),
        dead_letter=st.sampled_from([None, DEAD]),
        reserved=st.sampled_from([None, None, 0]),
        is_gone=st.sampled_from([False, False, False, True]),
    )
    def configure(self, **policy: Any) -> None:
        self.rig.functions.reserved = policy.pop("reserved")
        self.rig.functions.is_gone = policy.pop("is_gone")
        self.rig.functions.policy = EventPolicy(policy.pop("retries"), policy.pop("age"), **policy)

    @precondition(lambda self: self.number)
    @rule()
    def restart(self) -> None:
        self.run(self.rig.restart())

    @invariant()
    def the_queue_holds_what_the_model_holds(self) -> None:
        assert self.run(self.rig.store.count(EVENTS)) == len(self.model.events)
        for target, notices in self.model.notices.items():
            assert self.run(self.rig.store.count(f"event-delivery:{target}")) == len(notices)

    @invariant()
    def everybody_was_told_what_the_model_says(self) -> None:
        for target, expected in self.model.told.items():
            told = [told_of(payload, envelope) for arn, payload, envelope in self.rig.targets.taken if arn == target]
            assert told == expected


def told_of(payload: bytes, envelope: Any) -> tuple[str, str, int]:
    if envelope.attributes:
        return envelope.attributes["RequestID"].value, "", 0
    told = json.loads(payload)["requestContext"]
    return told["requestId"], told["condition"], told["approximateInvokeCount"]


EventQueueMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEventQueue = EventQueueMachine.TestCase
