"""The Linux calls of the launcher that the standard library lacks: mounts as descriptors, namespaces, capabilities."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import platform
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_REC, MS_PRIVATE, MS_SLAVE, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x4000, 1 << 18, 1 << 19, 2, 4, 8
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
_MOUNT_ATTR_IDMAP = 0x0010_0000
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 36, 38
_SYS_OPEN_TREE, _SYS_MOVE_MOUNT, _SYS_OPENAT2, _SYS_MOUNT_SETATTR = 428, 429, 437, 442  # the same on x86_64 and aarch64
_RESOLVE_NO_SYMLINKS = 4
_OPEN_TREE_CLONE, _AT_RECURSIVE, _AT_EMPTY_PATH, _MOVE_MOUNT_F_EMPTY_PATH = 1, 0x8000, 0x1000, 4
_AT_FDCWD = -100
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x2008_0522
_SYS_RT_SIGACTION = {"x86_64": 13, "aarch64": 134}
_SIGNALS = range(1, 65)

_libc = ctypes.CDLL(None, use_errno=True)
if sys.platform == "linux":  # elsewhere this can be imported, and none of it be called
    _libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
    _libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    _libc.syscall.restype = ctypes.c_long


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user_namespace")]


class _HowToOpen(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("flags", "mode", "resolve")]


class _FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    arguments = [value and value.encode() for value in (source, target, kind)]
    _check(_libc.mount(*arguments, flags, options and options.encode()), f"mount {target}")


def reset_signals() -> None:
    """Every signal has its default effect again, the two also that the C library keeps for itself and refuses to touch: whoever
    started the server may have ignored any of them, and what is ignored stays so from program to program."""
    as_usual = bytes(32)  # SIG_DFL, no flags, no restorer, an empty mask
    for number in _SIGNALS:
        if number not in {signal.SIGKILL, signal.SIGSTOP}:
            _call(_SYS_RT_SIGACTION[platform.machine()], f"rt_sigaction {number}", number, as_usual, None, 8)


def unmount(target: str) -> None:
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount2 {target}")


def open_tree(path: Path, *, recursive: bool = False) -> int:
    """A detached copy of the mount at `path`, as a descriptor; it vanishes with the descriptor unless moved somewhere."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return _call(_SYS_OPEN_TREE, f"open_tree {path}", _AT_FDCWD, os.fsencode(path), flags)


def restrict_mount(tree: int, attributes: int, *, recursive: bool = False) -> None:
    """Adds `attributes` to the mount that `tree` is the root of."""
    flags = _AT_EMPTY_PATH | (_AT_RECURSIVE if recursive else 0)
    wanted = _MountAttributes(set=attributes)
    _call(_SYS_MOUNT_SETATTR, "mount_setattr", tree, b"", flags, ctypes.byref(wanted), ctypes.sizeof(wanted))


def map_owner(tree: int, users: int) -> None:
    """Shows the files of the detached mount `tree` as belonging to others: to whom `users`, a user namespace, maps the ids that
    they have on the disk. What is in no map belongs to nobody."""
    wanted = _MountAttributes(set=_MOUNT_ATTR_IDMAP, user_namespace=users)
    _call(_SYS_MOUNT_SETATTR, "mount_setattr", tree, b"", _AT_EMPTY_PATH, ctypes.byref(wanted), ctypes.sizeof(wanted))


def open_folder(path: str) -> int:
    """An O_PATH descriptor of a folder to which no symbolic link leads, neither at the end nor on the way."""
    how = _HowToOpen(flags=os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, resolve=_RESOLVE_NO_SYMLINKS)
    return _call(_SYS_OPENAT2, f"{path}", _AT_FDCWD, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))


def move_mount(tree: int, target: str) -> None:
    _call(_SYS_MOVE_MOUNT, f"move_mount {target}", tree, b"", _AT_FDCWD, target.encode(), _MOVE_MOUNT_F_EMPTY_PATH)


def open_read_only(path: Path, attributes: int = MOUNT_ATTR_NODEV, *, recursive: bool = False) -> int:
    """A detached, read-only view of `path` without set-user-id programs, as a descriptor."""
    try:
        tree = open_tree(path, recursive=recursive)
    except OSError as error:
        if recursive or error.errno != errno.EINVAL:
            raise
        # Mounts that a user namespace has inherited cannot be left out: what they hide is hidden from it, too.
        tree, recursive = open_tree(path, recursive=True), True
    try:
        restrict_mount(tree, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | attributes, recursive=recursive)
    except OSError:
        os.close(tree)
        raise
    return tree


def pivot_root(directory: str) -> None:
    """Makes `directory` the root of this mount namespace and lets go of the old one."""
    os.chdir(directory)
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", MNT_DETACH), "umount2")
    os.chdir("/")


def inside_mounts(namespace: int) -> contextlib.AbstractContextManager[None]:
    """What is done within is done to the mounts of `namespace`. For a process of one thread."""
    return _inside(namespace, CLONE_NEWNS, "mnt")


def inside_network(namespace: int) -> contextlib.AbstractContextManager[None]:
    """Sockets that are made within, and settings, are those of the network `namespace`. For a process of one thread."""
    return _inside(namespace, CLONE_NEWNET, "net")


def make_network_namespace() -> int:
    """A new network namespace, as a descriptor; it vanishes with that and with the last process in it."""
    with _returning("net", CLONE_NEWNET):
        unshare(CLONE_NEWNET)
        return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextlib.contextmanager
def _inside(namespace: int, kind: int, name: str) -> Iterator[None]:
    with _returning(name, kind):
        _check(_libc.setns(namespace, kind), "setns")
        yield


@contextlib.contextmanager
def _returning(name: str, kind: int) -> Iterator[None]:
    """Afterwards this process is again in the namespace in which it is now."""
    home = os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        try:
            _check(_libc.setns(home, kind), "setns")
        finally:
            os.close(home)


def unshare(flags: int) -> None:
    _check(_libc.unshare(flags), "unshare")


def prctl(option: int, value: int = 0, extra: int = 0) -> None:
    _check(_libc.prctl(option, value, extra, 0, 0), f"prctl {option}")


def wait_for_end(handle: int, seconds: float) -> bool:
    """Whether the process of a pidfd has ended by then. `select` cannot be asked about descriptors from 1,024 on."""
    end = select.poll()
    end.register(handle, select.POLLIN)
    return bool(end.poll(seconds * 1000))


def become(uid: int) -> None:
    """Gives up root for good: all groups, all user ids, and every capability. In a user namespace it may be `uid` already."""
    if os.geteuid() != uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    drop_capabilities()


def drop_capabilities() -> None:
    """Leaves the calling thread, and all that it starts, without any capability. It stays the user it is."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    _check(_libc.capset(header, (ctypes.c_uint32 * 6)()), "capset")


def install_filter(program: bytes) -> None:
    """Runs the BPF `program` before every system call from now on; needs no_new_privs."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = _FilterProgram(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    prctl(PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(header))


def _call(number: int, what: str, *arguments: object) -> int:
    converted = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _check(_libc.syscall(ctypes.c_long(number), *converted), what)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
