"""Packet filters of the kernel (nftables), written as tables of rules and loaded over netlink; no program is needed for it.

A rule is a sequence of expressions: conditions, and at its end what is to become of a packet that meets them all. Numbers are
the kernel's (linux/netfilter/nf_tables.h).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from lambdad.sandbox.netlink import NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, Message, Netlink, attribute, nested, text

PREROUTING, INPUT, FORWARD, POSTROUTING = 0, 1, 2, 4  #: where in the kernel a chain looks at packets
MANGLE, FILTER, SOURCE_NAT = -150, 0, 100  #: when, among the chains of one place
DROP, ACCEPT = 0, 1

_SUBSYSTEM, _BATCH_BEGIN, _BATCH_END = 10, 0x10, 0x11
_NEW_TABLE, _NEW_CHAIN, _NEW_RULE, _NEW_SET = 0, 3, 6, 9
_OWNER = 2  # the table goes when the socket that made it is closed, and nobody else may change it
_IPV4 = 2
_REGISTER = 1
_EQUAL, _UNEQUAL = 0, 1
_META_IIFNAME, _META_OIFNAME, _META_L4PROTO = 6, 7, 16
_CT_STATE, _CT_STATUS = 0, 2
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_INVALID_OR_UNTRACKED, _ESTABLISHED_OR_RELATED, _NEW, _STATUS_DESTINATION_NAT = 1 | 64, 2 | 4, 8, 1 << 5
_ADDRESS_TYPE_UNICAST = 1
_NAME_BYTES = 16
_SET_SIZE = 65_536  # more than there are addresses of sandboxes

Rule = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    name: str
    place: int
    priority: int
    policy: int
    rules: Sequence[Rule]
    is_nat: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    chains: Sequence[Chain]
    sets: Sequence[str] = ()  #: sets of source addresses that `over_rate` and `over_connections` fill


def load(netlink: Netlink, table: Table) -> None:
    """Puts the table into force, whole or not at all, for as long as the socket is open."""
    names = text(1, table.name)
    messages = [_message(_NEW_TABLE, NLM_F_CREATE | NLM_F_EXCL, names + _number(2, _OWNER), f"table {table.name}")]
    for position, name in enumerate(table.sets):
        messages.append(_message(_NEW_SET, NLM_F_CREATE | NLM_F_EXCL, names + _set(name, position), f"set {name}"))
    for chain in table.chains:
        hook = nested(4, _number(1, chain.place), attribute(2, struct.pack(">i", chain.priority)))
        kind = text(7, "nat" if chain.is_nat else "filter")
        body = names + text(3, chain.name) + hook + _number(5, chain.policy) + kind
        messages.append(_message(_NEW_CHAIN, NLM_F_CREATE | NLM_F_EXCL, body, f"chain {chain.name}"))
        for position, rule in enumerate(chain.rules, 1):
            body = names + text(2, chain.name) + nested(4, *rule)
            what = f"rule {position} of chain {chain.name}"
            messages.append(_message(_NEW_RULE, NLM_F_CREATE | NLM_F_APPEND, body, what))
    netlink.do_batch(_edge(_BATCH_BEGIN), messages, _edge(_BATCH_END))


# -- conditions -------------------------------------------------------------------------------------------------------------


def comes_by(link: str) -> bytes:
    return _meta(_META_IIFNAME) + _compare(_EQUAL, _name(link))


def comes_not_by(link: str) -> bytes:
    return _meta(_META_IIFNAME) + _compare(_UNEQUAL, _name(link))


def leaves_by(link: str) -> bytes:
    return _meta(_META_OIFNAME) + _compare(_EQUAL, _name(link))


def leaves_not_by(link: str) -> bytes:
    return _meta(_META_OIFNAME) + _compare(_UNEQUAL, _name(link))


def goes_to(network: str) -> bytes:
    return _address(16, network)


def comes_from(network: str) -> bytes:
    return _address(12, network)


def goes_to_port(protocol: int, port: int) -> bytes:
    return (
        _meta(_META_L4PROTO)
        + _compare(_EQUAL, bytes([protocol]))
        + _payload(_TRANSPORT_HEADER, 2, 2)
        + _compare(_EQUAL, struct.pack(">H", port))
    )


def is_answer() -> bytes:
    """Belongs to a connection that was let through before, or is an error message about one."""
    return _conntrack(_CT_STATE, _ESTABLISHED_OR_RELATED, is_set=True)


def is_stray() -> bytes:
    """Neither begins a connection nor belongs to one: what cannot be read as part of any, and what is not followed."""
    return _conntrack(_CT_STATE, _INVALID_OR_UNTRACKED, is_set=True)


def is_beginning() -> bytes:
    return _conntrack(_CT_STATE, _NEW, is_set=True)


def has_kept_destination() -> bytes:
    """No rule of somebody else's has sent it elsewhere, as those that publish a container's port do. Never so for strays."""
    return _conntrack(_CT_STATUS, _STATUS_DESTINATION_NAT, is_set=False)


def is_for_machine() -> bytes:
    """For one of its own addresses on whatever link, or for all machines: anything but one other machine."""
    by_destination, address_type = 2, 3
    lookup = _expression("fib", _number(1, _REGISTER), _number(2, address_type), _number(3, by_destination))
    return lookup + _compare(_UNEQUAL, struct.pack("=I", _ADDRESS_TYPE_UNICAST))


def over_rate(set_name: str, per_second: int) -> bytes:
    """Its source has sent more than that."""
    inverted = 1
    counted = (
        attribute(1, struct.pack(">Q", per_second)),
        attribute(2, struct.pack(">Q", 1)),
        _number(3, per_second),
        _number(5, inverted),
    )
    return _for_each_source(set_name, "limit", *counted)


def over_connections(set_name: str, most: int) -> bytes:
    """Its source has more connections open than that."""
    inverted = 1
    return _for_each_source(set_name, "connlimit", _number(1, most), _number(2, inverted))


# -- what becomes of it -----------------------------------------------------------------------------------------------------


def accept() -> bytes:
    return _verdict(ACCEPT)


def drop() -> bytes:
    return _verdict(DROP)


def refuse() -> bytes:
    """Tells the sender at once: it gets "no route to host"."""
    icmp_unreachable, administratively = 0, 13
    return _expression("reject", _number(1, icmp_unreachable), attribute(2, bytes([administratively])))


def masquerade() -> bytes:
    """It leaves with the address of the link that it leaves by."""
    return _expression("masq")


# -- encoding ---------------------------------------------------------------------------------------------------------------


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


def _message(kind: int, flags: int, body: bytes, what: str) -> Message:
    return Message(_SUBSYSTEM << 8 | kind, flags, struct.pack(">BBH", _IPV4, 0, 0) + body, f"packet filter, {what}")


def _edge(kind: int) -> Message:
    return Message(kind, 0, struct.pack(">BBH", socket.AF_UNSPEC, 0, _SUBSYSTEM))


def _set(name: str, position: int) -> bytes:
    """Of IPv4 addresses, added by packets."""
    filled_by_rules, kind, length = _number(3, 0x20), _number(4, 7), _number(5, 4)
    return text(2, name) + filled_by_rules + kind + length + nested(9, _number(1, _SET_SIZE)) + _number(10, position + 1)


def _expression(name: str, *data: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *data))


def _meta(key: int) -> bytes:
    return _expression("meta", _number(1, _REGISTER), _number(2, key))


def _payload(header: int, offset: int, length: int) -> bytes:
    return _expression("payload", _number(1, _REGISTER), _number(2, header), _number(3, offset), _number(4, length))


def _mask(mask: bytes) -> bytes:
    masked = (nested(4, attribute(1, mask)), nested(5, attribute(1, bytes(len(mask)))))
    return _expression("bitwise", _number(1, _REGISTER), _number(2, _REGISTER), _number(3, len(mask)), *masked)


def _compare(operator: int, value: bytes) -> bytes:
    return _expression("cmp", _number(1, _REGISTER), _number(2, operator), nested(3, attribute(1, value)))


def _address(offset: int, network: str) -> bytes:
    wanted = ipaddress.IPv4Network(network)
    return _payload(_NETWORK_HEADER, offset, 4) + _mask(wanted.netmask.packed) + _compare(_EQUAL, wanted.network_address.packed)


def _conntrack(key: int, bits: int, *, is_set: bool) -> bytes:
    loaded = _expression("ct", _number(1, _REGISTER), _number(2, key))
    return loaded + _mask(struct.pack("=I", bits)) + _compare(_UNEQUAL if is_set else _EQUAL, bytes(4))


def _for_each_source(set_name: str, name: str, *data: bytes) -> bytes:
    add = 0
    counter = nested(7, text(1, name), nested(2, *data))
    return _payload(_NETWORK_HEADER, 12, 4) + _expression(
        "dynset", text(1, set_name), _number(4, _REGISTER), _number(3, add), counter
    )


def _verdict(code: int) -> bytes:
    return _expression("immediate", _number(1, 0), nested(2, nested(2, _number(1, code))))


def _name(link: str) -> bytes:
    return link.encode().ljust(_NAME_BYTES, b"\0")
