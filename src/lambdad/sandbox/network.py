"""The network of sandboxes: a namespace for each, joined by a *router* namespace to the machine, and so to the outside.

The router is one more network namespace. Each sandbox has a link to it and to nothing else; one link, the *uplink*, joins it to
the machine. The filter and the first translation of addresses are in the router. The machine sees the router's one address,
and has one small table that translates it and keeps it from the machine's own services. All of this ends with the process that
made it, however that ends: namespaces and links because nobody uses them any more, the machine's table because it belongs to
one of the process's sockets.

For a privileged process of one thread that has been forked for it: see `network_keeper`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import socket
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Protocol

from lambdad.sandbox import linux, netlink, packet_filter
from lambdad.sandbox.base import RESOLVER_ADDRESS
from lambdad.sandbox.forwarding import LINK_PREFIX, Forwarding
from lambdad.sandbox.netlink import LinkWatch, Netlink
from lambdad.sandbox.network_rules import machine_table, router_table

LINK_IN_SANDBOX = "eth0"
_UPLINK = "uplink"  # its name in the router; on the machine it is called after the server
#: Link-local addresses, which nobody forwards and no function can reach: nothing outside is hidden by them, and no plan of
#: anybody's is disturbed. Sandboxes and machine do not share a namespace, so these two ranges only ought to differ.
_SANDBOXES = IPv4Network("169.254.192.0/18")
_UPLINKS = IPv4Network("169.254.104.0/21")
_LOOPBACK_INDEX, _LINK_INDEX, _FIRST_SANDBOX_INDEX = 1, 100, 1000  # numbers of links, all of our own choice
_DEFAULT_MTU = 1500
_UNLIMITED = "Nothing limits how many connections one function holds in the kernel's table of connections."
_DROPPED = (
    "the machine's firewall drops packets that are forwarded; for the links lambdad* it has to let them through "
    "(where Docker has closed it: iptables -I DOCKER-USER -i lambdad+ -j ACCEPT, and the same with -o)"
)
_FORWARDS = "net.ipv4.ip_forward was off and is on while this server runs, for what comes from functions only"
_SIOCGIFMTU = 0x8921
_TRY_SECONDS = 1.0
_ROUTER_SETTINGS = {
    "ipv6/conf/all/disable_ipv6": "1",
    "ipv6/conf/default/disable_ipv6": "1",
    "ipv4/ip_forward": "1",
    "ipv4/conf/all/rp_filter": "1",  # what comes from a sandbox has its address, or is dropped
    "ipv4/conf/default/rp_filter": "1",
    "ipv4/conf/all/accept_source_route": "0",
    "ipv4/conf/all/route_localnet": "0",
    "ipv4/conf/default/route_localnet": "0",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
}
_UPLINK_SETTINGS = {
    "ipv6/conf/{}/disable_ipv6": "1",
    "ipv4/conf/{}/forwarding": "1",
    "ipv4/conf/{}/rp_filter": "1",
    "ipv4/conf/{}/accept_source_route": "0",
    "ipv4/conf/{}/accept_redirects": "0",
    "ipv4/conf/{}/send_redirects": "0",
}
#: A link that comes to a sandbox is without IPv6, which would be a way around all rules.
_SANDBOX_SETTINGS = {"ipv6/conf/default/disable_ipv6": "1"}


@dataclass(frozen=True, slots=True)
class Outlet:
    """The network of one sandbox."""

    namespace: int  #: descriptor of its network namespace; the owner closes it
    link: int  #: number of its link in the router; 0 if there is none


class Network(Protocol):
    weaknesses: list[str]

    def make(self) -> Outlet:
        """A network namespace that leads wherever functions may go. `lo` in it is down. OSError when it cannot be made."""
        ...

    def unplug(self, outlet: Outlet) -> None:
        """From now on it leads nowhere, and nobody inside can change that."""
        ...

    def close(self) -> None:
        """Namespaces that were made live on, without a way out."""
        ...


class NoNetwork:
    """Every sandbox is alone."""

    def __init__(self) -> None:
        self.weaknesses: list[str] = []

    def make(self) -> Outlet:
        return Outlet(linux.make_network_namespace(), 0)

    def unplug(self, outlet: Outlet) -> None:
        pass  # it never led anywhere

    def close(self) -> None:
        pass


class OwnNetworks:
    """Every sandbox is alone, in a namespace that it makes when it is in its user namespace, and that belongs to that."""

    def __init__(self) -> None:
        self.weaknesses: list[str] = []

    def make(self) -> Outlet:
        return Outlet(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC), 0)  # in the place of one that nobody enters

    def unplug(self, outlet: Outlet) -> None:
        pass  # it never led anywhere

    def close(self) -> None:
        pass


class RoutedNetwork:
    """The way out, through the router and the machine. `name` is the server's, such as `lambdad-1a2b3c4d`."""

    def __init__(self, name: str) -> None:
        """In the network of the machine. OSError if that does not provide what this needs."""
        self.weaknesses: list[str] = []
        self.remark = ""
        self._name = name
        self._link_name = (LINK_PREFIX + name.removeprefix(LINK_PREFIX))[:15]
        self._serials = itertools.count()
        with contextlib.ExitStack() as undo:
            self._machine = _open_namespace()
            undo.callback(os.close, self._machine)
            self._router = linux.make_network_namespace()
            undo.callback(os.close, self._router)
            with linux.inside_network(self._router):
                _set(_ROUTER_SETTINGS)
                self._in_router = undo.enter_context(contextlib.closing(Netlink(netlink.ROUTE)))
                self._links = undo.enter_context(contextlib.closing(LinkWatch()))
                self._router_filter = undo.enter_context(contextlib.closing(Netlink(netlink.NETFILTER)))
            self._fill_router_table()
            self._join(undo)
            self._undo = undo.pop_all()

    def resolver_sockets(self) -> tuple[socket.socket, socket.socket]:
        """Where sandboxes ask for names: UDP, and TCP, listening. They work in whatever namespace their process is."""
        with linux.inside_network(self._router):
            questions = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            questions.bind((RESOLVER_ADDRESS, 53))
            return questions, socket.create_server((RESOLVER_ADDRESS, 53), backlog=128)

    def make(self) -> Outlet:
        while True:
            serial = next(self._serials)
            address = str(_SANDBOXES[1 + serial % (_SANDBOXES.num_addresses - 2)])
            try:
                return self._make(_FIRST_SANDBOX_INDEX + serial, address)
            except FileExistsError:
                continue  # a sandbox of long ago still lives at this address

    def unplug(self, outlet: Outlet) -> None:
        with linux.inside_network(outlet.namespace), contextlib.closing(Netlink(netlink.ROUTE)) as inside:
            inside.do(netlink.link_down(_LINK_INDEX))  # whoever tries learns at once that there is no way
        self._in_router.do(netlink.link_down(outlet.link))

    def close(self) -> None:
        self._undo.close()

    # -- one sandbox -----------------------------------------------------------------------------------------------------

    def _make(self, index: int, address: str) -> Outlet:
        namespace = linux.make_network_namespace()
        try:
            self._connect(namespace, index, address)
        except OSError:
            os.close(namespace)
            raise
        return Outlet(namespace, index)

    def _connect(self, namespace: int, index: int, address: str) -> None:
        with linux.inside_network(namespace):
            _set(_SANDBOX_SETTINGS)
            inside = Netlink(netlink.ROUTE)
        with contextlib.closing(inside):
            name = f"sandbox{index}"
            self._in_router.do(netlink.new_pair(name, index, LINK_IN_SANDBOX, _LINK_INDEX, namespace, self._mtu))
            try:
                self._in_router.do(netlink.new_route(address, 32, index), netlink.new_neighbour(index, address))
                inside.do(*_inner_configuration(address))
                self._links.wait_until_up(self._in_router, index)
            except OSError:
                self._in_router.do(netlink.remove_link(name))
                raise

    # -- the router and the machine --------------------------------------------------------------------------------------

    def _fill_router_table(self) -> None:
        try:
            packet_filter.load(self._router_filter, router_table(_UPLINK, with_limits=True))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EOPNOTSUPP):
                raise
            packet_filter.load(self._router_filter, router_table(_UPLINK, with_limits=False))
            self.weaknesses.append(_UNLIMITED)

    def _join(self, undo: contextlib.ExitStack) -> None:
        """Makes the uplink, and whatever the machine needs for it."""
        on_machine = undo.enter_context(contextlib.closing(Netlink(netlink.ROUTE)))
        self._mtu = _mtu_outwards(on_machine)
        ours, theirs = _free_addresses(on_machine, self._name)
        _make_link(on_machine, self._machine, self._link_name, ours, self._in_router, _UPLINK, self._mtu)
        undo.callback(_remove_link, on_machine, self._link_name)
        self._in_router.do(
            netlink.link_up(_LOOPBACK_INDEX),
            netlink.new_address(_LOOPBACK_INDEX, RESOLVER_ADDRESS, 32),
            netlink.link_up(_LINK_INDEX),
            netlink.new_address(_LINK_INDEX, theirs, 31),
            netlink.new_route("0.0.0.0", 0, _LINK_INDEX, ours),
        )
        self._links.wait_until_up(self._in_router, _LINK_INDEX)
        forwarding = Forwarding()
        undo.callback(forwarding.give_back)
        _set({name.format(self._link_name): value for name, value in _UPLINK_SETTINGS.items()})
        filters = undo.enter_context(contextlib.closing(Netlink(netlink.NETFILTER)))
        packet_filter.load(filters, machine_table(self._name, self._link_name, theirs, forwarding.closed_links))
        undo.callback(_remove_link, on_machine, self._link_name)  # before the table goes
        self._try_out(on_machine)
        if forwarding.is_ours:
            self.remark = _FORWARDS

    def _try_out(self, on_machine: Netlink) -> None:
        """Has a packet go from the router through the machine, and its answer back, as those of functions will.

        OSError if one does not arrive: a firewall that drops what is forwarded cannot be told by looking at it.
        """
        link_name = f"{LINK_PREFIX}-try{self._link_name[-4:]}"
        ours, theirs = _free_addresses(on_machine, f"{self._name} is tried")
        with contextlib.ExitStack() as undo:
            outside = linux.make_network_namespace()
            undo.callback(os.close, outside)
            with linux.inside_network(outside):
                inside = undo.enter_context(contextlib.closing(Netlink(netlink.ROUTE)))
                links = undo.enter_context(contextlib.closing(LinkWatch()))
            _make_link(on_machine, self._machine, link_name, ours, inside, LINK_IN_SANDBOX, self._mtu)
            undo.callback(_remove_link, on_machine, link_name)
            inside.do(netlink.link_up(_LINK_INDEX), netlink.new_address(_LINK_INDEX, theirs, 31))
            links.wait_until_up(inside, _LINK_INDEX)
            with linux.inside_network(outside):
                peer = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                peer.bind((theirs, 0))
            with linux.inside_network(self._router):
                sender = undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            _exchange(sender, peer)


def _open_namespace() -> int:
    return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _set(settings: Mapping[str, str]) -> None:
    """Writes settings of the network namespace that this process is in."""
    for name, value in settings.items():
        Path("/proc/sys/net", name).write_text(value)


def _inner_configuration(address: str) -> list[netlink.Message]:
    return [
        netlink.link_up(_LINK_INDEX),
        netlink.new_address(_LINK_INDEX, address, 32),
        netlink.new_neighbour(_LINK_INDEX, RESOLVER_ADDRESS),
        netlink.new_route(RESOLVER_ADDRESS, 32, _LINK_INDEX),
        netlink.new_route("0.0.0.0", 0, _LINK_INDEX, RESOLVER_ADDRESS),
        netlink.no_route("169.254.0.0", 16),  # the router refuses it as well; this is only quicker
    ]


def _make_link(on_machine: Netlink, machine: int, name: str, address: str, inner: Netlink, inner_name: str, mtu: int) -> None:
    """From the namespace of `inner` to the machine's; up on the machine, with `address`, which is one of two."""
    pair = netlink.new_pair(inner_name, _LINK_INDEX, name, 0, machine, mtu)
    try:
        inner.do(pair)
    except FileExistsError:  # of a server that was killed: the kernel has not come to it yet
        _remove_link(on_machine, name)
        inner.do(pair)
    try:
        index = socket.if_nametoindex(name)
        on_machine.do(netlink.link_up(index), netlink.new_address(index, address, 31))
    except OSError:
        _remove_link(on_machine, name)
        raise


def _remove_link(here: Netlink, name: str) -> None:
    try:
        here.do(netlink.remove_link(name))
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise


def _free_addresses(on_machine: Netlink, seed: str) -> tuple[str, str]:
    """Two neighbouring addresses that no route and no address of the machine has anything to do with."""
    taken = [IPv4Network(f"{route.destination}/{route.prefix}") for route in netlink.routes(on_machine)]
    taken = [network for network in taken if network.prefixlen > _UPLINKS.prefixlen]
    taken += [IPv4Network(address) for address in netlink.addresses(on_machine)]
    pairs = _UPLINKS.num_addresses // 2
    first = zlib.crc32(seed.encode())
    for step in range(pairs):
        base = _UPLINKS[2 * ((first + step) % pairs)]
        pair = IPv4Network((base, 31))
        if not any(pair.overlaps(network) for network in taken):
            return str(base), str(base + 1)
    raise OSError(errno.EADDRNOTAVAIL, f"every address of {_UPLINKS} is in use")


def _mtu_outwards(on_machine: Netlink) -> int:
    """What fits through the link that most packets will leave by."""
    for route in netlink.routes(on_machine):
        if route.prefix == 0 and route.index is not None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                name = socket.if_indextoname(route.index).encode()
                answer = fcntl.ioctl(any_socket, _SIOCGIFMTU, struct.pack("16si20x", name, 0))
            return min(_DEFAULT_MTU, int(struct.unpack_from("i", answer, 16)[0]))
    return _DEFAULT_MTU


def _exchange(sender: socket.socket, peer: socket.socket) -> None:
    word = os.urandom(16)
    sender.sendto(word, peer.getsockname())
    for receiver, answers in ((peer, True), (sender, False)):
        receiver.settimeout(_TRY_SECONDS)
        try:
            received, source = receiver.recvfrom(64)
        except TimeoutError:
            raise OSError(errno.EHOSTUNREACH, _DROPPED) from None
        if received != word:
            raise OSError(errno.EPROTO, "the packet that was sent to try the way out is not the one that arrived")
        if answers:
            peer.sendto(word, source)
