"""Has the machine forward packets while a server needs it, and only as far as that: the machine does not become a router.

Every server in NAT mode holds a shared lock on one file. Who finds forwarding off switches it on and notes in the file which
links there were; who is the last to leave switches it off again, unless a link has come meanwhile whose maker may rely on it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
from pathlib import Path

import msgspec

LINK_PREFIX = "lambdad"  #: how the names of our own links on the machine begin
_SWITCH = Path("/proc/sys/net/ipv4/ip_forward")
_REDIRECTS = Path("/proc/sys/net/ipv4/conf/all/accept_redirects")
_FOLDER = Path("/run/lambdad")
_SO_NETNS_COOKIE = 71


class _Note(msgspec.Struct, frozen=True):
    """In the file while forwarding is on because of a lambdad."""

    links: list[str]  #: which there were when it was off
    forwarding_links: list[str]  #: those of them that forwarded all the same, each by a setting of its own
    accepts_redirects: str  #: a setting that the kernel changes whenever forwarding is switched, in either direction


class Forwarding:
    """For a process in the network namespace of the machine."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        """OSError if forwarding cannot be had."""
        folder.mkdir(parents=True, mode=0o755, exist_ok=True)
        self._path = folder / f"forwarding-{_network_of_this_process()}"
        self._file, is_alone = _open_locked(self._path)
        try:
            if is_alone:
                self._switch_on()
                fcntl.flock(self._file, fcntl.LOCK_SH)
            note = self._read()
        except OSError:
            os.close(self._file)
            raise
        #: Links that packets did not pass through before: none should now, but for those of sandboxes.
        self.closed_links: list[str] = [] if note is None else sorted(set(note.links) - set(note.forwarding_links))
        self.is_ours = note is not None

    def give_back(self) -> None:
        if _is_alone(self._file):
            note = self._read()
            if note is not None and set(_links()) <= set(note.links):
                _switch_off(note)
            self._path.unlink()
        os.close(self._file)

    def _switch_on(self) -> None:
        if _SWITCH.read_text().strip() == "0":
            links = _links()
            forwarding = [link for link in links if _setting_of(link).read_text().strip() == "1"]
            self._write(
                _Note(links, forwarding, _REDIRECTS.read_text().strip())
            )  # first: whoever finds it on without a note leaves it on
            _SWITCH.write_text("1")

    def _read(self) -> _Note | None:
        content = os.pread(self._file, 1 << 20, 0)
        with contextlib.suppress(msgspec.DecodeError):  # empty, or left half written by a crash: then nothing is known
            return msgspec.json.decode(content, type=_Note)
        return None

    def _write(self, note: _Note) -> None:
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, msgspec.json.encode(note), 0)


def _switch_off(note: _Note) -> None:
    """As it was."""
    _SWITCH.write_text("0")
    _REDIRECTS.write_text(note.accepts_redirects)
    for link in note.forwarding_links:
        with contextlib.suppress(FileNotFoundError):  # it is gone
            _setting_of(link).write_text("1")


def _setting_of(link: str) -> Path:
    return Path("/proc/sys/net/ipv4/conf", link, "forwarding")


def _open_locked(path: Path) -> tuple[int, bool]:
    """The file with a lock of ours on it, and whether nobody else has one. Whoever was last may just have removed it."""
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        is_alone = _is_alone(file)
        if not is_alone:
            fcntl.flock(file, fcntl.LOCK_SH)
        with contextlib.suppress(FileNotFoundError):
            if os.path.sameopenfile(file, again := os.open(path, os.O_RDONLY | os.O_CLOEXEC)):
                os.close(again)
                return file, is_alone
            os.close(again)
        os.close(file)


def _network_of_this_process() -> str:
    """A name that no other network namespace gets, not even after a restart of the machine."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            cookie = int.from_bytes(any_socket.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8), sys.byteorder)
    except OSError:  # Linux before 5.14
        cookie = Path("/proc/self/ns/net").stat().st_ino
    return f"{boot}-{cookie}"


def _is_alone(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _links() -> list[str]:
    return [name for _, name in socket.if_nameindex() if name != "lo" and not name.startswith(LINK_PREFIX)]
