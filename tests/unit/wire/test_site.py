"""A site behind the front: what is its own goes to it whole, over real sockets, and never to the API."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lambdad.model.site import AnswerBroken, SiteRequest, SiteResponse
from lambdad.store.base import InsufficientStorage
from lambdad.wire.listener import MAX_HEADERS, HttpListener
from unit.wire.serving import CREDENTIAL, TEMPORARY, Recorder, front_over

HOST = "site.example"
Answer = Callable[[SiteRequest], Awaitable[SiteResponse]]
Ask = Callable[..., Awaitable[bytes]]


class ASite:
    """Has every request for its host or below /site; answers as a test says."""

    def __init__(self) -> None:
        self.requests: list[SiteRequest] = []
        self.bodies: list[bytes] = []
        self.answers: Answer = self.repeat

    def owns(self, host: str, raw_path: str) -> bool:
        return HOST in host or raw_path.startswith("/site")

    async def answer(self, request: SiteRequest) -> SiteResponse:
        self.requests.append(request)
        return await self.answers(request)

    async def repeat(self, request: SiteRequest) -> SiteResponse:
        self.bodies.append(await request.body(1000))
        return SiteResponse(200, [("a", "1"), ("a", "é")], b"hello")

    async def name_caller(self, request: SiteRequest) -> SiteResponse:
        request.check_claim("lambda")
        body = await request.body(1000)
        caller = request.caller("lambda", body)
        return SiteResponse(200, [], f"{caller.principal.arn} {caller.region}".encode())


@pytest.fixture
def site() -> ASite:
    return ASite()


@pytest.fixture(params=[False])
async def ask(request: pytest.FixtureRequest, site: ASite, state: Recorder) -> AsyncIterator[Ask]:
    """Sends bytes and gives back all that comes until the server closes."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        listener = HttpListener(front_over(state, auth_required=request.param, site=site))
        listening = await listener.listen(sock)

        async def send(sent: bytes) -> bytes:
            reader, writer = await asyncio.open_connection(*sock.getsockname())
            writer.write(sent)
            answer = await asyncio.wait_for(reader.read(), 60)
            writer.close()
            await writer.wait_closed()
            return answer

        yield send
        await listening.close()


def http(method: str = "GET", target: str = "/", *headers: str, host: str = HOST, body: bytes = b"") -> bytes:
    head = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *headers]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


async def test_an_answer_goes_out_as_the_site_gave_it(ask: Ask, site: ASite) -> None:
    """Repeated headers stay apart, text is UTF-8, the request's id is said."""
    head, _, body = (await ask(http("POST", "/a%2Fb?x=%", "X-Y: 1", body=b"in"))).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    assert b"a: 1" in lines and "a: é".encode() in lines and b"content-length: 5" in lines
    assert body == b"hello"
    (request,) = site.requests
    assert f"x-amzn-requestid: {request.request_id}".encode() in lines
    assert (request.method, request.raw_path, request.raw_query, request.protocol) == ("POST", "/a%2Fb", "x=%", "HTTP/1.1")
    assert site.bodies == [b"in"]


@pytest.mark.parametrize(
    "sent",
    [
        http("POST", "/2015-03-31/functions/f/invocations", "Authorization: AWS4-HMAC-SHA256 Credential=a/b/c/lambda/d"),
        http("POST", "/", "X-Amz-Target: Logs_20140328.DescribeLogGroups", body=b"{}"),
        http("GET", "/_lambdad/health"),
        http("OPTIONS", "/", "Origin: https://elsewhere.example"),
        http("GET", "/?X-Amz-Credential=a/b/c/s3/d"),
        http("GET", "/bucket/key", host=f"{HOST}:4566"),
        http("GET", "/bucket/key", host=HOST.upper()),
        http("GET", "/site/x", "X-Amz-Target: Logs_20140328.DescribeLogGroups", host="localhost"),
        http("GET", "/key", "X-Forwarded-Host: localhost"),
        http("POST", "/", "Content-Type: application/x-www-form-urlencoded", body=b"Action=GetCallerIdentity"),
        http("GET", "/a\xffb"),
        http("GET", f"http://localhost/bucket/key?{'q=1&' * 2000}"),
    ],
)
async def test_what_is_the_sites_reaches_no_api(ask: Ask, site: ASite, state: Recorder, sent: bytes) -> None:
    """Whatever a request says beside its host, the site alone gets it, or it is not HTTP."""
    answer = await ask(sent)
    assert answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))
    assert state.calls == []
    assert len(site.requests) == (1 if answer.startswith(b"HTTP/1.1 200") else 0)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:4566", "lambda.us-east-1.localhost", ""])
async def test_other_hosts_never_reach_the_site(ask: Ask, site: ASite, host: str) -> None:
    """Not by a forwarded host, not by an absolute target, not by a path that climbs."""
    for target, header in (("/x", f"X-Forwarded-Host: {HOST}"), (f"http://{HOST}/x", "A: b"), ("/x/../site", "A: b")):
        await ask(http("GET", target, header, host=host))
    assert site.requests == []


@pytest.mark.parametrize(
    ("sent", "starts", "count"),
    [
        (http() + http(), b"HTTP/1.1 200", 1),
        (http().replace(b"Connection: close\r\n", b"") + http(), b"HTTP/1.1 200", 2),
        (http("GET", "/", "Upgrade: websocket", "Connection: upgrade"), b"HTTP/1.1 200", 1),
        (http("POST", "/", "Transfer-Encoding: chunked") + b"2\r\nin\r\n3\r\nner\r\n0\r\nX-T: 1\r\n\r\n", b"HTTP/1.1 200", 1),
        (http("POST", "/", "Transfer-Encoding: chunked") + b"zz\r\n", b"HTTP/1.1 400", None),
        (http("POST", "/", "Transfer-Encoding: chunked", "Content-Length: 3") + b"abc", b"HTTP/1.1 400", 0),
        (http("POST", "/", body=b"x" * 1001), b"HTTP/1.1 413", 1),
        (http("POST", "/", "Transfer-Encoding: chunked") + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", b"HTTP/1.1 413", 1),
        (http("POST", "/", "Content-Length: 99999999999999999999"), b"HTTP/1.1 400", None),
        (http("GET", "/", *[f"h{number}: v" for number in range(MAX_HEADERS + 1)]), b"HTTP/1.1 400", 0),
        (http("GET", "/", *[f"h{number}: v" for number in range(10_000)]), b"HTTP/1.1 400", 0),
        (http("GET", "/", "Host: other.example"), b"HTTP/1.1 400", 0),
        (http("GET", "/" + "x" * 1_100_000), b"HTTP/1.1 400", 0),
        (http("HEAD"), b"HTTP/1.1 200", 1),
    ],
)
async def test_odd_requests(ask: Ask, site: ASite, sent: bytes, starts: bytes, count: int | None) -> None:
    """Pipelined, upgrading, chunked, too large, too many: each is answered, and those that are refused reach nobody."""
    if b"Content-Length: 999" in sent or b"zz" in sent:
        sent += b"x"
    answer = await ask(sent)
    assert answer.startswith(starts)
    assert count is None or len(site.requests) == count
    assert answer.count(b"HTTP/1.1 ") == max(count or 1, 1)
    if sent.startswith(b"HEAD"):
        assert b"content-length: 5\r\n" in answer
        assert answer.endswith(b"\r\n\r\n")


async def test_what_goes_wrong_in_a_site_is_answered(ask: Ask, site: ASite, caplog: pytest.LogCaptureFixture) -> None:
    """500 and a line in the log; the message stays here."""

    async def fail(request: SiteRequest) -> SiteResponse:
        raise RuntimeError("secret")

    site.answers = fail
    answer = await ask(http())
    assert answer.startswith(b"HTTP/1.1 500") and answer.endswith(b'{"Message":"Internal Server Error"}')
    assert "RuntimeError: secret" in caplog.text


async def test_a_full_disk_is_no_fault_of_the_servers(ask: Ask, site: ASite, caplog: pytest.LogCaptureFixture) -> None:
    """A site that could not keep what it was sent says so, as the API does."""

    async def fail(request: SiteRequest) -> SiteResponse:
        raise InsufficientStorage("no room")

    site.answers = fail
    answer = await ask(http())
    assert answer.startswith(b"HTTP/1.1 507 ")
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_stream_that_breaks_ends_its_connection(ask: Ask, site: ASite, caplog: pytest.LogCaptureFixture) -> None:
    """Pieces go out as they come; without its last chunk the client can tell that the answer is not whole."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"
        raise RuntimeError("broken")

    async def stream(request: SiteRequest) -> SiteResponse:
        return SiteResponse(200, [], pieces())

    site.answers = stream
    answer = await ask(http())
    assert b"transfer-encoding: chunked" in answer
    assert answer.endswith(b"3\r\none\r\n3\r\ntwo\r\n")
    assert "broken" in caplog.text


async def test_a_stream_that_its_function_broke_is_no_error_of_the_server(
    ask: Ask, site: ASite, caplog: pytest.LogCaptureFixture
) -> None:
    """The connection ends in the same way; the log says why in one line, and nothing at the level of errors."""
    caplog.set_level(logging.INFO)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        raise AnswerBroken("Runtime.TruncatedResponse")

    async def stream(request: SiteRequest) -> SiteResponse:
        return SiteResponse(200, [], pieces())

    site.answers = stream
    assert (await ask(http())).endswith(b"3\r\none\r\n")
    assert "cut short: Runtime.TruncatedResponse" in caplog.text
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def signed(target: str, *, body: bytes = b"", service: str = "lambda", secret: str = "", presigned: bool = False) -> bytes:
    credential = Credentials(CREDENTIAL.access_key_id, secret or CREDENTIAL.secret)
    request = AWSRequest("POST", f"http://{HOST}{target}", data=body, headers={"X-Amz-Meta": "m"} if not presigned else {})
    (SigV4QueryAuth if presigned else SigV4Auth)(credential, service, "eu-west-1").add_auth(request)
    prepared = request.prepare()
    headers = [f"{name}: {value}" for name, value in prepared.headers.items() if name.lower() != "content-length"]
    return http("POST", prepared.url.partition(HOST)[2], *headers, body=body)


@pytest.mark.parametrize("ask", [True], indirect=True)
async def test_signatures_are_verified_as_those_of_the_api(ask: Ask, site: ASite) -> None:
    """Over path, query, headers and body; in a header or in the URL."""
    site.answers = site.name_caller
    whole = f"{CREDENTIAL.principal_arn} eu-west-1".encode()
    for good in (signed("/a/b?x=1&y=%20"), signed("/", body=b"in"), signed("/a", presigned=True)):
        assert (await ask(good)).endswith(whole)
    for bad, code in (
        (http("POST"), "Missing Authentication Token"),
        (http("POST", "/", "Authorization: Bearer x"), "Missing Authentication Token"),
        (signed("/", secret="another"), "does not match"),
        (signed("/", service="s3"), "correct service"),
        (signed("/", body=b"in")[:-2] + b"IN", "does not match"),
        (signed("/a").replace(b"POST /a ", b"POST /b "), "does not match"),
        (signed("/a").replace(b"X-Amz-Meta: m", b"X-Amz-Meta: n"), "does not match"),
        (signed("/a").replace(CREDENTIAL.access_key_id.encode(), b"AKIDUNKNOWN"), "security token"),
        (signed("/a").replace(CREDENTIAL.access_key_id.encode(), TEMPORARY.access_key_id.encode()), "security token"),
        (http("POST", f"/?X-Amz-Credential={CREDENTIAL.access_key_id}/20200101/r/lambda/aws4_request"), "Query-string"),
        (http("POST", "/?%=1"), "percent sign"),
    ):
        answer = await ask(bad)
        assert answer.startswith(b"HTTP/1.1 403")
        assert code in json.loads(answer.partition(b"\r\n\r\n")[2])["Message"]


async def test_without_verification_a_signature_still_has_to_be_there(ask: Ask, site: ASite) -> None:
    """A client that forgot to sign, or signed for another service, learns of it on a developer's machine."""
    site.answers = site.name_caller
    assert (await ask(signed("/", secret="another"))).startswith(b"HTTP/1.1 200")
    assert (await ask(http("POST"))).startswith(b"HTTP/1.1 403")
    assert (await ask(signed("/", service="s3"))).startswith(b"HTTP/1.1 403")
