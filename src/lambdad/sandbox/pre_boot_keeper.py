"""The runtimes that boot, and wait, before there is a function: made of spares, watched, and let go of."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

from lambdad.sandbox.event_loop import EventLoop
from lambdad.sandbox.nursery import Nursery
from lambdad.sandbox.pre_boot import Kind, PreBootPlan
from lambdad.sandbox.records import PreBooted, Program, Start
from lambdad.sandbox.shell import Shell

_STUCK_SECONDS = 60.0  # with hardly any processor time, on a machine with much else to do
_PATIENCE_SECONDS = 60.0


class PreBootKeeper:
    """`each` of a kind are kept, where the nurseries keep `spares`, at least one."""

    def __init__(
        self,
        loop: EventLoop,
        each: int,
        spares: int,
        nurseries: Mapping[Program, Nursery],
        answer: Callable[[PreBooted, Sequence[int]], None],
        now: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._plan = PreBootPlan(each)
        self._spares = spares
        self._nurseries = nurseries
        self._answer = answer
        self._now = now
        self._told: dict[str, int] = {}  #: to the server

    @property
    def patience(self) -> float | None:
        """How long `tend` may be put off when nothing happens, in seconds."""
        now = self._now()
        quiet_after = self._plan.quiet_after(now)
        if quiet_after > 0 and self._missing(now) is not None:
            return quiet_after
        return _PATIENCE_SECONDS if any(self._shells()) else None

    def note_start(self, start: Start) -> None:
        self._plan.note_start(start, self._now())

    def tend(self) -> None:
        """Boots what is missing, one at a time and while nobody else is waited for; lets go of what is not used any more."""
        now = self._now()
        self._drop_what_is_of_no_use(now)
        nobody_waits = not any(nursery.waiting for nursery in self._nurseries.values())
        if nobody_waits and not self._is_one_booting and self._plan.quiet_after(now) == 0:
            self._boot_one(now)
        self._tell()

    def let_go(self, shell: Shell) -> None:
        """It is somebody else's, or has ended. Before anybody else has what tells of its runtime. Of a spare as well."""
        if shell.doors:
            for door in shell.runtime_doors:
                self._loop.forget(door)
        if shell in shell.nursery.pre_booted:
            shell.nursery.pre_booted.remove(shell)

    def _boot_one(self, now: float) -> None:
        kind = self._missing(now)
        if kind is not None:
            self._boot(self._nurseries[kind.program].spares.popleft(), kind, now)

    def _boot(self, shell: Shell, kind: Kind, now: float) -> None:
        try:
            shell.pre_boot(kind, now)
        except OSError as error:
            _log(f"no runtime of {kind.program.name} can be booted ahead of need: {error}")
            self._note_failure(shell)
            shell.kill()
            return
        self.let_go(shell)  # as a spare
        shell.nursery.pre_booted.append(shell)
        ended, booted = shell.runtime_doors
        self._loop.watch(ended, lambda: self._note_loss(shell))
        self._loop.watch(booted, lambda: self._note_booted(shell, kind))

    def _note_booted(self, shell: Shell, kind: Kind) -> None:
        """Or it has ended without a word, and that is about to be told."""
        self._loop.forget(shell.runtime_doors[1])
        if shell.hear_boot():
            self._plan.note_boot(kind, self._now(), is_failure=False)

    def _note_loss(self, shell: Shell) -> None:
        self._note_failure(shell)
        self._drop(shell)

    def _note_failure(self, shell: Shell) -> None:
        """What has booted and was killed while it waited is none."""
        kind = shell.kind
        if kind is not None and not shell.is_booted and self._plan.note_boot(kind, self._now(), is_failure=True):
            size = f"{kind.program.name} with {kind.memory_mb} MB"
            _log(f"{size} does not boot ahead of need; for ten minutes its functions are started without")

    def _drop_what_is_of_no_use(self, now: float) -> None:
        for kind, count in self._counts().items():
            fitting = [shell for shell in self._shells() if shell.kind == kind]
            for shell in fitting[: max(0, count - self._plan.kept(kind, now))]:
                self._drop(shell)
        for shell in [shell for shell in self._shells() if not shell.is_booted]:
            if now - shell.asked_at > _STUCK_SECONDS:
                self._note_loss(shell)

    def _drop(self, shell: Shell) -> None:
        self.let_go(shell)
        shell.kill()

    def _missing(self, now: float) -> Kind | None:
        # A spare that is taken is missed by nobody: another one is made meanwhile.
        programs = {program for program, nursery in self._nurseries.items() if len(nursery.spares) >= self._spares > 0}
        return self._plan.missing(self._counts(), programs, now)

    @property
    def _is_one_booting(self) -> bool:
        return any(not shell.is_booted for shell in self._shells())

    def _shells(self) -> Iterator[Shell]:
        return (shell for nursery in self._nurseries.values() for shell in nursery.pre_booted)

    def _counts(self) -> Counter[Kind]:
        return Counter(shell.kind for shell in self._shells() if shell.kind is not None)

    def _tell(self) -> None:
        waiting = dict(Counter(shell.nursery.program.name for shell in self._shells() if shell.is_booted))
        if waiting != self._told:
            self._told = waiting
            self._answer(PreBooted(waiting), ())


def _log(message: str) -> None:
    print(f"lambdad launcher: {message}", file=sys.stderr, flush=True)  # noqa: T201 - the launcher's only way to the log
