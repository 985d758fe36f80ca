"""`lambdad invoke`."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from lambdad.wire.protocols.event_stream import encoded_headers, message

Run = Callable[..., Result]


def test_the_answer_is_on_standard_output(run: Run, fake_server: Any) -> None:
    """The payload's bytes as they came, the request as AWS's API has it, signed as the default account."""
    fake_server.answer(b'{"b":1,  "a":"\xc3\xa4"}')
    result = run("invoke", "hello", "-p", '{"x": 1}', "-q", "live", "--endpoint", fake_server.endpoint)
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes == b'{"b":1,  "a":"\xc3\xa4"}\n'
    [asked] = fake_server.asked
    assert (asked.method, asked.path) == ("POST", "/2015-03-31/functions/hello/invocations?Qualifier=live")
    assert asked.body == b'{"x": 1}'
    assert asked.headers["x-amz-invocation-type"] == "RequestResponse"
    assert "Credential=000000000000/" in asked.headers["authorization"]
    assert "x-amz-log-type" not in asked.headers


def test_the_log_is_on_standard_error(run: Run, fake_server: Any) -> None:
    """`--log` asks for the tail and keeps it apart from the payload."""
    fake_server.answer(b"1", x_amz_log_result=base64.b64encode(b"START\nbad \xff\nREPORT\n").decode())
    result = run("invoke", "hello", "--log", "--endpoint", fake_server.endpoint)
    assert (result.stdout, result.stderr) == ("1\n", "START\nbad \ufffd\nREPORT\n")
    assert fake_server.asked[0].headers["x-amz-log-type"] == "Tail"


def test_a_function_error_is_exit_code_1(run: Run, fake_server: Any) -> None:
    """The error's payload is still the output."""
    fake_server.answer(b'{"errorMessage":"boom"}', x_amz_function_error="Unhandled")
    result = run("invoke", "hello", "--endpoint", fake_server.endpoint)
    assert result.exit_code == 1
    assert result.stdout == '{"errorMessage":"boom"}\n'
    assert result.stderr == "The function failed (Unhandled).\n"


def test_a_refusal_is_exit_code_1_with_aws_s_words(run: Run, fake_server: Any) -> None:
    """Code and message as the server gave them."""
    fake_server.answer({"Message": "Function not found: hello"}, status=404, x_amzn_errortype="ResourceNotFoundException")
    result = run("invoke", "hello", "--endpoint", fake_server.endpoint)
    assert result.exit_code == 1
    assert result.stderr == "lambdad: ResourceNotFoundException: Function not found: hello\n"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_nothing_is_sent_twice(run: Run, fake_server: Any, status: int) -> None:
    """An invocation that was refused or broke is not retried behind the user's back."""
    fake_server.answer({"Message": "no"}, status=status)
    assert run("invoke", "hello", "--endpoint", fake_server.endpoint).exit_code == 1
    assert len(fake_server.asked) == 1


def test_an_event_is_queued(run: Run, fake_server: Any) -> None:
    """There is no payload to print; the request id, by which the logs can be searched, is on standard error."""
    fake_server.answer(b"", status=202, x_amzn_requestid="r-1")
    result = run("invoke", "hello", "--type", "Event", "--endpoint", fake_server.endpoint)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "Queued as r-1.\n")
    assert fake_server.asked[0].headers["x-amz-invocation-type"] == "Event"


def test_a_dry_run_only_checks(run: Run, fake_server: Any) -> None:
    """204 means that it would be allowed."""
    fake_server.answer(b"", status=204)
    result = run("invoke", "hello", "-t", "DryRun", "--endpoint", fake_server.endpoint)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "This invocation would be allowed.\n")


def test_payloads_from_a_file_and_from_standard_input(run: Run, fake_server: Any, tmp_path: Path) -> None:
    """Bytes go out as they are."""
    fake_server.answer(b"null")
    (tmp_path / "event.json").write_bytes(b'{"file":  1}\n')
    assert run("invoke", "hello", "-p", "@event.json", "--endpoint", fake_server.endpoint).exit_code == 0
    assert run("invoke", "hello", "-p", "-", "--endpoint", fake_server.endpoint, input=b'"stdin"').exit_code == 0
    assert [asked.body for asked in fake_server.asked] == [b'{"file":  1}\n', b'"stdin"']


@pytest.mark.parametrize("payload", ["{", "", "{'a': 1}", "@absent.json", "@", "@/", "@" + "x" * 5000, "[" * 100_000, "@a\0b"])
def test_a_bad_payload_is_exit_code_2_and_nothing_is_sent(run: Run, fake_server: Any, payload: str) -> None:
    """A slip in quoting or in a file's name is told before the server is asked."""
    result = run("invoke", "hello", "-p", payload, "--endpoint", fake_server.endpoint)
    assert result.exit_code == 2, result.output
    assert "--payload" in result.stderr
    assert fake_server.asked == []


@pytest.mark.parametrize("arguments", [["--type", "Async"], ["--region", "not a region!"], ["--endpoint", "nowhere"]])
def test_a_wrong_option_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    """So is what botocore refuses to send."""
    assert run("invoke", "hello", *arguments).exit_code == 2


def test_an_argument_that_is_no_text_is_exit_code_2(run: Run) -> None:
    """A name in another encoding cannot be sent."""
    result = run("invoke", "\udcff", "--endpoint", "http://127.0.0.1:1")
    assert (result.exit_code, result.stderr) == (2, "lambdad: An argument is not valid UTF-8 text.\n")


def test_a_profile_that_is_not_there_is_exit_code_2(run: Run) -> None:
    """AWS_PROFILE is botocore's to find; its sentence is shown."""
    result = run("invoke", "hello", env={"AWS_PROFILE": "absent", "AWS_CONFIG_FILE": "/dev/null"})
    assert (result.exit_code, "absent" in result.stderr) == (2, True)


def test_no_server_is_exit_code_3(run: Run) -> None:
    """A program can tell a server that is down from a function that failed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = run("invoke", "hello", "--endpoint", f"http://127.0.0.1:{port}")
    assert result.exit_code == 3
    assert result.stderr.startswith(f"lambdad: No answer from http://127.0.0.1:{port} (")


def test_a_server_that_hangs_up_is_exit_code_3(run: Run) -> None:
    """The connection is taken and closed without an answer."""
    import threading

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        result = run("invoke", "hello", "--endpoint", f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert result.exit_code == 3, result.output


def event_message(name: str, payload: bytes) -> bytes:
    kind = "application/octet-stream" if name == "PayloadChunk" else "application/json"
    headers = {":event-type": name, ":content-type": kind, ":message-type": "event"}
    return message(encoded_headers(headers), payload)


def stream_result(run: Run, fake_server: Any, *messages: bytes, options: tuple[str, ...] = ()) -> Result:
    fake_server.answer(b"".join(messages), content_type="application/vnd.amazon.eventstream")
    return run("invoke", "hello", "--stream", *options, "--endpoint", fake_server.endpoint)


def test_a_stream_is_printed_as_it_comes(run: Run, fake_server: Any) -> None:
    """The bytes of each piece and one line's end; the log's tail is on standard error."""
    log = base64.b64encode(b"START\nREPORT\n").decode()
    pieces = (event_message("PayloadChunk", b"one\n"), event_message("PayloadChunk", b"\xfftwo"))
    end = event_message("InvokeComplete", json.dumps({"LogResult": log}).encode())
    result = stream_result(run, fake_server, *pieces, end, options=("--log", "-q", "live"))
    assert (result.exit_code, result.stdout_bytes, result.stderr) == (0, b"one\n\xfftwo\n", "START\nREPORT\n")
    [asked] = fake_server.asked
    assert asked.path == "/2021-11-15/functions/hello/response-streaming-invocations?Qualifier=live"
    assert asked.headers["x-amz-log-type"] == "Tail"


def test_a_stream_that_ends_in_an_error_is_exit_code_1(run: Run, fake_server: Any) -> None:
    """What came before is the output, what went wrong is on standard error."""
    end = event_message("InvokeComplete", b'{"ErrorCode": "Function.E", "ErrorDetails": "{}"}')
    result = stream_result(run, fake_server, event_message("PayloadChunk", b"half"), end)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "half\n", "The function failed (Function.E): {}\n")


def test_a_stream_without_an_end_is_cut_short(run: Run, fake_server: Any) -> None:
    """A connection that closes early must not look like an answer."""
    result = stream_result(run, fake_server, event_message("PayloadChunk", b"half"))
    assert (result.exit_code, result.stdout, result.stderr) == (1, "half", "lambdad: The answer was cut short.\n")


def test_streams_of_other_types(run: Run, fake_server: Any) -> None:
    """A dry run only checks; an event has no answer."""
    fake_server.answer(b"", status=204)
    result = run("invoke", "hello", "--stream", "-t", "DryRun", "--endpoint", fake_server.endpoint)
    assert (result.exit_code, result.stderr) == (0, "This invocation would be allowed.\n")
    result = run("invoke", "hello", "--stream", "-t", "Event", "--endpoint", fake_server.endpoint)
    assert (result.exit_code, len(fake_server.asked)) == (2, 1)
    assert "has no answer to stream" in result.stderr
