"""Attacks on the kernel itself: calls that widen a sandbox or reach code that was often broken, and sockets that lead into it."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from support.arena import Arena, Attack, contents, rows
from support.processes import children

pytestmark = pytest.mark.root


def namespaces(arena: Arena) -> dict[str, str]:
    """A witness: which namespaces the server, the launcher and the zygote are in, and which mounts they see."""
    pids = [arena.server.process.pid, arena.launcher()]
    kinds = ("mnt", "net", "pid", "ipc", "uts", "user", "cgroup")
    return {f"{pid}/{kind}": os.readlink(f"/proc/{pid}/ns/{kind}") for pid in pids for kind in kinds}


def clock(arena: Arena) -> int:
    """A witness: what the machine's clock is ahead of the time since its start, in steps of ten seconds."""
    return round((time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)) / 10)


def machine(arena: Arena) -> tuple[str, str, int]:
    """A witness: the machine's name, its swap, and when it was started."""
    return (
        socket.gethostname(),
        Path("/proc/swaps").read_text(),
        round(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)) // 60,
    )


@pytest.mark.parametrize("attack", rows(
    Attack("new namespaces", """
        def attempt():
            kinds = {"user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "network": 0x40000000, "ipc": 0x8000000,
                     "uts": 0x4000000, "cgroup": 0x2000000, "time": 0x80}
            def rights():
                status = dict(line.split(":", 1) for line in read("/proc/self/status").splitlines() if ":" in line)
                return int(status["CapEff"], 16)
            def by_unshare(kind):
                # In a process of its own, since what it gains is kept. A gain is what it could do then, not that it was let.
                pid = os.fork()
                if pid == 0:
                    code = 1
                    try:
                        check(libc.unshare(kind))
                        code = 2 if rights() and libc.mount(b"none", b"/tmp", b"sysfs", 0, None) == 0 and os.path.exists("/tmp/kernel") else 1
                    finally:
                        os._exit(code)
                return os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 2 and "unshare"
            def by_clone(kind):
                pid = syscall((56, 220), (kind & ~0xFF) | 17, 0, 0, 0, 0)
                if pid == 0:
                    os._exit(2 if rights() else 1)
                return os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 2 and "clone"
            def by_clone3(kind):
                pid = syscall(435, struct.pack("11Q", kind, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0), 88)
                if pid == 0:
                    os._exit(2 if rights() else 1)
                return os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 2 and "clone3"
            return gains(*[lambda kind=kind, way=way: way(kind) for kind in list(kinds.values()) + [0x10020000]
                           for way in (by_unshare, by_clone, by_clone3)])
        """, namespaces),
    Attack("enter other namespaces", """
        def attempt():
            files = glob.glob("/proc/1/ns/*") + glob.glob("/proc/%d/ns/*" % os.getppid())
            return gains(*[lambda path=path: check(libc.setns(os.open(path, os.O_RDONLY), 0)) or path for path in files],
                         lambda: check(libc.setns(syscall(434, 1, 0), 0x20000 | 0x40000000)) or "by process")
        """, namespaces),
    Attack("another root", """
        def attempt():
            os.makedirs("/tmp/root/old", exist_ok=True)
            return gains(lambda: syscall((155, 41), b"/tmp/root", b"/tmp/root/old") == 0 and "pivot_root", lambda: check(libc.chroot(b"/tmp/root")) or "chroot")
        """, namespaces),
    Attack("programs in the kernel", """
        def attempt():
            attribute = ctypes.create_string_buffer(128)
            perf = ctypes.create_string_buffer(struct.pack("II", 1, 112) + bytes(104))
            return gains(*[lambda command=command: syscall((321, 280), command, attribute, 128) >= 0 and "bpf %d" % command for command in range(20)],
                         lambda: syscall((298, 241), perf, 0, -1, -1, 0) >= 0 and "perf", lambda: syscall((298, 241), perf, -1, 0, -1, 0) >= 0 and "perf of a processor")
        """, contents("/proc/sys/kernel/unprivileged_bpf_disabled")),
    Attack("io_uring", """
        def attempt():
            return gains(lambda: syscall(425, 8, ctypes.create_string_buffer(120)) >= 0 and "set up", lambda: syscall(427, 0, 0, 0, 0) >= 0 and "registered")
        """),
    Attack("stop the kernel in a copy", """
        def attempt():
            return gains(lambda: syscall((323, 282), 0) >= 0 and "userfaultfd", lambda: syscall((323, 282), 1) >= 0 and "userfaultfd for itself",
                         lambda: syscall((300, 262), 0, 0) >= 0 and "fanotify")
        """),
    Attack("key rings of others", """
        def attempt():
            def search():
                found = syscall((250, 219), 6, -4, ctypes.create_string_buffer(4096), 4096)  # describe the session's
                return found > 0 and "described"
            return gains(search, lambda: syscall((248, 217), b"user", b"planted", b"x", 1, -4) > 0 and "added",
                         lambda: syscall((249, 218), b"user", b"planted", None, -4) > 0 and "requested", lambda: read("/proc/keys").strip() or None)
        """),
    Attack("modules and another kernel", """
        def attempt():
            image = os.open("/usr/bin/env", os.O_RDONLY)
            return gains(lambda: syscall((175, 105), b"x" * 64, 64, b"") == 0 and "module", lambda: syscall((313, 273), image, b"", 0) == 0 and "module file",
                         lambda: syscall((176, 106), b"loop", 0) == 0 and "unloaded", lambda: syscall((246, 104), 0, 0, 0, 0) == 0 and "kexec",
                         lambda: syscall((320, 294), image, -1, 0, 0, 0) == 0 and "kexec file")
        """, contents("/proc/modules")),
    Attack("stop the machine", """
        def attempt():
            magic = (0xFEE1DEAD, 672274793)
            return gains(*[lambda command=command: syscall((169, 142), *magic, command, None) == 0 and hex(command)
                           for command in (0x89ABCDEF, 0x4321FEDC, 0x1234567, 0xCDEF0123)])
        """, machine),
    Attack("swap, accounting and quotas", """
        def attempt():
            write("/tmp/swap", b"\\0" * 4096 * 16)
            return gains(lambda: syscall((167, 224), b"/tmp/swap", 0) == 0 and "swap on", lambda: syscall((168, 225), b"/dev/vda") == 0 and "swap off",
                         lambda: syscall((163, 89), b"/tmp/swap") == 0 and "accounting", lambda: syscall((179, 60), 0x800002, b"/dev/vda", 0, b"") == 0 and "quota",
                         lambda: os.unlink("/tmp/swap"))
        """, machine),
    Attack("set the clock", """
        def attempt():
            then = struct.pack("qq", 86400, 0)
            return gains(lambda: syscall((164, 170), then, None) == 0 and "settimeofday", lambda: syscall((227, 112), 0, then) == 0 and "clock_settime",
                         lambda: syscall((159, 171), struct.pack("Iq", 1, 5) + bytes(256)) >= 0 and "adjtimex",
                         lambda: syscall((305, 266), 0, struct.pack("Iq", 1, 5) + bytes(256)) >= 0 and "clock_adjtime")
        """, clock),
    Attack("rename the machine", """
        def attempt():
            return gains(lambda: syscall((170, 161), b"owned", 5) == 0 and os.uname()[1] != "sandbox" and "host", lambda: syscall((171, 162), b"owned", 5) == 0 and None,
                         lambda: syscall((153, 58)) == 0 and "terminals")
        """, machine),
    Attack("ports and segments of the processor", """
        def attempt():
            return gains(lambda: syscall((172, None), 3) == 0 and "iopl", lambda: syscall((173, None), 0x80, 1, 1) == 0 and "ioperm",
                         lambda: syscall((154, None), 1, struct.pack("IIII", 0, 0, 0xFFFFF, 0x51), 16) == 0 and "modify_ldt")
        """),
    Attack("another personality", """
        def attempt():
            def take(wanted):
                syscall((135, 92), wanted)
                got = syscall((135, 92), 0xFFFFFFFF)
                return got & wanted & ~0x20000 and hex(got)
            return gains(*[lambda wanted=wanted: take(wanted) for wanted in (0x40000, 0x100000, 0x200000, 0x400000, 0x800000, 8, 6)])
        """),
    Attack("obsolete calls", """
        def attempt():
            buffer = ctypes.create_string_buffer(256)
            return gains(*[lambda numbers=numbers: syscall(numbers, buffer, 64, 0, 0) >= 0 and str(numbers)
                           for numbers in ((134, None), (136, None), (156, None), (180, 42), (212, 18), (177, None), (178, None), (174, None))])
        """),
    Attack("calls that nobody has heard of", """
        def attempt():
            return gains(*[lambda number=number: syscall(number, 0, 0, 0, 0, 0, 0) >= 0 and number for number in list(range(470, 520)) + [1000, 100000, 0x3FFFFFFF]])
        """),
    Attack("move memory of others", """
        def attempt():
            nodes = struct.pack("Q", 1)
            return gains(lambda: syscall((256, 238), 1, 64, nodes, nodes) >= 0 and "migrate", lambda: syscall((279, 239), 1, 1, nodes, None, ctypes.create_string_buffer(8), 0) >= 0 and "move",
                         lambda: syscall(440, syscall(434, 1, 0), ctypes.create_string_buffer(16), 1, 20, 0) >= 0 and "advise")
        """),
    Attack("shed its filter", """
        def attempt():
            before = read("/proc/self/status").split("Seccomp:")[1].split()[0] if "Seccomp:" in read("/proc/self/status") else None
            gains(lambda: check(libc.prctl(22, 0, 0, 0, 0)), lambda: syscall((317, 277), 0, 0, 0), lambda: syscall((317, 277), 1, 8, None))
            after = read("/proc/self/status").split("Seccomp:")[1].split()[0] if before is not None else None
            return before != after and (before, after)
        """),
    Attack("sockets of families that lead into the kernel or out of here", """
        def make(family, kind, protocol=0):
            made = syscall((41, 198), family, kind, protocol)
            os.close(made)
            return "%d/%d/%d" % (family, kind, protocol)
        def attempt():
            families = [family for family in range(3, 50) if family not in (10, 16)]
            return gains(*[lambda family=family, kind=kind: make(family, kind) for family in families for kind in (1, 2, 3, 5)])
        """),
    Attack("pairs of sockets of such families", """
        def pair(family, kind):
            room = ctypes.create_string_buffer(8)
            syscall((53, 199), family, kind, 0, room)
            return family
        def attempt():
            return gains(*[lambda family=family, kind=kind: pair(family, kind) for family in range(2, 50) for kind in (1, 2, 5)])
        """),
    Attack("protocols that are rarely tested", """
        def make(family, kind, protocol):
            os.close(syscall((41, 198), family, kind, protocol))
            return "%d/%d/%d" % (family, kind, protocol)
        def attempt():
            return gains(*[lambda family=family, kind=kind, protocol=protocol: make(family, kind, protocol)
                           for family in (2, 10) for kind in (1, 2, 3, 4, 5, 6) for protocol in (0, 33, 47, 50, 51, 103, 115, 132, 136, 255, 256, 262)
                           if not (kind in (1, 2) and protocol == 0)])
        """),
    Attack("raw packets and netlink", """
        def make(family, kind, protocol=0):
            os.close(syscall((41, 198), family, kind, protocol))
            return "%d/%d/%d" % (family, kind, protocol)
        def route(message_type, body):
            with socket.socket(16, socket.SOCK_RAW, 0) as asked:
                asked.settimeout(2)
                asked.sendto(struct.pack("IHHII", 16 + len(body), message_type, 5 | 0x600, 1, 0) + body, (0, 0))
                kind, error = struct.unpack_from("H2xIIi", asked.recv(4096), 4)[0], struct.unpack_from("i", asked.recv(0) or b"\\0" * 4)[0]
            return None
        def names():
            return sorted(os.listdir("/sys/class/net") if os.path.isdir("/sys/class/net") else [name for _, name in socket.if_nameindex()])
        def changes():
            before = names()
            for kind, body in ((16, struct.pack("BxHiII", 0, 0, 0, 0, 0) + struct.pack("HH8s", 12, 3, b"evil0")), (24, bytes(12)), (20, bytes(8)), (28, bytes(12))):
                gains(lambda: route(kind, body))
            return names() != before and "an interface"
        def attempt():
            return gains(*[lambda protocol=protocol: make(16, 3, protocol) for protocol in range(1, 32)],
                         *[lambda family=family, protocol=protocol: make(family, 3, protocol) for family in (2, 10, 17) for protocol in (1, 6, 17, 255, 768)], changes)
        """),
))  # fmt: skip
def test_the_kernel(arena: Arena, attack: Attack) -> None:
    """Calls and sockets that could widen the sandbox, or reach kernel code that nobody needs, gain nothing."""
    attack.run(arena)


@pytest.mark.parametrize("attack", rows(
    Attack("leave its control group", """
        def attempt():
            seen = glob.glob("/sys/fs/cgroup/*") + glob.glob("/cgroup/*")
            os.makedirs("/tmp/cgroup", exist_ok=True)
            return seen + gains(*[lambda kind=kind, options=options: check(libc.mount(b"cgroup", b"/tmp/cgroup", kind, 0, options)) or kind.decode()
                                  for kind in (b"cgroup", b"cgroup2") for options in (None, b"memory", b"rdma", b"pids")],
                                *[lambda name=name: write("/sys/fs/cgroup/%s/cgroup.procs" % name, str(os.getpid())) for name in ("", "memory", "pids", "unified")])
        """),
    Attack("a release agent", """
        def attempt():
            return gains(*[lambda path=path: write(path, "/tmp/agent") for path in
                           ["/sys/fs/cgroup/%s/release_agent" % name for name in ("memory", "pids", "cpu", "rdma", "freezer", "systemd")]
                           + ["/sys/fs/cgroup/%s/notify_on_release" % name for name in ("memory", "pids", "rdma")] + ["/proc/sys/kernel/core_pattern"]])
        """, contents("/proc/sys/kernel/core_pattern", "/sys/fs/cgroup/memory/release_agent", "/sys/fs/cgroup/pids/release_agent")),
    Attack("learn its place in the machine's control groups", """
        def attempt():
            lines = read("/proc/self/cgroup").splitlines()
            return [line for line in lines if "lambdad" in line or len(line.split(":")[2]) > 1]
        """),
))  # fmt: skip
def test_control_groups(arena: Arena, attack: Attack) -> None:
    """A function neither sees nor changes control groups: it stays in its own, with its limits."""
    limits = {
        path: (path / "memory.limit_in_bytes").read_text()
        for path in arena.cgroups()
        if (path / "memory.limit_in_bytes").exists()
    }
    attack.run(arena)
    assert {path: (path / "memory.limit_in_bytes").read_text() for path in limits} == limits


def test_calls_of_another_architecture_end_the_process(arena: Arena) -> None:
    """The tables of i386 and x32, where the numbers mean other calls, are no way past the filter."""
    if os.uname().machine != "x86_64":
        pytest.skip("x86_64 alone has other tables")
    code = """
    def by_i386():
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        page.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")  # mov eax, 20 (getpid of i386); int 0x80; ret
        call = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
        return call() == os.getpid() and "i386"
    def tried(way):
        pid = os.fork()
        if pid == 0:
            os._exit(7 if way() else 1)
        status = os.waitpid(pid, 0)[1]
        return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 7
    def attempt():
        return [name for name, way in (("i386", by_i386), ("x32", lambda: syscall(0x40000000 + 39) > 0)) if tried(way)]
    """
    outcome = arena.attack(code)
    assert outcome.is_contained, outcome
    assert children(arena.server.process.pid)
