"""Standard streams and logging as functions find them on AWS: nothing held back, one log event per logging record."""

import io
import logging
import os
import sys
import time

_PYTHON_3 = sys.version_info[0] >= 3
_FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"

current_request_id = ""


class _Unbuffered(io.TextIOWrapper):
    """Every write leaves at once, so that a killed function has said all that it had said."""

    def write(self, text):
        written = io.TextIOWrapper.write(self, text)
        self.flush()
        return written

    def writelines(self, lines):
        io.TextIOWrapper.writelines(self, lines)
        self.flush()


class LambdaLoggerHandler(logging.Handler):
    """Line ends inside a record become carriage returns, so that a record stays one log event."""

    def emit(self, record):
        message = self.format(record)
        text = message[:-1].replace("\n", "\r") + message[-1:]
        if not _PYTHON_3 and not isinstance(text, str):
            text = text.encode("utf-8")
        sys.stdout.write(text)


class LambdaLoggerFilter(logging.Filter):
    def filter(self, record):
        record.aws_request_id = current_request_id
        return True


def open_streams():
    """New objects on file descriptors 0 to 2: those of the zygote may have another encoding, and text left in them."""
    if _PYTHON_3:
        # AWS's locale is C.UTF-8 from python3.12 on, for which Python passes undecodable bytes through.
        errors = "surrogateescape" if sys.version_info >= (3, 12) else "strict"
        sys.stdin = sys.__stdin__ = io.open(0, "r", encoding="utf-8", errors=errors, closefd=False)
        sys.stdout = sys.__stdout__ = _open_output(1, errors)
        sys.stderr = sys.__stderr__ = _open_output(2, "backslashreplace")
    else:
        sys.stdin = sys.__stdin__ = os.fdopen(0, "r")
        sys.stdout = sys.__stdout__ = os.fdopen(1, "w", 0)
        sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 0)


def _open_output(fd, errors):
    stream = _Unbuffered(io.open(fd, "wb", closefd=False), encoding="utf-8", errors=errors, newline="\n", write_through=True)
    stream.mode = "w"
    return stream


def set_up_logging():
    logging.Formatter.converter = time.gmtime
    handler = LambdaLoggerHandler()
    handler.setFormatter(logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S"))
    handler.addFilter(LambdaLoggerFilter())
    logging.getLogger().addHandler(handler)


def set_request_id(request_id):
    global current_request_id
    current_request_id = request_id


def write_block(text):
    """Writes past whatever the function made of sys.stdout, and whatever letters the text holds."""
    data = text.encode("utf-8", "backslashreplace" if _PYTHON_3 else "replace")
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError:
        return  # the function closed its own output; nobody is left to be told


def flush():
    """Before an answer leaves, what was said before it has to be in the log's pipe."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # whatever object the function put there
            continue
