"""Request ids: they must be unique, not secret, so they need no call into the kernel each."""

from __future__ import annotations

from random import getrandbits

_VERSION_4 = 0x4000 << 64
_VARIANT = 0x8000 << 48
_FREE_BITS = (1 << 128) - 1 ^ (0xF000 << 64) ^ (0xC000 << 48)


def new_request_id() -> str:
    """A random UUID (version 4) as text."""
    digits = f"{getrandbits(128) & _FREE_BITS | _VERSION_4 | _VARIANT:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
