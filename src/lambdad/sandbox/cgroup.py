"""Limits of memory, processes and processor share, through cgroup v1, v2 or a mixture of both.

Each server has one parent cgroup per hierarchy, named after its state directory, below the cgroup it was started in; each
sandbox has a child of it. Which version holds which controller is found out once and is nobody else's business.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from lambdad.errors import StartupError
from lambdad.model.processor_share import processors
from lambdad.sandbox.cgroup_files import FREEZE, THAW, thaw, write, write_if_there
from lambdad.sandbox.cgroup_hierarchies import Controller, delegate, find, own_paths
from lambdad.sandbox.cgroup_trees import remove_tree, thaw_tree

MAX_PROCESSES = 1024
#: Of the file that holds a group to an amount of processor time, by name: how that is written; `None` is no bound.
#: The period is AWS's: a function of 128 MB waits for a part of it, and never for most of a tenth of a second.
QUOTA_PERIOD_US = 20_000
_LEAST_QUOTA_US = 1000  # the kernel's
_QUOTA: dict[str, Callable[[int | None], str]] = {
    "cpu.cfs_quota_us": lambda quota: "-1" if quota is None else str(quota),
    "cpu.max": lambda quota: f"{'max' if quota is None else quota} {QUOTA_PERIOD_US}",
}
_REQUIRED = ("memory", "pids")
_MEMORY = re.compile(rb"^(VmHWM|RssFile):\s*(\d+)", re.MULTILINE)
_NO_QUOTA = "Functions cannot be held to AWS's processor quota (--cpu strict): that takes a quota of a cgroup"
_OTHERWISE = "Without --cpu strict they share the processors by memory size."


class Group:
    """The cgroup of one sandbox: a folder in each hierarchy that has a controller."""

    def __init__(self, controllers: Iterable[Controller], name: str, *, has_quota: bool = False) -> None:
        self._has_quota = has_quota
        self._files = {controller.name: (controller.version, controller.parent / name) for controller in controllers}
        self._folders = list(dict.fromkeys(folder for _, folder in self._files.values()))

    def create(self) -> None:
        for folder in self._folders:
            folder.mkdir()
        self.prepare()

    def prepare(self) -> None:
        """The bounds that are the same for every sandbox."""
        write(self._file("pids", "pids.max", "pids.max"), MAX_PROCESSES)
        if self._has_quota and self._files["cpu"][0] == 1:  # in version 2 it is written together with the quota
            write(self._files["cpu"][1] / "cpu.cfs_period_us", QUOTA_PERIOD_US)

    def open_procs(self) -> list[int]:
        """Descriptors of the files through which a process joins, one per hierarchy."""
        return [os.open(folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) for folder in self._folders]

    def holds(self, pid: int) -> bool:
        """Whether the process is a member in every hierarchy."""
        return all(str(pid) in (folder / "cgroup.procs").read_text().split() for folder in self._folders)

    def limit(self, memory_mb: int, init: int = -1, *, besides_mb: int = 0) -> None:
        """`init` is of no use here; `besides_mb` is memory that something else than the function needs in here."""
        size = memory_mb + besides_mb << 20
        version, folder = self._files["memory"]
        if version == 1:
            write(folder / "memory.limit_in_bytes", size)
            write_if_there(folder / "memory.memsw.limit_in_bytes", size)
            # Counted by itself in version 1, and by nobody without a limit: then a function can fill what all sockets have.
            write_if_there(folder / "memory.kmem.tcp.limit_in_bytes", size // 4)
        else:
            write(folder / "memory.max", size)
            write_if_there(folder / "memory.swap.max", 0)
        self.weigh(processors(memory_mb))

    def weigh(self, share: float) -> None:
        """The share of busy processors, in proportion to others' numbers; idle ones are anybody's."""
        if "cpu" in self._files:
            _weigh(*self._files["cpu"], share)

    def open_files(self) -> dict[str, int]:
        """Descriptors of what a server without privileges may read again and again, by name.

        "memory-peak": the most memory used so far, in bytes; "oom-kills": how often the kernel has killed a process in here for
        want of memory, as `oom_kills` reads it; and for writing, if there is one, a key of `FREEZE` and `THAW`, and one of
        `_QUOTA`. Only `memory_watch` has "runtime-status", of /proc.
        """
        files = {"oom-kills": os.open(self._file("memory", "memory.oom_control", "memory.events"), os.O_RDONLY | os.O_CLOEXEC)}
        with contextlib.suppress(FileNotFoundError):  # v2 before Linux 5.19
            peak = self._file("memory", "memory.max_usage_in_bytes", "memory.peak")
            files["memory-peak"] = os.open(peak, os.O_RDONLY | os.O_CLOEXEC)
        freezer = self._freezer()
        if freezer is not None:
            files[freezer.name] = os.open(freezer, os.O_WRONLY | os.O_CLOEXEC)
        if self._has_quota:
            quota = self._file("cpu", "cpu.cfs_quota_us", "cpu.max")
            files[quota.name] = os.open(quota, os.O_WRONLY | os.O_CLOEXEC)
        return files

    def thaw(self) -> None:
        """What is frozen by version 1 does not even die."""
        freezer = self._freezer()
        if freezer is not None:
            with contextlib.suppress(FileNotFoundError):
                thaw(freezer)

    def remove(self) -> bool:
        """False while something in it has not quite ended."""
        for folder in self._folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                return False
        return True

    def _freezer(self) -> Path | None:
        if "freezer" in self._files:
            return self._files["freezer"][1] / "freezer.state"
        return next((folder / "cgroup.freeze" for version, folder in self._files.values() if version == 2), None)

    def _file(self, controller: str, v1: str, v2: str) -> Path:
        version, folder = self._files[controller]
        return folder / (v1 if version == 1 else v2)


def peak_of_status(content: bytes) -> int:
    """What a process has used most, by its `/proc/.../status`, without what it has mapped from files."""
    fields = {name: int(number) for name, number in _MEMORY.findall(content)}
    return max(0, fields.get(b"VmHWM", 0) - fields.get(b"RssFile", 0)) << 10


class GroupFiles:
    """What a server without privileges does with `Group.open_files`: each call is one read or write of microseconds."""

    def __init__(self, files: dict[str, int]) -> None:
        self._files = files
        self._freezer = next((name for name in files if name in FREEZE), None)
        self.has_freezer = self._freezer is not None
        self._quota = next((name for name in files if name in _QUOTA), None)
        self._peak: int | None = None

    def memory_peak_bytes(self) -> int | None:
        """The last known, once the group is gone."""
        if "memory-peak" in self._files:
            with contextlib.suppress(OSError):
                self._peak = int(os.pread(self._files["memory-peak"], 32, 0))
        if "runtime-status" in self._files:
            with contextlib.suppress(OSError):
                self._peak = max(self._peak or 0, peak_of_status(os.pread(self._files["runtime-status"], 8192, 0)))
        return self._peak

    def oom_kills(self) -> int:
        """How often the kernel has killed a process for want of memory; 0 once the group is gone."""
        try:
            content = os.pread(self._files["oom-kills"], 4096, 0)
        except (KeyError, OSError):
            return 0
        counters = dict(line.split() for line in content.decode().splitlines())
        return int(counters.get("oom_kill", 0))

    def freeze(self) -> None:
        self._tell_freezer(FREEZE)

    def thaw(self) -> None:
        self._tell_freezer(THAW)

    def limit_cpu(self, share: float | None) -> None:
        """At most so many processors' time from now on; None is no bound."""
        if self._quota is not None and self._quota in self._files:
            quota = None if share is None else max(_LEAST_QUOTA_US, int(share * QUOTA_PERIOD_US))
            with contextlib.suppress(OSError):  # the group is gone; or, in version 1, the machine's part of it is smaller still
                os.pwrite(self._files[self._quota], _QUOTA[self._quota](quota).encode(), 0)

    def close(self) -> None:
        self.memory_peak_bytes()
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files = {}

    def _tell_freezer(self, words: Mapping[str, bytes]) -> None:
        if self._freezer is not None and self._freezer in self._files:
            with contextlib.suppress(OSError):  # the group is gone
                os.write(self._files[self._freezer], words[self._freezer])


class Cgroups:
    """The hierarchies of this machine and the server's parent in each. With `has_quota`, groups have `GroupFiles.limit_cpu`.

    `is_at_top` puts the parents at the top of the hierarchies and not below the cgroup of this process: there they all have the
    path /`name`, for programs that can be told one path only.
    """

    def __init__(self, name: str, proc: Path = Path("/proc"), *, has_quota: bool = False, is_at_top: bool = False) -> None:
        self._name = name
        self._record: Path | None = None
        self._proc = proc
        self._has_quota = has_quota
        self._controllers = find(name, proc, {} if is_at_top else own_paths(proc))
        missing = [controller for controller in _REQUIRED if controller not in self._controllers]
        if missing:
            raise StartupError(
                f"sandboxes need the cgroup controllers memory and pids, in a cgroup that may be changed; "
                f"missing here: {', '.join(missing)}"
            )

    @property
    def weaknesses(self) -> list[str]:
        found = []
        if not self.shares_processors:
            found.append("There is no cpu cgroup controller here, so a busy function can slow the others down.")
        if "freezer" not in self._controllers and not any(controller.version == 2 for controller in self._controllers.values()):
            found.append("There is no freezer cgroup controller here, so a function's threads go on between invocations.")
        if self._has_unaccounted_swap():
            found.append("The kernel does not account swap to cgroups here, so a function can use more memory than its limit.")
        return found

    @property
    def shares_processors(self) -> bool:
        return "cpu" in self._controllers

    def open(self, record: Path) -> None:
        """Makes the parents, free of what an earlier server left in them. `record` is a file that names them for the next one,
        which may be started from another cgroup and then has its own elsewhere."""
        self._clear_recorded(record)
        self._record = record
        record.write_text("".join(f"{controller.parent}\n" for controller in self._parents()))
        self.thaw()
        for controller in self._parents():
            remove_tree(controller.parent)
            controller.parent.mkdir()
            if controller.version == 2:
                delegate(controller.parent, self._names(2))
        if "cpu" in self._controllers:  # all functions together, against the server and the rest of the machine
            _weigh(self._controllers["cpu"].version, self._controllers["cpu"].parent, os.cpu_count() or 1)
        if self._has_quota:
            self.check_quota()

    def group(self, name: str) -> Group:
        return Group(self._controllers.values(), name, has_quota=self._has_quota)

    def thaw(self) -> None:
        """Every sandbox, so that those which are to die do."""
        for controller in self._parents():
            thaw_tree(controller.parent)

    def close(self) -> None:
        self.thaw()
        for controller in self._parents():
            remove_tree(controller.parent)
        if self._record is not None:
            self._record.unlink(missing_ok=True)

    def _clear_recorded(self, record: Path) -> None:
        """What is not a cgroup of this server's name is left alone, whatever the file says."""
        if not record.exists():
            return
        for earlier in map(Path, record.read_text().splitlines()):
            if earlier.name == self._name and ".." not in earlier.parts and (earlier / "cgroup.procs").exists():
                thaw_tree(earlier)
                remove_tree(earlier)

    def check_quota(self) -> None:
        """StartupError, and no parents left, where groups cannot be held to an amount of processor time."""
        cpu, lack = self._controllers.get("cpu"), None
        if cpu is None:
            lack = "the cpu cgroup controller is missing here"
        elif not (cpu.parent / ("cpu.cfs_quota_us" if cpu.version == 1 else "cpu.max")).exists():
            lack = "the kernel here has no CFS bandwidth control"
        if lack is not None:
            self.close()
            raise StartupError(f"{_NO_QUOTA}, and {lack}. {_OTHERWISE}")

    def _parents(self) -> list[Controller]:
        return list({controller.parent: controller for controller in self._controllers.values()}.values())

    def _names(self, version: int) -> list[str]:
        return [name for name, controller in self._controllers.items() if controller.version == version]

    def _has_unaccounted_swap(self) -> bool:
        swaps = self._proc / "swaps"
        if not swaps.exists() or len(swaps.read_text().splitlines()) < 2:
            return False
        memory = self._controllers["memory"]
        name = "memory.memsw.limit_in_bytes" if memory.version == 1 else "memory.swap.max"
        return not (memory.parent.parent / name).exists()


def _weigh(version: int, folder: Path, share: float) -> None:
    if version == 1:
        write(folder / "cpu.shares", max(2, int(1024 * share)))
    else:
        write(folder / "cpu.weight", min(10_000, max(1, int(100 * share))))
