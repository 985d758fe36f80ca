"""A process of the launcher's that makes and removes the sandboxes' cgroups, so that the launcher never waits for the kernel.

Whoever moves a process between cgroups, anywhere on the machine, can hold up the making and removing of all others for many
milliseconds: the kernel waits for every processor to pass through a quiet moment.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time

import msgspec

from lambdad.sandbox import linux
from lambdad.sandbox.limits import Limits
from lambdad.sandbox.records import Channel, close_all

_RETRY_SECONDS = 0.002  # a cgroup is busy for moments after its last process has ended
_GIVE_UP_SECONDS = 5.0


class Order(msgspec.Struct, frozen=True):
    """Answered by itself: with the descriptors of the new group's cgroup.procs, or when the group is gone."""

    number: int
    is_removal: bool
    is_urgent: bool = False
    error: str | None = None


class CgroupKeeper:
    """The launcher's view: orders go in at once, answers come from `receive` when `channel.socket` is readable."""

    def __init__(self, cgroups: Limits) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        launcher = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _run(cgroups, theirs, launcher)
        theirs.close()
        self.channel = Channel(ours)

    def make(self, number: int, *, is_urgent: bool) -> None:
        """What is not urgent gets hardly any of a processor that others want."""
        self._order(Order(number, is_removal=False, is_urgent=is_urgent))

    def remove(self, number: int) -> None:
        self._order(Order(number, is_removal=True))

    def receive(self) -> tuple[Order, list[int]] | None:
        received = self.channel.receive()
        if received is None:
            return None
        data, descriptors = received
        if not data:
            raise ConnectionError("the keeper of the cgroups has ended")
        return msgspec.json.decode(data, type=Order), descriptors

    def close(self) -> None:
        """What it has not yet removed is left to whoever removes the parent."""
        self.channel.close()
        os.waitid(os.P_PID, self.pid, os.WEXITED)

    def _order(self, order: Order) -> None:
        self.channel.send(order)


def _run(cgroups: Limits, connection: socket.socket, launcher: int) -> None:
    """In the child: never returns. Its end is the launcher's, whose sandboxes die with it, unless they are frozen.

    The launcher's end is told twice, by a signal and by its socket: the second must not disturb.
    """
    end = _End()
    try:
        try:
            signal.signal(signal.SIGTERM, end.be_told)
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() == launcher:
                _serve(cgroups, connection)
        finally:
            end.has_come = True
    except SystemExit:
        pass
    finally:
        cgroups.thaw()
        os._exit(0)


class _End:
    has_come = False

    def be_told(self, *_: object) -> None:
        if not self.has_come:
            self.has_come = True
            raise SystemExit


def _serve(cgroups: Limits, connection: socket.socket) -> None:
    launcher = Channel(connection)
    leftovers: dict[int, float] = {}  # number -> when to give up
    while True:
        readable, _, _ = select.select([connection], [], [], _RETRY_SECONDS if leftovers else None)
        if readable:
            received = launcher.receive()
            if received is None:
                continue
            if not received[0]:
                break
            order = msgspec.json.decode(received[0], type=Order)
            if order.is_removal:
                leftovers[order.number] = time.monotonic() + _GIVE_UP_SECONDS
            else:
                _make(cgroups, launcher, order.number, order.is_urgent)
                continue  # a sandbox that is waited for comes before the remains of one that is not
        for number, deadline in list(leftovers.items()):
            if _remove(cgroups, launcher, number, deadline):
                del leftovers[number]


def _make(cgroups: Limits, launcher: Channel, number: int, is_urgent: bool) -> None:
    group = cgroups.group(str(number))
    procs: list[int] = []
    try:
        group.create()
        group.weigh(1 if is_urgent else 0)
        procs = group.open_procs()
        answer = Order(number, is_removal=False)
    except OSError as error:
        answer = Order(number, is_removal=False, error=str(error))
    _answer(launcher, answer, procs)
    close_all(procs)


def _remove(cgroups: Limits, launcher: Channel, number: int, deadline: float) -> bool:
    error = None
    try:
        if not cgroups.group(str(number)).remove():
            if time.monotonic() < deadline:
                return False
            error = "it stays busy"
    except OSError as cause:
        error = str(cause)
    _answer(launcher, Order(number, is_removal=True, error=error), [])
    return True


def _answer(launcher: Channel, answer: Order, descriptors: list[int]) -> None:
    launcher.send(answer, descriptors)
    while launcher.has_unsent:  # the launcher is busy: nothing else to do here meanwhile
        select.select([], [launcher.socket], [])
        launcher.flush()
