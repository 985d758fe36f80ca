"""What hostile code does with the network that it was given, and what it finds out about the one that it was not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lambdad.errors import SandboxError
from lambdad.sandbox import linux
from lambdad.sandbox.base import RuntimeProgram
from lambdad.sandbox.namespace import NamespaceSandboxes
from support.machine import Peer as Machine
from support.machine import bound, links, listening, uplink_of
from support.processes import children
from support.sandbox import Peer, make_program, make_spec, make_task
from support.server import wait_until

pytestmark = pytest.mark.root

#: In every piece of hostile code: what it gets for an attempt, as the name of an error or as a value.
ATTEMPT = """
import errno, fcntl, os, socket, struct

def attempt(what):
    try:
        return what()
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)

def connect(address, port=8080, by=None):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        client.settimeout(60)
        if by:
            client.setsockopt(socket.SOL_SOCKET, 25, by)
        client.connect((address, port))
        return "connected"

def send(address, by=None, source=None):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if by:
            sock.setsockopt(socket.SOL_SOCKET, 25, by)
        if source:
            sock.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND, which needs no privilege
            sock.bind((source, 0))
        return sock.sendto(b"hostile", (address, 7007))

def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("203.0.113.1", 9))
        return sock.getsockname()[0]
"""


@pytest.fixture(scope="module")
def outside() -> Iterator[Machine]:
    made = Machine(f"iso{os.getpid()}", f"198.19.{os.getpid() % 250 + 1}")
    yield made
    made.close()


@pytest.fixture
def program(tmp_path: Path) -> RuntimeProgram:
    return make_program(tmp_path / "runtime")


@pytest.fixture
def task(tmp_path: Path) -> Path:
    return make_task(tmp_path / "task")


@asynccontextmanager
async def backend(folder: Path, *, spares: int = 2) -> AsyncIterator[NamespaceSandboxes]:
    made = NamespaceSandboxes(folder, spares=spares, network="nat")
    await made.open()
    try:
        yield made
    finally:
        await made.close()


async def code_in(sandboxes: NamespaceSandboxes, program: RuntimeProgram, task: Path, name: str, **settings: object) -> Peer:
    return await Peer.of(await sandboxes.start(make_spec(program, task, name, **settings)))


async def test_hostile_code_in_one_sandbox_and_its_neighbour(
    tmp_path: Path, program: RuntimeProgram, task: Path, outside: Machine
) -> None:
    """With everything that a process without privileges can do to a socket it reaches neither the neighbour nor the machine."""
    with outside.inside():
        peer = bound(outside.address, 7007)
    service, datagrams = listening("0.0.0.0", 0), bound("0.0.0.0", 0)
    port = service.getsockname()[1]
    async with backend(tmp_path / "state") as sandboxes:
        victim = await code_in(sandboxes, program, task, "victim")
        attacker = await code_in(sandboxes, program, task, "attacker")
        address = await victim.run(
            ATTEMPT
            + """

listener = socket.create_server(("0.0.0.0", 8080)); listener.setblocking(False)
inbox = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); inbox.bind(("0.0.0.0", 7007)); inbox.setblocking(False)
import sys; sys.kept = listener, inbox
result = own_address()
"""
        )
        assert await attacker.run(
            ATTEMPT
            + f"""
own = own_address()
result = [
    own != {address!r},
    attempt(lambda: connect({address!r})),
    attempt(lambda: connect({address!r}, by=b"eth0")),
    attempt(lambda: send({address!r}, by=b"eth0")),
    attempt(lambda: send({outside.address!r}, source={address!r})),
    attempt(lambda: send({outside.address!r}, source="198.18.0.1")),
    attempt(lambda: connect({outside.address_of_machine!r}, {port})),
    attempt(lambda: connect({outside.address_of_machine!r}, {port}, by=b"eth0")),
    attempt(lambda: connect("169.254.169.254", by=b"eth0")),
    attempt(lambda: connect("169.254.170.2", by=b"eth0")),
    attempt(lambda: connect("fd00:ec2::254")),
]
"""
        ) == [
            True,
            *("EHOSTUNREACH", "EHOSTUNREACH", 7),
            *("ENETUNREACH", "ENETUNREACH"),
            *("EHOSTUNREACH",) * 4,
            "ENETUNREACH",
        ]
        assert await attacker.run(ATTEMPT + f"result = send({outside.address!r})") == 7
        assert peer.recvfrom(100)[1][0] == outside.address_of_machine
        left = await victim.run(
            ATTEMPT + "import sys; result = [attempt(lambda: sys.kept[0].accept()), attempt(lambda: sys.kept[1].recv(9))]"
        )
        assert left == ["EAGAIN", "EAGAIN"]
    for sock in (service, datagrams):
        sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        service.accept()
    with pytest.raises(BlockingIOError):
        datagrams.recv(100)
    for sock in (peer, service, datagrams):
        sock.close()


async def test_nobody_inside_changes_the_network(tmp_path: Path, program: RuntimeProgram, task: Path) -> None:
    """No address, link, route or setting, no raw packet: all of it takes what no function has."""
    async with backend(tmp_path / "state") as sandboxes:
        attacker = await code_in(sandboxes, program, task, "attacker")
        answers = await attacker.run(
            ATTEMPT
            + """
any_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def ioctl(code, content):
    fcntl.ioctl(any_socket, code, content)
    return "done"
def netlink(kind, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.bind((0, 0))
        sock.send(struct.pack("=IHHII", 16 + len(body), kind, 5, 1, 0) + body)
        return errno.errorcode[-struct.unpack_from("=i", sock.recv(4096), 16)[0]]
def write(name):
    with open("/proc/sys/net/" + name, "w") as file:
        file.write("0")
        return "written"
address = struct.pack("16sHH4s16x", b"eth0", 2, 0, socket.inet_aton("169.254.192.1"))
result = {
    "address": attempt(lambda: ioctl(0x8916, address)),
    "link down": attempt(lambda: ioctl(0x8914, struct.pack("16sH22x", b"eth0", 0))),
    "hardware address": attempt(lambda: ioctl(0x8924, struct.pack("16sH14s8x", b"eth0", 1, b"123456"))),
    "route": attempt(lambda: netlink(24, struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 4, 0, 1, 0) + struct.pack("=HHi", 8, 4, 100))),
    "remove link": attempt(lambda: netlink(17, struct.pack("=BxHiII", 0, 0, 100, 0, 0))),
    "raw": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 17)),
    "packet": attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)),
    "filter": attempt(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)),
    "transparent": attempt(lambda: any_socket.setsockopt(socket.SOL_IP, 19, 1)),
    "mark": attempt(lambda: any_socket.setsockopt(socket.SOL_SOCKET, 36, 1)),
    "ping": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)),
    "IPv6 on": attempt(lambda: write("ipv6/conf/eth0/disable_ipv6")),
}
"""
        )
    assert answers == {
        "address": "EPERM",
        "link down": "EPERM",
        "hardware address": "EPERM",
        "route": "EPERM",
        "remove link": "EPERM",
        "raw": "EPERM",
        "packet": "EAFNOSUPPORT",
        "filter": "EPROTONOSUPPORT",
        "transparent": "EPERM",
        "mark": "EPERM",
        "ping": "EACCES",
        "IPv6 on": "EACCES",
    }


@pytest.mark.parametrize("spares", [0, 2])
async def test_no_network_from_the_first_instruction_on(
    tmp_path: Path, program: RuntimeProgram, task: Path, outside: Machine, spares: int
) -> None:
    """Also where the sandbox was made ahead, with a network; the next sandbox has one again."""
    with outside.inside():
        peer = bound(outside.address, 7007)
    async with backend(tmp_path / "state", spares=spares) as sandboxes:
        for number in range(3):
            alone = await code_in(sandboxes, program, task, f"alone-{number}", has_network=False)
            assert await alone.run(ATTEMPT + f"result = attempt(lambda: send({outside.address!r}))") == "ENETUNREACH"
            assert await alone.run(ATTEMPT + f"result = attempt(lambda: send({outside.address!r}, by=b'eth0'))") != 7
            other = await code_in(sandboxes, program, task, f"other-{number}")
            assert await other.run(ATTEMPT + f"result = send({outside.address!r})") == 7
            assert peer.recv(100) == b"hostile"
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(100)
    peer.close()


async def test_a_start_that_is_given_up_while_the_network_is_taken_away(
    tmp_path: Path, program: RuntimeProgram, task: Path
) -> None:
    """Nothing of it stays, whenever in the start that happens, and the next start works."""
    async with backend(tmp_path / "state") as sandboxes:
        for number in range(20):
            start = asyncio.create_task(sandboxes.start(make_spec(program, task, f"s{number}", has_network=False)))
            for _ in range(number % 5):
                await asyncio.sleep(0)
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
        last = await code_in(sandboxes, program, task, "last", has_network=False)
        assert await last.run("result = 1 + 1") == 2


async def test_a_burst_of_sandboxes_leaves_no_link(tmp_path: Path, program: RuntimeProgram, task: Path) -> None:
    """Of sixty at once, with and without a network, some never wanted after all, the router keeps not one link."""
    async with backend(tmp_path / "state", spares=0) as sandboxes:
        warm_up = await sandboxes.start(make_spec(program, task, "warm-up"))
        router = router_of(sandboxes)
        await warm_up.stop()
        wait_until(lambda: len(links_in(router)) <= 6, 30, "the first sandbox's link to go")  # a stock of four stays
        specs = [make_spec(program, task, f"burst-{number}", has_network=number % 3 != 0) for number in range(60)]
        starts = [asyncio.create_task(sandboxes.start(spec)) for spec in specs]
        for start in starts[::10]:
            start.cancel()
        started = [result for result in await asyncio.gather(*starts, return_exceptions=True) if not is_failure(result)]
        assert len(started) == 54
        assert len(links_in(router)) > 50
        await asyncio.gather(*(sandbox.stop() for sandbox in started))
        await asyncio.to_thread(wait_until, lambda: len(links_in(router)) <= 6, 60, "the links of sixty sandboxes to go")
        os.close(router)


def is_failure(result: object) -> bool:
    assert not isinstance(result, SandboxError), result
    return isinstance(result, BaseException)


async def test_a_killed_launcher_leaves_nothing(tmp_path: Path, program: RuntimeProgram, task: Path) -> None:
    """Not on the machine, at once; and the next backend of the same folder has a network again."""
    sandboxes = NamespaceSandboxes(tmp_path / "state", network="nat")
    await sandboxes.open()
    await sandboxes.start(make_spec(program, task))
    assert uplink_of(tmp_path / "state") in links()
    for keeper in children(launcher_of(sandboxes)):
        os.kill(keeper, signal.SIGSTOP)  # it cannot clear away: the kernel has to
    for pid in [launcher_of(sandboxes), *children(launcher_of(sandboxes))]:
        with contextlib.suppress(ProcessLookupError):  # it has asked to die with the launcher, the first of them
            os.kill(pid, signal.SIGKILL)
    await sandboxes.lost()
    await sandboxes.close()
    async with backend(tmp_path / "state") as again:
        peer = await code_in(again, program, task, "again")
        assert (await peer.run(ATTEMPT + "result = own_address()")).startswith("169.254.")
    assert uplink_of(tmp_path / "state") not in links()


def launcher_of(sandboxes: NamespaceSandboxes) -> int:
    assert sandboxes._link.process is not None
    return sandboxes._link.process.pid


def router_of(sandboxes: NamespaceSandboxes) -> int:
    """A descriptor of the network namespace in which the links of all its sandboxes end."""
    for keeper in children(launcher_of(sandboxes)):
        for path in Path(f"/proc/{keeper}/fd").iterdir():
            try:
                if "net:[" not in os.readlink(path):
                    continue
                namespace = os.open(path, os.O_RDONLY)
            except FileNotFoundError:  # closed meanwhile
                continue
            if "uplink" in links_in(namespace):
                return namespace
            os.close(namespace)
    raise AssertionError("no process of the launcher's holds a router")


def links_in(namespace: int) -> list[str]:
    with linux.inside_network(namespace):
        return [name for _, name in socket.if_nameindex()]
