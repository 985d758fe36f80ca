"""What goes wrong by the function's fault, and how AWS's Python runtimes tell it: JSON for the caller, a block for the log."""

import os
import sys
import traceback

_HAS_REQUEST_ID = sys.version_info[:2] >= (3, 9)
_OWN_FILES = frozenset(("bootstrap.py", "bootstrap.pyc"))


class Fault(Exception):
    """A failure with one of AWS's own types; `trace` holds ready lines."""

    def __init__(self, error_type, message, trace=None):
        Exception.__init__(self, message)
        self.error_type = error_type
        self.message = message
        self.trace = trace or []


def describe(exc_info):
    """`(type, message, stack)` of an exception, the stack from the function's first frame on as AWS shows it."""
    kind, value, tb = exc_info
    if isinstance(value, Fault):
        return value.error_type, value.message, value.trace
    # Frames as tuples: Python 3.11 and later would add lines with carets, which AWS's payload does not have.
    frames = [tuple(frame)[:4] for frame in traceback.extract_tb(tb)]
    for index, frame in enumerate(frames):
        if os.path.basename(frame[0]) not in _OWN_FILES:
            frames = frames[index:]
            break
    return kind.__name__, _message(value), [_text(line) for line in traceback.format_list(frames)]


def payload(description, request_id):
    """Keys in AWS's order. `requestId` came with python3.9; the runtimes before left out what is empty."""
    error_type, message, stack = description
    pairs = [("errorMessage", message), ("errorType", error_type)]
    if _HAS_REQUEST_ID:
        pairs += [("requestId", request_id or ""), ("stackTrace", stack)]
    elif stack:
        pairs += [("stackTrace", stack)]
    return pairs


def log_block(description):
    """The lines of one log event, indented by no-break spaces so that no reader strips them."""
    error_type, message, stack = description
    head = u"[ERROR]"
    if error_type:
        head += u" " + error_type
    if message:
        head += (u": " if error_type else u" ") + message
    lines = [head, u"Traceback (most recent call last):"]
    for element in stack:
        for line in element.splitlines() or [u""]:
            bare = line.lstrip(u" ")
            lines.append(u"\u00a0" * (len(line) - len(bare)) + bare)
    return lines


def _message(value):
    try:
        return _text(str(value))
    except Exception:
        pass
    try:
        return u"%s" % (value,)  # Python 2: a message of letters beyond ASCII
    except Exception:
        return u"<unprintable %s object>" % type(value).__name__


def _text(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
