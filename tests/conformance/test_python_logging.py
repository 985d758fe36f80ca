"""What the Python runtime client makes of `logging`: frames and lines, text and JSON, on every Python of this machine."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest

from lambdad.invocation.output_lines import Line, OutputLines
from support.python_runtime import Python
from support.runtime_api import REQUEST_ID

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
FRAMED = {"_LAMBDA_TELEMETRY_LOG_FD": "1"}
JSON = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}


def run(python: Python, body: str, before: str = "", **environment: str) -> bytes:
    """Everything that a function wrote which has been invoked once."""
    lines = "\n".join("    " + line for line in body.splitlines())
    source = f"import json, logging, os, sys\n{before}\nlog = logging.getLogger('app')\ndef handler(event, context):\n{lines}\n"
    with python.run(source, **environment) as process:
        process.invoke()
        return process.ended_log().encode("utf-8", "surrogateescape")


def framed(python: Python, body: str, before: str = "", **environment: str) -> list[Line]:
    """The same, as the platform reads it."""
    lines = OutputLines(has_frames=True)
    now_ms = int(time.time() * 1000) + 60_000
    return lines.feed(run(python, body, before, **FRAMED, **environment), now_ms) + lines.finish(now_ms)


def records(lines: list[Line]) -> list[dict[str, Any]]:
    return [json.loads(line.message) for line in lines]


def test_a_text_message_of_several_lines_is_one_event(python: Python) -> None:
    """In a frame a message keeps its line ends and has a level; what is printed stays in order with it."""
    lines = framed(python, "print('before')\nlog.warning('one\\ntwo')\nprint('after')\nlog.critical('end')")
    assert [(line.message.split("\t")[-1], line.level) for line in lines] == [
        ("before", None),
        ("one\ntwo", "WARN"),
        ("after", None),
        ("end", "FATAL"),
    ]
    assert re.match(rf"\[WARNING\]\t{STAMP}\t{REQUEST_ID}\tone\ntwo\Z", lines[1].message)
    assert [line.timestamp_ms for line in lines] == sorted(line.timestamp_ms for line in lines)


def test_a_message_inside_a_line_that_is_not_ended(python: Python) -> None:
    """A message that comes in the middle of a printed line does not break it."""
    lines = framed(python, "sys.stdout.write('begun, ')\nlog.warning('message')\nsys.stdout.write('ended\\n')")
    assert [line.message.split("\t")[-1] for line in lines] == ["message", "begun, ended"]


def test_a_long_message_is_whole_while_others_write(python: Python) -> None:
    """A message longer than a pipe takes at once comes in one piece, though a child floods the same pipe."""
    body = (
        "import os, subprocess, tempfile, time\n"
        "begun = os.path.join(tempfile.mkdtemp(), 'begun')\n"
        "child = subprocess.Popen(['sh', '-c', 'echo child; : > $0; while echo child; do :; done', begun])\n"
        "while not os.path.exists(begun):\n    time.sleep(0.01)\n"
        "for number in range(20):\n    log.warning('%d' % number + 'x\\n' * 20000)\n"
        "child.kill()\nchild.wait()"
    )
    lines = framed(python, body)
    messages = [line.message.split("\t")[-1] for line in lines if line.level]
    assert messages == [str(number) + "x\n" * 19_999 + "x" + "\n" for number in range(20)]
    assert {line.message for line in lines if not line.level} == {"child"}


def test_an_error_is_one_event_of_several_lines(python: Python) -> None:
    """An exception that the handler lets out is an event of level ERROR, indented by no-break spaces."""
    (line,) = framed(python, "raise ValueError('first\\nsecond')")
    assert line.level == "ERROR"
    head, *stack = line.message.split("\n")
    assert (head, stack[:2]) == ("[ERROR] ValueError: first", ["second", "Traceback (most recent call last):"])
    assert stack[2].startswith('\u00a0\u00a0File "')


def test_the_descriptor_is_hidden_from_the_function(python: Python) -> None:
    """Neither the function nor what it starts finds the variable."""
    lines = framed(python, "print(os.environ.get('_LAMBDA_TELEMETRY_LOG_FD'))")
    assert [line.message for line in lines] == ["None"]


@pytest.mark.parametrize("value", ["77", "x"])
def test_a_descriptor_that_is_none(python: Python, value: str) -> None:
    """A variable that names no open descriptor leaves the client with lines on standard output."""
    output = run(python, "log.warning('one\\ntwo')", _LAMBDA_TELEMETRY_LOG_FD=value)
    assert output.endswith(b"\tone\rtwo\n")


def test_a_json_record(python: Python) -> None:
    """A record has AWS's members in AWS's order, and the function's own behind them."""
    (line,) = framed(python, "log.info(u'gr\\xfcn %s', 7, extra={'order': {'id': 5}, 'none': None})", **JSON)
    assert line.level == "INFO"
    assert re.match(rf'\{{"timestamp": "{STAMP}", "level": "INFO", "message": "grün 7", "logger": "app", ', line.message)
    record = json.loads(line.message)
    assert (record["requestId"], record["order"]) == (REQUEST_ID, {"id": 5})
    assert "none" not in record and "lambda_frame_type" not in record and "msg" not in record
    assert abs(line.timestamp_ms / 1000 - time.time()) < 30


def test_a_json_record_of_an_exception(python: Python) -> None:
    """The exception's type, message, stack and the place where it was logged are members."""
    body = "try:\n    {}['k']\nexcept KeyError:\n    log.exception('lost')"
    (record,) = records(framed(python, body, **JSON))
    assert (record["level"], record["message"], record["errorType"], record["errorMessage"]) == (
        "ERROR",
        "lost",
        "KeyError",
        "'k'",
    )
    assert record["stackTrace"][-1].startswith('  File "') and "{}['k']" in record["stackTrace"][-1]
    assert re.match(r".*/app\.py:handler:\d+\Z", record["location"])


def test_no_exception_to_tell_of(python: Python) -> None:
    """`exception` where none is being handled is a record like any other."""
    (record,) = records(framed(python, "log.exception('calm')", **JSON))
    assert record["message"] == "calm" and "errorType" not in record and "stackTrace" not in record


def test_json_levels(python: Python) -> None:
    """The root logger has the configured level; a logger with one of its own passes that on to the platform, which filters."""
    body = "log.debug('d')\nlog.info('i')\nlogging.getLogger('own').debug('own')\nlog.log(35, 'between')"
    lines = framed(python, body, "logging.getLogger('own').setLevel('DEBUG')", **JSON)
    assert [(json.loads(line.message)["message"], line.level) for line in lines] == [
        ("i", "INFO"),
        ("own", "DEBUG"),
        ("between", "WARN"),
    ]
    assert [record["level"] for record in records(lines)] == ["INFO", "DEBUG", "WARNING"]


@pytest.mark.parametrize(("name", "wanted"), [("TRACE", "10 20 30 40 50"), ("WARN", "30 40 50"), ("FATAL", "50")])
def test_the_configured_level(python: Python, name: str, wanted: str) -> None:
    """AWS's names of levels are understood, also those that `logging` does not have."""
    body = "for level in (10, 20, 30, 40, 50):\n    log.log(level, str(level))"
    lines = framed(python, body, AWS_LAMBDA_LOG_FORMAT="JSON", AWS_LAMBDA_LOG_LEVEL=name)
    assert " ".join(record["message"] for record in records(lines)) == wanted


def test_the_level_without_a_format(python: Python) -> None:
    """In text format the root logger stays at WARNING."""
    lines = framed(python, "log.info('unseen')\nlog.warning('seen')")
    assert [line.message.split("\t")[-1] for line in lines] == ["seen"]


def test_a_json_error(python: Python) -> None:
    """An exception that the handler lets out is one JSON object of level ERROR."""
    (line,) = framed(python, "raise ValueError(u'gr\\xfcn\\n\"')", **JSON)
    assert line.level == "ERROR"
    record = json.loads(line.message)
    assert list(record) == ["timestamp", "level", "errorMessage", "errorType", "requestId", "stackTrace"]
    assert (record["level"], record["errorType"], record["requestId"]) == ("ERROR", "ValueError", REQUEST_ID)
    assert record["errorMessage"] == 'grün\n"'
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z", record["timestamp"])


def test_json_without_a_descriptor(python: Python) -> None:
    """Where the platform reads no frames each record is a line."""
    output = run(python, "log.info('a\\nb')\nlog.error('c')\nraise ValueError('d')", **JSON)
    assert [json.loads(line).get("message") for line in output.splitlines()] == ["a\nb", "c", None]


def test_what_is_not_json_is_told_in_words(python: Python) -> None:
    """Objects, circles, bytes and keys of any kind do not keep a record from being written."""
    before = (
        "circle = []\ncircle.append(circle)\n"
        "class Odd(object):\n    def __str__(self):\n        raise RuntimeError\n    __repr__ = __str__\n"
    )
    body = "log.info('x', extra={'o': Odd(), 'c': circle, 'k': {(1, 2): 3}, 's': {1}, 'b': b'\\xff', 'n': {'deep': object}})"
    (record,) = records(framed(python, body, before, **JSON))
    assert record["o"] == "<unprintable Odd object>"
    assert record["c"] == "[[...]]"
    assert "(1, 2)" in record["k"]
    assert "1" in record["s"]
    assert record["n"]["deep"].startswith("<")
    assert "b" in record


def test_letters_that_are_none(python: Python) -> None:
    """A lone surrogate, and NUL, reach the log as escapes that are JSON still."""
    (record,) = records(framed(python, "log.info(u'a\\ud800b\\x00c')", **JSON))
    assert record["message"].startswith("a") and record["message"].endswith("b\x00c")


def test_the_functions_own_formatter(python: Python) -> None:
    """A formatter that the function has set is obeyed, in a frame of text."""
    before = "logging.getLogger().handlers[0].setFormatter(logging.Formatter('%(levelname)s:%(message)s'))"
    (line,) = framed(python, "log.error('own')", before, **JSON)
    assert (line.message, line.level) == ("ERROR:own", "ERROR")


def test_non_blocking_output(python: Python) -> None:
    """A function that made its output non-blocking still has its messages whole."""
    before = "import fcntl\nfcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_NONBLOCK)"
    lines = framed(python, "for number in range(200):\n    log.warning('%03d' % number + 'x' * 3000)", before)
    assert [line.message.split("\t")[-1] for line in lines] == [f"{number:03d}" + "x" * 3000 for number in range(200)]


def test_output_that_is_closed(python: Python) -> None:
    """A function that closed its output goes on without a log."""
    with python.run(
        "import logging, os\ndef handler(e, c):\n    os.close(1)\n    logging.error('x')\n    return 1\n", **FRAMED
    ) as process:
        assert process.invoke().body == b"1"


def test_frames_through_a_wrapper(python: Python) -> None:
    """A wrapper script that starts the runtime passes the descriptor on, and the function does not see it."""
    wrapper = python.folder / "wrapper"
    wrapper.write_text('#!/bin/sh\necho wrapped\nexec "$@"\n')
    wrapper.chmod(0o755)
    body = "log.warning('one\\ntwo')\nprint(os.environ.get('_LAMBDA_TELEMETRY_LOG_FD'))"
    lines = framed(python, body, AWS_LAMBDA_EXEC_WRAPPER=str(wrapper))
    expected = ["one\ntwo", "None"]
    if python.version >= (3, 8):  # others have no wrappers
        expected.insert(0, "wrapped")
    assert [line.message.split("\t")[-1] for line in lines] == expected
