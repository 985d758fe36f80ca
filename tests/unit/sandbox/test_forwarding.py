"""forwarding.py: when the machine forwards packets, and when it stops."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest

from lambdad.sandbox import linux
from lambdad.sandbox.forwarding import Forwarding
from support.machine import Peer, on_a_machine_of_its_own, setting

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def _notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def folder() -> Path:
    """Goes with the test's own."""
    return Path(tempfile.mkdtemp())


@on_a_machine_of_its_own
def test_it_is_on_for_as_long_as_it_is_needed() -> None:
    """The first switches it on, the last switches it off, and no file is left."""
    here = folder()
    first, second = Forwarding(here), Forwarding(here)
    assert (first.is_ours, second.is_ours, setting("ipv4/ip_forward")) == (True, True, "1")
    first.give_back()
    assert setting("ipv4/ip_forward") == "1"
    second.give_back()
    assert setting("ipv4/ip_forward") == "0"
    assert list(here.iterdir()) == []
    here.rmdir()


@on_a_machine_of_its_own
def test_links_that_were_there_stay_closed() -> None:
    """Every server hears which they are, but for loopback and the servers' own."""
    Peer("lan0", "198.51.100")
    Peer("lambdad-other", "203.0.113")
    here = folder()
    first = Forwarding(here)
    Peer("later0", "192.0.2")
    second = Forwarding(here)
    assert first.closed_links == second.closed_links == ["lan0"]


@on_a_machine_of_its_own
def test_what_the_kernel_changes_along_with_it_is_put_right() -> None:
    """Who accepted no redirects accepts none afterwards, and a link that forwarded by itself does so still."""
    Peer("lan0", "198.51.100")
    Peer("vpn0", "203.0.113")
    for name, value in (("all/accept_redirects", "0"), ("vpn0/forwarding", "1")):
        Path("/proc/sys/net/ipv4/conf", name).write_text(value)
    assert setting("ipv4/ip_forward") == "0"
    forwarding = Forwarding(folder())
    assert forwarding.closed_links == ["lan0"]
    forwarding.give_back()
    assert setting("ipv4/conf/all/accept_redirects") == "0"
    assert [setting(f"ipv4/conf/{link}/forwarding") for link in ("lan0", "vpn0")] == ["0", "1"]


@on_a_machine_of_its_own
def test_somebody_else_s_forwarding_is_left_alone() -> None:
    """A machine that forwards is a router for its own reasons: nothing is closed, and it stays one."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    forwarding = Forwarding(folder())
    assert (forwarding.is_ours, forwarding.closed_links) == (False, [])
    forwarding.give_back()
    assert setting("ipv4/ip_forward") == "1"


@on_a_machine_of_its_own
def test_a_link_that_came_later_keeps_it_on() -> None:
    """Its maker may rely on what it found: a container runtime that was started meanwhile does."""
    forwarding = Forwarding(folder())
    Peer("docker0", "198.51.100")
    forwarding.give_back()
    assert setting("ipv4/ip_forward") == "1"


@on_a_machine_of_its_own
def test_a_killed_server_s_successor_switches_it_off() -> None:
    """What was noted outlives the process that noted it."""
    here = folder()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        Forwarding(here)
        os.write(writer, b"!")
        signal.pause()
    os.read(reader, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert setting("ipv4/ip_forward") == "1"
    Forwarding(here).give_back()
    assert setting("ipv4/ip_forward") == "0"


@on_a_machine_of_its_own
def test_a_half_written_note_is_no_note() -> None:
    """Nothing is known then, so nothing is switched off."""
    here = folder()
    child = os.fork()
    if child == 0:
        Forwarding(here)
        os._exit(0)
    os.waitpid(child, 0)
    [file] = here.iterdir()
    file.write_text('{"links": ["la')
    forwarding = Forwarding(here)
    assert (forwarding.is_ours, forwarding.closed_links) == (False, [])
    forwarding.give_back()
    assert setting("ipv4/ip_forward") == "1"


@on_a_machine_of_its_own
def test_other_machines_have_other_notes() -> None:
    """Containers may share the folder, and each has a network of its own."""
    here = folder()
    forwarding = Forwarding(here)
    with linux.inside_network(linux.make_network_namespace()):
        Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
        other = Forwarding(here)
        assert (len(list(here.iterdir())), other.is_ours) == (2, True)
        other.give_back()
        assert setting("ipv4/ip_forward") == "0"
    assert setting("ipv4/ip_forward") == "1"
    forwarding.give_back()
