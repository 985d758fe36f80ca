"""The network of a sandbox that an OCI runtime makes: a namespace made ahead, with the server's two listening sockets in it.

It has the loopback address and nothing else, as in the `namespace` backend: there is no way out of it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from pathlib import Path

from lambdad.sandbox import linux
from lambdad.sandbox.base import ENDPOINT_PORT, RUNTIME_API_PORT, SANDBOX_ADDRESS

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8913, 0x8914, 0x8916, 0x891C
_IFF_UP = 1
_BACKLOG = 128


class Network:
    def __init__(self) -> None:
        self._namespace = linux.make_network_namespace()
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
