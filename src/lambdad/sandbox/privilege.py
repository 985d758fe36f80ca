"""How the server gives up root's rights once the launcher, which needs them, is running."""

from __future__ import annotations

import ctypes
import os
import sys

_VERSION_3 = 0x2008_0522


def drop_server_capabilities() -> None:
    """Leaves the calling thread, and all that it starts, without any capability. It stays the user it is.

    Capabilities belong to threads: to be called before there is a second one. Without effect where there are none.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if libc.capset(header, nothing) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"capset: {os.strerror(number)}")
