"""Runs a command as a user without rights, for tests of what lambdad is without root:

    python ordinary_user.py [--groups N,N] [--join CGROUP]... [--reach FOLDER]... [--show FILE=CONTENT]... UID COMMAND...

Folders that only root can enter, such as the one with the interpreter that runs the tests, are opened up for it in a mount
namespace of its own; the machine stays as it is.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.fspath(Path(__file__).parents[2] / "src"))

from lambdad.sandbox import linux

UID = 33_456  #: of nobody on this machine


def command(*words: str, uid: int = UID, options: list[str] | None = None) -> list[str]:
    return [sys.executable, __file__, *(options or []), str(uid), *words]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("uid", type=int)
    parser.add_argument("--groups", default="")
    parser.add_argument("--join", action="append", default=[], type=Path, help="a cgroup")
    parser.add_argument("--reach", action="append", default=[], type=Path, help="a folder of the user's among closed ones")
    parser.add_argument("--show", action="append", default=[], help="FILE=CONTENT: what the user sees there")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    for cgroup in options.join:
        (cgroup / "cgroup.procs").write_text("0")
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    for path in dict.fromkeys([Path(sys.base_prefix), Path(sys.prefix), *options.reach]):
        open_up(path)
    for text in options.show:
        show(*text.split("=", 1))
    os.setgroups([int(group) for group in options.groups.split(",") if group])
    os.setresgid(options.uid, options.uid, options.uid)
    os.setresuid(options.uid, options.uid, options.uid)
    os.execvp(options.command[0], options.command)


def open_up(path: Path) -> None:
    """Puts an empty folder over the first one on the way to `path` that others may not enter, and in it only `path`."""
    closed = next((folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001), None)
    if closed is None:
        return
    tree = linux.open_tree(path)
    linux.mount("tmpfs", os.fspath(closed), "tmpfs", 0, "size=64k,mode=755")
    path.mkdir(parents=True)
    linux.move_mount(tree, os.fspath(path))


def show(file: str, content: str) -> None:
    """A file of this user's own where the machine has another, or none."""
    with tempfile.NamedTemporaryFile("w") as shown:  # what is mounted stays when its name goes
        shown.write(content.replace("\\n", "\n"))
        shown.flush()
        Path(shown.name).chmod(0o644)
        linux.mount(shown.name, file, None, 4096)


if __name__ == "__main__":
    main()
