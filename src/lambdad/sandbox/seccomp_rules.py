"""What code inside a sandbox may not ask of the kernel, and why. Data only; `seccomp.py` makes a filter of it.

A list of what is denied, not of what is allowed: functions bring any library, and what a kernel denies to a process without
capabilities is no threat. Listed is what such a process could still use to widen its view, to reach code of the kernel that
was often broken before, or to speak to something outside. System calls newer than this list are denied as unknown.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

#: The newest system call that was looked at for this list (Linux 6.17). Anything above answers ENOSYS.
LAST_REVIEWED = 469

NAMESPACE_FLAGS = 0x7E02_0000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET


@dataclass(frozen=True, slots=True)
class Rule:
    calls: tuple[str, ...]
    reason: str
    error: int = errno.EPERM


@dataclass(frozen=True, slots=True)
class MaskRule:
    """Denied when any bit of `mask` is set in the argument; with `first` only where that is the first argument."""

    call: str
    argument: int
    mask: int
    reason: str
    error: int = errno.EPERM
    first: int | None = None


@dataclass(frozen=True, slots=True)
class ValueRule:
    """Denied unless (or, with `is_denied`, only if) the argument is one of `values`."""

    call: str
    argument: int
    values: tuple[int, ...]
    reason: str
    error: int = errno.EPERM
    is_denied: bool = False


@dataclass(frozen=True, slots=True)
class PairRule:
    """Where the first argument is `first`, the argument `argument` must be `value`."""

    call: str
    first: int
    argument: int
    value: int
    reason: str
    error: int = errno.EPERM


@dataclass(frozen=True, slots=True)
class PointerRule:
    """Where the argument `argument` is `value`, the argument `pointer`, of 64 bits, must be null."""

    call: str
    argument: int
    value: int
    pointer: int
    reason: str
    error: int = errno.EPERM


AnyRule = Rule | MaskRule | ValueRule | PairRule | PointerRule

_CORE_LIMIT = 4  # RLIMIT_CORE
_CORE_REASON = "the limit of 1 byte keeps crashes from starting the machine's core_pattern program as root; no other limit does"

RULES: tuple[AnyRule, ...] = (
    MaskRule("clone", 0, NAMESPACE_FLAGS, "a new user namespace gives its maker every capability inside it"),
    Rule(("clone3",), "its flags lie in memory where a filter cannot see them; libc falls back to clone", errno.ENOSYS),
    Rule(("unshare", "setns"), "no new namespaces, no entering of others"),
    Rule(("mount", "umount2", "pivot_root", "chroot"), "the view of the file system is the sandbox's"),
    Rule(("open_tree", "open_tree_attr", "move_mount", "mount_setattr"), "as mount, by descriptor"),
    Rule(("fsopen", "fsconfig", "fsmount", "fspick"), "as mount; parsing of file system options was broken before"),
    Rule(("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise"), "no reaching into other processes"),
    Rule(("kcmp", "pidfd_getfd"), "no comparing or taking of other processes' descriptors"),
    Rule(("bpf",), "no programs in the kernel"),
    Rule(("perf_event_open",), "large, often broken, and tells of other processes"),
    Rule(("keyctl", "add_key", "request_key"), "key rings are not kept apart by namespaces"),
    Rule(
        ("io_uring_setup", "io_uring_enter", "io_uring_register"), "passes by this filter, and was often broken", errno.ENOSYS
    ),
    Rule(("userfaultfd",), "lets a process stop the kernel in the middle of a copy"),
    Rule(("kexec_load", "kexec_file_load", "reboot"), "the machine is not the function's"),
    Rule(("init_module", "finit_module", "delete_module", "create_module", "query_module"), "no kernel modules"),
    Rule(("swapon", "swapoff", "acct", "quotactl", "quotactl_fd", "nfsservctl"), "administration of the machine"),
    Rule(("settimeofday", "clock_settime", "clock_adjtime", "adjtimex"), "the clock is everybody's"),
    Rule(("iopl", "ioperm"), "no direct access to devices"),
    Rule(("modify_ldt", "uselib", "_sysctl", "sysfs", "ustat"), "obsolete, and reaches rarely tested code"),
    Rule(("open_by_handle_at", "name_to_handle_at"), "opens files by number, past the mounts"),
    Rule(("sethostname", "setdomainname", "vhangup", "syslog"), "not the function's to change or to read"),
    Rule(("lookup_dcookie", "fanotify_init"), "tells of files outside the sandbox"),
    Rule(("move_pages", "migrate_pages"), "moves other processes' memory"),
    ValueRule("personality", 0, (0x0000_0000, 0x0002_0000, 0xFFFF_FFFF), "other personalities switch protections off"),
    ValueRule("prlimit64", 0, (1,), "process 1 of the sandbox has the same user, and needs its limits", is_denied=True),
    ValueRule("setrlimit", 0, (_CORE_LIMIT,), _CORE_REASON, errno.EINVAL, is_denied=True),
    PointerRule("prlimit64", 1, _CORE_LIMIT, 2, _CORE_REASON, errno.EINVAL),
    ValueRule("ioctl", 1, (0x5412, 0x541C), "TIOCSTI and TIOCLINUX put words into a terminal's input", is_denied=True),
    ValueRule(
        "socket",
        0,
        (1, 2, 10, 16),  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK
        "all else (AF_ALG, AF_PACKET, AF_VSOCK, ...) is rarely tested code or leads out of the network namespace",
        errno.EAFNOSUPPORT,
    ),
    ValueRule(
        "socketpair", 0, (1,), "no other family has pairs, but the kernel would load and enter its code", errno.EAFNOSUPPORT
    ),
    ValueRule(
        "socket",
        2,
        (0, 1, 6, 17, 58),  # the family's own, ICMP (ping), TCP, UDP, ICMPv6
        "all else (SCTP, DCCP, L2TP, SMC, MPTCP, ...) is rarely tested code, loaded at the first use",
        errno.EPROTONOSUPPORT,
    ),
    *(
        MaskRule(
            "socket",
            1,
            0xC,
            "SOCK_SEQPACKET and above are SCTP where it is loaded already",
            errno.ESOCKTNOSUPPORT,
            first=family,
        )
        for family in (2, 10)
    ),
    PairRule("socket", 16, 2, 0, "of netlink only NETLINK_ROUTE, which getifaddrs asks", errno.EPROTONOSUPPORT),
)

#: Number of each call that a rule names: (x86_64, aarch64); None where the architecture does not have it.
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    "_sysctl": (156, None),
    "acct": (163, 89),
    "add_key": (248, 217),
    "adjtimex": (159, 171),
    "bpf": (321, 280),
    "chroot": (161, 51),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "clone": (56, 220),
    "clone3": (435, 435),
    "create_module": (174, None),
    "delete_module": (176, 106),
    "fanotify_init": (300, 262),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "ioctl": (16, 29),
    "ioperm": (173, None),
    "iopl": (172, None),
    "kcmp": (312, 272),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "lookup_dcookie": (212, 18),
    "migrate_pages": (256, 238),
    "modify_ldt": (154, None),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "move_pages": (279, 239),
    "name_to_handle_at": (303, 264),
    "nfsservctl": (180, 42),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pivot_root": (155, 41),
    "prlimit64": (302, 261),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "query_module": (178, None),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "request_key": (249, 218),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "setns": (308, 268),
    "setrlimit": (160, 164),
    "settimeofday": (164, 170),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "sysfs": (139, None),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "uselib": (134, None),
    "userfaultfd": (323, 282),
    "ustat": (136, None),
    "vhangup": (153, 58),
}
