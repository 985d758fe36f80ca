"""network_keeper.py: the process that makes networks for the launcher."""

from __future__ import annotations

import os
import select
import signal
import socket
from pathlib import Path

import pytest

from lambdad.errors import StartupError
from lambdad.sandbox import linux
from lambdad.sandbox.base import RESOLVER_ADDRESS
from lambdad.sandbox.network import Outlet
from lambdad.sandbox.network_keeper import Answer, NetworkKeeper
from lambdad.sandbox.seccomp import filter_program
from support.machine import Peer, links, listening, on_a_machine_of_its_own, setting, try_to_connect
from support.names import code_of, question

pytestmark = pytest.mark.root

NAME = "lambdad-0000test"
UID = 20_000


def open_keeper(wanted: str) -> NetworkKeeper:
    return NetworkKeeper(wanted, NAME, UID, filter_program())


def answer(keeper: NetworkKeeper) -> tuple[Answer, list[int]]:
    while True:
        select.select([keeper.channel.socket], [], [])
        received = keeper.receive()
        if received is not None:
            return received


def made(keeper: NetworkKeeper, number: int) -> Outlet:
    keeper.make(number)
    told, descriptors = answer(keeper)
    assert (told.number, told.error, told.is_unplugged) == (number, None, False)
    return Outlet(descriptors[0], told.link)


def make_settings_read_only() -> None:
    """As in many a container."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    bind, remount, read_only = 4096, 32, 1
    linux.mount("/proc/sys", "/proc/sys", None, bind)
    linux.mount(None, "/proc/sys", None, bind | remount | read_only)


@on_a_machine_of_its_own
def test_networks_are_made_and_unplugged() -> None:
    """Orders are answered by number, in order, from the stock and beyond."""
    outside = Peer("lan0", "198.51.100")
    with outside.inside():
        listener = listening(outside.address)
    keeper = open_keeper("auto")
    assert keeper.status.mode == "nat"
    outlets = [made(keeper, number) for number in range(10)]
    assert len({outlet.link for outlet in outlets}) == 10
    keeper.unplug(3, outlets[3])
    told, _ = answer(keeper)
    assert (told.number, told.is_unplugged, told.error) == (3, True, None)
    for number, outlet in enumerate(outlets):
        with linux.inside_network(outlet.namespace):
            assert try_to_connect(outside.address) == ("Network is unreachable" if number == 3 else "connected")
    listener.close()
    keeper.close()
    assert links() == ["lan0", "lo"]
    assert setting("ipv4/ip_forward") == "0"


@on_a_machine_of_its_own
def test_an_order_that_cannot_be_carried_out() -> None:
    """It is answered with the reason, and the next one is carried out."""
    keeper = open_keeper("nat")
    keeper.unplug(1, Outlet(os.open("/dev/null", os.O_RDONLY), 4711))
    told, _ = answer(keeper)
    assert (told.number, told.is_unplugged) == (1, True)
    assert told.error is not None
    made(keeper, 2)
    keeper.close()


@on_a_machine_of_its_own
def test_no_network_makes_nothing_on_the_machine() -> None:
    """`none` is namespaces without a link."""
    keeper = open_keeper("none")
    assert (keeper.status.mode, keeper.status.remark) == ("none", "")
    outlet = made(keeper, 1)
    with linux.inside_network(outlet.namespace):
        assert links() == ["lo"]
    assert links() == ["lo"]
    assert setting("ipv4/ip_forward") == "0"
    keeper.close()


@on_a_machine_of_its_own
def test_a_machine_that_cannot() -> None:
    """`nat` does not start and says why; `auto` is none, and says why. Nothing is left of the attempts."""
    make_settings_read_only()
    with pytest.raises(StartupError, match="cannot be given a way out here: Read-only file system"):
        open_keeper("nat")
    keeper = open_keeper("auto")
    assert keeper.status.mode == "none"
    assert "Read-only file system" in keeper.status.remark
    made(keeper, 1)
    keeper.close()
    assert links() == ["lo"]


@on_a_machine_of_its_own
def test_the_resolver_is_made_again() -> None:
    """It runs without privileges, and when it is killed sandboxes do not have to do without names."""
    keeper = open_keeper("nat")
    outlet = made(keeper, 1)
    with linux.inside_network(outlet.namespace):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(60)
    seen = set()
    for _ in range(2):
        client.sendto(question("a.test"), (RESOLVER_ADDRESS, 53))
        assert code_of(client.recv(4096)) == 2  # this machine has no resolver: that is said
        [resolver] = children(keeper.pid)
        status = Path(f"/proc/{resolver}/status").read_text()
        assert f"Uid:\t{UID}\t{UID}\t{UID}\t{UID}" in status
        assert "CapEff:\t0000000000000000" in status
        assert "Seccomp:\t2" in status
        seen.add(resolver)
        os.kill(resolver, signal.SIGKILL)
    assert len(seen) == 2
    keeper.close()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@on_a_machine_of_its_own
def test_the_end_of_the_keeper_is_noticed() -> None:
    """The launcher ends as well then: it could make no more sandboxes."""
    keeper = open_keeper("nat")
    os.kill(keeper.pid, signal.SIGKILL)
    with pytest.raises(ConnectionError, match="keeper of the networks has ended"):
        answer(keeper)


@on_a_machine_of_its_own
def test_the_end_of_the_launcher_is_noticed() -> None:
    """However that came about, the keeper clears away what it made, and ends."""
    reader, writer = os.pipe()
    launcher = os.fork()
    if launcher == 0:
        keeper = open_keeper("nat")
        os.write(writer, b"%d" % keeper.pid)
        signal.pause()
    keeper_handle = os.pidfd_open(int(os.read(reader, 20)))
    assert len(links()) == 2
    os.kill(launcher, signal.SIGKILL)
    os.waitpid(launcher, 0)
    assert select.select([keeper_handle], [], [], 30)[0] == [keeper_handle]
    assert links() == ["lo"]
    assert setting("ipv4/ip_forward") == "0"
