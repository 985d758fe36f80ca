"""The launcher's snapshots: a process each, forked from a zygote, which `zygote_snapshotter` describes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lambdad.sandbox import linux
from lambdad.sandbox.event_loop import EventLoop
from lambdad.sandbox.records import (
    Channel,
    Clone,
    Cloned,
    RunTemplate,
    SnapshotStep,
    TakeSnapshot,
    TemplateEnded,
    ToServer,
    close_all,
)
from lambdad.sandbox.shell import Shell

_GONE = "the snapshot is gone"
_LAST_WAIT_SECONDS = 5.0

Answer = Callable[[ToServer, Sequence[int]], None]


@dataclass(slots=True)
class _Snapshot:
    """Named after the sandbox of its template."""

    sandbox_id: str
    shell: Shell
    channel: Channel  #: to the snapshotter
    handle: int | None = None  #: pidfd of it, once it has begun
    is_unwanted: bool = False
    clones: dict[int, str] = field(default_factory=dict)  #: number -> sandbox of those in the making
    next_number: int = 0


class SnapshotKeeper:
    """`shell_of` gives the shell of an assigned sandbox."""

    def __init__(self, loop: EventLoop, shell_of: Callable[[str], Shell | None], answer: Answer) -> None:
        self._loop = loop
        self._shell_of = shell_of
        self._answer = answer
        self._snapshots: dict[str, _Snapshot] = {}

    def run_template(self, record: RunTemplate, descriptors: Sequence[int]) -> None:
        shell = self._shell_of(record.sandbox_id)
        if shell is None or shell.handle is None or shell.nursery.is_dead or record.sandbox_id in self._snapshots:
            self._answer(SnapshotStep(record.sandbox_id, "gone", "the sandbox has ended"), ())
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            shell.nursery.channel.send(b"snapshot", [theirs.fileno()])
        snapshot = _Snapshot(record.sandbox_id, shell, Channel(ours))
        self._snapshots[record.sandbox_id] = snapshot
        self._loop.watch_channel(snapshot.channel, lambda: self._hear(snapshot))
        self._order(snapshot, {"do": "template", "uid": shell.uid}, shell, descriptors)

    def take(self, record: TakeSnapshot) -> None:
        snapshot = self._snapshots.get(record.sandbox_id)
        if snapshot is None:
            self._answer(SnapshotStep(record.sandbox_id, "gone", _GONE), ())
        else:
            snapshot.channel.send({"do": "capture"})

    def clone(self, record: Clone, descriptors: Sequence[int]) -> None:
        snapshot, shell = self._snapshots.get(record.snapshot_id), self._shell_of(record.sandbox_id)
        if snapshot is None or shell is None or shell.handle is None:
            reason = _GONE if snapshot is None else "the sandbox has ended"
            self._answer(Cloned(record.sandbox_id, None, reason), ())
            return
        number, snapshot.next_number = snapshot.next_number, snapshot.next_number + 1
        snapshot.clones[number] = record.sandbox_id
        self._order(snapshot, {"do": "clone", "number": number, "uid": shell.uid}, shell, descriptors)

    def end(self, sandbox_id: str) -> None:
        """To be called before the shell of the template is released. Harmless where there is none."""
        snapshot = self._snapshots.get(sandbox_id)
        if snapshot is not None:
            snapshot.is_unwanted = True
            self._kill(snapshot)

    def close(self) -> None:
        """Kills them and waits for it; to be called before the shells are killed, some of which end only after this."""
        for snapshot in self._snapshots.values():
            self._kill(snapshot)
        for snapshot in self._snapshots.values():
            if snapshot.handle is not None:
                linux.wait_for_end(snapshot.handle, _LAST_WAIT_SECONDS)

    def _order(self, snapshot: _Snapshot, order: dict[str, Any], shell: Shell, descriptors: Sequence[int]) -> None:
        procs = shell.group.open_procs()
        assert shell.handle is not None
        snapshot.channel.send(order, [shell.handle, *descriptors, *procs])
        close_all(procs)

    def _kill(self, snapshot: _Snapshot) -> None:
        if snapshot.handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(snapshot.handle, signal.SIGKILL)

    def _hear(self, snapshot: _Snapshot) -> None:
        while (received := snapshot.channel.receive()) is not None:
            data, descriptors = received
            if not data:
                self._bury(snapshot)
                return
            self._note(snapshot, msgspec.json.decode(data), descriptors)

    def _note(self, snapshot: _Snapshot, report: dict[str, Any], descriptors: list[int]) -> None:
        if "ready" in report:
            snapshot.handle = descriptors[0]
            if snapshot.is_unwanted:
                self._kill(snapshot)
        elif "ended" in report:
            self._answer(TemplateEnded(snapshot.sandbox_id, report["code"], report["signal"]), ())
        elif "refused" in report:
            self._answer(SnapshotStep(snapshot.sandbox_id, "refused", str(report["refused"])), ())
        elif "captured" in report:
            snapshot.shell.kill()  # nobody but the holder has the memory then
        elif "cloned" in report:
            self._answer(Cloned(snapshot.clones.pop(report["cloned"]), report["pid"], ""), ())
        elif "not cloned" in report:
            self._answer(Cloned(snapshot.clones.pop(report["not cloned"]), None, str(report["reason"])), ())
        elif "expecting" in report:
            self._answer(SnapshotStep(snapshot.sandbox_id, "expecting", ""), ())
        elif "sealed" in report:
            self._answer(SnapshotStep(snapshot.sandbox_id, "taken", ""), ())

    def _bury(self, snapshot: _Snapshot) -> None:
        """The snapshotter and the holder, which share the channel, are gone."""
        self._loop.forget(snapshot.channel.socket)
        snapshot.channel.close()
        if snapshot.handle is not None:
            os.close(snapshot.handle)
            snapshot.handle = None
        del self._snapshots[snapshot.sandbox_id]
        # In this order: whose clone fails can see why.
        self._answer(SnapshotStep(snapshot.sandbox_id, "gone", _GONE), ())
        for sandbox_id in snapshot.clones.values():
            self._answer(Cloned(sandbox_id, None, _GONE), ())
