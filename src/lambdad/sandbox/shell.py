"""One sandbox as the launcher sees it: prepared ahead of need, then assigned one function, never a second."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lambdad.sandbox import linux
from lambdad.sandbox.cgroup import Group
from lambdad.sandbox.records import Channel, Start, close_all

if TYPE_CHECKING:
    from lambdad.sandbox.nursery import Nursery

#: What may follow what. A shell is *forking* until the sandbox inside reports its doors, then *spare*; *assigned* once it was
#: sent its function, *running* once the runtime has given up its privileges, *ended* when the kernel has killed all inside.
NEXT = {
    "forking": {"spare", "ended"},
    "spare": {"assigned", "ended"},
    "assigned": {"running", "ended"},
    "running": {"ended"},
    "ended": set[str](),
}


class Shell:
    def __init__(self, number: int, nursery: Nursery, uid: int, group: Group, control: Channel, inner_control: int) -> None:
        self.number = number
        self.nursery = nursery  #: whose zygote forks it
        self.uid = uid
        self.group = group
        self.control = control
        self.inner_control: int | None = inner_control  #: the other end, until a zygote has it
        self.state = "forking"
        self.handle: int | None = None  #: pidfd of process 1 inside
        self.doors: list[int] = []  #: runtime listener, endpoint listener, runtime connection
        self.sandbox_id: str | None = None
        self.is_stopping = False  #: the server wants to hear when nothing of it is left
        self.is_released = False  #: its cgroup is being removed
        self.failure: str | None = None
        self.exit_code: int | None = None
        self.exit_signal: int | None = None

    def enter(self, state: str) -> None:
        if state not in NEXT[self.state]:
            raise ValueError(f"a shell that is {self.state} cannot become {state}")
        self.state = state

    @property
    def is_prepared(self) -> bool:
        return self.state == "forking" and self.handle is not None and bool(self.doors)

    def assign(self, start: Start, log: int) -> None:
        """Sends the function in. OSError if its files are not there; the shell is as unused as before then."""
        trees = self._open_trees(start)
        try:
            self.group.limit(start.memory_mb)
            os.fchown(log, self.uid, self.uid)  # /dev/stdout is opened anew by its user
            self.control.send({"environment": start.environment, "tmp_mb": start.tmp_mb}, [log, *trees])
        finally:
            close_all(trees)
        self.sandbox_id = start.sandbox_id
        self.enter("assigned")

    def hand_over_control(self) -> None:
        if self.inner_control is not None:
            os.close(self.inner_control)
            self.inner_control = None

    def hurry(self) -> None:
        """Somebody waits for what was begun as a spare."""
        with contextlib.suppress(FileNotFoundError):  # the cgroup is being made just now
            self.group.weigh(1)

    def kill(self) -> None:
        if self.handle is not None and self.state != "ended":
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself; that event is on its way
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)

    def note(self, report: dict[str, Any], descriptors: list[int]) -> None:
        """Takes in what the processes inside say of themselves."""
        if "ready" in report:
            self.doors = descriptors
        elif "error" in report:
            self.failure = str(report["error"])
        else:
            self.exit_code, self.exit_signal = report.get("code"), report.get("signal")

    def take_doors(self) -> list[int]:
        doors, self.doors = self.doors, []
        return doors

    def close(self) -> None:
        """Lets go of everything but the cgroup."""
        self.control.close()
        self.hand_over_control()
        close_all(self.take_doors())
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None

    def _open_trees(self, start: Start) -> list[int]:
        trees: list[int] = []
        try:
            for root in (start.task_root, start.opt_root):
                if root is not None:
                    trees.append(linux.open_read_only(_existing_folder(root)))
        except OSError:
            close_all(trees)
            raise
        return trees


def _existing_folder(path: str) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"there is no folder {path}")
    return folder
