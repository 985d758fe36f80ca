"""The Linux calls that a zygote needs and Python 2.7 does not offer. Run by every Python from 2.7 on."""

import ctypes
import errno
import fcntl
import mmap
import os
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_MOVE = 1, 2, 4, 8, 32, 4096, 8192
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
SECCOMP_MODE_FILTER = 2
# These numbers are the same on x86_64 and aarch64, as are all system calls since 5.1.
SYS_PIDFD_OPEN, SYS_MOVE_MOUNT, SYS_CLOSE_RANGE = 434, 429, 436
MOVE_MOUNT_F_EMPTY_PATH = 4
AT_FDCWD = -100
MSG_CMSG_CLOEXEC = 0x40000000
SOL_SOCKET, SCM_RIGHTS = 1, 1
MAX_DESCRIPTORS = 16

RECORD_SIZE = 128 * 1024

libc = ctypes.CDLL(None, use_errno=True)
_libc_with_interpreter_lock = ctypes.PyDLL(None, use_errno=True)
#: Where records arrive: memory of which only the pages that are written to exist.
_inbox = mmap.mmap(-1, RECORD_SIZE, flags=mmap.MAP_PRIVATE)
_inbox_address = ctypes.addressof(ctypes.c_char.from_buffer(_inbox))


class _Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Message(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(_Vector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class _FilterProgram(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


libc.sendmsg.argtypes = libc.recvmsg.argtypes = [ctypes.c_int, ctypes.POINTER(_Message), ctypes.c_int]
libc.sendmsg.restype = libc.recvmsg.restype = ctypes.c_ssize_t
libc.syscall.restype = ctypes.c_long
libc.mount.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
_CAPABILITY_HEADER = struct.pack("Ii", 0x20080522, 0)
_CHILD_ENDED = struct.pack("Q", 1 << 16)  # the set of signals that holds SIGCHLD alone
SIG_BLOCK, SIG_SETMASK = 0, 2
SFD_CLOEXEC = 0x80000
for _name in ("capset", "signalfd", "sigprocmask", "setns", "sethostname", "setgroups", "setresgid", "setresuid"):
    getattr(libc, _name)
for _name in ("umount2", "unshare"):
    getattr(libc, _name)  # found now and kept, not in every sandbox anew


def _message(vector):
    message = _Message()
    message.vectors = ctypes.pointer(vector)
    message.vector_count = 1
    return message


#: Made once: whatever a zygote writes to between two forks is no longer shared with the sandboxes it has forked.
_incoming = _message(_Vector(_inbox_address, RECORD_SIZE))
_incoming_control = ctypes.create_string_buffer(16 + 4 * MAX_DESCRIPTORS)
_incoming.control = ctypes.cast(_incoming_control, ctypes.c_void_p)
_incoming_address = ctypes.byref(_incoming)


def check(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (what, os.strerror(number)))
    return result


def send(channel, data, descriptors=()):
    """One record on a SOCK_SEQPACKET socket, with copies of `descriptors`."""
    content = ctypes.create_string_buffer(data, len(data))
    vector = _Vector(ctypes.cast(content, ctypes.c_void_p), len(data))
    message = _message(vector)
    if descriptors:
        packed = struct.pack("%di" % len(descriptors), *descriptors)
        header = struct.pack("Qii", 16 + len(packed), SOL_SOCKET, SCM_RIGHTS)
        control = ctypes.create_string_buffer(header + packed + b"\0" * (-len(packed) % 8))
        message.control = ctypes.cast(control, ctypes.c_void_p)
        message.control_length = len(control) - 1  # ctypes adds a closing NUL
    check(libc.sendmsg(channel, ctypes.byref(message), 0x4000), "sendmsg")  # MSG_NOSIGNAL


def receive(channel):
    """The next record and the descriptors that came with it; (b"", []) when the other side is gone."""
    _incoming.control_length = len(_incoming_control)
    length = check(libc.recvmsg(channel, _incoming_address, MSG_CMSG_CLOEXEC), "recvmsg")
    descriptors = []
    if _incoming.control_length >= 16:
        used = struct.unpack_from("Q", _incoming_control)[0]
        descriptors = list(struct.unpack_from("%di" % ((used - 16) // 4), _incoming_control, 16))
    return ctypes.string_at(_inbox_address, length), descriptors


def fork_bare():
    """A fork that calls none of the interpreter's own functions for it, which would write to most of its memory.

    For a single-threaded process whose child does no more than wait, or fork in the ordinary way.
    """
    return check(_libc_with_interpreter_lock.fork(), "fork")


def unshare(flags):
    check(libc.unshare(flags), "unshare")


def enter_namespace(descriptor, kind):
    check(libc.setns(descriptor, kind), "setns")


def mount(source, target, kind, flags, options=None):
    check(libc.mount(source, target, kind, flags, options), "mount " + target.decode())


def unmount(target):
    check(libc.umount2(target, 2), "umount " + target.decode())  # MNT_DETACH


def move_mount(tree, target):
    """Puts the detached mount that the descriptor `tree` stands for at `target`."""
    arguments = [ctypes.c_long(tree), b"", ctypes.c_long(AT_FDCWD), target, ctypes.c_long(MOVE_MOUNT_F_EMPTY_PATH)]
    check(libc.syscall(ctypes.c_long(SYS_MOVE_MOUNT), *arguments), "move_mount " + target.decode())


def pidfd_open(pid):
    return check(libc.syscall(ctypes.c_long(SYS_PIDFD_OPEN), ctypes.c_long(pid), ctypes.c_long(0)), "pidfd_open")


def close_range(first, last):
    arguments = [ctypes.c_long(value) for value in (SYS_CLOSE_RANGE, first, last, 0)]
    check(libc.syscall(*arguments), "close_range")


def close_all_but(kept):
    """Closes every descriptor above 2 except those in `kept`."""
    start = 3
    for descriptor in sorted(kept):
        if descriptor > start:
            close_range(start, descriptor - 1)
        start = descriptor + 1
    close_range(start, 0x7FFFFFFF)


def prctl(option, value=0, extra=0):
    check(libc.prctl(option, value, extra, 0, 0), "prctl %d" % option)


def last_capability():
    with open("/proc/sys/kernel/cap_last_cap") as last:
        return int(last.read())


def drop_bounding_set(last=None):
    """No capability can be gained again by anything this process starts. What it holds now stays."""
    for capability in range((last_capability() if last is None else last) + 1):
        prctl(PR_CAPBSET_DROP, capability)


def become(uid):
    """Gives up root for good: all groups, all user ids, and every capability. In a user namespace it may be `uid` already."""
    if os.geteuid() != uid:
        _change_user(uid)
    check(libc.capset(ctypes.create_string_buffer(_CAPABILITY_HEADER), ctypes.create_string_buffer(24)), "capset")


def _change_user(uid):
    check(libc.setgroups(0, None), "setgroups")
    check(libc.setresgid(uid, uid, uid), "setresgid")
    check(libc.setresuid(uid, uid, uid), "setresuid")


def give_up(capability):
    """Of the capabilities that this process holds this one, for good: what it starts has no_new_privs. The ambient set follows."""
    header, sets = ctypes.create_string_buffer(_CAPABILITY_HEADER), ctypes.create_string_buffer(24)
    check(libc.capget(header, sets), "capget")
    kept = [word & ~(1 << capability) if place < 3 else word for place, word in enumerate(struct.unpack("6I", sets.raw))]
    check(libc.capset(header, ctypes.create_string_buffer(struct.pack("6I", *kept), 24)), "capset")


def be_known_by(uid):
    """In the machine's audit log everything inside bears the sandbox's user. Whoever left this open could claim to be root."""
    try:
        with open("/proc/self/loginuid", "w") as file:
            file.write(str(uid))
    except EnvironmentError:  # no audit in this kernel, or it was set for good when somebody logged in
        return


def enter_user_namespace(uid, outer, others):
    """Into a user namespace of its own, with every capability in it and in the `others` that come with it.

    Its one user is called `uid` in it, and `outer` where this process comes from: 0, or a user that 0 may become.
    """
    if outer != 0:
        _change_user(outer)
        prctl(PR_SET_DUMPABLE, 1)  # or its own files in /proc would belong to somebody else
    unshare(CLONE_NEWUSER | others)
    for name, line in (("setgroups", "deny"), ("uid_map", "%d %d 1" % (uid, outer)), ("gid_map", "%d %d 1" % (uid, outer))):
        with open("/proc/self/" + name, "w") as file:
            file.write(line)


def install_filter(program):
    """`program` is an array of BPF instructions of 8 bytes each; needs no_new_privs."""
    buffer = ctypes.create_string_buffer(program, len(program))
    header = _FilterProgram(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(header))


def watch_children():
    """A descriptor that has something to read whenever a child has ended. Signal handlers would not do: an interpreter that
    was not told of its fork leaves signals to the process that it thinks it is."""
    signals = _signal_set(_CHILD_ENDED)
    check(libc.sigprocmask(SIG_BLOCK, signals, None), "sigprocmask")
    return check(libc.signalfd(-1, signals, SFD_CLOEXEC), "signalfd")


def unblock_signals():
    check(libc.sigprocmask(SIG_SETMASK, _signal_set(b""), None), "sigprocmask")


def _signal_set(content):
    return ctypes.create_string_buffer(content, 128)


def offer_first():
    """When memory is short the kernel had better kill this process: before the init, who tells of it, and before the machine's.

    It may take that back, and be like any other process; it can never be better off. Sparing the init instead would be
    inherited by all that it starts.
    """
    score = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    try:
        os.write(score, b"500")
    except OSError as error:
        if error.errno != errno.EACCES:  # it is higher than that for all that a user without root starts
            raise
    finally:
        os.close(score)


def set_hostname(name):
    check(libc.sethostname(name, len(name)), "sethostname")


def configure_loopback(descriptor, address):
    """Brings `lo` up, which gives it 127.0.0.1, and adds a second `address` (four bytes)."""
    request = struct.pack("16sH22x", b"lo", 0)
    flags = struct.unpack_from("H", fcntl.ioctl(descriptor, 0x8913, request), 16)[0]  # SIOCGIFFLAGS
    fcntl.ioctl(descriptor, 0x8914, struct.pack("16sH22x", b"lo", flags | 1))  # SIOCSIFFLAGS, IFF_UP
    for code, value in ((0x8916, address), (0x891C, b"\xff\xff\xff\xff")):  # SIOCSIFADDR, SIOCSIFNETMASK
        fcntl.ioctl(descriptor, code, struct.pack("16sHH4s16x", b"lo:1", 2, 0, value))
