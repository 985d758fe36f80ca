"""A resolver of the outside, for tests: knows the names that it is told, over UDP and TCP."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress


def question(name: str, number: int = 4242) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)


def name_in(message: bytes) -> str:
    labels, position = [], 12
    while message[position]:
        labels.append(message[position + 1 : position + 1 + message[position]].decode())
        position += 1 + message[position]
    return ".".join(labels)


def code_of(message: bytes) -> int:
    """0 for an answer, 2 for a failure, 3 where there is no such name."""
    return message[3] & 0xF


class NameServer:
    """Answers in threads of its own until it is closed."""

    def __init__(self, address: str, names: dict[str, str], port: int = 0) -> None:
        self._names = names
        self._listener = socket.create_server((address, port))
        self.address, self.port = self._listener.getsockname()
        self._questions = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._questions.bind((address, self.port))
        self.asked: list[str] = []
        self._threads = [threading.Thread(target=work) for work in (self._serve_datagrams, self._serve_connections)]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> NameServer:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._questions, self._listener):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._questions.close()
        self._listener.close()

    def _answer(self, message: bytes, transport: str) -> bytes:
        name = name_in(message)
        self.asked.append(f"{transport} {name}")
        end = message.index(b"\0", 12) + 5
        address = self._names.get(name)
        kind = struct.unpack_from(">H", message, end - 4)[0]
        found = address is not None and kind == 1
        head = message[:2] + struct.pack(">HHHHH", 0x8180 if address else 0x8183, 1, int(found), 0, 0)
        record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(address or "0.0.0.0")
        return head + message[12:end] + (record if found else b"")

    def _serve_datagrams(self) -> None:
        while True:
            with suppress(ConnectionError):
                message, client = self._questions.recvfrom(4096)
                if not message:
                    return
                self._questions.sendto(self._answer(message, "udp"), client)

    def _serve_connections(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                length = struct.unpack(">H", connection.recv(2))[0]
                answer = self._answer(connection.recv(length), "tcp")
                connection.sendall(struct.pack(">H", len(answer)) + answer)
