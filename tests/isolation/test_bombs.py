"""Attacks by quantity: of processes, memory, files, descriptors, sockets, connections, output. They end with their environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.arena import Arena, Attack, Outcome, rows
from support.processes import processes_of_user
from support.server import wait_until

pytestmark = pytest.mark.root

#: Of the server, in MiB: what it may come to hold while an environment does its worst. It has some 150 otherwise.
MAX_SERVER_MB = 500
MAX_PROCESSES = 1024


@pytest.fixture(scope="module")
def bomb(arena: Arena) -> Iterator[str]:
    """A function that has little of everything."""
    arena.add("bomb", Timeout=2, MemorySize=512, EphemeralStorage={"Size": 512})
    yield "bomb"
    arena.remove("bomb")


class Watch:
    """What the machine looks like while a bomb goes off."""

    def __init__(self, arena: Arena, uid: int) -> None:
        self._arena = arena
        self._uid = uid
        self.most: dict[str, int] = {}

    def look(self) -> None:
        server = Path(f"/proc/{self._arena.server.process.pid}")
        resident = re.search(r"VmRSS:\s+(\d+)", (server / "status").read_text())
        assert resident is not None
        tables = Path("/proc/net/sockstat").read_text()
        seen = {
            "processes": len(processes_of_user(self._uid)),
            "server MiB": int(resident[1]) // 1024,
            "server descriptors": len(os.listdir(server / "fd")),
            "socket pages": sum(int(pages) for pages in re.findall(r"mem (\d+)", tables)),
        }
        self.most = {kind: max(value, self.most.get(kind, 0)) for kind, value in seen.items()}


def go_off(arena: Arena, code: str, given: Any = None) -> Watch:
    """Runs the bomb while the neighbour answers; afterwards none of its processes is left, and the function works again."""
    uid = arena.until_it_works("bomb")
    arena.count_the_usual()
    watch = Watch(arena, uid)
    running = arena.begin(code, given, function="bomb")
    while not running.done():
        arena.neighbour.answer()
        watch.look()
        arena.watch_once(running)
    outcome = running.result()
    assert outcome.error_type in (None, "Sandbox.Timedout", "Runtime.ExitError", "Runtime.OutOfMemory"), outcome
    arena.check_nothing_is_left("bomb")
    wait_until(lambda: len(processes_of_user(uid)) <= 2, 60, "the bomb's processes to end")
    assert watch.most["processes"] <= MAX_PROCESSES + 1
    assert watch.most["server MiB"] < MAX_SERVER_MB, watch.most
    return watch


ENDLESS = "\n    while True:\n        time.sleep(0.1)\n"

BOMBS = rows(
    Attack("processes", """
        def attempt():
            while True:
                try:
                    os.fork()
                except OSError:
                    time.sleep(0.1)
        """),
    Attack("processes that leave their parents", """
        def attempt():
            while True:
                try:
                    if os.fork() == 0:
                        os.setsid()
                        signal.signal(signal.SIGTERM, signal.SIG_IGN)
                        if os.fork():
                            os._exit(0)
                        time.sleep(600)
                except OSError:
                    time.sleep(0.1)
        """),
    Attack("threads", """
        def attempt():
            threading.stack_size(65536)
            while True:
                try:
                    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
                except RuntimeError:
                    time.sleep(0.1)
        """),
    Attack("programs that fork programs", """
        def attempt():
            subprocess.call(["/bin/sh", "-c", "f() { f | f & }; f; sleep 600"], stderr=subprocess.DEVNULL)
        """),
    Attack("busy processes", """
        def attempt():
            for _ in range(60):
                if os.fork() == 0:
                    while True:
                        pass
            while True:
                pass
        """),
    Attack("memory", """
        def attempt():
            kept = []
            while True:
                kept.append(bytearray(b"x") * (8 << 20))
        """),
    Attack("memory of many processes", """
        def attempt():
            while True:
                if os.fork() == 0:
                    kept = bytearray(b"x") * (16 << 20)
                    time.sleep(600)
        """),
    Attack("memory that is mapped, shared, locked and without a name", """
        def attempt():
            kept = []
            while True:
                made = os.memfd_create("m")
                os.truncate(made, 32 << 20)
                kept.append(mmap.mmap(made, 32 << 20))
                libc.mlockall(3)
                kept[-1].write(b"x" * (32 << 20))
        """),
    Attack("a full tmp", """
        def attempt():
            with open("/tmp/big", "wb") as file:
                while True:
                    file.write(bytes(1 << 20))
        """),
    Attack("files without end in tmp", """
        def attempt():
            number = 0
            while True:
                os.mkdir("/tmp/%d" % number)
                for name in range(200):
                    os.symlink("x" * 100, "/tmp/%d/%d" % (number, name))
                number += 1
        """),
    Attack("segments and queues of System V", """
        def attempt():
            for number in range(20000):
                gains(lambda: libc.shmget(0, 1 << 20, 0o1600), lambda: libc.msgget(0, 0o1600), lambda: libc.semget(0, 200, 0o1600))
        """),
    Attack("descriptors", """
        def attempt():
            def hoard():
                makers = [lambda: os.pipe(), lambda: os.open("/dev/null", 0), lambda: select.epoll(), lambda: os.dup(0), lambda: os.memfd_create("x"),
                          lambda: socket.socketpair(), lambda: os.eventfd(0) if hasattr(os, "eventfd") else os.dup(0), lambda: libc.inotify_init()]
                kept = []
                for _ in range(3000):
                    for make in makers:
                        try:
                            kept.append(make())
                        except OSError:
                            pass
                time.sleep(600)
            for _ in range(30):
                if os.fork() == 0:
                    hoard()
            hoard()
        """),
    Attack("pipes that are full", """
        def attempt():
            kept = []
            while True:
                try:
                    reader, writer = os.pipe()
                    fcntl.fcntl(writer, 1031, 1 << 20)
                    os.set_blocking(writer, False)
                    kept.append(reader)
                    os.write(writer, bytes(1 << 20))
                except OSError:
                    if os.fork() == 0:
                        continue
                    time.sleep(600)
        """),
    Attack("timers and signals", """
        def attempt():
            for number in range(100000):
                gains(lambda: libc.timer_create(1, None, ctypes.create_string_buffer(8)), lambda: libc.sigqueue(os.getpid(), 0, 0))
            time.sleep(600)
        """),
)  # fmt: skip


@pytest.mark.parametrize("attack", BOMBS)
def test_bombs(arena: Arena, bomb: str, attack: Attack) -> None:
    """However much a function takes, it is its own: the neighbour answers, the server lives, and all is given back."""
    go_off(arena, attack.code)


def test_want_of_memory_is_told_in_aws_words(arena: Arena, bomb: str) -> None:
    """The caller learns that the runtime was killed, and the log that it was for want of memory."""
    outcome = arena.begin("def attempt():\n    kept = [bytearray(b'x') * (600 << 20)]", function="bomb").result()
    assert outcome.error_type == "Runtime.ExitError"
    assert outcome.error_message.endswith("Error: Runtime exited with error: signal: killed")
    assert any("Runtime.OutOfMemory" in line for line in arena.messages("bomb"))
    arena.check_nothing_is_left("bomb")


def test_much_output_that_ends_does_not_end_the_function(arena: Arena) -> None:
    """Twenty megabytes of lines are taken at the server's pace, and the answer arrives."""
    outcome = arena.attack("def attempt():\n    for _ in range(20000):\n        print('y' * 1000)")
    assert outcome == Outcome(gained=None, refused=None)


@pytest.mark.parametrize(("name", "code"), [
    ("TCP", """
        def attempt():
            listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
            kept = []
            while True:
                try:
                    one = socket.create_connection(listener.getsockname())
                    kept += [one, listener.accept()[0]]
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
                    one.setblocking(False)
                    while True:
                        one.send(bytes(1 << 20))
                except OSError as error:
                    if error.errno == errno.EMFILE:
                        os.fork()
                        kept = []
                        listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
        """),
    ("UDP", """
        def attempt():
            kept = []
            while True:
                try:
                    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)
                    one.bind(("127.0.0.1", 0))
                    kept.append(one)
                    for _ in range(400):
                        one.sendto(bytes(60000), one.getsockname())
                except OSError:
                    if os.fork():
                        time.sleep(600)
                    kept = []
        """),
    ("Unix", """
        def attempt():
            kept = []
            while True:
                try:
                    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
                    kept.append(pair)
                    pair[0].setblocking(False)
                    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
                    while True:
                        pair[0].send(bytes(100000))
                except OSError as error:
                    if error.errno == errno.EMFILE:
                        if os.fork():
                            time.sleep(600)
                        kept = []
        """),
], ids=lambda value: value if len(value) < 10 else "code")  # fmt: skip
def test_full_sockets_are_the_functions_memory(arena: Arena, bomb: str, name: str, code: str) -> None:
    """What waits in a function's sockets counts towards its memory, not towards what all sockets of the machine may have."""
    before = sum(int(pages) for pages in re.findall(r"mem (\d+)", Path("/proc/net/sockstat").read_text()))
    watch = go_off(arena, code)
    assert watch.most["socket pages"] - before < 600 * 256, watch.most  # 512 MB in pages, and some


@pytest.mark.parametrize("attack", rows(
    Attack("connections to the endpoint", """
        def attempt():
            host, port = os.environ["AWS_ENDPOINT_URL"].split("//")[1].split(":")
            for _ in range(7):
                if os.fork() == 0:
                    break
            kept = []
            while True:
                try:
                    one = socket.create_connection((host, int(port)), 1)
                    one.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nX-Slow: ")
                    kept.append(one)
                except OSError:
                    time.sleep(0.05)
        """),
    Attack("connections to the Runtime API", """
        def attempt():
            host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
            for _ in range(7):
                if os.fork() == 0:
                    break
            kept = []
            while True:
                try:
                    one = socket.create_connection((host, int(port)), 1)
                    one.sendall(b"POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\\r\\nContent-Length: 1000000\\r\\n\\r\\n")
                    kept.append(one)
                except OSError:
                    time.sleep(0.05)
        """),
    Attack("requests to the endpoint", """
        def attempt():
            host, port = os.environ["AWS_ENDPOINT_URL"].split("//")[1].split(":")
            for _ in range(7):
                if os.fork() == 0:
                    break
            while True:
                try:
                    one = socket.create_connection((host, int(port)), 1)
                    for _ in range(1000):
                        one.sendall(b"GET /_lambdad/health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
                except OSError:
                    time.sleep(0.05)
        """),
    Attack("large bodies to the endpoint", """
        def attempt():
            host, port = os.environ["AWS_ENDPOINT_URL"].split("//")[1].split(":")
            kept = []
            while True:
                try:
                    one = socket.create_connection((host, int(port)), 1)
                    kept.append(one)
                    one.sendall(b"POST /2015-03-31/functions/neighbour/invocations HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 6000000\\r\\n\\r\\n" + bytes(5999999))
                except OSError:
                    time.sleep(0.05)
        """),
))  # fmt: skip
def test_floods_of_the_server(arena: Arena, bomb: str, attack: Attack) -> None:
    """A function that floods what it is given of the server takes neither its descriptors nor its memory from others."""
    watch = go_off(arena, attack.code)
    hard = next(
        line.split()
        for line in Path(f"/proc/{arena.server.process.pid}/limits").read_text().splitlines()
        if "open files" in line
    )
    assert watch.most["server descriptors"] < int(hard[3]) * 3 // 4, watch.most


@pytest.mark.parametrize("attack", rows(
    Attack("lines", "def attempt():\n    while True:\n        os.write(1, b'y' * 100 + b'\\n')"),
    Attack("empty lines", "def attempt():\n    while True:\n        os.write(1, b'\\n' * 65536)"),
    Attack("one line without end", "def attempt():\n    while True:\n        os.write(1, bytes(65536))"),
    Attack("both streams from many processes", """
        def attempt():
            for _ in range(16):
                if os.fork() == 0:
                    break
            while True:
                os.write(1, b"o" * 5000 + b"\\n")
                os.write(2, b"e" * 5000 + b"\\n")
        """),
    Attack("bytes that are no text", "def attempt():\n    while True:\n        os.write(1, os.urandom(60000))"),
))  # fmt: skip
def test_floods_of_output(arena: Arena, bomb: str, attack: Attack) -> None:
    """Output without end makes the function wait, not the server or the neighbour."""
    go_off(arena, attack.code)


@pytest.mark.parametrize("attack", rows(
    Attack("deaf to SIGTERM", """
        def attempt():
            if os.fork() == 0:
                for number in range(1, 32):
                    gains(lambda: signal.signal(number, signal.SIG_IGN))
                time.sleep(600)
            return None
        """),
    Attack("forked twice, with a session of its own", """
        def attempt():
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                    while True:
                        time.sleep(0.01)
                os._exit(0)
        """),
    Attack("forking for ever, never the same process", """
        def attempt():
            if os.fork() == 0:
                while True:
                    if os.fork():
                        os._exit(0)
        """),
    Attack("stopped", """
        def attempt():
            if os.fork() == 0:
                os.kill(os.getpid(), signal.SIGSTOP)
        """),
    Attack("under vfork", """
        def attempt():
            subprocess.Popen(["/bin/sh", "-c", "trap '' TERM INT HUP; while true; do sleep 1; done"], start_new_session=True)
        """),
))  # fmt: skip
def test_daemons(arena: Arena, attack: Attack) -> None:
    """A process that a function leaves behind, however it clings to life, ends with the environment."""
    arena.add("daemon", Timeout=10, MemorySize=256)
    uid = arena.until_it_works("daemon")
    try:
        running = arena.begin(attack.code, function="daemon")
        arena.watch(running)
        assert running.result().error_type is None, running.result()
    finally:
        arena.remove("daemon")
    wait_until(lambda: not processes_of_user(uid), 60, "the daemon to die")
    arena.check_nothing_is_left()
