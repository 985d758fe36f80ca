"""A machine for tests of networks: a network namespace of its own, with peers around it that play the outside.

One process can hold sockets in all of these namespaces at once, so a test needs no servers: it makes both ends of everything.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from lambdad.sandbox import linux, netlink
from lambdad.sandbox.netlink import LinkWatch, Netlink

SO_BINDTODEVICE = 25


class Peer:
    """Another machine, joined to this one by a link of its own."""

    def __init__(self, name: str, network: str) -> None:
        """`network` is the first three numbers of a network whose .1 this machine gets, and whose .2 the peer gets."""
        self.address, self.address_of_machine = f"{network}.2", f"{network}.1"
        machine = os.open("/proc/self/ns/net", os.O_RDONLY)
        on_machine = Netlink(netlink.ROUTE)
        self.namespace = linux.make_network_namespace()
        with self.inside():
            inside, links = Netlink(netlink.ROUTE), LinkWatch()
            inside.do(netlink.new_pair("eth0", 100, name, 0, machine, 1500))
        index = socket.if_nametoindex(name)
        on_machine.do(netlink.link_up(index), netlink.new_address(index, self.address_of_machine, 24))
        inside.do(netlink.link_up(1), netlink.link_up(100), netlink.new_address(100, self.address, 24))
        inside.do(netlink.new_route("0.0.0.0", 0, 100, self.address_of_machine))
        links.wait_until_up(inside, 100)
        self.index, self._name = index, name
        for opened in (on_machine, inside, links):
            opened.close()
        os.close(machine)

    def adds(self, address: str) -> None:
        """It answers to one more address, and the machine knows the way."""
        with linux.inside_network(self.namespace):
            Netlink(netlink.ROUTE).do(netlink.new_address(100, address, 32))
        Netlink(netlink.ROUTE).do(netlink.new_route(address, 32, self.index, self.address))

    def close(self) -> None:
        with contextlib.closing(Netlink(netlink.ROUTE)) as on_machine:
            on_machine.do(netlink.remove_link(self._name))
        os.close(self.namespace)

    def inside(self) -> contextlib.AbstractContextManager[None]:
        return linux.inside_network(self.namespace)


def on_a_machine_of_its_own(test: Callable[[], None]) -> Callable[[], None]:
    """Runs a test in a process and a network namespace of its own, so that it cannot disturb anybody's network."""

    @functools.wraps(test)
    def run() -> None:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                linux.unshare(linux.CLONE_NEWNET)
                Path("/proc/sys/net/ipv4/ip_forward").write_text("0")  # it begins as the real machine is at the moment
                Netlink(netlink.ROUTE).do(netlink.link_up(1))
                test()
            except BaseException:  # noqa: BLE001 - the parent raises it
                os.write(writer, traceback.format_exc()[-60_000:].encode())
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as report:
            failure = report.read()
        os.waitpid(child, 0)
        assert not failure, failure

    return run


def listening(address: str, port: int = 80) -> socket.socket:
    return socket.create_server((address, port))


def bound(address: str, port: int = 7) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(60)
    sock.bind((address, port))
    return sock


def try_to_connect(address: str, port: int = 80, *, by: str | None = None) -> str:
    """ "connected", or the name of the error. `by` names the link to be used whatever the routes say."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
        client.settimeout(60)
        if by is not None:
            client.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, by.encode())
        try:
            client.connect((address, port))
        except OSError as error:
            return os.strerror(error.errno) if error.errno else type(error).__name__
    return "connected"


def uplink_of(state_dir: Path) -> str:
    """The name of the link that a backend with this folder has on the machine: others may be there for other servers."""
    return ("lambdad-" + hashlib.sha256(os.fsencode(state_dir.absolute())).hexdigest())[:15]


def setting(name: str) -> str:
    """One of the network namespace that this process is in."""
    return Path("/proc/sys/net", name).read_text().strip()


def links() -> list[str]:
    return sorted(name for _, name in socket.if_nameindex())


@contextlib.contextmanager
def raw_socket(source: str) -> Iterator[socket.socket]:
    """A UDP socket that sends with any `source`, which takes more than a function has."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_IP, socket.IP_TRANSPARENT, 1)
        sock.bind((source, 0))
        yield sock
