"""Standard streams and logging as functions find them on AWS: nothing held back, one log event per logging record."""

import io
import logging
import os
import sys
import time

import lambda_runtime_fault as fault
import lambda_runtime_frames as frames
import lambda_runtime_record as json_record

_PYTHON_3 = sys.version_info[0] >= 3
_FORMAT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n"

current_request_id = ""
_tenant_id = None  #: for whom the invocation is, where the function has tenants

_descriptor = None  #: where frames go; None where the platform reads none
_is_json = False
_has_new_streams = False
_text_handler = None


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
    """A record is one log event: a frame, or a line in which line ends have become carriage returns."""

    def emit(self, record):
        message = self.format(record)
        if _descriptor is not None:
            level = frames.LEVEL_BITS[json_record.plain_level(record.levelno)]
            try:
                frames.write(_descriptor, getattr(record, "lambda_frame_type", frames.TEXT | level), _bytes(message))
            except OSError:
                self.handleError(record)
            return
        text = message[:-1].replace("\n", "\r") + message[-1:]
        if not _PYTHON_3 and not isinstance(text, str):
            text = text.encode("utf-8")
        sys.stdout.write(text)


class LambdaLoggerFilter(logging.Filter):
    def filter(self, record):
        record.aws_request_id = current_request_id
        if _tenant_id is not None:
            record.lambda_tenant_id = _tenant_id
        return True


def prepare():
    """In a zygote: makes once what every fork would make anew, each on pages that would be shared no longer."""
    global _has_new_streams, _text_handler
    open_streams()
    _has_new_streams = True
    _text_handler = _new_handler(_text_formatter())


def open_streams():
    """New objects on file descriptors 0 to 2: the interpreter's own may have another encoding."""
    if _has_new_streams:
        return
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
    global _descriptor, _is_json
    _descriptor, _is_json = frames.taken_descriptor(), json_record.is_wanted()
    if _is_json:
        handler = _new_handler(json_record.JsonFormatter())
    else:
        handler = _text_handler or _new_handler(_text_formatter())
    root = logging.getLogger()
    level = json_record.chosen_level()
    if level is not None:
        root.setLevel(level)
    root.addHandler(handler)


def _new_handler(formatter):
    logging.Formatter.converter = time.gmtime
    handler = LambdaLoggerHandler()
    handler.setFormatter(formatter)
    handler.addFilter(LambdaLoggerFilter())
    return handler


def _text_formatter():
    return logging.Formatter(_FORMAT, "%Y-%m-%dT%H:%M:%S")


def set_invocation(request_id, tenant_id):
    global current_request_id, _tenant_id
    current_request_id, _tenant_id = request_id, tenant_id


def write_error(description, request_id):
    """Writes past whatever the function made of sys.stdout, and whatever letters the text holds."""
    lines = [json_record.error_line(description, request_id, _tenant_id)] if _is_json else fault.log_block(description)
    try:
        if _descriptor is not None:
            kind = frames.JSON if _is_json else frames.TEXT
            frames.write(_descriptor, kind | frames.LEVEL_BITS[logging.ERROR], _bytes(u"\n".join(lines)))
        else:
            data = _bytes(u"\r".join(lines).replace(u"\n", u"\r") + u"\n")
            while data:
                data = data[os.write(1, data) :]
    except OSError:
        return  # the function closed its own output; nobody is left to be told


def _bytes(text):
    if isinstance(text, bytes):
        return text  # Python 2: as the function wrote it
    return text.encode("utf-8", "backslashreplace" if _PYTHON_3 else "replace")


def flush():
    """Before an answer leaves, what was said before it has to be in the log's pipe."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # whatever object the function put there
            continue
