"""What functions in .NET log: messages as they were written, with the time and level of newer runtimes, and in JSON."""

from __future__ import annotations

import json
import re

import pytest

from support.dotnet_runtime import NEW, OLD, Dotnet, do, error
from support.runtime_api import REQUEST_ID, RuntimeProcess


def frames(log: bytes) -> list[tuple[int, bytes]]:
    """(type, text) of frames, those of one message together; plain text between them has type 0."""
    found: list[tuple[int, bytes]] = []
    open_message: dict[bytes, bytes] = {}
    while log:
        at = log.find(b"\xa5\x5a\x00")
        if at != 0:
            found.append((0, log[:at] if at > 0 else log))
            log = log[at:] if at > 0 else b""
            continue
        kind, size, time = int.from_bytes(log[:4], "big"), int.from_bytes(log[4:8], "big"), log[8:16]
        text = open_message.pop(time, b"") + log[16 : 16 + size]
        if kind & 0x40:
            open_message[time] = text
        else:
            found.append((kind, text))
        log = log[16 + size :]
    assert not open_message
    return found


def log_of(process: RuntimeProcess) -> bytes:
    return process.ended_log().encode("utf-8", "surrogateescape")


def test_messages_are_as_the_function_wrote_them(dotnet: Dotnet) -> None:
    """Up to .NET Core 3.1: each message of a logger is a frame, or without frames a line; the console is left alone."""
    with dotnet.run("Example::Example.Process::Handle", _LAMBDA_TELEMETRY_LOG_FD="1") as process:
        assert do(process, "log").kind == "response"
        assert frames(log_of(process)) == [
            (0xA55A0003, b"two\nlines"),
            (0xA55A0003, "static こ".encode()),
            (0, b"of the console\nof its other half\n"),
            (0xA55A0003, b"y" * 10_000),
        ]
    with dotnet.run("Example::Example.Process::Handle") as process:
        assert do(process, "log").kind == "response"
        lines = "two\rlines\nstatic こ\nof the console\nof its other half\n" + "y" * 10_000 + "\n"
        assert process.ended_log() == lines


def test_newer_runtimes_say_when_for_whom_and_how_urgent(dotnet: Dotnet) -> None:
    """From .NET 6 on, as on AWS: time, request and level before each message, of the console too; the level is a filter."""
    head = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t" + REQUEST_ID.encode()
    with dotnet.run("Example::Example.Process::Handle", runtime=NEW, _LAMBDA_TELEMETRY_LOG_FD="1") as process:
        assert do(process, "log").kind == "response"
        assert error(do(process, "throw"))["errorType"] == "TimeoutException"
        told = frames(log_of(process))
    assert [kind & 0x1C for kind, _ in told] == [0x0C, 0, 0x0C, 0x14, 0x0C, 0x14]
    texts = ["\tinfo\ttwo\nlines", "\tstatic こ", "\tinfo\tof the console", "\tfail\tof its other half"]
    for (_, message), text in zip(told, texts, strict=False):
        assert re.fullmatch(head + re.escape(text.encode()), message)
    assert b'\tfail\tSystem.TimeoutException: too "late"\n' in told[-1][1]
    assert told[-1][1].split(b"\n")[-1].startswith(b"   at Example.Process.Handle(")
    levels = {"AWS_LAMBDA_HANDLER_LOG_LEVEL": "Error", "AWS_LAMBDA_HANDLER_LOG_FORMAT": "Unformatted"}
    with dotnet.run("Example::Example.Process::Handle", runtime=NEW, **levels) as process:
        assert do(process, "levels").kind == "response"
        lines = process.ended_log().split("\n")
    assert lines[:-1] == [
        *("at Error", "at Critical"),
        "with 1.5 and System.Int32[], 1.5\rSystem.InvalidOperationException: attached",
    ]


def test_json_logs_have_time_level_request_and_arguments(dotnet: Dotnet) -> None:
    """With LogFormat JSON: the template's arguments are members, an exception too, and the level is a filter."""
    variables = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "WARN", "_LAMBDA_TELEMETRY_LOG_FD": "1"}
    with dotnet.run("Example::Example.Process::Handle", runtime=NEW, **variables) as process:
        assert do(process, "levels", unused=1).kind == "response"
        assert error(do(process, "throw"))["errorType"] == "TimeoutException"
        told = frames(log_of(process))
    assert {kind & ~0x1C for kind, _ in told} == {0xA55A0002}
    records = [json.loads(text) for _, text in told]
    for record in records:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("timestamp"))
        assert record.pop("requestId") == REQUEST_ID
        assert record.pop("traceId").startswith("Root=1-")
    assert records[:3] == [{"level": level, "message": f"at {level}"} for level in ("Warning", "Error", "Critical")]
    assert records[3] == {
        "level": "Warning",
        "message": 'Bought 007 of tea "x", {not} {more}',
        "count": "007",
        "product": 'tea "x"',
    }
    assert records[4]["message"] == "with 1.5 and System.Int32[], 1.5"
    assert (records[4]["0"], records[4]["1"]) == (1.5, [1, 2])
    assert (records[4]["errorType"], records[4]["errorMessage"]) == ("System.InvalidOperationException", "attached")
    assert records[-1]["errorType"] == "System.TimeoutException"
    assert any("at Example.Process.Handle" in line for line in records[-1]["stackTrace"])


@pytest.mark.parametrize("runtime", [OLD, NEW])
def test_a_function_that_has_closed_its_output_goes_on(dotnet: Dotnet, runtime: str) -> None:
    """What it logs then is lost, and so is what is said of its exceptions; their invokers get them."""
    with dotnet.run("Example::Example.Process::Handle", runtime=runtime, _LAMBDA_TELEMETRY_LOG_FD="1") as process:
        assert do(process, "close").body == b"null"
        assert do(process, "many").body == b"null"
        assert error(do(process, "throw"))["errorType"] == "TimeoutException"


def test_messages_of_many_threads_stay_whole(dotnet: Dotnet) -> None:
    """Also those that take several frames each."""
    with dotnet.run("Example::Example.Process::Handle", _LAMBDA_TELEMETRY_LOG_FD="1") as process:
        assert do(process, "many").kind == "response"
        told = frames(log_of(process))
    assert sorted({text[:1] for _, text in told}) == [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"]
    assert {(kind, len(text), len(set(text))) for kind, text in told} == {(0xA55A0003, 6000, 1)}
    assert len(told) == 400
