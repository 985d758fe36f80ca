"""The launcher's event loop: descriptors, and what to call when one of them has something to say."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable

from lambdad.sandbox.records import Channel

Handler = Callable[[], None]


class EventLoop:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._channels: dict[int, Channel] = {}

    def watch(self, source: int | socket.socket, handler: Handler) -> None:
        """Calls `handler` whenever `source` is readable, until it is forgotten."""
        self._selector.register(source, selectors.EVENT_READ, handler)

    def watch_channel(self, channel: Channel, handler: Handler) -> None:
        """As `watch`; and sends what the channel could not send at once."""
        self.watch(channel.socket, handler)
        self._channels[channel.socket.fileno()] = channel

    def is_watched(self, source: int | socket.socket) -> bool:
        return _number(source) in self._selector.get_map()

    def forget(self, source: int | socket.socket) -> None:
        """To be called before the descriptor is closed. Harmless if it is not watched."""
        if self.is_watched(source):
            self._selector.unregister(source)
            self._channels.pop(_number(source), None)

    def step(self, timeout: float | None) -> None:
        """Waits for events, at most `timeout` seconds, and handles them."""
        for number, channel in self._channels.items():
            key = self._selector.get_key(number)
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if channel.has_unsent else 0)
            if key.events != events:
                self._selector.modify(number, events, key.data)
        for key, events in self._selector.select(timeout):
            current = self._selector.get_map().get(key.fd)
            if current is None or current.data is not key.data:
                continue  # an event handled just now was the end of what this one is about
            if events & selectors.EVENT_WRITE:
                self._channels[key.fd].flush()
            if events & selectors.EVENT_READ:
                key.data()

    def close(self) -> None:
        self._selector.close()


def _number(source: int | socket.socket) -> int:
    return source if isinstance(source, int) else source.fileno()
