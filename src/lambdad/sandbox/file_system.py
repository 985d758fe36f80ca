"""A folder of the machine as a function's file system: who the function is in there, and how it gets ready to be mounted.

Where it can be had the function acts as the folder's owner, and as nobody else, by a mount that shows the owner's files as the
sandbox's user's. Elsewhere it is a stranger, and the folder has to be open to strangers. Either way it gets that folder alone:
no link leads to it when it is opened, and what a link in it leads to is looked for in the sandbox.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
from enum import StrEnum
from pathlib import Path

from lambdad.errors import FileSystemTrouble
from lambdad.sandbox import linux

_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_NOT_ANSWERING = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT)
_CANNOT_MAP = (errno.EPERM, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


class Standing(StrEnum):
    """What the launcher is on the machine, and so the users of its sandboxes."""

    ROOT = "root"  #: the machine's root, whose sandboxes have users of their own
    USER = "user"  #: an ordinary user, and on the machine each sandbox is that user too
    USER_WITH_OTHERS = "user with others"  #: an ordinary user, whose sandboxes have users of their own


def open_file_system(folder: str, uid: int, standing: Standing) -> int:
    """A detached mount of the folder, for the sandbox whose user is `uid`. FileSystemTrouble, with what to do about it."""
    at = _open(folder)
    try:
        try:
            status = os.fstat(at)
            tree = _open_tree(at)
        except OSError as error:
            raise _trouble(folder, error) from error
    finally:
        os.close(at)
    try:
        _let_in(tree, Path(folder), status, uid, standing)
    except BaseException:
        os.close(tree)
        raise
    return tree


def _open(folder: str) -> int:
    try:
        return linux.open_folder(folder)
    except OSError as error:
        raise _trouble(folder, error) from error


def _trouble(folder: str, error: OSError) -> FileSystemTrouble:
    if error.errno in _ABSENT:
        return FileSystemTrouble(FileSystemTrouble.MISSING, f"there is no folder {folder}")
    if error.errno in _NOT_ANSWERING:
        return FileSystemTrouble(FileSystemTrouble.MISSING, f"{folder} does not answer: {os.strerror(error.errno)}")
    if error.errno == errno.ELOOP:
        return FileSystemTrouble(FileSystemTrouble.UNSUITABLE, f"{folder} has become a symbolic link, or is reached by one")
    return FileSystemTrouble(FileSystemTrouble.UNSUITABLE, f"{folder} cannot be opened: {error.strerror}")


def _open_tree(at: int) -> int:
    folder = Path(f"/proc/self/fd/{at}")
    try:
        return linux.open_tree(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # Mounts that a user namespace has inherited cannot be left out: what they hide is hidden from it, too.
        return linux.open_tree(folder, recursive=True)


def _let_in(tree: int, folder: Path, status: os.stat_result, uid: int, standing: Standing) -> None:
    if standing is Standing.ROOT and status.st_uid and status.st_gid:
        if _show_as_own(tree, status, uid):
            _check_private(folder)
            return
        reason = "this kernel, or the folder's file system, has no id-mapped mounts"
    elif standing is Standing.ROOT:
        reason = "it belongs to root or to root's group, and no function acts as root"
    elif standing is Standing.USER and status.st_uid == 0:  # who started the launcher, and is root in there
        _check_private(folder)
        return
    elif standing is Standing.USER:
        reason = "it belongs to another user than the server's"
    else:
        reason = "without root no folder can be shown to a function as its own"
    if stat.S_IMODE(status.st_mode) & 0o007 != 0o007:
        raise FileSystemTrouble(
            FileSystemTrouble.UNSUITABLE,
            f"functions are strangers in {folder}, because {reason}; it is not open to strangers: chmod o+rwx {folder}",
        )


def _show_as_own(tree: int, status: os.stat_result, uid: int) -> bool:
    """False where that cannot be had."""
    try:
        users = _user_namespace((status.st_uid, uid), (status.st_gid, uid))
    except OSError as error:
        if error.errno in (*_CANNOT_MAP, errno.ENOSPC, errno.EUSERS):
            return False
        raise
    try:
        linux.map_owner(tree, users)
    except OSError as error:
        if error.errno in _CANNOT_MAP:
            return False
        raise
    finally:
        os.close(users)
    return True


def _check_private(folder: Path) -> None:
    """What a function leaves is its owner's: programs as well, which may have the set-user-id bit. The folder's own mode keeps
    nobody out, since who acts as the owner can change it."""
    if all(_lets_all_in(place) for place in folder.parents):
        raise FileSystemTrouble(
            FileSystemTrouble.UNSUITABLE,
            f"functions act as the owner of {folder}, and every user of this machine could run what they leave there with the "
            "owner's rights: put it into a folder that others may not enter (chmod o-x)",
        )


def _lets_all_in(folder: Path) -> bool:
    return bool(folder.stat().st_mode & 0o001)


def _user_namespace(user: tuple[int, int], group: tuple[int, int]) -> int:
    """One that maps the first id of each pair to the second. It needs a process to be made, and lasts as long as it is open."""
    ready, done = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _make_user_namespace(done)
    os.close(done)
    try:
        failed = os.read(ready, 4)
        if failed != b"\0":
            number = int.from_bytes(failed, "little") or errno.EIO
            raise OSError(number, os.strerror(number))
        for name, (inner, outer) in (("uid_map", user), ("gid_map", group)):
            Path(f"/proc/{pid}/{name}").write_text(f"{inner} {outer} 1")
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def _make_user_namespace(done: int) -> None:
    """In a child, which waits to be killed."""
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        linux.unshare(linux.CLONE_NEWUSER)
        os.write(done, b"\0")
        signal.pause()
    except OSError as error:
        os.write(done, (error.errno or errno.EIO).to_bytes(4, "little"))
    finally:
        os._exit(1)
