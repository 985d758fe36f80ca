"""Attacks over the network: the machine's services on every address, the metadata service, other environments, and the wire itself.

They hold whether or not functions have a way to the outside.
"""

from __future__ import annotations

import contextlib
import re
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.arena import Arena, Attack, rows

pytestmark = pytest.mark.root


@dataclass(frozen=True, slots=True)
class Canaries:
    """Services of the machine on all of its addresses, which nobody inside may reach."""

    listeners: tuple[socket.socket, ...]
    port: int

    def visitors(self) -> list[str]:
        """Who has come since the last time."""
        seen = []
        for listener in select.select(self.listeners, [], [], 0)[0]:
            if listener.type == socket.SOCK_DGRAM:
                seen.append(str(listener.recvfrom(100)))
            else:
                connection, address = listener.accept()
                connection.close()
                seen.append(str(address))
        return seen


@pytest.fixture(scope="module")
def canaries() -> Iterator[Canaries]:
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(socket.create_server(("0.0.0.0", 0)))
        port = stream.getsockname()[1]
        datagrams = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        datagrams.bind(("0.0.0.0", port))
        listeners = [stream, datagrams]
        if socket.has_ipv6 and Path("/proc/net/if_inet6").exists():
            listeners.append(stack.enter_context(socket.create_server(("::", port), family=socket.AF_INET6)))
        with socket.create_connection(("127.0.0.1", port)):
            made = Canaries(tuple(listeners), port)
            assert len(made.visitors()) == 1, "the canary notices who comes"
        yield made


def addresses_of_the_machine() -> list[str]:
    found = set(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", Path("/proc/net/fib_trie").read_text()))
    with contextlib.suppress(FileNotFoundError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            digits = line.split()[0]
            found.add(":".join(digits[at : at + 4] for at in range(0, 32, 4)))
    return sorted(found)


def places(arena: Arena, canaries: Canaries) -> dict[str, Any]:
    return {
        "machine": addresses_of_the_machine(),
        "neighbour": arena.neighbour.first["addresses"],
        "ports": arena.neighbour.ports,
        "canary": canaries.port,
        "server": arena.server.port,
    }


#: Addresses of gateways, as its own tables tell of them.
GATEWAYS = """
def gateways():
    found = set()
    for line in read("/proc/net/route", 65536).splitlines()[1:] if os.path.exists("/proc/net/route") else ():
        fields = line.split()
        if int(fields[2], 16):
            found.add(socket.inet_ntoa(struct.pack("<I", int(fields[2], 16))))
    return sorted(found)
"""


@pytest.mark.parametrize("attack", rows(
    Attack("connect to the machine on every address", GATEWAYS + """
def attempt():
    ports = [given["canary"], given["server"], 22, 2375, 2376, 6443, 10250]
    hosts = [host for host in given["machine"] + gateways() + ["::ffff:127.0.0.1", "0.0.0.0"]]
    return gains(*[lambda host=host, port=port: connects(host, port, 0.5) for host in hosts for port in ports])
"""),
    Attack("datagrams to the machine and to everybody", GATEWAYS + """
def shout(host, port):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        made.sendto(b"intruder", (host, port))
def attempt():
    everybody = ["255.255.255.255", "169.254.255.255", "224.0.0.1", "10.255.255.255", "192.168.255.255"]
    for host in given["machine"] + given["neighbour"] + gateways() + everybody:
        for port in (given["canary"], given["ports"]["udp"]):
            gains(lambda: shout(host, port))
"""),
    Attack("the metadata services of clouds", """
def attempt():
    hosts = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "100.100.100.200", "192.0.0.192"]
    return gains(*[lambda host=host, port=port: connects(host, port, 0.5) for host in hosts for port in (80, 443, 1338)])
"""),
    Attack("another environment", """
def attempt():
    return gains(*[lambda host=host, port=port: connects(host, port, 0.5) for host in given["neighbour"] for port in (given["ports"]["tcp"],)],
                 *[lambda host=host: connects(host, 9001, 0.5) for host in given["neighbour"] if host not in ("127.0.0.1", "169.254.100.1")])
"""),
    Attack("scan every port of its loopback", """
def attempt():
    found = []
    for port in range(1, 65536):
        with socket.socket() as made:
            if made.connect_ex(("127.0.0.1", port)) == 0 and made.getsockname() != made.getpeername():
                found.append(port)
    return found
"""),
    Attack("change its interfaces and routes", """
def attempt():
    def change(code, name=b"lo", content=bytes(24)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            fcntl.ioctl(made.fileno(), code, struct.pack("16s24s", name, content))
        return hex(code)
    address = struct.pack("HH4s16x", 2, 0, socket.inet_aton("127.0.0.9"))
    return gains(*[lambda code=code: change(code, content=address) for code in (0x8914, 0x8916, 0x891C, 0x8922, 0x8924, 0x8923, 0x89A0, 0x89F0)],
                 lambda: change(0x890B, bytes(16)), lambda: os.open("/dev/net/tun", os.O_RDWR) and "tun",
                 lambda: write("/proc/sys/net/ipv4/ip_forward", "1"), lambda: write("/proc/sys/net/ipv4/conf/all/route_localnet", "1"))
"""),
    Attack("pretend to be somebody else", """
def attempt():
    def pretend(host):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            made.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
            made.bind((host, 0))
            for target in given["machine"]:
                gains(lambda: made.sendto(b"intruder", (target, given["canary"])))
    def transparent():
        with socket.socket() as made:
            made.setsockopt(socket.IPPROTO_IP, 19, 1)  # IP_TRANSPARENT
            return made.getsockopt(socket.IPPROTO_IP, 19) and "transparent"  # gVisor takes what it does not know, and does nothing
    def marked():
        with socket.socket() as made:
            made.setsockopt(socket.SOL_SOCKET, 36, 1)  # SO_MARK
            return made.getsockopt(socket.SOL_SOCKET, 36) and "marked"
    for host in given["machine"] + given["neighbour"]:
        gains(lambda: pretend(host))
    return gains(transparent, marked)
"""),
    Attack("its Runtime API's and endpoint's places for itself", """
def attempt():
    def take(port):
        with socket.socket() as made:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            made.bind(("169.254.100.1", port))
            made.listen(1)
            return port
    return gains(lambda: take(9001))
"""),
))  # fmt: skip
def test_the_network(arena: Arena, canaries: Canaries, attack: Attack) -> None:
    """Nothing of the machine's, of another environment's or of a cloud's is reached, and nobody there has heard anything."""
    outcome = arena.attack(attack.code, places(arena, canaries))
    assert outcome.is_contained, outcome
    assert outcome.error_type is None, outcome
    assert canaries.visitors() == []


def test_the_endpoint_is_the_one_way_to_the_server(arena: Arena) -> None:
    """What is meant to be reached is: the control of the tests above."""
    code = """
    def attempt():
        import urllib.request
        with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/_lambdad/health", timeout=10) as answer:
            return answer.status
    """
    assert arena.attack(code).gained == 200
