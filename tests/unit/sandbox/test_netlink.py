"""netlink.py: messages to the kernel, and what it answers."""

from __future__ import annotations

import struct

import pytest

from lambdad.sandbox import netlink
from lambdad.sandbox.netlink import LinkWatch, Message, Netlink, attribute, attributes_in, nested, number, text
from support.machine import Peer, links, on_a_machine_of_its_own


def test_attributes_are_padded_to_four_bytes() -> None:
    """The length says how much is content; the next begins at a multiple of four."""
    assert attribute(7, b"abcde") == struct.pack("=HH", 9, 7) + b"abcde\0\0\0"
    assert list(attributes_in(attribute(1, b"a") + attribute(2, b"") + text(3, "eth0"))) == [
        (1, b"a"),
        (2, b""),
        (3, b"eth0\0"),
    ]


def test_nested_attributes() -> None:
    """They are marked as such, and the mark is no part of the kind."""
    [(kind, content)] = attributes_in(nested(5, number(1, 6), number(2, 7)))
    assert (kind, dict(attributes_in(content))) == (5, {1: struct.pack("=I", 6), 2: struct.pack("=I", 7)})


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\0\0\0", b"\3\0\1\0rest"])
def test_what_is_cut_short_ends(data: bytes) -> None:
    """Nothing is read beyond the end, and nothing is read for ever."""
    assert list(attributes_in(data)) == []


@pytest.mark.root
@on_a_machine_of_its_own
def test_a_refusal_names_what_was_refused() -> None:
    """The first of several, with the system's reason; what came before it was done."""
    kernel = Netlink(netlink.ROUTE)
    with pytest.raises(FileExistsError, match=r"adding the address 192\.0\.2\.1: File exists"):
        kernel.do(netlink.new_address(1, "192.0.2.1", 32), netlink.new_address(1, "192.0.2.1", 32), netlink.link_up(99))
    assert "192.0.2.1" in netlink.addresses(kernel)


@pytest.mark.root
@on_a_machine_of_its_own
def test_a_link_that_is_not_there() -> None:
    """To remove it, or to look at it, is an error with its name."""
    kernel = Netlink(netlink.ROUTE)
    with pytest.raises(OSError, match="removing the link eth7"):
        kernel.do(netlink.remove_link("eth7"))
    with pytest.raises(OSError, match="looking at the link 77"):
        LinkWatch().wait_until_up(kernel, 77)


@pytest.mark.root
@on_a_machine_of_its_own
def test_a_link_that_never_comes_up() -> None:
    """The wait ends with an error, not never."""
    netlink._LINK_SECONDS = 0.05
    kernel, watch = Netlink(netlink.ROUTE), LinkWatch()
    kernel.do(netlink.link_down(1))
    with pytest.raises(OSError, match="does not come up"):
        watch.wait_until_up(kernel, 1)


@pytest.mark.root
@on_a_machine_of_its_own
def test_routes_and_addresses() -> None:
    """All of them are found, also when there are more than fit into one answer of the kernel's."""
    peer = Peer("lan0", "198.51.100")
    kernel = Netlink(netlink.ROUTE)
    wanted = [f"10.{high}.{low}.1" for high in range(10) for low in range(100)]
    for start in range(0, len(wanted), 50):
        kernel.do(*(netlink.new_route(address, 32, peer.index) for address in wanted[start : start + 50]))
    found = netlink.routes(kernel)
    assert {route.destination for route in found} >= set(wanted)
    assert netlink.Route("198.51.100.0", 24, peer.index) in found
    assert sorted(netlink.addresses(kernel)) == ["127.0.0.1", "198.51.100.1"]
    assert links() == ["lan0", "lo"]


@pytest.mark.root
@on_a_machine_of_its_own
def test_an_error_of_a_dump() -> None:
    """It is raised rather than taken for an end."""
    with pytest.raises(OSError):
        Netlink(netlink.ROUTE).dump(4711, b"\0" * 16)


def test_a_message_says_what_it_is_for() -> None:
    """So that errors can be read."""
    assert isinstance(netlink.no_route("10.0.0.0", 8), Message)
    assert netlink.no_route("10.0.0.0", 8).what == "closing the way to 10.0.0.0/8"
