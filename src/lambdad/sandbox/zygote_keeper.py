"""The zygotes of the launcher, one for each program: started when wanted, heard, and buried; who waits is the heir's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec

from lambdad.sandbox.event_loop import EventLoop
from lambdad.sandbox.nursery import Nursery, ZygoteSettings, identity, one_too_many, start_zygote
from lambdad.sandbox.records import Program, Start

_ANCESTORS = 3  # zygotes killed one after the other before starts are refused


class ZygoteKeeper:
    """`root` is an empty folder. `in_use` are the nurseries that have sandboxes. `note_fork` is told of each shell that was
    asked for, by its number: the pidfd, or why there is none; `note_end` of each nursery whose zygote has ended; `refuse` of
    starts that nobody takes over."""

    def __init__(
        self,
        loop: EventLoop,
        root: Path,
        settings: ZygoteSettings,
        now: Callable[[], float],
        *,
        in_use: Callable[[], Iterable[Nursery]],
        note_fork: Callable[[int, str | None, list[int]], None],
        note_end: Callable[[Nursery], None],
        refuse: Callable[[Start, str], None],
    ) -> None:
        self._loop = loop
        self._root = root
        self._settings = settings
        self._now = now
        self._in_use = in_use
        self._note_fork = note_fork
        self._note_end = note_end
        self._refuse = refuse
        self._nurseries: dict[Program, Nursery] = {}

    @property
    def nurseries(self) -> Mapping[Program, Nursery]:
        """Those whose zygote lives."""
        return self._nurseries

    def nursery(self, program: Program) -> Nursery:
        """With a zygote, which is started if there is none. OSError, or RecordTooLong, where that cannot be."""
        if program not in self._nurseries:
            if program.image_root is not None:
                self._make_room_for_image()
            nursery = start_zygote(program, self._root, self._settings, self._now())
            self._nurseries[program] = nursery
            self._loop.watch_channel(nursery.channel, lambda: self._hear(nursery))
            self._loop.watch(nursery.handle, lambda: self._bury(nursery))
        return self._nurseries[program]

    def forget_image(self, tree: str) -> None:
        """Ends what was made ready in the files of an image, which are about to be removed, and may be made again at their
        old place. No sandbox uses them."""
        try:
            files = identity(tree)
        except OSError:  # there is nothing to remove
            return
        for nursery in self._nurseries.values():
            if nursery.files == files:
                nursery.is_outdated = True
                nursery.kill()

    def close(self) -> None:
        """Kills them and waits for it."""
        for nursery in self._nurseries.values():
            nursery.kill()
            os.waitid(os.P_PID, nursery.pid, os.WEXITED)

    def _make_room_for_image(self) -> None:
        nursery = one_too_many(self._nurseries.values(), list(self._in_use()))
        if nursery is not None:
            nursery.is_outdated = True
            nursery.kill()

    def _hear(self, nursery: Nursery) -> None:
        while (received := nursery.channel.receive()) is not None:
            data, descriptors = received
            if not data:
                self._loop.forget(nursery.channel.socket)  # the pidfd says the rest
                return
            report = msgspec.json.decode(data)
            if isinstance(report, int):
                self._note_fork(report, None, descriptors)
            elif "failed" in report:
                nursery.failure = str(report["failed"])
            elif "ready" in report:
                nursery.is_ready = True
            else:
                self._note_fork(report["shell"], report["error"], descriptors)

    def _bury(self, nursery: Nursery) -> None:
        self._hear(nursery)
        os.waitid(os.P_PID, nursery.pid, os.WEXITED)
        self._loop.forget(nursery.handle)
        self._loop.forget(nursery.channel.socket)
        os.close(nursery.handle)
        nursery.channel.close()
        nursery.is_dead = True
        del self._nurseries[nursery.program]
        reason = nursery.failure or "its process ended"
        self._bequeath(nursery, reason)
        self._note_end(nursery)

    def _bequeath(self, nursery: Nursery, reason: str) -> None:
        """A zygote that has ended without a word was killed: a new one takes over who waits."""
        heir = None
        if nursery.waiting and nursery.failure is None and nursery.ancestors < _ANCESTORS:
            try:
                heir = self.nursery(nursery.program)
            except OSError as error:
                reason = str(error)
        if heir is not None:
            heir.ancestors = nursery.ancestors + 1
            heir.waiting.extend(nursery.waiting)
            nursery.waiting.clear()
        while nursery.waiting:
            self._refuse(nursery.waiting.popleft(), f"{nursery.program.name} could not be prepared: {reason}")
