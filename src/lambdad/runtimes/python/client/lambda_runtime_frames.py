"""Messages in frames, as the platform reads them from `_LAMBDA_TELEMETRY_LOG_FD`: each is one log event, whatever is in it.

The descriptor may be standard output itself, on which others write too: so no write is larger than what a pipe takes in one
piece, and a longer message goes in several frames of the same time. Python 2.7 and every 3.x.
"""

import errno
import os
import select
import struct
import time

JSON = 0xA55A0002
TEXT = 0xA55A0003
#: By the level's number in `logging`, to the bits of a frame's type.
LEVEL_BITS = {0: 0x00, 10: 0x08, 20: 0x0C, 30: 0x10, 40: 0x14, 50: 0x18}
_CONTINUED = 0x40
_HEAD = struct.Struct(">IIQ")
_ROOM = getattr(select, "PIPE_BUF", 512) - _HEAD.size

_last_time = 0


def taken_descriptor():
    """The descriptor's number, taken out of the environment so that no program of the function's finds it; None without."""
    name = os.environ.pop("_LAMBDA_TELEMETRY_LOG_FD", None)
    try:
        descriptor = int(name)
        os.fstat(descriptor)
    except (TypeError, ValueError, OSError):
        return None
    return descriptor


def write(descriptor, kind, data):
    """Raises OSError when the function has closed the descriptor."""
    global _last_time
    # No two messages have the same time: it is what holds the frames of one together.
    now = _last_time = max(int(time.time() * 1000000), _last_time + 1)
    begun = 0
    while len(data) - begun > _ROOM:
        _send(descriptor, _HEAD.pack(kind | _CONTINUED, _ROOM, now) + data[begun : begun + _ROOM])
        begun += _ROOM
    _send(descriptor, _HEAD.pack(kind, len(data) - begun, now) + data[begun:])


def _send(descriptor, frame):
    while True:
        try:
            os.write(descriptor, frame)
            return
        except OSError as error:
            if error.errno == errno.EAGAIN:  # the function has made its output non-blocking
                select.select([], [descriptor], [])
            elif error.errno != errno.EINTR:
                raise
