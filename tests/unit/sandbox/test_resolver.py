"""resolver.py: questions for names on their way from a sandbox to the machine's resolvers and back."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lambdad.sandbox import resolver
from lambdad.sandbox.resolver import Asker, Relay, Upstreams, answers, failure, nameservers
from support.names import NameServer, code_of, name_in, question

Resolve = Callable[[bytes], object]


class Fixed:
    """Resolvers on ports of their own, which a resolv.conf cannot name."""

    def __init__(self, *upstreams: tuple[str, int]) -> None:
        self.upstreams = list(upstreams)

    def now(self) -> list[tuple[str, int]]:
        return self.upstreams


@asynccontextmanager
async def asking(*upstreams: tuple[str, int]) -> AsyncIterator[socket.socket]:
    """The socket of a client of an Asker that passes on to these."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as served, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        served.bind(("127.0.0.1", 0))
        client.connect(served.getsockname())
        client.setblocking(False)
        asker = Asker(served, Fixed(*upstreams))  # type: ignore[arg-type]
        asker.start()
        yield client
        asker.stop()


async def ask(client: socket.socket, message: bytes) -> bytes:
    await asyncio.get_running_loop().sock_sendall(client, message)
    return await asyncio.get_running_loop().sock_recv(client, 4096)


def closed_port() -> tuple[str, int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        address: tuple[str, int] = sock.getsockname()
        return address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nameserver 127.0.0.53\n", [("127.0.0.53", 53)]),
        ("# nameserver 1.1.1.1\nsearch corp\nnameserver 10.0.0.1\nnameserver fd00::1\n", [("10.0.0.1", 53), ("fd00::1", 53)]),
        ("nameserver\nnameserver\t10.0.0.2 # the second\n", [("10.0.0.2", 53)]),
        ("", [("127.0.0.1", 53)]),
    ],
)
def test_the_resolvers_of_a_machine(text: str, expected: list[tuple[str, int]]) -> None:
    """As the C library reads the file; without a line for it, the machine itself is asked."""
    assert nameservers(text) == expected


def test_changed_resolvers_are_noticed(tmp_path: Path) -> None:
    """A laptop comes into another network: the next question goes to the new resolver. A missing file changes nothing."""
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 10.0.0.1\n")
    upstreams = Upstreams(file)
    assert upstreams.now() == [("10.0.0.1", 53)]
    file.write_text("nameserver 10.0.0.2\nnameserver 10.0.0.3\n")
    assert upstreams.now() == [("10.0.0.2", 53), ("10.0.0.3", 53)]
    file.unlink()
    assert upstreams.now() == [("10.0.0.2", 53), ("10.0.0.3", 53)]
    assert Upstreams(file).now() == [("127.0.0.1", 53)]


async def test_a_name_is_found() -> None:
    """The answer is the resolver's, byte for byte."""
    with NameServer("127.0.0.1", {"peer.test": "192.0.2.7"}) as server:
        async with asking((server.address, server.port)) as client:
            answer = await ask(client, question("peer.test"))
    assert (code_of(answer), name_in(answer), answer[-4:]) == (0, "peer.test", socket.inet_aton("192.0.2.7"))


async def test_a_name_that_does_not_exist() -> None:
    """The resolver's "no such name" is passed on, too."""
    with NameServer("127.0.0.1", {}) as server:
        async with asking((server.address, server.port)) as client:
            assert code_of(await ask(client, question("nobody.test"))) == 3


async def test_the_next_resolver_is_asked_where_one_is_dead() -> None:
    """A resolver that nobody runs any more costs no wait."""
    with NameServer("127.0.0.1", {"peer.test": "192.0.2.7"}) as server:
        async with asking(closed_port(), (server.address, server.port)) as client:
            assert code_of(await ask(client, question("peer.test"))) == 0


async def test_without_any_resolver_the_failure_is_said() -> None:
    """The function hears at once that there is no answer, instead of waiting for one."""
    async with asking(closed_port()) as client:
        answer = await ask(client, question("peer.test", 77))
    assert (answer[:2], code_of(answer), name_in(answer)) == (b"\0M", 2, "peer.test")


async def test_a_silent_resolver_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never answers is followed by the next."""
    monkeypatch.setattr(resolver, "_PATIENCE_SECONDS", 0.01)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, NameServer("127.0.0.1", {"a.test": "192.0.2.1"}) as server:
        silent.bind(("127.0.0.1", 0))
        silent.setblocking(False)
        async with asking(silent.getsockname(), (server.address, server.port)) as client:
            answer = asyncio.create_task(ask(client, question("a.test")))
            await asyncio.get_running_loop().sock_recv(silent, 4096)
            monkeypatch.setattr(resolver, "_PATIENCE_SECONDS", 60.0)  # with the other one
            assert code_of(await answer) == 0


async def test_rubbish_is_dropped() -> None:
    """What is no question gets no answer and does no harm: the next question does."""
    with NameServer("127.0.0.1", {"a.test": "192.0.2.1"}) as server:
        async with asking((server.address, server.port)) as client:
            answer = bytearray(question("a.test"))
            answer[2] |= 0x80
            for rubbish in (b"", b"\0" * 11, bytes(answer)):
                await asyncio.get_running_loop().sock_sendall(client, rubbish)
            assert code_of(await ask(client, question("a.test"))) == 0
        assert server.asked == ["udp a.test"]


async def test_one_client_cannot_take_all_places() -> None:
    """Of questions that wait for an answer each client has only so many; another client's is passed on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as served:
        silent.bind(("127.0.0.1", 0))
        silent.setblocking(False)
        served.bind(("0.0.0.0", 0))
        asker = Asker(served, Fixed(silent.getsockname()))  # type: ignore[arg-type]
        asker.start()
        loop = asyncio.get_running_loop()
        for source, name in (("127.0.0.2", "greedy.test"), ("127.0.0.3", "modest.test")):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.bind((source, 0))
                client.setblocking(False)
                for number in range(100 if name == "greedy.test" else 1):
                    client.sendto(question(name, number), ("127.0.0.1", served.getsockname()[1]))
                passed_on = 0
                while name == "greedy.test" and passed_on < 64:
                    assert name_in(await loop.sock_recv(silent, 4096)) == name
                    passed_on += 1
        assert name_in(await loop.sock_recv(silent, 4096)) == "modest.test"
        asker.stop()


async def test_long_answers_come_over_tcp() -> None:
    """Bytes pass both ways, and the connection ends when the resolver ends its."""
    with NameServer("127.0.0.1", {"peer.test": "192.0.2.7"}) as server:
        relay = Relay(Fixed(closed_port(), (server.address, server.port)))  # type: ignore[arg-type]
        async with await asyncio.start_server(relay.serve, "127.0.0.1", 0) as served:
            reader, writer = await asyncio.open_connection(*served.sockets[0].getsockname())
            message = question("peer.test")
            writer.write(struct.pack(">H", len(message)) + message)
            length = struct.unpack(">H", await reader.readexactly(2))[0]
            answer = await reader.readexactly(length)
            assert answer[-4:] == socket.inet_aton("192.0.2.7")
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
    assert server.asked == ["tcp peer.test"]


async def test_connections_of_one_client_are_few() -> None:
    """Beyond its share they are closed at once."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        relay = Relay(Fixed(silent.getsockname()))  # type: ignore[arg-type]
        async with await asyncio.start_server(relay.serve, "127.0.0.1", 0) as served:
            address = served.sockets[0].getsockname()
            held = [await asyncio.open_connection(*address) for _ in range(8)]
            reader, writer = await asyncio.open_connection(*address)
            assert await reader.read() == b""
            for _, other in [*held, (reader, writer)]:
                other.transport.abort()


@pytest.mark.parametrize(
    "message", [b"", b"\0" * 12, question("a.test")[:-1], b"\0" * 12 + b"\xc0\x0c\0\1\0\1", b"\0" * 12 + b"\x3fshort"]
)
def test_no_failure_is_told_of_what_is_no_question(message: bytes) -> None:
    """Nothing is read beyond the end of what a function sent."""
    assert failure(message) is None


def test_whose_answer_it_is() -> None:
    """The number has to be that of the question, and it has to be an answer."""
    asked = question("a.test", 7)
    told = failure(asked)
    assert told is not None
    assert answers(told, asked)
    assert not answers(told, question("a.test", 8))
    assert not answers(asked, asked)
    assert not answers(b"\0\7", asked)
