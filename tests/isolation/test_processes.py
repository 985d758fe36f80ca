"""Attacks on processes: others' and its own init, their memory, limits and priorities; and more rights than it was given."""

from __future__ import annotations

import os

import pytest

from support.arena import TOOLS, Arena, Attack, rows
from support.processes import is_running

pytestmark = pytest.mark.root


def standing(arena: Arena) -> dict[str, object]:
    """A witness: limits, priority and processors of the server and of the neighbour's processes."""
    pids = [arena.server.process.pid, arena.launcher()]
    return {
        str(pid): (os.getpriority(os.PRIO_PROCESS, pid), os.sched_getscheduler(pid), os.sched_getaffinity(pid)) for pid in pids
    }


def known(arena: Arena) -> dict[str, int]:
    return {"server": arena.server.process.pid, "launcher": arena.launcher(), "neighbour": arena.neighbour.first["uid"]}


@pytest.mark.parametrize("attack", rows(
    Attack("see processes of others", """
        def attempt():
            pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
            others = [pid for pid in pids if os.stat("/proc/%d" % pid).st_uid != os.getuid() and pid != 1]
            return others or (len(pids) > 4 and pids) or gains(lambda: os.readlink("/proc/%d/exe" % given["server"]))
        """, standing, known),
    Attack("signal every process there could be", """
        def attempt():
            def kill(pid, number):
                os.kill(pid, number)
                return pid
            mine = {os.getpid(), 1} | {int(name) for name in os.listdir("/proc/self/task")}
            return gains(*[lambda pid=pid: kill(pid, 0) for pid in range(1, 70000) if pid not in mine],
                         *[lambda pid=pid: kill(pid, 9) for pid in (given["server"], given["launcher"])])
        """, standing, known),
    Attack("trace, read and write processes", """
        def attempt():
            room = ctypes.create_string_buffer(64)
            here = struct.pack("PN", ctypes.addressof(room), 64)
            there = struct.pack("PN", 0x400000, 64)
            targets = [1, given["server"], given["launcher"]]
            def vectors(numbers, pid):
                return syscall(numbers, pid, here, 1, there, 1, 0) > 0 and pid
            return gains(*[lambda pid=pid: check(libc.ptrace(request, pid, 0, 0)) or pid for pid in targets for request in (16, 0x4206)],
                         *[lambda pid=pid: vectors(numbers, pid) for pid in targets for numbers in ((310, 270), (311, 271))],
                         *[lambda pid=pid: os.open("/proc/%d/mem" % pid, os.O_RDWR) and pid for pid in targets])
        """, standing, known),
    Attack("the init's memory, files and environment", """
        def attempt():
            names = ["mem", "environ", "maps", "auxv", "stack", "syscall", "fd/0", "fd/3", "fdinfo/3", "exe", "root", "cwd", "ns/mnt", "ns/net"]
            return gains(*[lambda name=name: read("/proc/1/" + name, 64) for name in names],
                         *[lambda name=name: os.readlink("/proc/1/" + name) for name in ("exe", "root", "cwd", "ns/mnt")],
                         lambda: os.listdir("/proc/1/fd"), lambda: os.listdir("/proc/1/task/1/fd"))
        """, on_gvisor="it shows them to a process of the same user, and nothing of a function's or the server's is in them"),
    Attack("take descriptors of processes", """
        def attempt():
            targets = [1, given["server"], given["launcher"]]
            return gains(*[lambda pid=pid, fd=fd: syscall(438, syscall(434, pid, 0), fd, 0) for pid in targets for fd in range(10)],
                         *[lambda pid=pid: syscall((312, 272), os.getpid(), pid, 0, 0, 0) >= 0 and pid for pid in targets])
        """, standing, known),
    Attack("change others' limits, priority, processors and class", """
        def attempt():
            targets = [given["server"], given["launcher"], os.getppid() or 1]
            new = struct.pack("QQ", 0, 0)
            def limit(pid):
                return syscall((302, 261), pid, 7, new, None) == 0 and pid
            return gains(*[lambda pid=pid: limit(pid) for pid in targets if pid],
                         *[lambda pid=pid: os.setpriority(os.PRIO_PROCESS, pid, -20) or pid for pid in targets],
                         *[lambda pid=pid: os.sched_setaffinity(pid, {0}) or pid for pid in targets[:2]],
                         *[lambda pid=pid: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)) or pid for pid in targets[:2]],
                         *[lambda pid=pid: syscall((251, 30), 1, pid, 3 << 13) == 0 and pid for pid in targets[:2]],
                         lambda: os.setpriority(os.PRIO_USER, given["neighbour"], 19) or "the neighbour's processes")
        """, standing, known, on_gvisor="its scheduler's numbers mean nothing outside"),
    Attack("more than its share of the processor", """
        def attempt():
            param = os.sched_param(1)
            deadline = struct.pack("IIQiIQQQ", 48, 6, 0, 0, 0, 10**7, 10**8, 10**8)
            def raised(number):
                return check(libc.setrlimit(number, struct.pack("QQ", 99, 99))) or "limit %d" % number
            return gains(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, param) or "first in, first out",
                         lambda: os.sched_setscheduler(0, os.SCHED_RR, param) or "round robin",
                         lambda: syscall((314, 274), 0, deadline, 0) == 0 and "deadline",
                         lambda: os.nice(-1) and "nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -20) or "priority",
                         lambda: syscall((251, 30), 1, 0, (1 << 13) | 0) == 0 and "real-time input and output",
                         lambda: raised(resource.RLIMIT_RTPRIO), lambda: raised(resource.RLIMIT_NICE))
        """, on_gvisor="its scheduler's numbers mean nothing outside"),
    Attack("lock its memory where it is", """
        def attempt():
            soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
            return gains(lambda: None if 0 <= hard <= 8 << 20 else "unlimited",
                         lambda: check(libc.setrlimit(resource.RLIMIT_MEMLOCK, struct.pack("QQ", 2**64 - 1, 2**64 - 1))) or "raised")
        """),
    Attack("gain rights by set-user-id programs", """
        def attempt():
            got = []
            for path in glob.glob("/usr/bin/*") + glob.glob("/usr/sbin/*") + glob.glob("/usr/lib/*/*"):
                try:
                    if os.stat(path).st_mode & (stat.S_ISUID | stat.S_ISGID) and os.access(path, os.X_OK):
                        got.append(path)
                except OSError:
                    continue
            for path in got[:12]:
                subprocess.run([path, "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=10)
            copied = gains(lambda: (open("/tmp/id", "wb").write(open("/usr/bin/id", "rb").read()), os.chmod("/tmp/id", 0o6755)) and None)
            seen = subprocess.run(["/tmp/id", "-u"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode().strip()
            os.unlink("/tmp/id")
            return [uid for uid in (seen,) if uid and int(uid) != os.getuid()]
        """),
    Attack("become somebody else", """
        def attempt():
            return gains(lambda: os.setuid(0) or "root", lambda: os.setgid(0) or "group root", lambda: os.setgroups([0]) or "groups",
                         lambda: os.setresuid(given["neighbour"], -1, -1) or "the neighbour", lambda: os.setfsuid(0) if hasattr(os, "setfsuid") else None,
                         lambda: syscall((126, 91), struct.pack("Ii", 0x20080522, 0), struct.pack("6I", *[0xFFFFFFFF] * 6)) == 0 and "capabilities",
                         lambda: check(libc.prctl(47, 2, 0, 0, 0)) == 0 and "ambient", lambda: check(libc.prctl(38, 0, 0, 0, 0)) == 0 and "new privileges",
                         lambda: check(libc.prctl(28, 0, 0, 0, 0)) == 0 and "secure bits")
        """, given=known),
    Attack("hold rights", """
        def attempt():
            status = dict(line.split(":", 1) for line in read("/proc/self/status").splitlines() if ":" in line)
            held = [name for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(status.get(name, "0"), 16)]
            others = set(status["Groups"].split()) - {str(os.getgid())}
            return held + sorted(others) + (["root"] if "0" in status["Uid"].split() + status["Gid"].split() else [])
        """),
))  # fmt: skip
def test_other_processes_and_rights(arena: Arena, attack: Attack) -> None:
    """No process outside is seen, signalled, traced, limited or slowed, and no right is gained."""
    attack.run(arena)


def test_its_own_init_cannot_be_killed(arena: Arena) -> None:
    """Process 1 of the sandbox has the function's user, and still no signal or limit of it ends the environment."""
    born = "def attempt():\n    return os.readlink('/proc/self/ns/pid')"
    before = arena.attack(born).gained
    outcome = arena.attack("""
        def attempt():
            for number in range(1, 65):
                gains(lambda: os.kill(1, number), lambda: syscall(424, syscall(434, 1, 0), number, None, 0))
            for limit in range(16):
                gains(lambda: syscall((302, 261), 1, limit, struct.pack("QQ", 0, 0), None))
        """)
    assert outcome.is_contained, outcome
    assert arena.attack(born).gained == before


def test_after_a_reset_it_is_not_spared_when_the_machine_is_short_of_memory(arena: Arena) -> None:
    """A runtime that was started again cannot say that others are to be killed before it."""
    assert arena.attack("def attempt(): os._exit(1)").error_type == "Runtime.ExitError"
    code = """
    def lower(score):
        write("/proc/self/oom_score_adj", str(score))
        return int(read("/proc/self/oom_score_adj"))
    def attempt():
        return gains(*[lambda score=score: lower(score) for score in (-1, -500, -999, -1000)])
    """
    if arena.is_gvisor:
        pytest.skip("gVisor's kernel takes the number and does nothing by it: what the machine kills is gVisor")
    outcome = arena.attack(code)
    assert outcome.is_contained, outcome


def test_the_server_survives_whatever_is_sent_to_its_number(arena: Arena) -> None:
    """The process ids of the machine mean nothing inside: the server, its launcher and the zygotes go on."""
    pids = [arena.server.process.pid, arena.launcher()]
    arena.attack(
        "def attempt():\n    for pid in given['pids']:\n        for number in (9, 15, 19):\n            gains(lambda: os.kill(pid, number))",
        {"pids": pids},
    )
    assert all(is_running(pid) for pid in pids)


def test_the_tools_of_the_attacks_work(arena: Arena) -> None:
    """What attacks report is what happened: an attempt that succeeds is a gain, one that the system refuses is not."""
    assert "def gains" in TOOLS
    outcome = arena.attack("""
        def attempt():
            return gains(lambda: read("/var/task/lambda_function.py", 8).strip(), lambda: read("/no/such/file"), lambda: write("/tmp/w", "x"),
                         lambda: syscall((39, 172)) == os.getpid() and "system calls", lambda: os.unlink("/tmp/w"))
        """)
    assert outcome.gained == ["import", "/tmp/w", "system calls"]
