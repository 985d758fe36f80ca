"""One sandbox as the launcher sees it: prepared ahead of need, then assigned one function, never a second."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lambdad.sandbox import linux
from lambdad.sandbox.limits import LimitedGroup
from lambdad.sandbox.network import Outlet
from lambdad.sandbox.pre_boot import Kind
from lambdad.sandbox.records import Channel, Start, close_all

if TYPE_CHECKING:
    from lambdad.sandbox.nursery import Nursery

#: What may follow what. A shell is *forking* until the sandbox inside reports its doors, then *spare*; *pre-booted* where its
#: runtime has been made to boot before there is a function; *assigned* once its function's files are mounted and the server has
#: its doors, *unplugging* before that where the function is to have no network, *mounting* where its file system has to be got
#: ready; *ended* when the kernel has killed all inside.
NEXT = {
    "forking": {"spare", "ended"},
    "spare": {"pre-booted", "assigned", "unplugging", "mounting", "ended"},
    "pre-booted": {"assigned", "unplugging", "mounting", "ended"},
    "unplugging": {"assigned", "mounting", "ended"},
    "mounting": {"assigned", "ended"},
    "assigned": {"ended"},
    "ended": set[str](),
}

TMP_FILES_PER_MB = 256
_COMMANDS, _START, _CONNECTION = 2, 3, 4  #: among the doors
QUIET = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC


class Shell:
    def __init__(
        self, number: int, nursery: Nursery, uid: int, group: LimitedGroup, control: Channel, inner_control: int
    ) -> None:
        self.number = number
        self.nursery = nursery  #: whose zygote forks it
        self.uid = uid
        self.group = group
        self.control = control
        self.inner_control: int | None = inner_control  #: the other end, until a zygote has it
        self.state = "forking"
        self.procs: list[int] | None = None  #: of its cgroup, if it has one; once that is made and until a zygote has them
        self.outlet: Outlet | None = None  #: its network, once that is made and until a function is assigned
        self.handle: int | None = None  #: pidfd of process 1 inside
        self.doors: list[int] = []  #: as `Started` has them
        self.mounts: int | None = None  #: its mount namespace, for as long as nothing but our own code runs in it
        self.start: Start | None = None  #: for which it is being unplugged, or a file system got ready
        self.sandbox_id: str | None = None
        self.is_stopping = False  #: the server wants to hear when nothing of it is left
        self.is_released = False  #: its cgroup is being removed
        self.is_spoiled = False  #: a function's files are mounted
        self.failure: str | None = None
        self.asked_at = 0.0  #: when its zygote was asked to fork it, or its runtime to boot
        self.kind: Kind | None = None  #: of its runtime, if that is pre-booted
        self.is_booted = False  #: and it has come to its end with that

    def enter(self, state: str) -> None:
        if state not in NEXT[self.state]:
            raise ValueError(f"a shell that is {self.state} cannot become {state}")
        self.state = state

    @property
    def is_furnished(self) -> bool:
        """A zygote can fork into its cgroup and its network."""
        return self.inner_control is not None and self.procs is not None and self.outlet is not None

    @property
    def is_prepared(self) -> bool:
        return self.state == "forking" and self.handle is not None and bool(self.doors)

    @property
    def runtime_doors(self) -> tuple[int, int]:
        """Of a pre-booted one, what becomes readable when the runtime has ended, and when it has booted or has ended."""
        return self.doors[_COMMANDS], self.doors[_CONNECTION]

    @property
    def has_lost_runtime(self) -> bool:
        """The init has told of the end of a runtime that nobody has used."""
        told = select.poll()
        told.register(self.doors[_COMMANDS], select.POLLIN)
        return bool(told.poll(0))

    def hear_boot(self) -> bool:
        """What a runtime says when it has booted, and nothing else, is read before anybody else has its connection."""
        self.is_booted = bool(os.read(self.doors[_CONNECTION], 1))
        return self.is_booted

    def pre_boot(self, kind: Kind, now: float) -> None:
        """Has the runtime begin, within the bounds of its function-to-be, but with hardly any of a processor that others want.
        OSError if it has ended."""
        assert self.handle is not None
        self.kind, self.asked_at = kind, now
        self.enter("pre-booted")
        self.group.limit(kind.memory_mb, self.handle)
        self.group.weigh(0)
        order = {"memory_mb": kind.memory_mb, "variables": dict(kind.variables)}
        os.write(self.doors[_START], b"boot" + msgspec.json.encode(order))

    def assign(self, start: Start, file_system: int | None = None) -> None:
        """Mounts the function's files, and `file_system`, a detached mount that stays the caller's. OSError if they are not
        there; the shell stays a spare then, unless something was mounted already: then its next state is the end."""
        trees = self._open_trees(start)
        try:
            assert self.handle is not None
            self.group.limit(start.memory_mb, self.handle)
            self.is_spoiled = True
            self._mount(trees, start, file_system)
        finally:
            close_all(list(trees.values()))
        self._let_go_of_network()
        self.sandbox_id = start.sandbox_id
        self.enter("assigned")

    def hand_over(self) -> None:
        """The zygote has its own copies."""
        close_all(self.procs or ())
        self.procs = None
        if self.inner_control is not None:
            os.close(self.inner_control)
            self.inner_control = None

    def hurry(self) -> None:
        """Somebody waits for what was begun as a spare."""
        with contextlib.suppress(FileNotFoundError):  # the cgroup is being made just now
            self.group.weigh(1)

    def kill(self) -> None:
        if self.handle is not None and self.state != "ended":
            self.group.thaw()
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself; that event is on its way
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def note(self, report: dict[str, Any], descriptors: list[int]) -> None:
        """Takes in what the processes inside say of themselves."""
        if "ready" in report:
            *self.doors, self.mounts = descriptors
        else:
            self.failure = str(report["error"])

    def take_doors(self) -> list[int]:
        doors, self.doors = self.doors, []
        return doors

    def close(self) -> None:
        """Lets go of everything but the cgroup."""
        self.control.close()
        self.hand_over()
        self._let_go_of_network()
        close_all(self.take_doors())
        if self.mounts is not None:
            os.close(self.mounts)
            self.mounts = None
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None

    def _let_go_of_network(self) -> None:
        """The namespace ends with the processes in it."""
        if self.outlet is not None:
            os.close(self.outlet.namespace)
            self.outlet = None

    def _mount(self, trees: dict[str, int], start: Start, file_system: int | None) -> None:
        assert self.mounts is not None
        with linux.inside_mounts(self.mounts):
            for target, tree in trees.items():
                linux.move_mount(tree, target)
            options = f"size={start.tmp_mb}m,nr_inodes={start.tmp_mb * TMP_FILES_PER_MB},mode=1777"
            linux.mount("tmpfs", "/tmp", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)
            if file_system is not None and start.file_system is not None:
                _mount_file_system(file_system, f"/mnt/{start.file_system.name}")
        os.close(self.mounts)
        self.mounts = None

    def _open_trees(self, start: Start) -> dict[str, int]:
        """By where they are to be seen."""
        trees: dict[str, int] = {}
        try:
            for target, root in (("/var/task", start.task_root), ("/opt", start.opt_root)):
                if root is not None:
                    trees[target] = linux.open_read_only(_existing_folder(root))
        except OSError:
            close_all(list(trees.values()))
            raise
        return trees


def _mount_file_system(tree: int, target: str) -> None:
    """What is above it is only a place to mount, and read-only like everything else."""
    linux.restrict_mount(tree, linux.MOUNT_ATTR_NOSUID | linux.MOUNT_ATTR_NODEV, recursive=True)
    linux.mount("tmpfs", "/mnt", "tmpfs", QUIET, "size=4k,nr_inodes=4,mode=755")
    Path(target).mkdir()
    linux.move_mount(tree, target)
    above = os.open("/mnt", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        linux.restrict_mount(above, linux.MOUNT_ATTR_RDONLY)
    finally:
        os.close(above)


def _existing_folder(path: str) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"there is no folder {path}")
    return folder
