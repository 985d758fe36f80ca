"""telemetry.py: the server's own log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from lambdad.telemetry import set_up_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_one_json_object_a_line_where_there_is_no_terminal() -> None:
    """Message, level, logger and what the caller added are fields; a newline in the message stays in its line."""
    stream = io.StringIO()
    set_up_logging("info", stream)
    logging.getLogger("lambdad.x").warning("two\nlines %s", 1, extra={"request_id": "r-1"})
    [line] = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record.pop("time").endswith("Z")
    assert record == {"level": "warning", "logger": "lambdad.x", "message": "two\nlines 1", "request_id": "r-1"}


def test_an_exception_is_a_field() -> None:
    """The traceback does not break the one-line rule."""
    stream = io.StringIO()
    set_up_logging("error", stream)
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("lambdad.x").exception("failed")
    [line] = stream.getvalue().splitlines()
    assert json.loads(line)["exception"].endswith("ValueError: boom")


def test_people_get_plain_lines() -> None:
    """On a terminal a record is clock, level, logger, message and the added fields."""
    stream = Terminal()
    set_up_logging("info", stream)
    logging.getLogger("lambdad.x").info("started", extra={"port": 1})
    assert stream.getvalue().rstrip("\n").endswith("INFO    lambdad.x: started port=1")


def test_people_get_the_traceback_below() -> None:
    """An exception follows its line."""
    stream = Terminal()
    set_up_logging("info", stream)
    logging.getLogger("lambdad.x").error("failed", exc_info=ValueError("boom"))
    assert stream.getvalue().endswith("lambdad.x: failed\nValueError: boom\n")


def test_the_level_decides_and_the_second_call_replaces_the_first() -> None:
    """Nothing is printed twice, and nothing below the level."""
    first, second = io.StringIO(), io.StringIO()
    set_up_logging("debug", first)
    set_up_logging("warning", second)
    logging.getLogger("lambdad.x").info("quiet")
    logging.getLogger("lambdad.x").warning("loud")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_libraries_stay_quiet_at_debug() -> None:
    """botocore's debug output holds payloads and signatures, so --log-level debug does not turn it on."""
    stream = io.StringIO()
    set_up_logging("debug", stream)
    logging.getLogger("botocore.auth").debug("signature")
    assert stream.getvalue() == ""
