"""Attacks from one function on another by what they share: memory, queues, sockets, files, locks, descriptors, the zygote's memory."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from support.arena import HOST_SECRET, Arena, Attack, Outcome, rows

pytestmark = pytest.mark.root


def keys(arena: Arena) -> dict[str, int]:
    return {**arena.neighbour.ports, "uid": arena.neighbour.first["uid"]}


@pytest.fixture(scope="module", autouse=True)
def victim(arena: Arena) -> Iterator[None]:
    """The neighbour has something under each of these names; what becomes of it shows in its answers."""
    yield
    arena.neighbour.answer()


@pytest.fixture
def fresh(arena: Arena) -> Iterator[str]:
    """A function that no attack has left anything in."""
    arena.add("fresh", Timeout=60, MemorySize=512)
    yield "fresh"
    arena.remove("fresh")


@pytest.mark.parametrize("attack", rows(
    Attack("shared memory, semaphores and queues of System V", """
        def attempt():
            libc.shmat.restype = ctypes.c_void_p
            def memory():
                found = check(libc.shmget(given["ipc"], 0, 0))
                ctypes.memset(libc.shmat(found, None, 0), 0, 64)
                return "memory"
            def queue():
                found = check(libc.msgget(given["ipc"], 0))
                check(libc.msgsnd(found, struct.pack("q", 1) + b"intruder", 8, 0))
                return "queue"
            listed = [line for name in ("shm", "msg", "sem") for line in read("/proc/sysvipc/" + name).splitlines()[1:]]
            return listed + gains(memory, queue, lambda: check(libc.semget(given["ipc"], 1, 0)) + 1 and "semaphore",
                                  *[lambda number=number: check(libc.shmctl(number, 0, None)) or number for number in range(64)])
        """, given=keys),
    Attack("queues and memory by name", """
        def attempt():
            return gains(lambda: check(libc.mq_open(b"/neighbour", os.O_RDWR)) + 1 and "queue", lambda: check(libc.shm_open(b"/neighbour", os.O_RDWR, 0)) + 1 and "memory",
                         lambda: os.listdir("/dev/mqueue") or None, lambda: os.listdir("/dev/shm") or None)
        """),
    Attack("abstract sockets", """
        def attempt():
            def stream():
                with socket.socket(socket.AF_UNIX) as made:
                    made.connect("\\0neighbour")
                    return "stream"
            def datagram():
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
                    made.sendto(b"intruder", "\\0neighbour-datagrams")
                    return "datagram"
            names = [line.split()[-1] for line in read("/proc/net/unix", 65536).splitlines()[1:] if "@" in line]
            return gains(stream, datagram, lambda: names or None)
        """),
    Attack("sockets with a path", """
        def attempt():
            def connect(path):
                with socket.socket(socket.AF_UNIX) as made:
                    made.connect(path)
                    return path
            return gains(*[lambda path=path: connect(path) for path in ("/tmp/neighbour.sock", "/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock",
                         "/run/systemd/private", "/run/dbus/system_bus_socket", "/tmp/.X11-unix/X0", "/run/systemd/journal/socket", "/dev/log")])
        """),
    Attack("files of others in tmp", """
        def attempt():
            return gains(lambda: read("/tmp/mine"), lambda: [name for name in os.listdir("/tmp") if "neighbour" in name or name == "mine"] or None)
        """),
    Attack("the neighbour by its user id", """
        def attempt():
            return gains(lambda: os.kill(-1, 0) or None, lambda: os.setpriority(os.PRIO_USER, given["uid"], 19) or "slowed", lambda: os.setreuid(-1, given["uid"]) or "became",
                         lambda: [os.readlink(path) for path in glob.glob("/proc/[0-9]*/exe") if os.stat(path).st_uid == given["uid"]] or None)
        """, given=keys, on_gvisor="the user id has no processes in its kernel but the function's own"),
    Attack("pass descriptors up the runtime's connection", """
        def attempt():
            import array
            ours = [fd for fd in range(3, 64) if os.path.exists("/proc/self/fd/%d" % fd) and stat.S_ISSOCK(os.fstat(fd).st_mode)]
            opened = [os.open("/tmp", os.O_RDONLY) for _ in range(200)]
            for fd in ours:
                with socket.socket(fileno=os.dup(fd)) as connection:
                    for _ in range(3):
                        gains(lambda: connection.sendmsg([b"\\r\\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", opened))]) and None)
            for fd in opened:
                os.close(fd)
        """),
    Attack("get descriptors from the runtime's connection", """
        def attempt():
            got = []
            for fd in range(3, 64):
                try:
                    connection = socket.socket(fileno=os.dup(fd))
                except OSError:
                    continue
                try:
                    got += [kind for _, kind, _ in connection.recvmsg(1, 4096, socket.MSG_PEEK | socket.MSG_DONTWAIT)[1]]
                except OSError:
                    pass
                connection.close()
            return got
        """),
))  # fmt: skip
def test_what_functions_might_share(arena: Arena, attack: Attack) -> None:
    """Nothing that a function has under a name, a key, a number or a descriptor is reached from another."""
    attack.run(arena)


def test_no_descriptor_of_others_is_open(arena: Arena, fresh: str) -> None:
    """A function that has opened nothing has its three descriptors and at most its connection to the Runtime API."""
    code = """
    def attempt():
        kinds = {}
        for fd in range(1024):
            try:
                kinds[fd] = os.readlink("/proc/self/fd/%d" % fd).split(":")[0]
            except OSError:
                continue
        strange = {fd: kind for fd, kind in kinds.items() if kind not in ("/dev/null", "pipe", "socket", "host")}
        return strange or (len(kinds) > 5 and kinds)
    """
    outcome = arena.attack(code, function=fresh)
    assert outcome.is_contained, outcome


SEARCH = """
def parts():
    # The looked-for text is never whole in this process: only its halves are, reversed.
    return bytes(reversed(given["first"].encode())), bytes(reversed(given["second"].encode()))

def attempt():
    first, second = parts()
    found = []
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            area, rights = line.split()[:2]
            start, end = (int(each, 16) for each in area.split("-"))
            if "r" not in rights or "[v" in line or end - start > 1 << 30:
                continue
            for at in range(start, end, 1 << 20):
                try:
                    memory.seek(at)
                    piece = memory.read(min(1 << 20, end - at))
                except (OSError, OverflowError, ValueError):
                    continue
                position = piece.find(first)
                while position >= 0:
                    if piece[position + len(first) : position + len(first) + len(second)] == second:
                        found.append(line)
                    position = piece.find(first, position + 1)
    return found
"""


def test_a_fork_of_the_zygote_remembers_nothing_of_others(arena: Arena, fresh: str) -> None:
    """Neither the neighbour's secrets nor anything of the server's is in the memory that environments of a language share."""
    secrets = [
        arena.neighbour.secret,
        "neighbour-datagrams",
        str(arena.server.data_dir / "lambdad"),
        "AWS_LAMBDA_FUNCTION_NAME=neighbour",
    ]
    for secret in secrets:
        middle = len(secret) // 2
        outcome = arena.attack(SEARCH, {"first": secret[:middle][::-1], "second": secret[middle:][::-1]}, fresh)
        assert outcome.error_type is None
        assert outcome.is_contained, (secret, outcome)


def test_the_search_finds_what_is_there(arena: Arena) -> None:
    """The control of the test above: a function that holds such a text finds it in its own memory."""
    text = "1f" + os.urandom(16).hex()
    code = SEARCH + "\nKEPT = bytes(reversed(given['first'].encode())) + bytes(reversed(given['second'].encode()))"
    outcome = arena.attack(code, {"first": text[:17][::-1], "second": text[17:][::-1]})
    assert outcome.gained


def test_environments_of_one_function_share_nothing_either(arena: Arena) -> None:
    """Two environments of the attacker's own function, at the same time, are as strange to each other."""
    hold = """
    def attempt():
        write("/tmp/kept", "x")
        made = socket.socket(socket.AF_UNIX)
        made.bind("\\0mine")
        made.listen(1)
        check(libc.shmget(given["ipc"] + 1, 4096, 0o1666))
        time.sleep(given["seconds"])
        made.close()
    """
    look = """
    def attempt():
        def connect():
            with socket.socket(socket.AF_UNIX) as made:
                made.connect("\\0mine")
                return "socket"
        return gains(connect, lambda: read("/tmp/kept"), lambda: check(libc.shmget(given["ipc"] + 1, 0, 0)) and "memory")
    """
    outcomes: list[Outcome] = []
    for seconds in (3, 15, 45):  # until it was enough for somebody to look meanwhile: later it is the same environment
        holding = arena.begin(hold, {**arena.neighbour.ports, "seconds": seconds})
        while not (outcomes[2:] or holding.done()):
            outcome = arena.begin(look, arena.neighbour.ports).result()
            outcomes += [] if holding.done() else [outcome]
        arena.watch(holding)
        assert holding.result().is_contained and holding.result().error_type is None
        if outcomes:
            break
    assert outcomes
    assert all(outcome.is_contained and outcome.error_type is None for outcome in outcomes), outcomes
    arena.recount()


@pytest.mark.parametrize("attack", rows(
    Attack("the server's variables", """
        def attempt():
            texts = [read(path, 1 << 20) for path in glob.glob("/proc/[0-9]*/environ") if os.access(path, os.R_OK)] + [repr(sorted(os.environ.items()))]
            return [name for name in given["names"] if any(name in text for text in texts)]
        """, given=lambda arena: {"names": ["PYTEST_CURRENT_TEST", "LAMBDAD_TEST_SECRET", HOST_SECRET, arena.neighbour.secret, "SUDO_USER", "SSH_CLIENT"]}),
    Attack("how the machine was started, and its name", """
        def attempt():
            return gains(lambda: read("/proc/cmdline").strip() or None, lambda: os.uname()[1] == given["host"] and given["host"], lambda: read("/proc/config.gz", 2).strip() or None)
        """, given=lambda arena: {"host": os.uname().nodename}, on_gvisor="it tells of its own kernel, which was started in no way of the machine's"),
    Attack("the machine's users and hosts", """
        def attempt():
            import pwd
            users = [entry.pw_name for entry in pwd.getpwall() if entry.pw_uid not in (0, os.getuid())]
            hosts = [line for line in read("/etc/hosts").splitlines() if "sandbox" not in line and "localhost" not in line and line.strip() and line[0] != "#"]
            return users + hosts
        """),
    Attack("mounts that are not its own", """
        def attempt():
            lines = [line.split() for line in open("/proc/self/mountinfo")] if os.path.exists("/proc/self/mountinfo") else []
            own = ("/", "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/dev", "/etc", "/var/lang", "/var/runtime", "/var/task", "/opt", "/proc", "/run", "/tmp", "/var/lambdad")
            return [line[4] for line in lines if line[4] not in own and not line[4].startswith(("/proc/", "/etc/", "/usr/", "/dev/", "/sys"))]
        """),
    Attack("the processors' counters of each moment", """
        def attempt():
            return gains(*[lambda path=path: read(path, 64).strip() or None for path in ("/proc/interrupts", "/proc/softirqs", "/proc/schedstat", "/proc/sched_debug", "/proc/timer_stats",
                         "/proc/latency_stats", "/proc/diskstats", "/proc/key-users", "/proc/partitions")])
        """),
))  # fmt: skip
def test_what_a_function_learns(arena: Arena, attack: Attack) -> None:
    """Secrets of the server and particulars of the machine are not there to be read."""
    attack.run(arena)
