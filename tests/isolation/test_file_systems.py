"""Attacks from within a folder of the machine that is a function's file system: on what is beside it, above it, and on its owner."""

from __future__ import annotations

import os
import stat
import subprocess
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.arena import ACCESS_POINT, ATTACKER, Arena, Attack, rows
from support.sandbox import Backend

pytestmark = pytest.mark.root

CANARY = "canary-" + uuid.uuid4().hex
#: What attacks find there besides the usual.
SHARED = "/mnt/data"


@pytest.fixture(scope="module")
def folder(arena: Arena, backend: Backend) -> Path:
    if backend.name == "oci-runsc":
        pytest.skip("gVisor has no file systems")
    return arena.server.folder / "shared"


@pytest.fixture(scope="module", autouse=True)
def prey(arena: Arena, folder: Path) -> Iterator[dict[str, Any]]:
    """Files beside the folder and in it that are not the function's to have."""
    beside = folder.parent / "beside"
    beside.write_text(CANARY)
    beside.chmod(0o666)
    secret = folder / "roots"
    secret.write_text(CANARY)
    secret.chmod(0o600)
    os.mknod(folder / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    (folder / "zero").chmod(0o666)
    (folder / "absolute").symlink_to(beside)
    (folder / "relative").symlink_to("../beside")
    (folder / "up").symlink_to("..")
    arena.add("mounted", ATTACKER, Timeout=60, FileSystemConfigs=[{"Arn": ACCESS_POINT, "LocalMountPath": SHARED}])
    yield {"canary": str(beside), "name": beside.name, "text": CANARY, "folder": str(folder)}
    arena.remove("mounted")
    assert beside.read_text() == CANARY
    assert secret.read_text() == CANARY
    assert beside.stat().st_mode & 0o7777 == 0o666


def test_it_is_there(arena: Arena, folder: Path) -> None:
    """The attacks below are made where files can be read and written."""
    code = "def attempt():\n    write('/mnt/data/made', 'x')\n    return read('/mnt/data/made')"
    assert arena.begin(code, function="mounted").result().gained == "x"
    assert (folder / "made").read_text() == "x"
    (folder / "made").unlink()


@pytest.mark.parametrize("attack", rows(
    Attack("links in it that lead out", """
        def attempt():
            os.symlink(given["canary"], "/mnt/data/mine")
            os.symlink("/proc/1/root" + given["canary"], "/mnt/data/by-process")
            paths = ["absolute", "relative", "mine", "by-process", "up/" + given["name"], "up/.." + given["canary"]]
            got = gains(*[lambda path=path: read("/mnt/data/" + path) for path in paths])
            for name in ("mine", "by-process"):
                os.unlink("/mnt/data/" + name)
            return [text for text in got if given["text"] in text]
        """),
    Attack("climb out of it", """
        def attempt():
            def by_descriptor():
                at = os.open("/mnt/data", os.O_RDONLY)
                for _ in range(40):
                    at = os.open("..", os.O_RDONLY, dir_fd=at)
                return os.read(os.open(given["canary"].lstrip("/"), os.O_RDONLY, dir_fd=at), 100).decode()
            def from_deeper():
                os.makedirs("/mnt/data/a/b/c", exist_ok=True)
                at = os.open("/mnt/data/a/b/c", os.O_RDONLY)
                os.rename("/mnt/data/a/b", "/mnt/data/moved")
                try:
                    for _ in range(40):
                        at = os.open("..", os.O_RDONLY, dir_fd=at)
                    return os.read(os.open(given["canary"].lstrip("/"), os.O_RDONLY, dir_fd=at), 100).decode()
                finally:
                    os.rmdir("/mnt/data/moved/c"), os.rmdir("/mnt/data/moved"), os.rmdir("/mnt/data/a")
            up = "/mnt/data/" + "/".join([".."] * 40)
            return gains(by_descriptor, from_deeper, lambda: read(up + given["canary"]), lambda: read("/mnt/data/../" + given["name"]))
        """),
    Attack("files by their number, past the folder", """
        def attempt():
            at = os.open("/mnt/data", os.O_RDONLY)
            handle, mount = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128)), ctypes.c_int()
            def by_name():
                syscall((303, 264), at, b"absolute", handle, ctypes.byref(mount), 0)
                return "a handle"
            def by_number(inode):
                wanted = ctypes.create_string_buffer(struct.pack("Ii", 8, 1) + struct.pack("II", inode, 0))
                return os.listdir(syscall((304, 265), at, wanted, os.O_RDONLY))
            return gains(by_name, *[lambda inode=inode: by_number(inode) for inode in (2, 1, 128)])
        """),
    Attack("hard links in and out", """
        def attempt():
            outside = ["/etc/hosts", "/usr/bin/env", "/var/task/lambda_function.py", "/dev/null"]
            got = gains(*[lambda path=path: os.link(path, "/mnt/data/hard") or path for path in outside])
            write("/mnt/data/own", "x")
            got += gains(lambda: os.link("/mnt/data/own", "/tmp/hard") or "own", lambda: os.link("/mnt/data/roots", "/mnt/data/roots2") or "root's")
            os.unlink("/mnt/data/own")
            return got
        """),
    Attack("what belongs to others in it", """
        def attempt():
            path = "/mnt/data/roots"
            return gains(lambda: read(path), lambda: write(path, "x"), lambda: os.chmod(path, 0o666) or "mode",
                         lambda: os.chown(path, os.getuid(), -1) or "owner", lambda: os.truncate(path, 0) or "length")
        """),
    Attack("give its files to others, and take others' names", """
        def attempt():
            write("/mnt/data/given", "#!/bin/sh")
            try:
                return gains(*[lambda uid=uid: os.chown("/mnt/data/given", uid, -1) or uid for uid in (0, 1, 1000, 33457, 65534)],
                             *[lambda gid=gid: os.chown("/mnt/data/given", -1, gid) or gid for gid in (0, 1, 1000, 33457, 65534)])
            finally:
                os.unlink("/mnt/data/given")
        """),
    Attack("devices and whom they would be", """
        def attempt():
            got = gains(*[lambda kind=kind, a=a, b=b: os.mknod("/mnt/data/node", kind | 0o666, os.makedev(a, b)) or "node"
                          for kind, a, b in ((stat.S_IFBLK, 8, 0), (stat.S_IFBLK, 254, 0), (stat.S_IFCHR, 1, 1), (stat.S_IFCHR, 1, 3))])
            return got + gains(lambda: read("/mnt/data/zero", 4) and "device")
        """),
    Attack("change its mount, or uncover what is below", """
        def attempt():
            flags = {"remount": 32, "bind": 4096, "remount bind": 32 | 4096, "move": 8192, "shared": 1 << 20}
            def attributes(mask):
                at = os.open("/mnt/data", os.O_PATH)
                return syscall(442, at, b"", 0x1000, struct.pack("QQQQ", 0, mask, 0, 0), 32) or "attributes"
            return gains(*[lambda flag=flag, target=target: check(libc.mount(b"/mnt/data", target, b"none", flag, None)) and None or flag
                           for flag in flags.values() for target in (b"/mnt/data", b"/mnt", b"/tmp")],
                         *[lambda path=path, flag=flag: check(libc.umount2(path, flag)) or path.decode()
                           for path in (b"/mnt/data", b"/mnt") for flag in (0, 1, 2, 8)],
                         lambda: syscall(428, -100, b"/mnt/data", 1) and "open_tree", lambda: attributes(2), lambda: attributes(4),
                         lambda: os.rename("/mnt/data", "/mnt/other") or "name", lambda: os.mkdir("/mnt/more") or "folder",
                         lambda: write("/mnt/file", "x"))
        """),
    Attack("raise its standing by a program in it", """
        def attempt():
            write("/mnt/data/program", "#!/bin/sh\\nid -u\\n")
            os.chmod("/mnt/data/program", 0o6755)
            try:
                told = subprocess.run(["/mnt/data/program"], capture_output=True).stdout.decode().strip()
                return told if told != str(os.getuid()) else None
            finally:
                os.unlink("/mnt/data/program")
        """),
))  # fmt: skip
def test_nothing_but_the_folder(arena: Arena, prey: dict[str, Any], attack: Attack) -> None:
    """Whatever is tried from within the folder, only the folder is reached, and only as its owner."""
    outcome = arena.attack(attack.code, prey, function="mounted")
    assert outcome.is_contained, outcome


def test_others_do_not_see_it(arena: Arena) -> None:
    """A function without the file system finds none of it."""
    outcome = arena.attack("def attempt():\n    return os.listdir('/mnt') or gains(lambda: os.listdir('/mnt/data'))")
    assert outcome.is_contained, outcome


def test_what_it_leaves_is_the_owners(arena: Arena, folder: Path) -> None:
    """Files and folders of a function belong to the folder's owner and nobody else."""
    code = "def attempt():\n    os.makedirs('/mnt/data/left/deep')\n    write('/mnt/data/left/deep/file', 'x')\n    os.mkfifo('/mnt/data/left/pipe')"
    assert arena.attack(code, function="mounted").is_contained
    owner = folder.stat()
    left = [folder / "left", folder / "left/deep", folder / "left/deep/file", folder / "left/pipe"]
    assert {(path.lstat().st_uid, path.lstat().st_gid) for path in left} == {(owner.st_uid, owner.st_gid)}
    assert owner.st_uid != 0
    for path in reversed(left):
        path.rmdir() if path.is_dir() else path.unlink()
    assert sorted(os.listdir(folder)) == ["absolute", "relative", "roots", "up", "zero"]


def test_no_other_user_gets_to_what_it_leaves(arena: Arena, folder: Path) -> None:
    """A function may open its folder to all and leave a set-user-id program there: whoever else is on the machine cannot run it."""
    mode = folder.stat().st_mode
    code = """
    def attempt():
        write("/mnt/data/trap", "#!/bin/sh\\nid -u\\n")
        os.chmod("/mnt/data/trap", 0o6777)
        os.chmod("/mnt/data", 0o777)
    """
    assert arena.attack(textwrap.dedent(code), function="mounted").is_contained
    try:
        assert (folder / "trap").stat().st_mode & stat.S_ISUID
        stranger = ["setpriv", "--reuid", "23456", "--regid", "23456", "--clear-groups", str(folder / "trap")]
        told = subprocess.run(stranger, capture_output=True, text=True, check=False, cwd="/")
        assert (told.stdout, "Permission denied" in told.stderr) == ("", True)
    finally:
        (folder / "trap").unlink()
        folder.chmod(mode & 0o7777)
