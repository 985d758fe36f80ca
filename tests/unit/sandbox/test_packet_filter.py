"""packet_filter.py: tables of rules in the kernel. What the rules of sandboxes do is in test_network.py."""

from __future__ import annotations

import socket

import pytest

from lambdad.sandbox import netlink
from lambdad.sandbox.netlink import Netlink, nested, text
from lambdad.sandbox.packet_filter import (
    ACCEPT,
    FILTER,
    INPUT,
    Chain,
    Table,
    comes_by,
    drop,
    goes_to_port,
    load,
    refuse,
)
from support.machine import bound, listening, on_a_machine_of_its_own, try_to_connect

pytestmark = pytest.mark.root


def closed_ports(*ports: int) -> Table:
    rules = [(goes_to_port(socket.IPPROTO_TCP, port), refuse()) for port in ports]
    return Table("test", [Chain("in", INPUT, FILTER, ACCEPT, rules)])


@on_a_machine_of_its_own
def test_a_table_is_in_force_for_as_long_as_its_socket_is_open() -> None:
    """With the socket it goes, without anything to clear away."""
    kernel = Netlink(netlink.NETFILTER)
    with listening("127.0.0.1", 80), listening("127.0.0.1", 81):
        load(kernel, closed_ports(80))
        assert try_to_connect("127.0.0.1", 80) == "No route to host"
        assert try_to_connect("127.0.0.1", 81) == "connected"
        kernel.close()
        assert try_to_connect("127.0.0.1", 80) == "connected"


@on_a_machine_of_its_own
def test_a_table_of_the_same_name() -> None:
    """It is refused while the other is there, and the other stays as it is."""
    first, second = Netlink(netlink.NETFILTER), Netlink(netlink.NETFILTER)
    load(first, closed_ports(80))
    with pytest.raises(OSError, match="table test"):
        load(second, closed_ports(81))
    with listening("127.0.0.1", 80), listening("127.0.0.1", 81):
        assert try_to_connect("127.0.0.1", 80) == "No route to host"
        assert try_to_connect("127.0.0.1", 81) == "connected"


@on_a_machine_of_its_own
def test_all_or_nothing() -> None:
    """One rule that the kernel does not take, and none is in force: the error says which it was."""
    kernel = Netlink(netlink.NETFILTER)
    good, bad = (goes_to_port(socket.IPPROTO_TCP, 80), refuse()), (nested(1, text(1, "no-such-condition")),)
    with pytest.raises(OSError, match="rule 2 of chain in"):
        load(kernel, Table("test", [Chain("in", INPUT, FILTER, ACCEPT, [good, bad])]))
    with listening("127.0.0.1", 80):
        assert try_to_connect("127.0.0.1", 80) == "connected"
    load(kernel, closed_ports(80))


@on_a_machine_of_its_own
def test_links_are_told_by_their_whole_names() -> None:
    """A rule about `l` is not about `lo`."""
    kernel = Netlink(netlink.NETFILTER)
    chains = [Chain("in", INPUT, FILTER, ACCEPT, [(comes_by("l"), drop()), (comes_by("lo-more"), drop())])]
    load(kernel, Table("test", chains))
    peer = bound("127.0.0.1")
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"passes", ("127.0.0.1", 7))
    assert peer.recv(100) == b"passes"
    closed = (comes_by("lo"), goes_to_port(socket.IPPROTO_TCP, 7), refuse())
    load(kernel, Table("other", [Chain("in", INPUT, FILTER, ACCEPT, [closed])]))
    assert try_to_connect("127.0.0.1", 7) == "No route to host"
