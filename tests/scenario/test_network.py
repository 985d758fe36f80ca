"""Functions and the network: what a user of the API sees. Peers outside are network namespaces beside this machine."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import botocore.exceptions
import pytest

from support.machine import Peer, links, uplink_of
from support.names import NameServer
from support.server import Server, running, wait_until

pytestmark = pytest.mark.root

FETCH = """
import os, socket, urllib.request

def handler(event, context):
    try:
        if "name" in event:
            return {"address": socket.gethostbyname(event["name"])}
        with urllib.request.urlopen(event["url"], timeout=20) as answer:
            return {"body": answer.read().decode()}
    except OSError as error:
        reason = getattr(error, "reason", error)
        return {"error": os.strerror(reason.errno) if getattr(reason, "errno", 0) > 0 else str(reason)}
"""
TAG = {"lambdad:network": "none"}
UNREACHABLE = {"error": "Network is unreachable"}


class Website:
    """On a peer of this machine: says from where it was asked."""

    def __init__(self, peer: Peer) -> None:
        self.url = f"http://{peer.address}/"
        with peer.inside():
            self._listener = socket.create_server(("0.0.0.0", 80))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, source = self._listener.accept()
            except OSError:
                return
            with connection, suppress(ConnectionError):
                connection.recv(4096)
                body = source[0].encode()
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    made = Peer(f"out{os.getpid()}", f"198.18.{os.getpid() % 250 + 1}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def website(peer: Peer) -> Iterator[Website]:
    made = Website(peer)
    yield made
    made.close()


@contextmanager
def function(server: Server, name: str, **settings: object) -> Iterator[str]:
    arn = server.create_function(name, FETCH, Timeout=30, **settings)
    yield arn
    server.client("lambda").delete_function(FunctionName=name)


def test_a_function_reaches_the_outside(server: Server, peer: Peer, website: Website) -> None:
    """By default; the peer sees this machine's address. Health says that it is so."""
    assert server.health()["network"]["mode"] == "nat"
    with function(server, "fetches"):
        assert server.invoke("fetches", {"url": website.url}) == {"body": peer.address_of_machine}


def test_a_function_does_not_reach_the_machine(server: Server, peer: Peer) -> None:
    """Not the services of this machine, under whatever address, though the AWS endpoint answers at AWS_ENDPOINT_URL."""
    source = (
        FETCH
        + "\n\ndef endpoint(event, context):\n    return handler({'url': os.environ['AWS_ENDPOINT_URL'] + event}, context)\n"
    )
    with socket.create_server(("0.0.0.0", 0)) as service, function(server, "curious"):
        port = service.getsockname()[1]
        for address in {peer.address_of_machine, *own_addresses()}:
            assert server.invoke("curious", {"url": f"http://{address}:{port}/"}) == {"error": "No route to host"}
        assert server.invoke("curious", {"url": f"http://127.0.0.1:{port}/"}) == {"error": "Connection refused"}
        for address in ("169.254.169.254", "169.254.170.2"):
            assert server.invoke("curious", {"url": f"http://{address}/"}) == {"error": "No route to host"}
        assert server.invoke("curious", {"url": "http://[fd00:ec2::254]/"}) == UNREACHABLE
        service.setblocking(False)
        with pytest.raises(BlockingIOError):
            service.accept()
    server.create_function("calls-home", source, Handler="lambda_function.endpoint")
    assert '"services"' in server.invoke("calls-home", "/_lambdad/health")["body"]
    server.client("lambda").delete_function(FunctionName="calls-home")


def own_addresses() -> list[str]:
    """Where this machine sends from when it speaks to somebody far away; none without a way there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("203.0.113.1", 9))
        except OSError:
            return []
        return [sock.getsockname()[0]]


def test_a_function_without_a_network(server: Server, website: Website) -> None:
    """The tag keeps it from everything but its endpoint, and it learns at once instead of waiting."""
    with function(server, "alone", Tags=TAG):
        assert server.invoke("alone", {"url": website.url}) == UNREACHABLE
        assert "error" in server.invoke("alone", {"name": "example.com"})
        tags = server.client("lambda").get_function(FunctionName="alone")["Tags"]
        assert tags == TAG


def test_the_network_of_a_function_changes(server: Server, peer: Peer, website: Website) -> None:
    """From the answer to TagResource on no invocation has a network, and from that to UntagResource on each has one again."""
    lambda_ = server.client("lambda")
    with function(server, "changes") as arn:
        for _ in range(3):
            assert server.invoke("changes", {"url": website.url}) == {"body": peer.address_of_machine}
            lambda_.tag_resource(Resource=arn, Tags=TAG)
            assert server.invoke("changes", {"url": website.url}) == UNREACHABLE
            lambda_.untag_resource(Resource=arn, TagKeys=list(TAG))


@pytest.mark.parametrize("value", ["", "nat", "NONE"])
def test_an_unknown_choice_is_refused(server: Server, value: str) -> None:
    """With AWS's error, when the function is made and when it is tagged; nothing changes."""
    lambda_ = server.client("lambda")
    with pytest.raises(botocore.exceptions.ClientError, match=r"InvalidParameterValueException.*must be 'none'"):
        server.create_function("never", FETCH, Tags={"lambdad:network": value})
    with function(server, "tagged", Tags=TAG) as arn:
        with pytest.raises(botocore.exceptions.ClientError, match=r"InvalidParameterValueException.*must be 'none'"):
            lambda_.tag_resource(Resource=arn, Tags={"lambdad:network": value})
        assert lambda_.list_tags(Resource=arn)["Tags"] == TAG
    with pytest.raises(botocore.exceptions.ClientError, match="ResourceNotFound"):
        lambda_.get_function(FunctionName="never")


def test_many_at_once(server: Server, peer: Peer, website: Website) -> None:
    """Forty environments of two functions at the same time: each with a network has a way out, each without has none."""
    with function(server, "many"), function(server, "lonely", Tags=TAG):
        answers: list[tuple[str, object]] = []

        def call(name: str) -> None:
            answers.append((name, server.invoke(name, {"url": website.url})))

        threads = [threading.Thread(target=call, args=(name,)) for name in ("many", "lonely") for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers, key=str) == sorted(
        [("many", {"body": peer.address_of_machine})] * 20 + [("lonely", UNREACHABLE)] * 20, key=str
    )


def test_no_network_for_anybody(tmp_path: Path, website: Website) -> None:
    """`--network none` gives no function a way out, and makes nothing on the machine."""
    with running(tmp_path, "--network", "none") as alone, function(alone, "f"):
        assert alone.health()["network"] == {"mode": "none", "remark": ""}
        assert not has_uplink(alone)
        assert alone.invoke("f", {"url": website.url}) == UNREACHABLE


def test_names_are_resolved_by_a_resolver_on_loopback(tmp_path: Path) -> None:
    """As systemd-resolved is: no function reaches it, and yet each gets its answers, by UDP and by TCP."""
    configuration = tmp_path / "resolv.conf"
    configuration.write_text("nameserver 127.0.0.253\n")
    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nmount --bind {configuration} /etc/resolv.conf || exit 1\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    names = {"db.corp.test": "192.0.2.77"}
    prefix = ["unshare", "--mount", str(wrapper)]
    with NameServer("127.0.0.253", names, 53), running(tmp_path, prefix=prefix) as server, function(server, "asks"):
        assert server.invoke("asks", {"name": "db.corp.test"}) == {"address": "192.0.2.77"}
        assert "not known" in server.invoke("asks", {"name": "nobody.corp.test"})["error"]


def test_two_servers(tmp_path: Path, server: Server, peer: Peer, website: Website) -> None:
    """Each has a network of its own; when one ends, the other's goes on."""
    (tmp_path / "other").mkdir()
    with function(server, "first"):
        with running(tmp_path / "other") as other, function(other, "second"):
            assert has_uplink(server)
            assert has_uplink(other)
            assert other.invoke("second", {"url": website.url}) == {"body": peer.address_of_machine}
        assert server.invoke("first", {"url": website.url}) == {"body": peer.address_of_machine}
        server.client("lambda").update_function_configuration(FunctionName="first", MemorySize=192)
        server.wait_active("first")
        assert server.invoke("first", {"url": website.url}) == {"body": peer.address_of_machine}


def test_a_killed_server_leaves_no_network(tmp_path: Path, peer: Peer, website: Website) -> None:
    """Not a link, not a route; and the next server of the same folder gives functions their network again."""
    server = Server(tmp_path).start()
    server.create_function("f", FETCH)
    assert server.invoke("f", {"url": website.url}) == {"body": peer.address_of_machine}
    server.kill()
    wait_until(lambda: not has_uplink(server), 20, "the network of a killed server to be gone")
    server.start()
    assert server.invoke("f", {"url": website.url}) == {"body": peer.address_of_machine}
    assert server.stop() == 0
    assert not has_uplink(server)


def has_uplink(server: Server) -> bool:
    return uplink_of(server.data_dir / "sandboxes") in links()
