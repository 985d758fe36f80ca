"""network.py: where packets of sandboxes get, and where they do not, with real namespaces, links and filters."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import AbstractContextManager
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lambdad.sandbox import linux, netlink, network_rules, packet_filter
from lambdad.sandbox.base import RESOLVER_ADDRESS
from lambdad.sandbox.netlink import Netlink
from lambdad.sandbox.network import Network, NoNetwork, Outlet, RoutedNetwork
from lambdad.sandbox.packet_filter import Chain, Table
from support.machine import (
    Peer,
    bound,
    links,
    listening,
    on_a_machine_of_its_own,
    raw_socket,
    setting,
    try_to_connect,
)

pytestmark = pytest.mark.root

NAME = "lambdad-0000test"
LINK = "lambdad-0000tes"
UNREACHABLE = "No route to host"


def inside(outlet: Outlet) -> AbstractContextManager[None]:
    return linux.inside_network(outlet.namespace)


def sandbox(network: Network) -> Outlet:
    """As the processes in it leave it: with loopback."""
    outlet = network.make()
    with inside(outlet):
        Netlink(netlink.ROUTE).do(netlink.link_up(1))
    return outlet


def address_of(outlet: Outlet) -> str:
    with linux.inside_network(outlet.namespace):
        return netlink.addresses(Netlink(netlink.ROUTE))[-1]


@on_a_machine_of_its_own
def test_tcp_to_the_outside() -> None:
    """A sandbox reaches another machine, which sees it under this machine's address."""
    outside = Peer("lan0", "198.51.100")
    with outside.inside():
        listener = listening(outside.address)
    network = RoutedNetwork(NAME)
    with inside(sandbox(network)):
        client = socket.create_connection((outside.address, 80), 5)
    server, source = listener.accept()
    assert source[0] == outside.address_of_machine
    client.sendall(b"question")
    assert server.recv(100) == b"question"
    server.sendall(b"answer")
    assert client.recv(100) == b"answer"
    network.close()


@on_a_machine_of_its_own
def test_udp_to_the_outside() -> None:
    """Datagrams go out under this machine's address, and answers come back."""
    outside = Peer("lan0", "198.51.100")
    with outside.inside():
        peer = bound(outside.address)
    network = RoutedNetwork(NAME)
    with inside(sandbox(network)):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(60)
    client.sendto(b"question", (outside.address, 7))
    question, source = peer.recvfrom(100)
    assert (question, source[0]) == (b"question", outside.address_of_machine)
    peer.sendto(b"answer", source)
    assert client.recv(100) == b"answer"
    network.close()


@on_a_machine_of_its_own
def test_sandboxes_do_not_reach_each_other() -> None:
    """Not by their addresses, whatever link or source a socket is told to use."""
    network = RoutedNetwork(NAME)
    one, other = sandbox(network), sandbox(network)
    victim = address_of(other)
    with inside(other):
        listener, peer = listening("0.0.0.0"), bound(victim)
        assert try_to_connect(victim) == "connected"  # it is there
    listener.accept()
    listener.setblocking(False)
    with inside(one):
        assert try_to_connect(victim) == UNREACHABLE
        assert try_to_connect(victim, by="eth0") == UNREACHABLE
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
            sock.sendto(b"hostile", (victim, 7))
    with inside(other):
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"own", (victim, 7))
    assert peer.recv(100) == b"own"
    with pytest.raises(BlockingIOError):
        listener.accept()
    network.close()


@on_a_machine_of_its_own
def test_the_machine_is_not_reached() -> None:
    """By none of its addresses: of the LAN, of the uplink, of loopback. All of them answer the machine itself."""
    outside = Peer("lan0", "198.51.100")
    network = RoutedNetwork(NAME)
    listener = listening("0.0.0.0", 8080)
    peer = bound("0.0.0.0")
    on_uplink = next(address for address in netlink.addresses(Netlink(netlink.ROUTE)) if address.startswith("169.254."))
    outlet = sandbox(network)
    for address in (outside.address_of_machine, on_uplink, "127.0.0.1", "127.0.0.53"):
        assert try_to_connect(address, 8080) == "connected"
        listener.accept()[0].close()
        with inside(outlet):
            if not address.startswith("127."):  # the router drops those without a word
                assert try_to_connect(address, 8080, by="eth0") == UNREACHABLE
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"eth0")
                sock.sendto(b"hostile", (address, 7))
    with inside(outlet):
        assert try_to_connect(RESOLVER_ADDRESS, 8080) == UNREACHABLE
        assert try_to_connect("198.51.100.255", 8080) in (UNREACHABLE, "Permission denied")
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"own", ("127.0.0.1", 7))
    assert peer.recv(100) == b"own"
    network.close()


@on_a_machine_of_its_own
def test_metadata_is_not_reached() -> None:
    """The addresses under which clouds keep credentials, though the machine itself reaches each of them."""
    outside = Peer("lan0", "198.51.100")
    addresses = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"]
    with outside.inside():
        listener = listening("0.0.0.0")
    network = RoutedNetwork(NAME)
    outlet = sandbox(network)
    for address in addresses:
        outside.adds(address)
        assert try_to_connect(address) == "connected"
        with inside(outlet):
            assert try_to_connect(address) == UNREACHABLE
            assert try_to_connect(address, by="eth0") == UNREACHABLE
    for _ in addresses:
        listener.accept()
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()
    network.close()


@on_a_machine_of_its_own
def test_every_unreachable_network_is_refused_by_the_router() -> None:
    """Also where a socket passes by the sandbox's own routes."""
    network = RoutedNetwork(NAME)
    with inside(sandbox(network)):
        for name in network_rules.UNREACHABLE:
            address = str(IPv4Network(name)[-1] if name.endswith("/32") else IPv4Network(name)[1])
            if not address.startswith(("0.", "127.", "224.")):  # refused by the socket, or dropped without a word
                assert try_to_connect(address, by="eth0") == UNREACHABLE, name
    network.close()


@on_a_machine_of_its_own
def test_a_false_source_goes_nowhere() -> None:
    """Packets with another sandbox's address, with the Runtime API's or with one of the LAN are dropped on their way out."""
    outside = Peer("lan0", "198.51.100")
    with outside.inside():
        peer = bound(outside.address)
    network = RoutedNetwork(NAME)
    one, other = sandbox(network), sandbox(network)
    for source in (address_of(other), "169.254.100.1", "198.51.100.77"):
        with inside(one), raw_socket(source) as sock:
            sock.sendto(b"false", (outside.address, 7))
    with inside(one):
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"true", (outside.address, 7))
    assert peer.recv(100) == b"true"
    network.close()


@on_a_machine_of_its_own
def test_there_is_no_ipv6() -> None:
    """But for loopback: no address on the link, no route, and the metadata address of IPv6 is as far as any other."""
    network = RoutedNetwork(NAME)
    with inside(sandbox(network)):
        assert setting("ipv6/conf/eth0/disable_ipv6") == "1"
        assert [line.split()[-1] for line in Path("/proc/net/if_inet6").read_text().splitlines()] == ["lo"]
        assert try_to_connect("fd00:ec2::254") == "Network is unreachable"
        assert try_to_connect("2001:db8::1") == "Network is unreachable"
    network.close()


@on_a_machine_of_its_own
def test_nobody_outside_begins_to_speak_to_a_sandbox() -> None:
    """Not even one who sends what the machine would pass on to the router."""
    outside = Peer("lan0", "198.51.100")
    network = RoutedNetwork(NAME)
    outlet = sandbox(network)
    with inside(outlet):
        peer = bound("0.0.0.0")
    on_uplink = next(address for address in netlink.addresses(Netlink(netlink.ROUTE)) if address.startswith("169.254."))
    router = ".".join([*on_uplink.split(".")[:3], str(int(on_uplink.split(".")[3]) + 1)])
    for target in (router, address_of(outlet), RESOLVER_ADDRESS):
        with outside.inside():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for port in (7, 53):
            sock.sendto(b"hostile", (target, port))
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"hostile", (router, 7))
    with inside(outlet):
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"own", (address_of(outlet), 7))
    assert peer.recv(100) == b"own"
    network.close()


@on_a_machine_of_its_own
def test_the_machine_does_not_become_a_router() -> None:
    """Forwarding is switched on for sandboxes; from one link of the machine to another nothing passes that did not before."""
    left, right = Peer("left0", "198.51.100"), Peer("right0", "203.0.113")
    with right.inside():
        peer = bound(right.address)
        wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)  # gets whatever arrives
        wire.settimeout(60)
    network = RoutedNetwork(NAME)
    assert setting("ipv4/ip_forward") == "1"
    with left.inside():
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"through", (right.address, 7))
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:  # belongs to no connection: too short
            raw.sendto(b"\0\7\0\7\0\xff\0\0", (right.address, 0))
    with inside(sandbox(network)):
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"from a sandbox", (right.address, 7))
    assert peer.recv(100) == b"from a sandbox"
    assert wire.recv(100).endswith(b"from a sandbox")
    network.close()
    assert setting("ipv4/ip_forward") == "0"


@on_a_machine_of_its_own
def test_a_machine_that_forwards_goes_on_to() -> None:
    """Where forwarding was on, it stays on afterwards, and what passed before passes still."""
    left, right = Peer("left0", "198.51.100"), Peer("right0", "203.0.113")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    with right.inside():
        peer = bound(right.address)
    network = RoutedNetwork(NAME)
    assert network.remark == ""
    with left.inside():
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"through", (right.address, 7))
    assert peer.recv(100) == b"through"
    network.close()
    assert setting("ipv4/ip_forward") == "1"


@on_a_machine_of_its_own
def test_unplugged() -> None:
    """An unplugged sandbox reaches nothing, learns so at once, and the others notice nothing."""
    outside = Peer("lan0", "198.51.100")
    with outside.inside():
        listener = listening(outside.address)
    network = RoutedNetwork(NAME)
    one, other = sandbox(network), sandbox(network)
    network.unplug(one)
    with inside(one):
        assert try_to_connect(outside.address) == "Network is unreachable"
        assert try_to_connect(RESOLVER_ADDRESS, 53) == UNREACHABLE
    with inside(other):
        assert try_to_connect(outside.address) == "connected"
    listener.accept()
    network.close()


@on_a_machine_of_its_own
def test_a_network_that_leads_nowhere() -> None:
    """`none` has nothing but loopback."""
    network = NoNetwork()
    outlet = sandbox(network)
    assert outlet.link == 0
    with inside(outlet):
        assert links() == ["lo"]
        assert try_to_connect("198.51.100.2") == "Network is unreachable"
    network.close()


@on_a_machine_of_its_own
def test_nothing_is_left_behind() -> None:
    """After `close` the machine has the links and routes of before; its tables of filters are as if nothing had been."""
    outside = Peer("lan0", "198.51.100")
    before = links(), netlink.routes(Netlink(netlink.ROUTE)), netlink.addresses(Netlink(netlink.ROUTE))
    network = RoutedNetwork(NAME)
    sandbox(network)
    assert LINK in links()
    network.close()
    assert (links(), netlink.routes(Netlink(netlink.ROUTE)), netlink.addresses(Netlink(netlink.ROUTE))) == before
    RoutedNetwork(NAME).close()  # a table of the same name would be in the way
    del outside


@on_a_machine_of_its_own
def test_a_killed_owner_leaves_nothing() -> None:
    """The kernel takes the filters away with the process; the next of the same name takes over whatever else is still there."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        network = RoutedNetwork(NAME)
        sandbox(network)
        os.write(writer, b"ready")
        signal.pause()
    assert os.read(reader, 5) == b"ready"
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    network = RoutedNetwork(NAME)
    sandbox(network)
    network.close()
    assert links() == ["lo"]
    assert setting("ipv4/ip_forward") == "0"  # switched on by the one that was killed


@on_a_machine_of_its_own
def test_two_servers_at_once() -> None:
    """Each has its own way out, and none into the other; the last to go switches forwarding off."""
    outside = Peer("lan0", "198.51.100")
    with outside.inside():
        listener = listening(outside.address)
    first, second = RoutedNetwork("lambdad-1000test"), RoutedNetwork("lambdad-2000test")
    one, other = sandbox(first), sandbox(second)
    assert [link for link in links() if link.startswith("lambdad")] == ["lambdad-1000tes", "lambdad-2000tes"]
    network_pair = (one, other)
    with inside(other):
        listening("0.0.0.0")
    for outlet in network_pair:
        with inside(outlet):
            assert try_to_connect(outside.address) == "connected"
        listener.accept()
    for address in netlink.addresses(Netlink(netlink.ROUTE)):
        if address.startswith("169.254."):
            with inside(one):
                assert try_to_connect(address, by="eth0") == UNREACHABLE
    first.close()
    assert setting("ipv4/ip_forward") == "1"
    with inside(other):
        assert try_to_connect(outside.address) == "connected"
    second.close()
    assert setting("ipv4/ip_forward") == "0"


@on_a_machine_of_its_own
def test_a_firewall_that_forwards_nothing_is_noticed() -> None:
    """Instead of functions whose packets vanish there is an error that names the cause, and nothing is left of the attempt."""
    firewall = Netlink(netlink.NETFILTER)
    closed = Chain("FORWARD", packet_filter.FORWARD, packet_filter.FILTER, packet_filter.DROP, ())
    packet_filter.load(firewall, Table("firewall", [closed]))
    with pytest.raises(OSError, match="firewall drops packets that are forwarded"):
        RoutedNetwork(NAME)
    assert links() == ["lo"]
    assert setting("ipv4/ip_forward") == "0"
    firewall.close()


@on_a_machine_of_its_own
def test_one_sandbox_cannot_fill_the_table_of_connections() -> None:
    """What it opens beyond its share is refused; another still gets out."""
    network_rules.CONNECTIONS_OF_ONE = 5
    outside = Peer("lan0", "198.51.100")
    with outside.inside():
        listener = listening(outside.address)
    network = RoutedNetwork(NAME)
    greedy, modest = sandbox(network), sandbox(network)
    with inside(greedy):
        held = [socket.create_connection((outside.address, 80), 5) for _ in range(5)]
        assert try_to_connect(outside.address) == UNREACHABLE
    with inside(modest):
        assert try_to_connect(outside.address) == "connected"
    for client in held:
        client.close()
    listener.close()
    network.close()


@on_a_machine_of_its_own
def test_one_sandbox_cannot_drown_the_resolver() -> None:
    """Of its packets only so many a second get there; another's do."""
    network_rules.QUESTIONS_OF_ONE = 10
    network = RoutedNetwork(NAME)
    questions, listener = network.resolver_sockets()
    questions.settimeout(60)
    greedy, modest = sandbox(network), sandbox(network)
    with inside(greedy):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for _ in range(500):
            sock.sendto(b"greedy", (RESOLVER_ADDRESS, 53))
    with inside(modest):
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"modest", (RESOLVER_ADDRESS, 53))
    received = 0
    while questions.recv(100) != b"modest":
        received += 1
    assert 0 < received < 100
    listener.close()
    network.close()
