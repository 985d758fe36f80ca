"""wire/body.py over scripted ASGI messages."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest

from lambdad.errors import ServiceError
from lambdad.wire.auth_error import AuthFailure
from lambdad.wire.body import BodyTooLarge, Receive, RequestBody, streamed_body
from lambdad.wire.http import HttpRequest, request_from_scope


def receiving(*pieces: bytes, is_cut: bool = False) -> Receive:
    messages: list[Mapping[str, Any]] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.disconnect"} if is_cut else {"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Mapping[str, Any]:
        return messages.pop(0)

    return receive


def request(**headers: str) -> HttpRequest:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return request_from_scope({"method": "PUT", "raw_path": b"/b/k", "query_string": b"", "headers": raw})


def explain(failure: AuthFailure) -> ServiceError:
    return ServiceError(failure.error.name, "", status=403)


async def collect(body: RequestBody) -> bytes:
    return b"".join([piece async for piece in body])


async def test_pieces_are_handed_on_one_by_one() -> None:
    """Nothing is gathered: each message of the server is a piece for the reader."""
    body = RequestBody(receiving(b"ab", b"c"), content_length=3)
    assert [piece async for piece in body] == [b"ab", b"c"]
    with pytest.raises(RuntimeError, match="only once"):
        body.__aiter__()


@pytest.mark.parametrize("length", [2, 4])
async def test_length_must_be_kept(length: int) -> None:
    """A body shorter or longer than announced raises IncompleteBody."""
    with pytest.raises(ServiceError, match="IncompleteBody"):
        await collect(RequestBody(receiving(b"abc"), content_length=length))


async def test_disconnect_raises() -> None:
    """A connection that ends early raises, in both ways of reading."""
    for read in (collect, lambda body: body.read(100)):
        with pytest.raises(ServiceError, match="IncompleteBody"):
            await read(RequestBody(receiving(b"abc", is_cut=True)))


async def test_digest_is_checked_on_the_way() -> None:
    """x-amz-content-sha256 is compared with what was read."""
    digest = hashlib.sha256(b"abc").hexdigest()
    good = streamed_body(request(x_amz_content_sha256=digest), receiving(b"a", b"bc"), None, explain)
    assert await collect(good) == b"abc"
    with pytest.raises(ServiceError, match="XAmzContentSHA256Mismatch"):
        await collect(streamed_body(request(x_amz_content_sha256=digest), receiving(b"abd"), None, explain))


async def test_limits() -> None:
    """A body over the limit is refused at once when its length is announced, else before more than the limit is held."""
    never: list[Receive] = []
    for body in (RequestBody(never, content_length=11), RequestBody(receiving(b"x" * 6, b"x" * 6))):  # type: ignore[arg-type]
        with pytest.raises(BodyTooLarge):
            await body.read_all(10)
    with pytest.raises(ServiceError, match="RequestEntityTooLarge"):
        await RequestBody(receiving(b"x" * 11)).read(10)
    assert await RequestBody(receiving(b"x" * 10)).read(10) == b"x" * 10


async def test_aws_chunked_leaves_no_trace() -> None:
    """The coding is taken off the headers, the decoded length stands in, trailers appear at the end."""
    arrived = request(
        x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        x_amz_decoded_content_length="3",
        content_length="99",
        content_encoding="aws-chunked,gzip",
        x_amz_trailer="x-amz-checksum-crc32",
    )
    body = streamed_body(arrived, receiving(b"3\r\nabc\r\n0\r\nx-amz-checksum-crc32:Q0s=\r\n\r\n"), None, explain)
    assert (arrived.headers["content-encoding"], arrived.headers["content-length"]) == ("gzip", "3")
    assert await collect(body) == b"abc"
    assert body.trailers == {"x-amz-checksum-crc32": "Q0s="}


@pytest.mark.parametrize(
    ("decoded", "trailer", "sent", "code"),
    [
        ("4", "", b"3\r\nabc\r\n0\r\n\r\n", "IncompleteBody"),
        ("2", "", b"3\r\nabc\r\n0\r\n\r\n", "IncompleteBody"),
        ("3", "x-amz-checksum-crc32", b"3\r\nabc\r\n0\r\n\r\n", "MalformedTrailerError"),
        ("3x", "", b"", "InvalidArgument"),
        ("-3", "", b"", "InvalidArgument"),
        ("9" * 30, "", b"", "InvalidArgument"),
    ],
)
async def test_aws_chunked_lies(decoded: str, trailer: str, sent: bytes, code: str) -> None:
    """A wrong decoded length or an announced trailer that does not come are errors."""
    arrived = request(
        x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER", x_amz_decoded_content_length=decoded, x_amz_trailer=trailer
    )
    with pytest.raises(ServiceError) as caught:
        await collect(streamed_body(arrived, receiving(sent), None, explain))
    assert caught.value.code == code


async def test_streaming_needs_the_decoded_length() -> None:
    """S3 wants to know how long the object will be."""
    with pytest.raises(ServiceError, match="MissingContentLength"):
        streamed_body(request(x_amz_content_sha256="STREAMING-UNSIGNED-PAYLOAD-TRAILER"), receiving(), None, explain)


async def test_digest_cannot_be_talked_away() -> None:
    """A content coding, which may be unsigned, does not turn off the check against a signed digest."""
    digest = hashlib.sha256(b"3\r\nabc\r\n0\r\n\r\n").hexdigest()
    arrived = request(x_amz_content_sha256=digest, content_encoding="aws-chunked")
    assert await collect(streamed_body(arrived, receiving(b"3\r\nabc\r\n0\r\n\r\n"), None, explain)) == b"3\r\nabc\r\n0\r\n\r\n"


@pytest.mark.parametrize("announced", ["abc", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "é"])
async def test_unknown_payload_kinds(announced: str) -> None:
    """What is neither a digest nor a known kind of payload is refused, not passed over."""
    with pytest.raises(ServiceError, match="x-amz-content-sha256 must be one of"):
        streamed_body(request(x_amz_content_sha256=announced), receiving(), None, explain)
