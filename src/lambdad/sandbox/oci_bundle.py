"""What an OCI runtime is told to make: the bundle of one sandbox, which is a folder with its configuration and a few files.

The recipe is that of the `namespace` backend, in the words of the runtime specification (opencontainers/runtime-spec 1.0).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lambdad.model.processor_share import processors
from lambdad.sandbox.base import RuntimeProgram
from lambdad.sandbox.cgroup import MAX_PROCESSES
from lambdad.sandbox.nursery import ENVIRONMENT
from lambdad.sandbox.oci_seccomp import oci_profile
from lambdad.sandbox.private_root import ZYGOTE_DIR, ZYGOTE_SOURCE, interpreter_inside, lay_out
from lambdad.sandbox.records import Start
from lambdad.sandbox.seccomp import filter_program
from lambdad.sandbox.shell import TMP_FILES_PER_MB

_VERSION = "1.0.2"
_CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
_OWN_NAMESPACES = ("pid", "mount", "ipc", "uts", "cgroup")
_MAX_OPEN_FILES = 1024
#: Files of /proc that tell about the machine or reach into its kernel.
_MASKED = ("/proc/kcore", "/proc/keys", "/proc/sysrq-trigger", "/proc/timer_list")
_QUIET = ("nosuid", "nodev")
_OOM_SCORE = -999  # as in `zygote_environment`: the memory limit is for the function, and its messenger should die last


@dataclass(frozen=True, slots=True)
class Root:
    """The file system that all sandboxes share, read-only."""

    path: Path
    shown: Sequence[Path]  #: folders of the machine that are seen in it, each at its own path

    @classmethod
    def make(cls, path: Path, mount_points: Iterable[Path]) -> Root:
        """In the empty folder `path`. Of the machine's `mount_points`, those below a folder that is shown are shown as well: a
        runtime is only sure to make the folder itself read-only."""
        shown = lay_out(path)
        (path / "tmp").chmod(0o1777)  # runtimes give a mount the mode of what it covers
        below = {point for point in mount_points if any(point.is_relative_to(folder) for folder in shown)}
        return cls(path, [*shown, *sorted(below - set(shown))])


@dataclass(frozen=True, slots=True)
class Limits:
    memory_besides_mb: int  #: what the runtime needs within the sandbox's memory limit
    can_lower_oom_score: bool


def write_bundle(folder: Path, start: Start, root: Root, uid: int, network: Path, cgroup: str, limits: Limits) -> None:
    """`network` is the path of a network namespace, `cgroup` that of the control group, from the top of the hierarchies."""
    run = folder / "run"
    run.mkdir(mode=0o755)
    for name, line in (("passwd", f"{uid}:{uid}::/tmp:/sbin/nologin"), ("group", f"{uid}:")):
        rest = "0:0:root:/:/sbin/nologin" if name == "passwd" else "0:"
        (run / name).write_text(f"root:x:{rest}\nsbx_user1051:x:{line}\n")
    written = configuration(start, root, run, uid, network, cgroup, limits)
    (folder / "config.json").write_bytes(msgspec.json.encode(written))


def configuration(
    start: Start, root: Root, run: Path, uid: int, network: Path, cgroup: str, limits: Limits
) -> Mapping[str, Any]:
    program = RuntimeProgram(
        start.program.name,
        Path(start.program.interpreter),
        Path(start.program.language_root),
        Path(start.program.runtime_dir),
    )
    interpreter, is_language_mounted = interpreter_inside(program)
    process: dict[str, Any] = {
        "terminal": False,
        "user": {"uid": uid, "gid": uid, "umask": 0o022},
        "args": [
            interpreter,
            *("-B", "-E", "-s", "-S", f"{ZYGOTE_DIR}/container_init.py"),
            base64.b64encode(filter_program()).decode(),
        ],
        "env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
        "cwd": "/",
        "capabilities": {name: [] for name in _CAPABILITY_SETS},
        "rlimits": [_rlimit("RLIMIT_NOFILE", _MAX_OPEN_FILES), _rlimit("RLIMIT_CORE", 0)],
        "noNewPrivileges": True,
    }
    if limits.can_lower_oom_score:
        process["oomScoreAdj"] = _OOM_SCORE
    folders = [(folder, folder) for folder in root.shown]
    folders += [(run, Path("/run")), (ZYGOTE_SOURCE, Path(ZYGOTE_DIR)), (program.runtime_dir, Path("/var/runtime"))]
    if is_language_mounted:
        folders.append((program.language_root, Path("/var/lang")))
    folders.append((Path(start.task_root), Path("/var/task")))
    if start.opt_root is not None:
        folders.append((Path(start.opt_root), Path("/opt")))
    return {
        "ociVersion": _VERSION,
        "process": process,
        "root": {"path": os.fspath(root.path), "readonly": True},
        "hostname": "sandbox",
        "mounts": [*_made_mounts(start.tmp_mb), *(_bind(source, target) for source, target in folders)],
        "linux": {
            "namespaces": [
                *({"type": name} for name in _OWN_NAMESPACES),
                {"type": "network", "path": os.fspath(network)},
            ],
            "cgroupsPath": cgroup,
            "resources": _resources(start.memory_mb, limits.memory_besides_mb),
            "maskedPaths": list(_MASKED),
            "rootfsPropagation": "private",
            "seccomp": oci_profile(),
        },
    }


def _made_mounts(tmp_mb: int) -> list[dict[str, Any]]:
    tmp = (f"size={tmp_mb}m", f"nr_inodes={tmp_mb * TMP_FILES_PER_MB}", "mode=1777")
    # /dev is not read-only, or gVisor would open no device of it for writing; only root could write there, and nobody is root.
    return [
        _mount("proc", "/proc", *_QUIET, "noexec", "hidepid=2"),
        _mount("tmpfs", "/dev", "nosuid", "noexec", "size=64k", "mode=755"),
        _mount("tmpfs", "/tmp", *_QUIET, *tmp),
    ]


def _mount(kind: str, target: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


def _bind(source: Path, target: Path) -> dict[str, Any]:
    return {
        "destination": os.fspath(target),
        "type": "bind",
        "source": os.fspath(source),
        "options": ["bind", "ro", *_QUIET],
    }


def _resources(memory_mb: int, besides_mb: int) -> dict[str, Any]:
    size = memory_mb + besides_mb << 20
    return {
        "memory": {"limit": size, "swap": size},
        "pids": {"limit": MAX_PROCESSES},
        "cpu": {"shares": max(2, int(1024 * processors(memory_mb)))},
        "devices": [{"allow": False, "access": "rwm"}],
    }


def _rlimit(kind: str, value: int) -> dict[str, Any]:
    return {"type": kind, "soft": value, "hard": value}
