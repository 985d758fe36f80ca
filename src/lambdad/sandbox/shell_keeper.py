"""All shells of the launcher: made when wanted, kept ready, watched, and cleared away."""

from __future__ import annotations

import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from lambdad.errors import FileSystemTrouble
from lambdad.sandbox import linux
from lambdad.sandbox.cgroup_keeper import CgroupKeeper
from lambdad.sandbox.event_loop import EventLoop
from lambdad.sandbox.file_system_keeper import FileSystemKeeper
from lambdad.sandbox.limits import Limits
from lambdad.sandbox.network import Outlet
from lambdad.sandbox.network_keeper import NetworkKeeper
from lambdad.sandbox.nursery import Nursery, ZygoteSettings
from lambdad.sandbox.pre_boot_keeper import PreBootKeeper
from lambdad.sandbox.records import Channel, RecordTooLong, Refused, Start, Started, Stopped, ToServer, close_all
from lambdad.sandbox.shell import Shell
from lambdad.sandbox.zygote_keeper import ZygoteKeeper

_FORKING_AT_ONCE = 2 * (os.cpu_count() or 1)
_SPARES_IDLE_SECONDS = 600.0  # a language that was not used for so long keeps no spares
_LAST_WAIT_SECONDS = 5.0
#: What takes longer will never end: somebody has stopped the process that should do it. The work itself takes milliseconds.
_STUCK_SECONDS = 10.0
_STUCK_START_SECONDS = 60.0  # importing the runtime client, on a machine with much else to do
#: So many shells in a row may fail before starts are refused for it: dying without a word, as they do when their zygote is
#: killed, and with one.
_SILENT_FAILURES = 2 * _FORKING_AT_ONCE
_TOLD_FAILURES = 1

Answer = Callable[[ToServer, Sequence[int]], None]


class ShellKeeper:
    """`uids` are used in turn, so that one comes back as late as possible; `root` is an empty folder."""

    def __init__(
        self,
        loop: EventLoop,
        limits: Limits,
        networks: NetworkKeeper,
        file_systems: FileSystemKeeper,
        root: Path,
        uids: Sequence[int],
        spares: int,
        pre_booted: int,
        zygote_settings: ZygoteSettings,
        answer: Answer,
        now: Callable[[], float],
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._keeper = CgroupKeeper(limits)
        self._networks = networks
        self._file_systems = file_systems
        self._uids = deque(uids)
        self._spares = spares
        self._answer = answer
        self._now = now
        self.zygotes = ZygoteKeeper(
            loop,
            root,
            zygote_settings,
            now,
            in_use=self._nurseries_in_use,
            note_fork=self._note_fork,
            note_end=self._end_with_zygote,
            refuse=self._refuse,
        )
        self._nurseries = self.zygotes.nurseries
        self._pre_booted = PreBootKeeper(loop, pre_booted, spares, self._nurseries, answer, now)
        self._shells: dict[int, Shell] = {}  #: by number, until nothing of it is left
        self._sandboxes: dict[str, Shell] = {}  #: by the server's name for it, from assignment until nothing is left
        self._next_number = 0
        loop.watch_channel(self._keeper.channel, self._hear_cgroup_keeper)
        loop.watch_channel(networks.channel, self._hear_network_keeper)

    @property
    def patience(self) -> float | None:
        """How long `tend` may be put off when nothing happens, in seconds."""
        if any(nursery.forking or not nursery.is_ready for nursery in self._nurseries.values()):
            return _STUCK_SECONDS / 2
        if self._file_systems.is_busy:
            return _STUCK_SECONDS / 2
        has_surplus = any(nursery.spares or nursery.program.image_root for nursery in self._nurseries.values())
        own = _SPARES_IDLE_SECONDS / 10 if has_surplus else None
        return min((each for each in (own, self._pre_booted.patience) if each is not None), default=None)

    # -- what the server wants -------------------------------------------------------------------------------------------

    def start(self, start: Start) -> None:
        if start.sandbox_id in self._sandboxes:
            self._answer(Refused(start.sandbox_id, "there is a sandbox of this name"), ())
            return
        try:
            nursery = self.zygotes.nursery(start.program)
        except (OSError, RecordTooLong) as error:
            self._answer(Refused(start.sandbox_id, f"no process for {start.program.name} could be started: {error}"), ())
            return
        nursery.last_used = self._now()
        self._pre_booted.note_start(start)
        for number in nursery.forking:
            self._shells[number].hurry()
        nursery.waiting.append(start)
        self._serve_waiting(nursery)

    def stop(self, sandbox_id: str) -> None:
        shell = self._sandboxes.get(sandbox_id)
        if shell is None:
            self._give_up_start(sandbox_id)
            self._answer(Stopped(sandbox_id), ())
            return
        shell.is_stopping = True
        if shell.state == "ended":
            self._release(shell)
        else:
            shell.kill()

    def assigned(self, sandbox_id: str) -> Shell | None:
        """The shell of a sandbox in which something can be started."""
        shell = self._sandboxes.get(sandbox_id)
        return shell if shell is not None and shell.state == "assigned" else None

    def tend(self) -> None:
        """Asks for the shells that are wanted: for waiting starts at once, spares one by one. Gives up those that are stuck."""
        now = self._now()
        self._file_systems.tend()
        for nursery in self._nurseries.values():
            self._kill_what_is_stuck(nursery, now)
            at_once = _FORKING_AT_ONCE if nursery.waiting else 1
            while nursery.is_ready and not nursery.is_outdated and nursery.wanted(self._spares, now, _SPARES_IDLE_SECONDS) > 0:
                if len(nursery.forking) >= at_once or not self._make_shell(nursery):
                    break
            while nursery.spares and nursery.wanted(self._spares, now, _SPARES_IDLE_SECONDS) < 0:
                nursery.spares.popleft().kill()
            if self._is_superfluous(nursery, now):
                nursery.kill()
        self._pre_booted.tend()

    def close(self) -> None:
        """Kills everything and waits for it."""
        handles = [shell.handle for shell in self._shells.values() if shell.handle is not None]
        for shell in self._shells.values():
            shell.kill()
        for handle in handles:
            linux.wait_for_end(handle, _LAST_WAIT_SECONDS)
        self.zygotes.close()
        self._keeper.close()
        self._networks.close()
        self._file_systems.close()

    def _kill_what_is_stuck(self, nursery: Nursery, now: float) -> None:
        """Each end is noticed by itself, and what was waiting for it goes on with another one."""
        if not nursery.is_ready:
            if now - nursery.started > _STUCK_START_SECONDS:
                nursery.kill()
            return
        for shell in [self._shells[number] for number in nursery.forking]:
            if shell.inner_control is None and now - shell.asked_at > _STUCK_SECONDS:
                if shell.handle is None:
                    log(f"the zygote of {nursery.program.name} does not answer, and is replaced")
                    nursery.kill()
                    return
                shell.kill()

    def _nurseries_in_use(self) -> Iterator[Nursery]:
        return (shell.nursery for shell in self._shells.values() if shell.state not in ("forking", "spare", "ended"))

    def _is_superfluous(self, nursery: Nursery, now: float) -> bool:
        """Zygotes of languages are few and stay; of images there may be any number."""
        if nursery.program.image_root is None or not nursery.is_idle(now, _SPARES_IDLE_SECONDS):
            return False
        return all(shell.nursery is not nursery for shell in self._shells.values())

    def _give_up_start(self, sandbox_id: str) -> None:
        for nursery in self._nurseries.values():
            for waiting in [item for item in nursery.waiting if item.sandbox_id == sandbox_id]:
                nursery.waiting.remove(waiting)
        for shell in self._shells.values():
            if shell.start is not None and shell.start.sandbox_id == sandbox_id:
                shell.start = None
                shell.kill()

    # -- shells, from the making to the end ------------------------------------------------------------------------------

    def _make_shell(self, nursery: Nursery) -> bool:
        if not self._uids:
            while nursery.waiting:
                self._refuse(nursery.waiting.popleft(), "all user ids for sandboxes are taken")
            return False
        number, self._next_number = self._next_number, self._next_number + 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        shell = Shell(number, nursery, self._uids.popleft(), self._limits.group(str(number)), Channel(ours), theirs.detach())
        self._shells[number] = shell
        nursery.forking.add(number)
        self._loop.watch_channel(shell.control, lambda: self._hear_shell(shell))
        self._keeper.make(number, is_urgent=bool(nursery.waiting))
        self._networks.make(number)
        return True

    def _hear_cgroup_keeper(self) -> None:
        while (received := self._keeper.receive()) is not None:
            answer, procs = received
            shell = self._shells[answer.number]
            if answer.is_removal:
                self._bury_shell(shell, answer.error)
            else:
                shell.procs = procs
                self._populate(shell, answer.error)

    def _hear_network_keeper(self) -> None:
        while (received := self._networks.receive()) is not None:
            answer, descriptors = received
            shell = self._shells.get(answer.number)
            if shell is None or shell.state == "ended":
                close_all(descriptors)
            elif answer.is_unplugged:
                self._note_unplugged(shell, answer.error)
            else:
                shell.outlet = None if answer.error is not None else Outlet(descriptors[0], answer.link)
                self._populate(shell, answer.error)

    def _populate(self, shell: Shell, error: str | None) -> None:
        """When the cgroup and the network are there, the zygote can fork into them."""
        if shell.state == "ended":
            shell.hand_over()
        elif error is not None or shell.nursery.is_dead:
            shell.failure = error
            self._end(shell)
        elif shell.is_furnished:
            assert shell.inner_control is not None
            assert shell.outlet is not None
            shell.asked_at = self._now()
            descriptors = [shell.inner_control, shell.outlet.namespace, *(shell.procs or ())]
            shell.nursery.channel.send(b"%d %d" % (shell.number, shell.uid), descriptors)
            shell.hand_over()

    def _note_fork(self, number: int, error: str | None, descriptors: list[int]) -> None:
        shell = self._shells[number]
        if error is not None:
            shell.failure = error
            self._end(shell)
            return
        shell.handle = descriptors[0]
        self._loop.watch(shell.handle, lambda: self._end(shell))
        self._offer(shell)

    def _end_with_zygote(self, nursery: Nursery) -> None:
        """Its sandboxes die with it, and are killed: one forked in that very moment may not have asked to die with it yet. Each
        end is noticed by itself."""
        for shell in self._shells.values():
            if shell.nursery is nursery:
                shell.kill()
        for shell in [self._shells[number] for number in nursery.forking]:
            if shell.handle is None and shell.inner_control is None:  # handed to the zygote, and never forked
                self._end(shell)

    def _hear_shell(self, shell: Shell) -> None:
        while (received := shell.control.receive()) is not None:
            data, descriptors = received
            if not data:
                self._loop.forget(shell.control.socket)
                return
            shell.note(msgspec.json.decode(data), descriptors)
            self._offer(shell)

    def _offer(self, shell: Shell) -> None:
        """A shell that has become complete serves who waits longest, or becomes a spare."""
        if shell.is_prepared:
            shell.enter("spare")
            shell.nursery.failures = 0
            shell.nursery.ancestors = 0
            shell.nursery.forking.discard(shell.number)
            shell.nursery.spares.append(shell)
            self._watch_spare(shell)
            self._serve_waiting(shell.nursery)

    def _watch_spare(self, shell: Shell) -> None:
        """Its runtime may be killed while it waits, which its init tells whoever is to have it: nobody, then."""
        self._loop.watch(shell.runtime_doors[0], lambda: self._drop_spare(shell))

    def _drop_spare(self, shell: Shell) -> None:
        self._pre_booted.let_go(shell)
        if shell in shell.nursery.spares:
            shell.nursery.spares.remove(shell)
        shell.kill()

    def _serve_waiting(self, nursery: Nursery) -> None:
        if nursery.is_outdated:
            return
        for start, shell in nursery.pairs():
            self._pre_booted.let_go(shell)
            if start.has_network or shell.outlet is None or not shell.outlet.link:
                self._mount(shell, start)
            else:
                shell.start = start
                shell.enter("unplugging")
                self._networks.unplug(shell.number, shell.outlet)

    def _note_unplugged(self, shell: Shell, error: str | None) -> None:
        """What has a network that it should not have is not used."""
        start, shell.start = shell.start, None
        if start is None:
            return  # it is not wanted any more, and has been killed
        if error is None:
            self._mount(shell, start)
        else:
            shell.kill()
            self._refuse(start, f"the network could not be taken away: {error}")

    def _mount(self, shell: Shell, start: Start) -> None:
        """The function's file system, if it has one, is got ready first."""
        if start.file_system is None:
            self._assign(shell, start)
            return
        shell.start = start
        shell.enter("mounting")
        self._file_systems.open(start.file_system.arn, shell.uid, lambda found: self._note_file_system(shell, found))

    def _note_file_system(self, shell: Shell, found: int | FileSystemTrouble) -> None:
        start, shell.start = shell.start, None
        if isinstance(found, FileSystemTrouble):
            shell.kill()
            if start is not None:
                self._answer(Refused(start.sandbox_id, str(found), found.kind), ())
            return
        try:
            if start is not None:  # else it is not wanted any more, and has been killed
                self._assign(shell, start, found)
        finally:
            os.close(found)

    def _assign(self, shell: Shell, start: Start, file_system: int | None = None) -> None:
        try:
            shell.assign(start, file_system)
        except (OSError, ValueError) as error:
            if shell.is_spoiled or shell.state != "spare":  # a pre-booted runtime is not taken back
                shell.kill()
            else:
                shell.nursery.spares.appendleft(shell)
                self._watch_spare(shell)
            self._refuse(start, str(error))
        else:
            self._sandboxes[start.sandbox_id] = shell
            self._announce(shell)

    def _announce(self, shell: Shell) -> None:
        files = shell.group.open_files()
        sent = [*shell.take_doors(), *files.values()]
        self._answer(Started(str(shell.sandbox_id), list(files)), sent)
        close_all(sent)

    def _refuse(self, start: Start, reason: str) -> None:
        self._answer(Refused(start.sandbox_id, reason), ())

    def _end(self, shell: Shell) -> None:
        """Everything inside is dead, or never lived."""
        if self._loop.is_watched(shell.control.socket):
            self._hear_shell(shell)  # its last words
        before, nursery = shell.state, shell.nursery
        shell.enter("ended")
        self._loop.forget(shell.control.socket)
        self._pre_booted.let_go(shell)
        if shell.handle is not None:
            self._loop.forget(shell.handle)
        shell.close()
        nursery.forking.discard(shell.number)
        if before == "assigned" and not shell.is_stopping:
            return  # the server may still read from its cgroup
        if before == "spare" and shell in nursery.spares:  # else it was killed for being one too many
            nursery.spares.remove(shell)
        elif before in ("unplugging", "mounting") and shell.start is not None:
            start, shell.start = shell.start, None
            self.start(start)  # it had done nothing for it yet
        elif before == "forking":
            nursery.failures += 1
            if nursery.waiting and nursery.failures > (_SILENT_FAILURES if shell.failure is None else _TOLD_FAILURES):
                self._refuse(nursery.waiting.popleft(), shell.failure or "the sandbox ended while it was made")
        self._release(shell)

    def _release(self, shell: Shell) -> None:
        if not shell.is_released:
            shell.is_released = True
            self._keeper.remove(shell.number)

    def _bury_shell(self, shell: Shell, error: str | None) -> None:
        if error is not None:
            log(f"the cgroup of sandbox {shell.sandbox_id or shell.number} is left to the next start: {error}")
        del self._shells[shell.number]
        self._uids.append(shell.uid)
        if shell.sandbox_id is not None:
            del self._sandboxes[shell.sandbox_id]
            if shell.is_stopping:
                self._answer(Stopped(shell.sandbox_id), ())


def log(message: str) -> None:
    print(f"lambdad launcher: {message}", file=sys.stderr, flush=True)  # noqa: T201 - the launcher's only way to the log
