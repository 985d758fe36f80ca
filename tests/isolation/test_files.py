"""Attacks on files: the machine's, the kernel's in /proc and /sys, devices, and the read-only trees that functions share."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.arena import Arena, Attack, contents, rows

pytestmark = pytest.mark.root

CANARY = "canary-" + uuid.uuid4().hex


@pytest.fixture(scope="module", autouse=True)
def canary(arena: Arena) -> Iterator[Path]:
    """A file of the machine that every user may read, in folders that every user may enter."""
    path = arena.server.folder / "canary"
    path.write_text(CANARY)
    path.chmod(0o644)
    closed = [(folder, folder.stat().st_mode) for folder in path.parents if not folder.stat().st_mode & 0o001]
    for folder, mode in closed:
        folder.chmod(mode | 0o001)
    yield path
    for folder, mode in closed:
        folder.chmod(mode & 0o7777)
    assert path.read_text() == CANARY


def where(arena: Arena) -> dict[str, str]:
    """Paths of the machine that an attacker might know."""
    return {
        "canary": str(arena.server.folder / "canary"),
        "data": str(arena.server.data_dir),
        "tests": str(Path(__file__).parent),
        "text": CANARY,
        "server": str(arena.server.process.pid),
    }


@pytest.mark.parametrize("attack", rows(
    Attack("read a file by its path on the machine", """
        def attempt():
            return gains(lambda: read(given["canary"]), lambda: os.listdir(given["data"]), lambda: os.listdir(given["tests"]))
        """, given=where),
    Attack("read the machine's own files", """
        def attempt():
            folders = ["/root", "/home", "/boot", "/var/log", "/var/lib", "/srv", "/mnt", "/media", "/lost+found", "/etc/cron.d"]
            files = ["/etc/shadow", "/etc/sudoers", "/etc/ssh/sshd_config", "/etc/fstab", "/etc/machine-id", "/var/run/docker.sock"]
            return gains(*[lambda path=path: os.listdir(path) or None for path in folders],
                         *[lambda path=path: read(path) or None for path in files])
        """),
    Attack("climb out with dots", """
        def attempt():
            up = "/".join([".."] * 40)
            starts = ["/var/task", "/tmp", "/proc/self/cwd", "/proc/self/root", "/proc/1/root", "/proc/1/cwd", "/var/runtime", "/usr/bin"]
            return gains(*[lambda start=start: read(start + "/" + up + given["canary"]) for start in starts])
        """, given=where),
    Attack("climb out from an open folder", """
        def climb(start):
            at = os.open(start, os.O_RDONLY)
            for _ in range(40):
                at = os.open("..", os.O_RDONLY, dir_fd=at)
            return os.read(os.open(given["canary"].lstrip("/"), os.O_RDONLY, dir_fd=at), 100).decode()
        def attempt():
            return gains(*[lambda start=start: climb(start) for start in ("/", "/tmp", "/var/task", "/var/lang", "/proc/self")])
        """, given=where),
    Attack("openat2 without its resolve flags", """
        def attempt():
            how = struct.pack("QQQ", os.O_RDONLY, 0, 0)
            at = os.open("/", os.O_PATH)
            found = syscall(437, at, ("../" * 40 + given["canary"].lstrip("/")).encode(), ctypes.c_char_p(how), 24)
            return os.read(found, 100).decode()
        """, given=where),
    Attack("a chroot of its own and out of it", """
        def attempt():
            os.makedirs("/tmp/jail", exist_ok=True)
            at = os.open("/", os.O_RDONLY)
            check(libc.chroot(b"/tmp/jail"))
            os.fchdir(at)
            for _ in range(40):
                os.chdir("..")
            check(libc.chroot(b"."))
            return read(given["canary"])
        """, given=where),
    Attack("links in tmp to files outside", """
        def attempt():
            got = []
            for number, target in enumerate([given["canary"], "/proc/1/root" + given["canary"], "../../../.." + given["canary"]]):
                os.symlink(target, "/tmp/link%d" % number)
                got += gains(lambda: read("/tmp/link%d" % number), lambda: write("/tmp/link%d" % number, "overwritten"))
                os.unlink("/tmp/link%d" % number)
            return got
        """, given=where),
    Attack("hard links to what is not its own", """
        def attempt():
            sources = ["/etc/hosts", "/usr/bin/env", "/var/task/lambda_function.py", "/proc/self/exe", "/dev/null"]
            return gains(*[lambda source=source: (os.link(source, "/tmp/hard"), os.unlink("/tmp/hard"), source)[-1] for source in sources])
        """),
    Attack("files by their number, past the mounts", """
        def attempt():
            handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
            mount = ctypes.c_int()
            def by_name():
                syscall((303, 264), -100, b"/usr", handle, ctypes.byref(mount), 0)
                return "a handle"
            def by_number(inode):
                wanted = ctypes.create_string_buffer(struct.pack("Ii", 8, 1) + struct.pack("II", inode, 0))
                at = os.open("/usr", os.O_RDONLY)
                return os.listdir(syscall((304, 265), at, wanted, os.O_RDONLY))
            return gains(by_name, lambda: by_number(2), lambda: by_number(1))
        """),
    Attack("write to what it shares with others", """
        def attempt():
            places = ["/", "/usr", "/usr/bin", "/etc", "/bin", "/lib", "/dev", "/run", "/opt", "/var", "/var/task", "/var/runtime",
                      "/var/lang", "/var/lang/lib", "/proc", "/var/lambdad"]
            return gains(*[lambda place=place: write(place + "/planted", "x") for place in places],
                         *[lambda path=path: write(path, "x") for path in glob.glob("/var/runtime/*") + glob.glob("/etc/*")
                           + ["/var/task/lambda_function.py", "/usr/bin/env", sys.executable] if os.path.isfile(path)])
        """, contents("/etc/passwd", "/etc/hosts", "/etc/ld.so.cache")),
    Attack("change modes, owners, times and attributes of what it shares", """
        def attempt():
            path = "/var/runtime/bootstrap.py"
            def attribute():
                os.setxattr(path, "user.x", b"y")
                return "xattr"
            return gains(lambda: os.chmod(path, 0o777) or "mode", lambda: os.chown(path, os.getuid(), -1) or "owner",
                         lambda: os.utime(path) or "time", attribute, lambda: os.truncate(path, 0) or "length",
                         lambda: os.rename("/var/runtime", "/var/gone") or "name", lambda: os.unlink(path) or "life")
        """),
    Attack("overwrite the interpreter by way of its process", """
        def attempt():
            return gains(lambda: write("/proc/self/exe", "x"), lambda: write("/proc/self/map_files/x", "x"),
                         lambda: os.open("/proc/self/exe", os.O_WRONLY | os.O_TRUNC) and "open")
        """),
    Attack("remount what is read-only", """
        def attempt():
            flags = {"remount": 32, "bind": 4096, "remount bind": 32 | 4096, "move": 8192, "shared": 1 << 20}
            return gains(*[lambda flag=flag, target=target: check(libc.mount(b"/tmp", target, b"none", flag, None)) and None or flag
                           for flag in flags.values() for target in (b"/", b"/usr", b"/var/task", b"/proc", b"/tmp")])
        """),
    Attack("uncover what is mounted over", """
        def attempt():
            return gains(*[lambda path=path, flag=flag: check(libc.umount2(path, flag)) or path.decode()
                           for path in (b"/proc", b"/proc/keys", b"/proc/cmdline", b"/tmp", b"/var/task", b"/run", b"/dev", b"/") for flag in (0, 1, 2)])
        """),
    Attack("mount file systems of every kind", """
        def attempt():
            os.makedirs("/tmp/mount", exist_ok=True)
            kinds = ["proc", "sysfs", "tmpfs", "devtmpfs", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "bpf", "overlay",
                     "fuse", "mqueue", "binfmt_misc", "configfs", "ext4", "hugetlbfs", "devpts", "efivarfs"]
            def by_descriptor(kind):
                return syscall(430, kind.encode(), 0) and kind
            return gains(*[lambda kind=kind: check(libc.mount(b"none", b"/tmp/mount", kind.encode(), 0, None)) or kind for kind in kinds],
                         *[lambda kind=kind: by_descriptor(kind) for kind in kinds],
                         lambda: syscall(428, -100, b"/", 1) and "open_tree", lambda: syscall(442, -100, b"/", 0, b"\\0" * 32, 32) or "mount_setattr")
        """),
))  # fmt: skip
def test_the_machines_files(arena: Arena, attack: Attack) -> None:
    """No file outside the sandbox is read, written, linked or mounted, by whatever way."""
    attack.run(arena)


KERNEL_SWITCHES = (
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/sysrq",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/dmesg_restrict",
    "/proc/sys/kernel/kptr_restrict",
    "/proc/sys/kernel/poweroff_cmd",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/kernel/unprivileged_bpf_disabled",
    "/proc/sys/kernel/pid_max",
    "/proc/sys/kernel/threads-max",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/drop_caches",
    "/proc/sys/vm/mmap_min_addr",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/fs/file-max",
    "/proc/sys/fs/suid_dumpable",
    "/proc/sys/fs/protected_hardlinks",
    "/proc/sys/fs/binfmt_misc/register",
    "/proc/sys/fs/binfmt_misc/status",
    "/proc/sys/user/max_user_namespaces",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/power/state",
    "/sys/fs/cgroup/memory/release_agent",
    "/sys/fs/cgroup/release_agent",
    "/sys/fs/cgroup/cgroup.procs",
    "/sys/devices/system/cpu/cpu1/online",
)
_READABLE = [path for path in KERNEL_SWITCHES if os.path.exists(path) and os.stat(path).st_mode & 0o444]


def switches(arena: Arena) -> dict[str, list[str]]:
    return {
        "paths": list(KERNEL_SWITCHES),
        "old": ["/proc/sysrq-trigger", "/proc/acpi/wakeup", "/proc/mtrr", "/proc/irq/default_smp_affinity"],
    }


@pytest.mark.parametrize("attack", rows(
    Attack("write to every switch of the kernel", """
        def attempt():
            return gains(*[lambda path=path: write(path, "|/tmp/evil") for path in given["paths"]],
                         *[lambda path=path: write(path, "1") for path in given["paths"]])
        """, contents(*[path for path in _READABLE if "cgroup.procs" not in path]), switches),
    Attack("write below proc sys wherever it lets", """
        def attempt():
            own = "/proc/sys/kernel/pid_max"  # the sandbox's own from Linux 6.14 on, see below
            writable = [os.path.join(folder, name) for folder, _, names in os.walk("/proc/sys") for name in names]
            writable = [path for path in writable if path != own]
            def put_back(path):
                write(path, read(path))
                return path
            return gains(*[lambda path=path: put_back(path) for path in writable])
        """),
    Attack("leave the machine few numbers for processes", """
        def attempt():
            write("/proc/sys/kernel/pid_max", "2000")
        """, contents("/proc/sys/kernel/pid_max")),
    Attack("pull the machine's triggers", """
        def attempt():
            return gains(*[lambda path=path: write(path, "h") for path in given["old"]])
        """, given=switches),
    Attack("anything in sys", """
        def attempt():
            return os.listdir("/sys") or None
        """),
    Attack("read the kernel's memory and messages", """
        def attempt():
            paths = ["/proc/kcore", "/proc/kmsg", "/proc/kpageflags", "/proc/kpagecount", "/proc/slabinfo", "/proc/vmallocinfo",
                     "/dev/mem", "/dev/kmem", "/dev/port", "/dev/kmsg", "/proc/iomem", "/proc/timer_list", "/proc/sched_debug"]
            return gains(*[lambda path=path: read(path, 64).strip("\\0") or None for path in paths],
                         lambda: syscall((103, 116), 3, ctypes.create_string_buffer(4096), 4096) and "syslog")
        """),
    Attack("learn where the kernel is", """
        def attempt():
            symbols = read("/proc/kallsyms", 200000).splitlines()
            return [line for line in symbols if line.split()[0].strip("0")][:3]
        """),
    Attack("raise its own standing through proc", """
        def attempt():
            given = {"oom_score_adj": "-1000", "oom_adj": "-17", "uid_map": "0 0 4294967295", "gid_map": "0 0 4294967295",
                     "setgroups": "allow", "loginuid": "0", "attr/exec": "unconfined", "attr/current": "unconfined"}
            return gains(*[lambda name=name, text=text: write("/proc/self/" + name, text) for name, text in given.items()])
        """, on_gvisor="it takes the number and does nothing by it"),
))  # fmt: skip
def test_the_kernels_files(arena: Arena, attack: Attack) -> None:
    """Nothing in /proc or /sys that concerns the machine can be written, and what tells of its inside cannot be read."""
    attack.run(arena)


def disks(arena: Arena) -> dict[str, list[list[int]]]:
    """Device numbers of what the machine has."""
    found = [[os.major(stat.st_rdev), os.minor(stat.st_rdev)] for stat in map(os.stat, _nodes()) if stat.st_rdev]
    return {"block": found[:8]}


def _nodes() -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return [f"/dev/{name}" for name in os.listdir("/sys/block") if os.path.exists(f"/dev/{name}")]
    return []


@pytest.mark.parametrize("attack", rows(
    Attack("make nodes of the machine's disks and memory", """
        def node(kind, major, minor, place):
            path = place + "/node"
            os.mknod(path, kind | 0o600, os.makedev(major, minor))
            try:
                return read(path, 16)
            finally:
                os.unlink(path)
        def attempt():
            character = [(1, 1), (1, 2), (1, 4), (1, 11), (10, 200), (10, 229), (10, 232), (5, 1), (4, 0)]
            places = ["/tmp", "/dev", "/run"]
            return gains(*[lambda a=a, b=b, place=place: node(stat.S_IFBLK, a, b, place) for a, b in given["block"] for place in places],
                         *[lambda a=a, b=b, place=place: node(stat.S_IFCHR, a, b, place) for a, b in character for place in places])
        """, given=disks),
    Attack("open devices that should not be there", """
        def attempt():
            names = ["sda", "vda", "xvda", "nvme0n1", "loop-control", "loop0", "fuse", "kvm", "net/tun", "vhost-net", "vsock", "mapper/control",
                     "ptmx", "pts/ptmx", "console", "tty", "tty0", "ttyS0", "hpet", "rtc", "rfkill", "uinput", "dri/card0", "snd/control",
                     "userfaultfd", "shm", "mqueue", "hugepages", "core", "initctl"]
            known = {"null", "zero", "full", "random", "urandom", "fd", "stdin", "stdout", "stderr"}
            if os.path.islink("/dev/core"):  # crun makes one, to the covered /proc/kcore; to open it is tried as well
                known.add("core")
            return gains(*[lambda name=name: os.open("/dev/" + name, os.O_RDWR | os.O_NONBLOCK) and name for name in names],
                         lambda: sorted(set(os.listdir("/dev")) - known - {"tty", "ptmx", "pts", "shm", "mqueue", "console"}) or None)
        """, on_gvisor="they are devices of its own kernel"),
    Attack("put words into a terminal's input", """
        def attempt():
            return gains(*[lambda fd=fd, call=call: fcntl.ioctl(fd, call, b"x") and "typed" for fd in (0, 1, 2) for call in (0x5412, 0x541C)])
        """),
))  # fmt: skip
def test_devices(arena: Arena, attack: Attack) -> None:
    """There are no devices but the harmless ones, and no way to make more."""
    attack.run(arena)


@pytest.mark.parametrize("attack", rows(
    Attack("names that are hard to read", """
        def attempt():
            for name in ("line\\nbreak", "-rf", "a" * 255, "\\xff\\udcff", " ", "*", "$(id)", "\\x1b[2J", "..."):
                folder = os.path.join("/tmp/names", name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape"))
                os.makedirs(folder, exist_ok=True)
                write(folder + "/file", "x")
        """),
    Attack("folders in folders beyond the longest path", """
        def attempt():
            at = os.open("/tmp", os.O_RDONLY)
            for _ in range(3000):
                os.mkdir("d" * 100, dir_fd=at)
                deeper = os.open("d" * 100, os.O_RDONLY, dir_fd=at)
                os.close(at)
                at = deeper
            os.close(at)
        """),
    Attack("a file of holes larger than the disk", """
        def attempt():
            with open("/tmp/holes", "wb") as file:
                file.truncate(1 << 42)
                file.seek((1 << 42) - 1)
                file.write(b"x")
            os.unlink("/tmp/holes")
        """),
    Attack("links in circles", """
        def attempt():
            os.symlink("/tmp/two", "/tmp/one")
            os.symlink("/tmp/one", "/tmp/two")
            os.symlink(".", "/tmp/self")
            return gains(lambda: read("/tmp/one"))
        """),
    Attack("modes that lock everybody out", """
        def attempt():
            os.makedirs("/tmp/locked/inner", exist_ok=True)
            os.chmod("/tmp/locked", 0)
        """),
))  # fmt: skip
def test_strange_things_in_tmp(arena: Arena, attack: Attack) -> None:
    """What is made in /tmp troubles neither the neighbour nor the clearing away: a function that made it leaves nothing."""
    arena.add("litter", Timeout=60, MemorySize=512)
    outcome = arena.attack(attack.code, function="litter")
    assert outcome.is_contained and outcome.error_type is None, outcome
    arena.remove("litter")
    arena.check_nothing_is_left()
