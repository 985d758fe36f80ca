"""Records of `logging`, and errors that nothing caught, as the JSON that AWS's Python runtimes write. Python 2.7 and every 3.x."""

import json
import logging
import os
import sys
import time
import traceback

import lambda_runtime_frames as frames

_PYTHON_3 = sys.version_info[0] >= 3
#: What every record has; all else was added by the function and becomes a member of its own.
_KNOWN = frozenset(
    "name msg args levelname levelno pathname filename module exc_info exc_text stack_info lineno funcName created msecs"
    " relativeCreated thread threadName processName process aws_request_id lambda_tenant_id lambda_frame_type".split()
)
#: AWS's names of levels, beside those of `logging`.
_LEVELS = {"TRACE": 10, "DEBUG": 10, "INFO": 20, "WARN": 30, "WARNING": 30, "ERROR": 40, "FATAL": 50, "CRITICAL": 50}


def is_wanted():
    return os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"


def chosen_level():
    """The number of the level that the function was configured with, or None."""
    return _LEVELS.get(os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper())


def plain_level(number):
    """The nearest of the levels that AWS has, below or at this one."""
    return min(50, max(0, int(number))) // 10 * 10


class JsonFormatter(logging.Formatter):
    def format(self, record):
        level = plain_level(record.levelno)
        record.lambda_frame_type = frames.JSON | frames.LEVEL_BITS[level]
        members = [
            ("timestamp", "%s.%03dZ" % (_clock_time(record.created), int(record.created * 1000) % 1000)),
            ("level", logging.getLevelName(level)),
            ("message", record.getMessage()),
            ("logger", record.name),
        ]
        if record.exc_info and record.exc_info[0] is not None:
            kind, value, tb = record.exc_info
            members += [("stackTrace", traceback.format_tb(tb)), ("errorType", kind.__name__), ("errorMessage", _text(value))]
        members.append(("requestId", getattr(record, "aws_request_id", None) or None))
        members.append(("tenantId", getattr(record, "lambda_tenant_id", None)))
        if record.exc_info and record.exc_info[0] is not None:
            members.append(("location", "%s:%s:%s" % (record.pathname, record.funcName, record.lineno)))
        taken = set(name for name, _ in members)
        members += [pair for pair in record.__dict__.items() if pair[0] not in _KNOWN and pair[0] not in taken]
        return _object(members) + u"\n"


def error_line(description, request_id, tenant_id):
    """What AWS writes of an exception that the handler let out."""
    error_type, message, stack = description
    members = [
        ("timestamp", _clock_time(time.time()) + "Z"),
        ("level", "ERROR"),
        ("errorMessage", message or ""),
        ("errorType", error_type or ""),
        ("requestId", request_id or ""),
        ("tenantId", tenant_id),
        ("stackTrace", stack),
    ]
    return _object(members)


def _clock_time(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _object(members):
    """As text. Members that are None are left out; what is not JSON is told in words rather than lost."""
    return u"{%s}" % u", ".join(u"%s: %s" % (_json(_text(name)), _json(value)) for name, value in members if value is not None)


def _json(value):
    try:
        encoded = json.dumps(value, ensure_ascii=False, default=_text)
    except (TypeError, ValueError, RuntimeError):  # keys of other kinds, a circle, or bytes that are no text
        encoded = json.dumps(_text(value), ensure_ascii=False)
    return encoded if _PYTHON_3 else _text(encoded)


def _text(value):
    """Text of whatever it is. Python 2's bytes are text already."""
    try:
        if not _PYTHON_3 and isinstance(value, bytes):
            return value.decode("utf-8", "replace")
        if not _PYTHON_3:
            return value if isinstance(value, type(u"")) else str(value).decode("utf-8", "replace")
        return str(value)
    except Exception:  # whatever the function's object does when asked
        return u"<unprintable %s object>" % type(value).__name__
