"""Netlink: how the kernel is asked for links, addresses, routes and packet filters. The messages, and their socket.

Only what the network of a sandbox needs. Numbers are the kernel's (linux/netlink.h, linux/rtnetlink.h, linux/if_link.h).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ROUTE, NETFILTER = 0, 12  #: families

NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 0x1, 0x4, 0x300
NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x200, 0x400, 0x800
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLA_F_NESTED, _NLA_TYPE_MASK = 0x8000, 0x3FFF
_NLM_F_CAPPED, _NLM_F_ACK_TLVS, _EXPLANATION = 0x100, 0x200, 1
_SOL_NETLINK, _NETLINK_EXT_ACK, _NETLINK_CAP_ACK, _NETLINK_GET_STRICT_CHK = 270, 11, 10, 12
_HEADER = struct.Struct("=IHHII")
_RECEIVE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Message:
    kind: int
    flags: int
    body: bytes
    what: str = ""  #: for whoever reads the error


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def number(kind: int, value: int) -> bytes:
    """An attribute in the machine's order of bytes, as those of links and routes are."""
    return attribute(kind, struct.pack("=I", value))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind | _NLA_F_NESTED, b"".join(attributes))


def attributes_in(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield kind & _NLA_TYPE_MASK, data[4:length]
        data = data[(length + 3) & ~3 :]


class Netlink:
    """A socket in the network namespace of the process that makes it, for as long as it lives."""

    def __init__(self, family: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self._socket.bind((0, 0))
        for option in (_NETLINK_EXT_ACK, _NETLINK_CAP_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        if family == ROUTE:
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
        self._sequence = 0

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def do(self, *messages: Message) -> None:
        """Sends them in one go and waits until the kernel has done all. OSError with the first that it refused."""
        first = self._send([Message(message.kind, message.flags | NLM_F_ACK, message.body) for message in messages])
        refusal: OSError | None = None
        for error, index in self._acknowledgements(first, len(messages)):
            if error is not None and refusal is None:
                refusal = OSError(error.errno, f"{messages[index].what}: {error.strerror}")
        if refusal is not None:
            raise refusal

    def do_batch(self, begin: Message, messages: Sequence[Message], end: Message) -> None:
        """All or nothing: the kernel acts when it sees `end`."""
        asked = [Message(message.kind, message.flags | NLM_F_ACK, message.body) for message in messages]
        first = self._send([begin, *asked, end]) + 1
        for error, index in self._acknowledgements(first, len(messages)):
            if error is not None:
                what = messages[index].what if 0 <= index < len(messages) else "the whole"
                raise OSError(error.errno, f"{what}: {error.strerror}")

    def ask(self, question: Message) -> bytes:
        """The one answer, without its header."""
        self._send([question])
        kind, flags, _, content = next(self._receive())
        if kind == _NLMSG_ERROR and (error := _error(flags, content)) is not None:
            raise OSError(error.errno, f"{question.what}: {error.strerror}")
        return content

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """Everything of a kind that there is, each without its header."""
        self._send([Message(kind, NLM_F_DUMP, body)])
        found: list[bytes] = []
        while True:
            for answered, _, _, content in self._receive():
                if answered == _NLMSG_DONE:
                    return found
                if answered == _NLMSG_ERROR and (error := _error(0, content)) is not None:
                    raise error
                found.append(content)

    def _send(self, messages: Sequence[Message]) -> int:
        """The sequence number of the first; the others follow."""
        first = self._sequence + 1
        self._sequence += len(messages)
        packed = [
            _HEADER.pack(_HEADER.size + len(message.body), message.kind, message.flags | NLM_F_REQUEST, first + index, 0)
            + message.body
            for index, message in enumerate(messages)
        ]
        self._socket.send(b"".join(packed))
        return first

    def _acknowledgements(self, first: int, count: int) -> Iterator[tuple[OSError | None, int]]:
        left = count
        while left > 0:
            for kind, flags, sequence, content in self._receive():
                if kind == _NLMSG_ERROR and sequence >= first - 1:
                    left -= 1
                    yield _error(flags, content), sequence - first

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        data = self._socket.recv(_RECEIVE_BYTES)
        while len(data) >= _HEADER.size:
            length, kind, flags, sequence, _ = _HEADER.unpack_from(data)
            yield kind, flags, sequence, data[_HEADER.size : length]
            data = data[(length + 3) & ~3 :]


def _error(flags: int, content: bytes) -> OSError | None:
    code = -struct.unpack_from("=i", content)[0]
    if code == 0:
        return None
    explanation = os.strerror(code)
    if flags & _NLM_F_ACK_TLVS and flags & _NLM_F_CAPPED:
        for kind, value in attributes_in(content[4 + _HEADER.size :]):
            if kind == _EXPLANATION:
                explanation += f" ({value.rstrip(bytes(1)).decode()})"
    return OSError(code, explanation)


# -- links, addresses, routes, neighbours -----------------------------------------------------------------------------------

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR, RTM_NEWROUTE, RTM_GETROUTE, RTM_NEWNEIGH = (
    16,
    17,
    18,
    20,
    22,
    24,
    26,
    28,
)
_IFF_UP, _IFF_NOARP = 0x1, 0x80
_OPERATIONAL_STATE, _IS_UP = 16, b"\x06"
_LINK_EVENTS = 1
_LINK_SECONDS = 10.0
_RTN_UNICAST, _RTN_UNREACHABLE = 1, 7
_RTPROT_STATIC, _RT_TABLE_MAIN, _RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK = 4, 254, 0, 253
_RTNH_F_ONLINK = 4
_NUD_PERMANENT = 0x80
_AF_INET = int(socket.AF_INET)

#: Of every link that is made here. Both ends having the same one, and no ARP, each side knows the other's without asking.
LINK_ADDRESS = bytes.fromhex("0200a9fe6401")


def new_pair(name: str, index: int, peer_name: str, peer_index: int, peer_namespace: int, mtu: int) -> Message:
    """Two connected links: `name` here, which is up, and `peer_name` in the namespace of that descriptor, which is not yet."""
    common = attribute(1, LINK_ADDRESS) + number(4, mtu)  # IFLA_ADDRESS, IFLA_MTU
    peer = _link_body(peer_index, _IFF_NOARP) + text(3, peer_name) + common + number(28, peer_namespace)
    body = (
        _link_body(index, _IFF_UP | _IFF_NOARP)
        + text(3, name)  # IFLA_IFNAME
        + common
        + nested(18, text(1, "veth"), nested(2, attribute(1 | _NLA_F_NESTED, peer)))  # IFLA_LINKINFO
    )
    return Message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, body, f"making the link {name}")


def link_up(index: int) -> Message:
    return Message(RTM_NEWLINK, 0, _link_body(index, _IFF_UP), f"bringing up the link {index}")


def link_down(index: int) -> Message:
    body = struct.pack("=BxHiII", 0, 0, index, 0, _IFF_UP)
    return Message(RTM_NEWLINK, 0, body, f"taking down the link {index}")


def remove_link(name: str) -> Message:
    return Message(RTM_DELLINK, 0, _link_body(0, 0) + text(3, name), f"removing the link {name}")


def new_address(index: int, address: str, prefix: int) -> Message:
    value = socket.inet_aton(address)
    body = struct.pack("=BBBBI", _AF_INET, prefix, 0, _RT_SCOPE_UNIVERSE, index) + attribute(2, value) + attribute(1, value)
    return Message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body, f"adding the address {address}")


def new_route(destination: str, prefix: int, index: int, gateway: str | None = None) -> Message:
    scope = _RT_SCOPE_LINK if gateway is None else _RT_SCOPE_UNIVERSE
    body = _route_body(prefix, scope, _RTN_UNICAST, 0 if gateway is None else _RTNH_F_ONLINK) + number(4, index)
    if prefix:
        body += attribute(1, socket.inet_aton(destination))
    if gateway is not None:
        body += attribute(5, socket.inet_aton(gateway))
    return Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body, f"adding a route to {destination}/{prefix}")


def no_route(destination: str, prefix: int) -> Message:
    body = _route_body(prefix, _RT_SCOPE_UNIVERSE, _RTN_UNREACHABLE, 0) + attribute(1, socket.inet_aton(destination))
    return Message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, body, f"closing the way to {destination}/{prefix}")


def new_neighbour(index: int, address: str) -> Message:
    """One that is known for good: it needs no place among those that the kernel keeps for a time."""
    body = struct.pack("=BxxxiHBB", _AF_INET, index, _NUD_PERMANENT, 0, 0)
    body += attribute(1, socket.inet_aton(address)) + attribute(2, LINK_ADDRESS)
    return Message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_EXCL, body, f"adding the neighbour {address}")


class LinkWatch:
    """Tells when a link of this namespace carries packets.

    Of a connected pair, the end that was brought up first drops all packets until a worker of the kernel has got to it.
    """

    def __init__(self) -> None:
        self._events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, ROUTE)
        self._events.bind((0, _LINK_EVENTS))
        self._events.settimeout(_LINK_SECONDS)

    def wait_until_up(self, netlink: Netlink, index: int) -> None:
        """OSError if it takes longer than anything should."""
        question = Message(RTM_GETLINK, 0, _link_body(index, 0), f"looking at the link {index}")
        while dict(attributes_in(netlink.ask(question)[16:])).get(_OPERATIONAL_STATE) != _IS_UP:
            try:
                self._events.recv(_RECEIVE_BYTES)
            except TimeoutError:
                raise OSError(errno.ETIMEDOUT, f"the link {index} does not come up") from None
            except OSError as error:
                if error.errno != errno.ENOBUFS:  # more has happened than there was room for: that is something, too
                    raise

    def close(self) -> None:
        self._events.close()


@dataclass(frozen=True, slots=True)
class Route:
    destination: str
    prefix: int
    index: int | None


def routes(netlink: Netlink) -> list[Route]:
    """Of IPv4, in the main table."""
    found = []
    for content in netlink.dump(RTM_GETROUTE, struct.pack("=BBBBBBBBI", _AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)):
        prefix, table = content[1], content[4]
        attributes = dict(attributes_in(content[12:]))
        if table == _RT_TABLE_MAIN:
            destination = socket.inet_ntoa(attributes.get(1, bytes(4)))
            found.append(Route(destination, prefix, struct.unpack("=i", attributes[4])[0] if 4 in attributes else None))
    return found


def addresses(netlink: Netlink) -> list[str]:
    """All IPv4 addresses of this namespace."""
    contents = netlink.dump(RTM_GETADDR, struct.pack("=BBBBI", _AF_INET, 0, 0, 0, 0))
    found = [dict(attributes_in(content[8:])) for content in contents]
    return [socket.inet_ntoa(attributes.get(2) or attributes[1]) for attributes in found]


def _link_body(index: int, flags: int) -> bytes:
    return struct.pack("=BxHiII", 0, 0, index, flags, flags)


def _route_body(prefix: int, scope: int, kind: int, flags: int) -> bytes:
    return struct.pack("=BBBBBBBBI", _AF_INET, prefix, 0, 0, _RT_TABLE_MAIN, _RTPROT_STATIC, scope, kind, flags)
