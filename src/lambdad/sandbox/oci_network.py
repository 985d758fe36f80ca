"""The network of a sandbox that an OCI runtime makes: a namespace made ahead, with the server's two listening sockets in it.

Whether it leads anywhere is the affair of the keeper of the networks, which makes them as for the `namespace` backend.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from lambdad.errors import SandboxError
from lambdad.sandbox import linux
from lambdad.sandbox.base import ENDPOINT_PORT, RUNTIME_API_PORT, SANDBOX_ADDRESS
from lambdad.sandbox.network_keeper import NetworkKeeper
from lambdad.sandbox.records import close_all

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8913, 0x8914, 0x8916, 0x891C
_IFF_UP = 1
_BACKLOG = 128


class Networks:
    """The keeper of the networks, for those who wait for one. `note_loss` is called if it ends by itself."""

    def __init__(self, keeper: NetworkKeeper, note_loss: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._keeper = keeper
        self._note_loss = note_loss
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._numbers = itertools.count()
        self._loop.add_reader(keeper.channel.socket, self._hear)

    async def make(self, *, has_way_out: bool) -> Network:
        if not has_way_out:
            return Network(linux.make_network_namespace())
        number = next(self._numbers)
        answer = self._waiting[number] = self._loop.create_future()
        try:
            self._keeper.make(number)
            return Network(await answer)
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                os.close(answer.result())
            raise
        finally:
            del self._waiting[number]

    def close(self) -> None:
        self._loop.remove_reader(self._keeper.channel.socket)
        self._keeper.close()

    def _hear(self) -> None:
        try:
            while (received := self._keeper.receive()) is not None:
                answer, descriptors = received
                waiting = self._waiting.get(answer.number)
                if waiting is None or waiting.done():
                    close_all(descriptors)
                elif answer.error is not None:
                    waiting.set_exception(SandboxError(f"no network could be made: {answer.error}"))
                else:
                    waiting.set_result(descriptors[0])
        except ConnectionError as error:
            self._loop.remove_reader(self._keeper.channel.socket)
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(SandboxError(str(error)))
            self._note_loss()


class Network:
    """Has the namespace that the descriptor stands for, and closes it."""

    def __init__(self, namespace: int) -> None:
        self._namespace = namespace
        self.doors: list[socket.socket] = []  #: the runtime listener, the endpoint listener
        try:
            with linux.inside_network(self._namespace):
                for port in (RUNTIME_API_PORT, ENDPOINT_PORT):
                    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                    self.doors.append(listener)
                    if port == RUNTIME_API_PORT:
                        _configure_loopback(listener.fileno())
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    listener.bind((SANDBOX_ADDRESS, port))
                    listener.listen(_BACKLOG)
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> Path:
        """Where another program finds the namespace, for as long as this is open."""
        return Path(f"/proc/{os.getpid()}/fd/{self._namespace}")

    def open_socket(self) -> socket.socket:
        with linux.inside_network(self._namespace):
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    def close_doors(self) -> None:
        for door in self.doors:
            door.close()
        self.doors.clear()

    def close(self) -> None:
        """The namespace itself goes with the last process in it."""
        self.close_doors()
        os.close(self._namespace)


def _configure_loopback(descriptor: int) -> None:
    """Brings `lo` up, which gives it 127.0.0.1, and adds the sandbox's address."""
    flags = struct.unpack_from("H", fcntl.ioctl(descriptor, _SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0)), 16)[0]
    fcntl.ioctl(descriptor, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))
    for request, value in ((_SIOCSIFADDR, SANDBOX_ADDRESS), (_SIOCSIFNETMASK, "255.255.255.255")):
        fcntl.ioctl(descriptor, request, struct.pack("16sHH4s16x", b"lo:1", socket.AF_INET, 0, socket.inet_aton(value)))
