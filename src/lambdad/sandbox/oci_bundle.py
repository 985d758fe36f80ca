"""What an OCI runtime is told to make: the bundle of one sandbox, which is a folder with its configuration and a few files.

The recipe is that of the `namespace` backend, in the words of the runtime specification (opencontainers/runtime-spec 1.0).
"""

from __future__ import annotations

import base64
import os
import resource
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lambdad.model.processor_share import processors
from lambdad.sandbox.base import RuntimeProgram
from lambdad.sandbox.cgroup import MAX_PROCESSES
from lambdad.sandbox.nursery import zygote_variables
from lambdad.sandbox.oci_image import CALL, CAPABILITY, IMAGE_DIR, image_mounts, make_devices
from lambdad.sandbox.oci_seccomp import oci_profile
from lambdad.sandbox.private_root import PYTHON_DIR, ZYGOTE_DIR, ZYGOTE_SOURCE, interpreter_inside, language_folders, lay_out
from lambdad.sandbox.records import Start
from lambdad.sandbox.seccomp import filter_program
from lambdad.sandbox.shell import TMP_FILES_PER_MB
from lambdad.sandbox.zygote import zygote_masks

_VERSION = "1.0.2"
_CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
_NEVER_GIVEN = ("inheritable", "ambient")  # would outlive the exec of a program
_OWN_NAMESPACES = ("pid", "mount", "ipc", "uts", "cgroup")
#: As `zygote_environment` has them and explains them.
_LIMITS = {"NOFILE": 1024, "CORE": 1, "MEMLOCK": 8 << 20, "MSGQUEUE": 819200, "NICE": 0, "RTPRIO": 0}
_QUIET = ("nosuid", "nodev")


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
class Ways:
    """What differs from machine to machine, and from runtime to runtime."""

    memory_besides_mb: int  #: what the runtime needs within the sandbox's memory limit
    init_capabilities: Sequence[str] = ()  #: of the init, which is root if it has any
    hidden: Sequence[str] = ()  #: folders that are to be seen empty
    has_devices: bool = False  #: the runtime has a file system of devices, and cannot show the machine's

    def init_uid(self, uid: int) -> int:
        """In a sandbox whose user is `uid`."""
        return 0 if self.init_capabilities else uid


def write_bundle(
    folder: Path, start: Start, root: Root, uid: int, network: Path, cgroup: str, ways: Ways, file_system: Path | None = None
) -> None:
    """`network` is the path of a network namespace, `cgroup` that of the control group, from the top of the hierarchies, and
    `file_system` that of the function's own, should it have one."""
    run = folder / "run"
    run.mkdir(mode=0o755)
    for name, line in (("passwd", f"{uid}:{uid}::/tmp:/sbin/nologin"), ("group", f"{uid}:")):
        rest = "0:0:root:/:/sbin/nologin" if name == "passwd" else "0:"
        (run / name).write_text(f"root:x:{rest}\nsbx_user1051:x:{line}\n")
    if start.program.image_root is not None and not ways.has_devices:
        make_devices(folder / "dev")
    written = configuration(start, root, folder, uid, network, cgroup, ways, file_system)
    (folder / "config.json").write_bytes(msgspec.json.encode(written))


def configuration(
    start: Start,
    root: Root,
    bundle: Path,
    uid: int,
    network: Path,
    cgroup: str,
    ways: Ways,
    file_system: Path | None = None,
) -> Mapping[str, Any]:
    program = start.program.as_runtime_program()
    is_image = program.image_root is not None
    process: dict[str, Any] = {
        "terminal": False,
        "user": {"uid": ways.init_uid(uid), "gid": ways.init_uid(uid), "umask": 0o022},
        "args": [
            interpreter_inside(program),
            *("-B", "-E", "-s", "-S", f"{ZYGOTE_DIR}/container_init.py"),
            base64.b64encode(filter_program()).decode(),
            str(uid),
            msgspec.json.encode(program.start).decode(),
            *([IMAGE_DIR] if is_image else []),
        ],
        "env": [f"{name}={value}" for name, value in _variables(program).items()],
        "cwd": "/",
        "capabilities": _capabilities(ways, is_image=is_image),
        "rlimits": [_rlimit(f"RLIMIT_{name}", most) for name, most in _LIMITS.items()],
        "noNewPrivileges": True,
    }
    folders = [(folder, folder) for folder in root.shown]
    folders += [(ZYGOTE_SOURCE, Path(ZYGOTE_DIR)), (bundle / "run", Path("/run"))]
    folders += [(folder, Path(inside)) for folder, inside in language_folders(program)]
    if not is_image:
        folders.append((program.runtime_dir, Path("/var/runtime")))
    if start.task_root is not None:
        folders.append((Path(start.task_root), Path("/var/task")))
    if start.opt_root is not None:
        folders.append((Path(start.opt_root), Path("/opt")))
    places = ["", *([IMAGE_DIR] if is_image else [])]  # where there is a /proc
    return {
        "ociVersion": _VERSION,
        "process": process,
        "root": {"path": os.fspath(root.path), "readonly": True},
        "hostname": "sandbox",
        "mounts": [
            *_system_mounts(ways.hidden),
            *(_bind(source, target) for source, target in folders),
            *_image_mounts(program, root, bundle, ways),
            *_own_mounts(start, file_system, IMAGE_DIR if is_image else ""),
        ],
        "linux": {
            "namespaces": [
                *({"type": name} for name in _OWN_NAMESPACES),
                {"type": "network", "path": os.fspath(network)},
            ],
            "cgroupsPath": cgroup,
            "resources": _resources(start.memory_mb, ways.memory_besides_mb),
            "maskedPaths": [f"{place}{path}" for place in places for path in (*zygote_masks.FILES, *zygote_masks.FOLDERS)],
            "rootfsPropagation": "private",
            "seccomp": oci_profile(may=[CALL] if is_image else []),
        },
    }


def _variables(program: RuntimeProgram) -> Mapping[str, str]:
    if program.image_root is None or program.python_root is None or program.python_root.is_relative_to("/usr"):
        return zygote_variables(program)
    return {**zygote_variables(program), "LD_LIBRARY_PATH": f"{PYTHON_DIR}/lib"}


def _capabilities(ways: Ways, *, is_image: bool) -> dict[str, list[str]]:
    """An init that is an ordinary user keeps one in the exec of its program only if it is in all of these."""
    given = {name: [] if name in _NEVER_GIVEN else list(ways.init_capabilities) for name in _CAPABILITY_SETS}
    if is_image:
        for name in _CAPABILITY_SETS:
            if name not in _NEVER_GIVEN or not ways.init_capabilities:
                given[name].append(CAPABILITY)
    return given


def _system_mounts(hidden: Sequence[str]) -> list[dict[str, Any]]:
    # /dev is not read-only, or gVisor would open no device of it for writing; only root could write there, and nobody is root.
    return [
        _proc(""),
        _mount("tmpfs", "/dev", "nosuid", "noexec", "size=64k", "mode=755"),
        *(_mount("tmpfs", folder, *_QUIET, "noexec", "size=4k", "mode=755", "ro") for folder in hidden),
    ]


def _image_mounts(program: RuntimeProgram, root: Root, bundle: Path, ways: Ways) -> list[dict[str, Any]]:
    if program.image_root is None:
        return []
    devices = None if ways.has_devices else bundle / "dev"
    return [*image_mounts(program.image_root, root.path, bundle / "run", devices), _proc(IMAGE_DIR)]


def _own_mounts(start: Start, file_system: Path | None, place: str) -> list[dict[str, Any]]:
    """/tmp, and below /mnt the function's file system, should it have one. Runtimes make the folder to mount that at: not in
    the root, which all sandboxes share."""
    size = (f"size={start.tmp_mb}m", f"nr_inodes={start.tmp_mb * TMP_FILES_PER_MB}", "mode=1777")
    tmp = _mount("tmpfs", f"{place}/tmp", *_QUIET, *size)
    if file_system is None or start.file_system is None:
        return [tmp]
    target = f"{place}/mnt/{start.file_system.name}"
    shown = {"destination": target, "type": "bind", "source": os.fspath(file_system), "options": ["bind", "rw", *_QUIET]}
    return [tmp, _mount("tmpfs", f"{place}/mnt", *_QUIET, "noexec", "size=4k", "mode=755"), shown]


def _proc(place: str) -> dict[str, Any]:
    return _mount("proc", f"{place}/proc", *_QUIET, "noexec", "hidepid=2")


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


def _rlimit(kind: str, most: int) -> dict[str, Any]:
    """Narrowed, never widened: that would take a capability."""
    hard = resource.getrlimit(getattr(resource, kind))[1]
    value = most if hard == resource.RLIM_INFINITY else min(most, hard)
    return {"type": kind, "soft": value, "hard": value}
