"""Where hostile functions are let loose: beside a neighbour that notices what is done to it, in a server that is watched.

An attack is a piece of Python with a function `attempt`, which returns what it has gained: nothing, if it was contained. What
it might have changed outside is looked at from outside as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import textwrap
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet
from botocore.config import Config

from support.processes import cgroups_named, children, command_line
from support.server import Server, wait_until

#: How long the neighbour may be kept from its answer. A healthy one takes a millisecond; this is far beyond what a busy machine
#: adds, and far below what a starved or blocked server would take.
NEIGHBOUR_SECONDS = 60
SETTLE_SECONDS = 60
#: What three sandboxes are made of: spares come and go, and who comes during a reset gets another environment. What an attack
#: leaves behind each time is more than this before long, since the usual is counted once for many.
SLACK = {
    "processes": 6,
    "network namespaces": 3,
    "cgroups": 12,
    "mounts": 0,
    "descriptors of the server": 24,
    "descriptors of the launcher": 18,
}

#: In the server's own environment. Here in two halves, so that no function holds it by mistake.
HOST_SECRET = "tr0ub4dor-" + "and-three"

#: For which the server has a folder `shared`.
ACCESS_POINT = "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-0123456789abcdef0"

#: What attacks find there besides Python's builtins.
TOOLS = """
import ctypes, ctypes.util, errno, fcntl, glob, io, json, mmap, os, platform, resource, select, signal, socket, stat, struct
import subprocess, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
X86 = platform.machine() == "x86_64"

def check(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def syscall(numbers, *arguments):
    "`numbers`: of x86_64 and of aarch64, or one for both; None is a call that this machine does not have."
    number = numbers if isinstance(numbers, int) else numbers[0 if X86 else 1]
    if number is None:
        raise OSError(errno.ENOSYS, "no such call here")
    converted = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return check(libc.syscall(ctypes.c_long(number), *converted))

def gains(*attempts):
    "What each of several attempts has gained; errors of the system are refusals."
    gained = []
    for each in attempts:
        try:
            gain = each()
        except OSError:
            continue
        if gain is not None and gain is not False:
            gained.append(gain)
    return gained

def read(path, size=4096):
    with open(path, "rb") as file:
        return file.read(size).decode("latin-1")

def write(path, text):
    "What a write that was taken gains: the path. What is covered by the null device gains nothing."
    with open(path, "wb", buffering=0) as file:
        if os.fstat(file.fileno()).st_rdev == os.makedev(1, 3):
            return None
        file.write(text if isinstance(text, bytes) else text.encode())
    return path

def connects(host, port, seconds=2.0):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as connection:
        connection.settimeout(seconds)
        connection.connect((host, port))
        return "%s:%d" % (host, port)
"""

ATTACKER = """
import errno

def handler(event, context):
    scope = {"given": event["given"], "context": context}
    exec(event["tools"], scope)
    exec(event["code"], scope)
    try:
        return {"gained": scope["attempt"](), "refused": None}
    except OSError as error:
        return {"gained": None, "refused": errno.errorcode.get(error.errno, str(error))}
"""

#: Keeps something in every place that an attacker may reach for, and says at each invocation what has become of it.
NEIGHBOUR = """
import ctypes, hashlib, json, os, socket, struct, uuid, fcntl

SECRET = os.environ["SECRET"]
BORN = uuid.uuid4().hex
KEEPSAKE = hashlib.sha256(SECRET.encode()).digest() * 4096
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
count = 0

def listen(family, kind, address):
    listener = socket.socket(family, kind)
    listener.setblocking(False)
    listener.bind(address)
    if kind == socket.SOCK_STREAM:
        listener.listen(8)
    return listener

def keep():
    with open("/tmp/mine", "w") as mine:
        mine.write(SECRET)
    segment = libc.shmget(PORTS["ipc"], 4096, 0o1666)
    if segment >= 0:
        address = libc.shmat(segment, None, 0)
        ctypes.memmove(address, SECRET.encode(), len(SECRET))
    else:
        address = None
    queue = libc.msgget(PORTS["ipc"], 0o1666)
    return address, queue

PORTS = json.loads(os.environ["PORTS"])
listeners = [
    listen(socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", PORTS["tcp"])),
    listen(socket.AF_INET, socket.SOCK_DGRAM, ("0.0.0.0", PORTS["udp"])),
    listen(socket.AF_UNIX, socket.SOCK_STREAM, "\\0neighbour"),
    listen(socket.AF_UNIX, socket.SOCK_DGRAM, "\\0neighbour-datagrams"),
    listen(socket.AF_UNIX, socket.SOCK_STREAM, "/tmp/neighbour.sock"),
]
shared, queue = keep()

def intruders():
    found = []
    for listener in listeners:
        try:
            if listener.type & socket.SOCK_DGRAM:
                listener.recvfrom(100)
            else:
                listener.accept()[0].close()
            found.append(str(listener.getsockname()))
        except BlockingIOError:
            pass
    message = ctypes.create_string_buffer(128)
    if queue >= 0 and libc.msgrcv(queue, message, 64, 0, 0o4000) >= 0:
        found.append("message queue")
    return found

def addresses():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        room = ctypes.create_string_buffer(4096)
        size = struct.unpack("iL", fcntl.ioctl(asked, 0x8912, struct.pack("iL", 4096, ctypes.addressof(room))))[0]
        return sorted({socket.inet_ntoa(room.raw[at + 20 : at + 24]) for at in range(0, size, 40)})

def handler(event, context):
    global count
    count += 1
    kept = shared is None or ctypes.string_at(shared, len(SECRET)).decode() == SECRET
    return {
        "echo": event,
        "count": count,
        "born": BORN,
        "uid": os.getuid(),
        "is_memory_kept": KEEPSAKE == hashlib.sha256(SECRET.encode()).digest() * 4096 and os.environ["SECRET"] == SECRET,
        "is_file_kept": open("/tmp/mine").read() == SECRET and sorted(os.listdir("/tmp")) == ["mine", "neighbour.sock"],
        "is_shared_memory_kept": kept,
        "intruders": intruders(),
        "processes": sum(name.isdigit() for name in os.listdir("/proc")),
        "addresses": addresses(),
        "host": socket.gethostname(),
        "directory": os.getcwd(),
    }
"""


@dataclass(frozen=True, slots=True)
class Attack:
    """A row of a table: `code` gains nothing, and what `witness` sees outside is the same before and after."""

    name: str
    code: str
    witness: Callable[[Arena], Any] | None = None
    given: Callable[[Arena], Mapping[str, Any]] | None = None  #: what the code finds as `given`
    on_gvisor: str = ""  #: why a gain there is none: its kernel is the sandbox's own, and knows nothing of the machine

    def run(self, arena: Arena) -> Outcome:
        before = self.witness and self.witness(arena)
        outcome = arena.attack(self.code, self.given and self.given(arena))
        assert outcome.is_contained or (self.on_gvisor and arena.is_gvisor), outcome
        assert (self.witness and self.witness(arena)) == before, "something outside has changed"
        return outcome


def rows(*attacks: Attack) -> list[ParameterSet]:
    return [pytest.param(attack, id=attack.name.replace(" ", "-").replace("/", "-").strip("-")) for attack in attacks]


def contents(*paths: str) -> Callable[[Arena], Any]:
    """A witness: what is in these files of the machine."""

    def look(_: Arena) -> dict[str, str | None]:
        return {path: Path(path).read_text(errors="replace") if Path(path).is_file() else None for path in paths}

    return look


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attack ended: with an answer of the attacker's, or with the end of its environment."""

    gained: Any = None
    refused: str | None = None  #: name of the error by which the system refused it
    error_type: str | None = None  #: of the failed invocation
    error_message: str = ""

    @property
    def is_contained(self) -> bool:
        return not self.gained


class Neighbour:
    """A function in one and the same environment throughout; whatever is done to it shows in its next answer."""

    def __init__(self, server: Server, name: str = "neighbour") -> None:
        self.name = name
        self.secret = uuid.uuid4().hex
        self.ports = {"tcp": 7777, "udp": 7778, "ipc": 0x5EC12E7}
        variables = {"SECRET": self.secret, "PORTS": json.dumps(self.ports)}
        server.create_function(name, NEIGHBOUR, Timeout=60, MemorySize=256, Environment={"Variables": variables})
        quick = Config(retries={"max_attempts": 0}, read_timeout=NEIGHBOUR_SECONDS, connect_timeout=NEIGHBOUR_SECONDS)
        self._client = server.client("lambda", config=quick)
        self.seconds: list[float] = []  #: what each answer took
        self.asked = 0
        self.first = self._ask()

    def answer(self) -> None:
        """Asserts that it answers what it was asked, in time, and that nobody has touched anything of its own."""
        said = self._ask()
        expected = {
            **{key: self.first[key] for key in ("born", "uid", "addresses", "host", "directory", "processes")},
            "echo": said["echo"],
            "count": self.asked,
            "is_memory_kept": True,
            "is_file_kept": True,
            "is_shared_memory_kept": True,
            "intruders": [],
        }
        assert said == expected, "the neighbour was touched"

    def _ask(self) -> dict[str, Any]:
        nonce = uuid.uuid4().hex
        began = time.monotonic()
        answer = self._client.invoke(FunctionName=self.name, Payload=json.dumps(nonce).encode())
        payload = json.loads(answer["Payload"].read())
        self.seconds.append(time.monotonic() - began)
        assert "FunctionError" not in answer, payload
        assert payload["echo"] == nonce, "the neighbour answered somebody else's event"
        self.asked += 1
        return dict(payload)


@dataclass
class Arena:
    """A running server with an attacker and a neighbour. Everything that a test does in here is watched."""

    server: Server
    backend: str
    neighbour: Neighbour
    _client: Any
    _clients: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8))
    _usual: dict[str, int] = field(default_factory=dict)

    @property
    def is_gvisor(self) -> bool:
        return self.backend == "oci-runsc"

    @classmethod
    @contextlib.contextmanager
    def of(cls, server: Server, backend: str) -> Iterator[Arena]:
        neighbour = Neighbour(server)
        client = server.client("lambda", config=Config(retries={"max_attempts": 0}, read_timeout=120, max_pool_connections=16))
        arena = cls(server, backend, neighbour, client)
        arena.add("attacker", Timeout=60, MemorySize=512)
        try:
            yield arena
        finally:
            arena._clients.shutdown()

    def add(self, name: str, source: str = ATTACKER, **settings: Any) -> None:
        """One more function, which has run once."""
        self.server.create_function(name, source, **settings)
        if source == ATTACKER:
            self.until_it_works(name)
            self._usual = {}

    def until_it_works(self, function: str) -> int:
        """The user id that it has inside. A start on a busy machine may take longer than a function of two seconds has."""

        def uid() -> Any:
            outcome = self.begin("def attempt(): return os.getuid() + 1", function=function).result()
            assert outcome.error_type in (None, "Sandbox.Timedout"), outcome
            return outcome.gained

        return int(wait_until(uid, SETTLE_SECONDS, f"{function} to work")) - 1

    def remove(self, name: str) -> None:
        self._client.delete_function(FunctionName=name)
        self._usual = {}

    def attack(self, code: str, given: Mapping[str, Any] | None = None, function: str = "attacker") -> Outcome:
        """Runs it while the neighbour goes on answering, and after it. Nothing of it is left in the server or the launcher."""
        self.count_the_usual()
        running = self.begin(code, given, function)
        self.watch(running)
        outcome = running.result()
        self.check_nothing_is_left()
        return outcome

    def count_the_usual(self) -> None:
        """Once, and again when functions have come or gone: what the server has when nobody attacks it."""
        if not self._usual:
            self._usual = self.settled_census()

    def recount(self) -> None:
        """To be called when a test has left more environments idle than there were."""
        self._usual = {}

    def begin(self, code: str, given: Mapping[str, Any] | None = None, function: str = "attacker") -> Future[Outcome]:
        event = {"tools": TOOLS, "code": textwrap.dedent(code), "given": given or {}}
        return self._clients.submit(self.invoke, event, function)

    def watch(self, running: Future[Any]) -> None:
        """Has the neighbour answer until this is over, three times at least."""
        for _ in range(3):
            self.neighbour.answer()
        while self.watch_once(running):
            self.neighbour.answer()

    def watch_once(self, running: Future[Any]) -> bool:
        """Whether it is still not over, a moment later."""
        return bool(wait([running], 0.02).not_done)

    def invoke(self, event: Any, function: str = "attacker", **options: Any) -> Outcome:
        answer = self._client.invoke(FunctionName=function, Payload=json.dumps(event).encode(), **options)
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            assert not payload.get("stackTrace"), f"the attack is broken: {payload}"
            return Outcome(error_type=payload["errorType"], error_message=payload["errorMessage"])
        return Outcome(payload["gained"], payload["refused"])

    def check_nothing_is_left(self, function: str = "attacker") -> None:
        """Both functions answer, and the server has no more of anything than before."""
        self.until_it_works(function)
        self.neighbour.answer()
        assert self.server.process.poll() is None, self.server.log()
        last: dict[str, Any] = {}

        def is_as_usual() -> bool:
            last.update(self.census())
            return all(last[kind] <= usual + SLACK[kind] for kind, usual in self._usual.items())

        try:
            wait_until(is_as_usual, SETTLE_SECONDS, "everything to be given back")
        except AssertionError as error:
            more = {kind: (usual, last[kind]) for kind, usual in self._usual.items() if last[kind] > usual + SLACK[kind]}
            raise AssertionError(f"more than before is left: {more}") from error

    def settled_census(self) -> dict[str, int]:
        """When spares have been made and nothing changes any more."""
        seen: list[dict[str, int]] = []

        def is_steady() -> bool:
            seen.append(self.census())
            return len(seen) >= 25 and all(each == seen[-1] for each in seen[-25:])

        wait_until(is_steady, SETTLE_SECONDS, "the server to become quiet")
        return seen[-1]

    def census(self) -> dict[str, int]:
        """What this server, and nobody else, has on the machine at this moment."""
        processes = descendants(self.server.process.pid)
        launcher = self.launcher()
        folder = str(self.server.folder)
        return {
            "processes": len(processes),
            "network namespaces": len({_link(f"/proc/{pid}/ns/net") for pid in processes} - {""}),
            "cgroups": sum(len(list(parent.iterdir())) for parent in self.cgroups()),
            "mounts": sum(folder in line for line in Path("/proc/self/mountinfo").read_text().splitlines()),
            "descriptors of the server": sum(descriptors(self.server.process.pid).values()),
            "descriptors of the launcher": sum(descriptors(launcher).values()),
        }

    def launcher(self) -> int:
        return next(pid for pid in children(self.server.process.pid) if "launcher" in command_line(pid))

    def cgroups(self) -> list[Path]:
        """The server's own in each hierarchy, of which those of the sandboxes are children. None without delegation."""
        inside = next((pid for pid in descendants(self.launcher()) if cgroups_named(pid, "lambdad-")), None)
        if inside is None:
            return []
        parents = {folder.parent for folder in cgroups_named(inside, "lambdad-") if folder.parent.name.startswith("lambdad-")}
        return sorted(folder for folder in parents if folder.is_dir())

    def messages(self, function: str) -> list[str]:
        return self.server.messages(f"/aws/lambda/{function}")


def descendants(pid: int) -> list[int]:
    """But for those below gVisor's kernel, in which it runs what is inside: it keeps those of what has ended for what comes
    next, until the sandbox ends."""
    found: list[int] = []
    try:
        for child in [] if "runsc-sandbox" in command_line(pid) else children(pid):
            found += [child, *descendants(child)]
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def descriptors(pid: int) -> Counter[str]:
    """What a process has open, by kind. Regular files do not count: the store opens and closes its own at any time."""
    kinds: Counter[str] = Counter()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        target = _link(str(entry))
        if target and not target.startswith("/"):
            kinds[re.sub(r"\d+", "N", target)] += 1
    return kinds


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
