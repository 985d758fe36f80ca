"""What is the same in every backend."""

from __future__ import annotations

import socket

from lambdad.sandbox.base import SANDBOX_ADDRESS


def test_sandbox_addresses_are_link_local() -> None:
    """The Runtime API's address can be on no one's network."""
    assert socket.inet_aton(SANDBOX_ADDRESS)[:2] == bytes([169, 254])
