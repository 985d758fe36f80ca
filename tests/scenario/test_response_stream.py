"""Responses that functions stream, as InvokeWithResponseStream passes them on: with boto3, and byte by byte on a socket."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Generator
from contextlib import closing
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError

from support.server import Server, wait_until
from support.streaming_function import Streams, steps

pytestmark = pytest.mark.root

ERROR = '{"errorType":"Function.Asked","errorMessage":"as asked"}'


@pytest.fixture(scope="module")
def streams(server: Server) -> Streams:
    """There is a function called `streams`."""
    made = Streams(server)
    made.create("streams")
    return made


def whole(answer: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """All that was written, and the event that says how it ended."""
    *chunks, last = list(answer["EventStream"])
    assert all(list(chunk) == ["PayloadChunk"] for chunk in chunks)
    return b"".join(chunk["PayloadChunk"]["Payload"] for chunk in chunks), last["InvokeComplete"]


def refused(streams: Streams, name: str, payload: bytes = b"{}", **options: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as error:
        streams.invoke(name, payload, **options)
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


def test_each_piece_is_seen_before_the_function_writes_the_next(streams: Streams) -> None:
    """The function waits for what happens only when its piece was seen; the end says that all went well, and nothing else."""
    event = steps(("write", "one"), ("wait", "seen-one"), ("write", "two"), ("wait", "seen-two"))
    answer = streams.invoke("streams", event)
    assert (answer["StatusCode"], answer["ExecutedVersion"]) == (200, "$LATEST")
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["content-type"] == "application/vnd.amazon.eventstream"
    assert headers["x-amzn-remapped-content-type"] == "text/event-stream"
    assert headers["transfer-encoding"] == "chunked"
    assert len(headers["x-amzn-requestid"]) == 36
    seen = iter(answer["EventStream"])
    assert next(seen) == {"PayloadChunk": {"Payload": b"one"}}
    streams.open_gate("seen-one")
    assert next(seen) == {"PayloadChunk": {"Payload": b"two"}}
    streams.open_gate("seen-two")
    assert list(seen) == [{"InvokeComplete": {}}]


def messages(streams: Streams, name: str, event: bytes, *headers: str) -> Generator[Any, None, None]:
    """The head of a raw answer, then the messages of its body as they come. Closing it closes the connection."""
    path = f"/2021-11-15/functions/{name}/response-streaming-invocations"
    head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(event)}", *headers, "", ""])
    with (
        socket.create_connection(("127.0.0.1", streams.server.port), timeout=60) as connection,
        connection.makefile("rb") as reader,
    ):
        connection.sendall(head.encode() + event)
        yield [line.strip() for line in iter(reader.readline, b"\r\n")]
        buffer = EventStreamBuffer()
        while size := int(reader.readline(), 16):
            buffer.add_data(reader.read(size))
            reader.readline()
            yield from buffer
        assert reader.readline() == b"\r\n"


def test_the_bytes_on_the_wire(streams: Streams) -> None:
    """Every event is a message of its own with AWS's headers, and its checksums hold."""
    event = steps(("write", "a"), ("wait", "raw-seen"), ("write", "b" * 100_000), ("fail", "Function.Asked", ERROR))
    received = messages(streams, "streams", event, "X-Amz-Log-Type: Tail")
    status, *_ = next(received)
    assert status == b"HTTP/1.1 200 OK"
    first = next(received)
    chunk_headers = {":event-type": "PayloadChunk", ":content-type": "application/octet-stream", ":message-type": "event"}
    assert (first.headers, first.payload) == (chunk_headers, b"a")
    streams.open_gate("raw-seen")
    *more, last = received
    assert all(each.headers == chunk_headers for each in more)
    assert b"".join(each.payload for each in more) == b"b" * 100_000
    assert last.headers == {":event-type": "InvokeComplete", ":content-type": "application/json", ":message-type": "event"}
    complete = json.loads(last.payload)
    assert (complete["ErrorCode"], complete["ErrorDetails"]) == ("Function.Asked", ERROR)
    tail = base64.b64decode(complete["LogResult"]).decode()
    assert tail.startswith("START RequestId: ")
    assert "\nREPORT RequestId: " in tail


def test_a_failure_in_the_middle(streams: Streams) -> None:
    """What was written stays, the end says what went wrong, and the function answers the next one."""
    failures: list[tuple[tuple[Any, ...], str, dict[str, Any]]] = [
        (("fail", "Function.Asked", ERROR), "Function.Asked", json.loads(ERROR)),
        (("close",), "Runtime.TruncatedResponse", {"errorType": "Runtime.TruncatedResponse"}),
        (("exit", 7), "Runtime.TruncatedResponse", {}),
    ]
    for last, code, details in failures:
        written, complete = whole(streams.invoke("streams", steps(("write", "half"), last)))
        assert (written, complete["ErrorCode"]) == (b"half", code)
        assert details.items() <= json.loads(complete["ErrorDetails"]).items()
    assert whole(streams.invoke("streams", steps(("write", "well")))) == (b"well", {})


def test_a_timeout_in_the_middle(streams: Streams) -> None:
    """The end says so, with the error that every caller of a function that takes too long gets."""
    streams.create("stream-late", Timeout=2)
    written, complete = whole(streams.invoke("stream-late", steps(("write", "half"), ("wait", "never"))))
    assert (written, complete["ErrorCode"]) == (b"half", "Sandbox.Timeout")
    error = json.loads(complete["ErrorDetails"])
    assert error["errorType"] == "Sandbox.Timedout"
    assert error["errorMessage"].endswith("Error: Task timed out after 2.00 seconds")


def test_functions_that_do_not_stream(streams: Streams) -> None:
    """Their whole answer is one piece, their error the end; the log's tail is there for who asks."""
    answer = streams.invoke("streams", b'{"whole": "all of it"}', LogType="Tail")
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-remapped-content-type"] == "text/plain"
    chunk, end = list(answer["EventStream"])
    assert chunk == {"PayloadChunk": {"Payload": b"all of it"}}
    assert list(end["InvokeComplete"]) == ["LogResult"]
    assert base64.b64decode(end["InvokeComplete"]["LogResult"]).startswith(b"START")
    streams.server.create_function("stream-buffered", "def handler(event, context):\n    return event['n']\n")
    assert whole(streams.invoke("stream-buffered", b'{"n": [1]}')) == (b"[1]", {})
    written, complete = whole(streams.invoke("stream-buffered"))
    assert (written, complete["ErrorCode"]) == (b"", "Unhandled")
    assert json.loads(complete["ErrorDetails"])["errorType"] == "KeyError"


def test_what_cannot_be_invoked_is_refused_before_anything_is_streamed(streams: Streams) -> None:
    """With the errors of Invoke; a dry run runs nothing."""
    missing = refused(streams, "no-such")
    assert missing[:2] == (404, "ResourceNotFoundException")
    assert missing[2].endswith(":function:no-such:$LATEST")
    assert refused(streams, "streams", b"{")[:2] == (400, "InvalidRequestContentException")
    too_large = refused(streams, "streams", b"1" * 6_291_457)
    assert too_large[:2] == (413, "RequestEntityTooLargeException")
    assert too_large[2].startswith("6291457 byte payload is too large")
    assert refused(streams, "streams", InvocationType="Event")[1] == "ValidationException"
    assert refused(streams, "streams", InvocationType="DryRun", Qualifier="9")[0] == 404
    dry = streams.invoke("streams", InvocationType="DryRun")
    assert (dry["StatusCode"], list(dry["EventStream"])) == (204, [])
    dry["EventStream"].close()


def test_a_reader_that_leaves_does_not_stop_the_function(streams: Streams) -> None:
    """The function runs to its end and has its unit of concurrency until then: no other call gets in before."""
    streams.create("left-alone")
    lambda_ = streams.lambda_
    lambda_.put_function_concurrency(FunctionName="left-alone", ReservedConcurrentExecutions=1)
    event = steps(("write", "first"), ("wait", "reader-gone"), ("fill", 3_000_000), ("put", "ran-to-its-end"))
    with closing(messages(streams, "left-alone", event)) as received:
        assert next(received)[0] == b"HTTP/1.1 200 OK"
        assert next(received).payload == b"first"
        assert refused(streams, "left-alone")[:2] == (429, "TooManyRequestsException")
    assert refused(streams, "left-alone")[0] == 429
    assert not streams.left("ran-to-its-end")
    streams.open_gate("reader-gone")
    wait_until(lambda: streams.left("ran-to-its-end"), 30, "the function's end")

    def gets_in() -> bool:
        try:
            return whole(streams.invoke("left-alone", steps(("write", "again")))) == (b"again", {})
        except lambda_.exceptions.TooManyRequestsException:
            return False

    wait_until(gets_in, 30, "the unit of concurrency")


def test_a_slow_reader_gets_everything(streams: Streams) -> None:
    """Nothing is lost for a reader that begins to read only when the function has begun to write a lot."""
    answer = streams.invoke("streams", steps(("put", "writing"), ("fill", 6_000_000)))
    wait_until(lambda: streams.left("writing"), 30, "the function to write")
    written, complete = whole(answer)
    assert (len(written), set(written), complete) == (6_000_000, {ord("x")}, {})


def test_invoke_async(streams: Streams) -> None:
    """The old operation queues the event, with and without the slash that old clients send, and refuses what cannot be."""
    lambda_ = streams.lambda_
    assert lambda_.invoke_async(FunctionName="streams", InvokeArgs=steps(("put", "by-invoke-async")))["Status"] == 202
    event = steps(("put", "by-old-client"))
    head = f"POST /2014-11-13/functions/streams/invoke-async/ HTTP/1.1\r\nHost: x\r\nContent-Length: {len(event)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", streams.server.port), timeout=60) as connection:
        connection.sendall(head.encode() + event)
        assert connection.recv(65536).startswith(b"HTTP/1.1 202 ")
    wait_until(lambda: streams.left("by-invoke-async") and streams.left("by-old-client"), 30, "the events to run")
    for name, arguments, status in (("streams", b"{", 400), ("no-such", b"{}", 404), ("streams", b"1" * 262_145, 413)):
        with pytest.raises(ClientError) as error:
            lambda_.invoke_async(FunctionName=name, InvokeArgs=arguments)
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
