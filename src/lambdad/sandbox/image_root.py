"""The file system that a function from a container image sees: the image's files, read-only, and hardly anything else.

The zygote has every privilege when it starts, and a stranger's files are no place to start in: a loader looks for libraries
there, and Python for modules. So it starts among the machine's, imports all it will ever need, and only then moves into the
tree that is made here, by itself (`zygote_image.py`).
"""

from __future__ import annotations

import os
from pathlib import Path

from lambdad.sandbox import linux
from lambdad.sandbox.base import RuntimeProgram
from lambdad.sandbox.private_root import WRITTEN, ZYGOTE_SOURCE, add_devices, bind

_MOUNTED = ("etc/resolv.conf", "etc/hosts")  #: the image's have nothing to do with this network


def lay_image(staging: Path, program: RuntimeProgram) -> list[str]:
    """Gives the calling process a mount namespace of its own, in which the image's files are seen in `staging`, with all that
    belongs into a root folder besides. Returns the command line of a zygote that will move there.

    `staging` is any empty folder; it is only ever a mount point. What is mounted on is in every image's tree, each part of its
    path a folder and no link: `unpack_layer` sees to that.
    """
    assert program.image_root is not None
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    _forbid_writing()
    bind(program.image_root, staging)
    files = staging / "var/empty"  # an empty folder, but for these, which are seen elsewhere
    linux.mount("tmpfs", os.fspath(files), "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=64k,mode=755")
    for name in _MOUNTED:
        kept = files / Path(name).name
        kept.write_text(WRITTEN[name])
        tree = linux.open_read_only(kept)
        linux.move_mount(tree, os.fspath(staging / name))
        os.close(tree)
        kept.unlink()
    add_devices(staging / "dev")
    linux.mount("proc", str(staging / "proc"), "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    for folder, attributes in ((files, 0), (staging / "dev", linux.MOUNT_ATTR_NOEXEC)):
        place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        linux.restrict_mount(place, linux.MOUNT_ATTR_RDONLY | linux.MOUNT_ATTR_NOSUID | attributes)
        os.close(place)
    own = ("-B", "-E", "-s", "-S", os.fspath(ZYGOTE_SOURCE / "zygote.py"), os.fspath(staging))
    return [os.fspath(program.interpreter), *own]


def _forbid_writing() -> None:
    """The zygote's own program stays a file of the machine's, to which /proc leads from the sandbox. Without root its user may
    be the owner of it."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    linux.restrict_mount(root, linux.MOUNT_ATTR_RDONLY, recursive=True)
    os.close(root)
