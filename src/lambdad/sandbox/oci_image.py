"""A container image as an OCI runtime shows it: a folder below lambdad's own root, in which the init then shuts itself up.

The init is lambdad's own Python, and whoever made the image chooses what a loader finds in its files. So it starts among
lambdad's own, and goes into the image by chroot with nothing but the right to do so, which it gives up: `container_init`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

IMAGE_DIR = "/var/task"  #: where it is, in the files that the init starts among
CAPABILITY = "CAP_SYS_CHROOT"  #: that the init has, and gives up when it has used it
CALL = "chroot"  #: that the init makes before its filter forbids it

_SHOWN_FILES = ("etc/resolv.conf", "etc/hosts")  #: the image's have nothing to do with this network
_DEVICES = ("null", "zero", "full", "random", "urandom")
_DEVICE_LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"}
_GVISORS_DEVICES = ("devtmpfs", "dev")  #: the name of its file system, before 2023 and since; the other name it passes over
_READ_ONLY = ("bind", "ro", "nosuid", "nodev")


def image_mounts(image: Path, own_root: Path, run: Path, devices: Path | None) -> list[dict[str, Any]]:
    """Of the image, and of what every sandbox has in the place of the image's. `devices` is a folder that `make_devices` has
    made; None where the runtime has a /dev of its own to give.

    Each mount point is a folder at the end of a way of folders, or a file: `unpack_layer` sees to that.
    """
    files = [_bind(own_root / name, name) for name in _SHOWN_FILES]
    return [_bind(image, ""), *_device_mounts(devices), _bind(run, "run"), *files]


def make_devices(folder: Path) -> None:
    """What a sandbox's /dev is: files for devices to be mounted on, and links."""
    folder.mkdir(mode=0o755)
    for name in _DEVICES:
        (folder / name).touch(mode=0o666)
    for name, target in _DEVICE_LINKS.items():
        (folder / name).symlink_to(target)


def _device_mounts(devices: Path | None) -> list[dict[str, Any]]:
    if devices is None:
        made = {"destination": f"{IMAGE_DIR}/dev", "options": ["nosuid", "noexec"]}
        return [{**made, "type": kind, "source": kind} for kind in _GVISORS_DEVICES]
    shown = [_bind(Path("/dev", name), f"dev/{name}", ("bind", "nosuid", "noexec")) for name in _DEVICES]
    return [_bind(devices, "dev"), *shown]


def _bind(source: Path, name: str, options: Sequence[str] = _READ_ONLY) -> dict[str, Any]:
    return {
        "destination": os.fspath(PurePosixPath(IMAGE_DIR, name)),
        "type": "bind",
        "source": os.fspath(source),
        "options": list(options),
    }
