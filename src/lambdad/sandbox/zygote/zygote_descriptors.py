"""What a clone has open: each descriptor that the function's init left, or why a clone cannot have it.

A part of `zygote_snapshot`. For x86_64 and Python from 3.8 on.
"""

import os
import re
import socket
import stat
import struct

OPEN, CLOSE, LSEEK, SOCKETPAIR, DUP3 = 2, 3, 8, 53, 292  # system calls of x86_64
# Where our descriptors wait in a clone for their final number: above all that a function can have.
SHELL, LOG, CONNECTION, DEAD, ABOVE = 1100, 1101, 1102, 1103, 1104
_ONLY_WHEN_OPENED = os.O_CREAT | os.O_EXCL | os.O_TRUNC


class CannotSnapshot(Exception):
    """Why this function cannot be cloned, for its owner to read."""


def describe(pid, log, connection):
    """What a process has open, in the order of the numbers. `log` and `connection` are inodes. CannotSnapshot."""
    numbers = sorted(int(name) for name in os.listdir("/proc/%d/fd" % pid))
    return [_describe(pid, number, log, connection) for number in numbers]


def make_lost_connection(puppet, scratch):
    """At DEAD: who reads from it finds the end of the stream, as after a connection was lost. Made inside, since a socket
    shows the network that it was made in."""
    puppet.call(SOCKETPAIR, socket.AF_UNIX, socket.SOCK_STREAM, 0, scratch)
    first, second = struct.unpack("2i", puppet.read(scratch, 8))
    puppet.call(DUP3, first, DEAD, 0)
    puppet.call(CLOSE, first)
    puppet.call(CLOSE, second)


class Given(object):
    """A descriptor that every clone gets from us: the log, the connection, or a connection that is lost."""

    def __init__(self, number, source, flags):
        self._number, self._source, self._flags = number, source, flags & os.O_CLOEXEC
        self.is_lost = source == DEAD

    def open(self, puppet, scratch):
        puppet.call(DUP3, self._source, self._number, self._flags)


class File(object):
    """A file that every clone opens for itself, as its own user, and reads on in where the template was."""

    is_lost = False

    def __init__(self, number, path, flags, position):
        self._number, self._path, self._flags, self._position = number, path, flags & ~_ONLY_WHEN_OPENED, position

    def open(self, puppet, scratch):
        puppet.write(scratch, os.fsencode(self._path) + b"\0")
        try:
            opened = puppet.call(OPEN, scratch, self._flags, 0)
        except OSError as error:
            raise OSError(error.errno, "%s: %s" % (self._path, os.strerror(error.errno)))
        if self._position:
            puppet.call(LSEEK, opened, self._position, os.SEEK_SET)
        if opened != self._number:
            puppet.call(DUP3, opened, self._number, self._flags & os.O_CLOEXEC)
            puppet.call(CLOSE, opened)


def _describe(pid, number, log, connection):
    path = "/proc/%d/fd/%d" % (pid, number)
    link = os.readlink(path)
    with open("/proc/%d/fdinfo/%d" % (pid, number)) as file:
        facts = file.read()
    flags = int(re.search(r"^flags:\s*(\d+)", facts, re.M).group(1), 8)
    if link == "pipe:[%d]" % log:
        return Given(number, LOG, flags)
    if link == "socket:[%d]" % connection:
        return Given(number, CONNECTION, flags)
    if link.startswith("socket:"):
        return Given(number, DEAD, flags)
    kind = os.stat(path)
    is_device = stat.S_ISCHR(kind.st_mode) and link.startswith("/dev/")
    if is_device or ((stat.S_ISREG(kind.st_mode) or stat.S_ISDIR(kind.st_mode)) and kind.st_nlink and link.startswith("/")):
        return File(number, link, flags, int(re.search(r"^pos:\s*(\d+)", facts, re.M).group(1)))
    raise CannotSnapshot("the function's init left open what a clone cannot have: descriptor %d, %s" % (number, link))
