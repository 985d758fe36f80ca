"""What packets of sandboxes may do: the tables of the router, where the links of sandboxes end, and of the machine. Data."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from lambdad.sandbox.base import RESOLVER_ADDRESS
from lambdad.sandbox.packet_filter import (
    ACCEPT,
    DROP,
    FILTER,
    FORWARD,
    INPUT,
    MANGLE,
    POSTROUTING,
    PREROUTING,
    SOURCE_NAT,
    Chain,
    Rule,
    Table,
    accept,
    comes_by,
    comes_from,
    drop,
    goes_to,
    goes_to_port,
    has_kept_destination,
    is_answer,
    is_beginning,
    is_for_machine,
    is_stray,
    leaves_by,
    leaves_not_by,
    masquerade,
    over_connections,
    over_rate,
    refuse,
)

#: Where machines and clouds keep what a function must not see, and what is no address of one other machine.
UNREACHABLE = {
    "0.0.0.0/8": "means the machine itself",
    "127.0.0.0/8": "loopback, of whichever machine",
    "169.254.0.0/16": "metadata and credentials of AWS, Google, DigitalOcean and others; the other sandboxes",
    "100.100.100.200/32": "metadata of Alibaba",
    "168.63.129.16/32": "metadata of Azure",
    "192.0.0.192/32": "metadata of Oracle",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "not used, and broadcast",
}
CONNECTIONS_OF_ONE = 4096  #: that a sandbox may have open; the kernel's table of connections is the whole machine's
QUESTIONS_OF_ONE = 1000  #: packets to the resolver, per second and sandbox


def router_table(uplink: str, *, with_limits: bool) -> Table:
    """`with_limits` needs more of the kernel than filtering and translating do."""
    to_resolver = goes_to(f"{RESOLVER_ADDRESS}/32")
    too_many_questions: list[Rule] = [(to_resolver, over_rate("questions", QUESTIONS_OF_ONE), drop())]
    too_many_connections: list[Rule] = [(is_beginning(), over_connections("connections", CONNECTIONS_OF_ONE), refuse())]
    for_router = [
        (comes_by(uplink), is_answer(), accept()),
        (comes_by(uplink), drop()),
        *(too_many_questions if with_limits else ()),
        (to_resolver, goes_to_port(socket.IPPROTO_UDP, 53), accept()),
        (to_resolver, goes_to_port(socket.IPPROTO_TCP, 53), accept()),
        (refuse(),),
    ]
    through_router = [
        (is_answer(), accept()),
        (comes_by(uplink), drop()),  # nobody outside begins to speak to a sandbox
        (leaves_not_by(uplink), refuse()),  # from one sandbox to another
        *((goes_to(network), refuse()) for network in UNREACHABLE),
        *(too_many_connections if with_limits else ()),
        (leaves_by(uplink), is_beginning(), accept()),
    ]
    return Table(
        "sandboxes",
        [
            Chain("for-router", INPUT, FILTER, DROP, for_router),
            Chain("through-router", FORWARD, FILTER, DROP, through_router),
            Chain("outwards", POSTROUTING, SOURCE_NAT, ACCEPT, [(leaves_by(uplink), masquerade())], is_nat=True),
        ],
        sets=("questions", "connections") if with_limits else (),
    )


def machine_table(name: str, uplink: str, router_address: str, closed_links: Sequence[str]) -> Table:
    """`closed_links` are those that packets did not pass through before forwarding was switched on for the sandboxes' sake."""
    through = [(comes_by(link), leaves_not_by(uplink)) for link in closed_links]
    still_closed: list[Rule] = [(*between, is_stray(), drop()) for between in through]
    still_closed += [(*between, is_beginning(), has_kept_destination(), drop()) for between in through]
    through_machine = [
        (comes_by(uplink), leaves_by(uplink), drop()),
        (leaves_by(uplink), is_answer(), accept()),
        (leaves_by(uplink), drop()),
        *still_closed,
    ]
    return Table(
        name,
        [
            # Before rules of others send packets elsewhere that were for the machine: a published port is such a rule.
            Chain("from-sandboxes", PREROUTING, MANGLE, ACCEPT, [(comes_by(uplink), is_for_machine(), refuse())]),
            Chain("for-machine", INPUT, FILTER, ACCEPT, [(comes_by(uplink), refuse())]),
            Chain("through-machine", FORWARD, FILTER, ACCEPT, through_machine),
            Chain(
                "outwards",
                POSTROUTING,
                SOURCE_NAT,
                ACCEPT,
                [(comes_from(f"{router_address}/32"), leaves_not_by(uplink), masquerade())],
                is_nat=True,
            ),
        ],
    )
