"""The Runtime API 2018-06-01: what is no HTTP, could be read in two ways, or never ends."""

from __future__ import annotations

import pytest

from support.runtime_requests import PING, RESPONSE, answered, running

#: Each is followed by a ping that must not be seen as a request of its own.
SMUGGLING = [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    b"Content-Length: 0\r\nContent-Length: 5",
    b"Content-Length: 0\r\nContent-Length: 0",
    b"Content-Length: 0, 5",
    b"Content-Length: 0 5",
    b"Content-Length: +0",
    b"Content-Length: -0",
    b"Content-Length: 0x0",
    b"Content-Length:",
    b"Content-Length: 99999999999999999999",
    b"Content-Length : 5",
    b"Content-Length\x00: 5",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"X: a\r\n Transfer-Encoding: chunked",
    b"X: a\nTransfer-Encoding: chunked",
    b"X: a\rTransfer-Encoding: chunked",
    b"X: a\x00b\r\nTransfer-Encoding: chunked",
    b": empty name",
]
BAD_CHUNKS = [b"zz", b"-1", b"0x1", b" 1", b"1 ", b"", b"fffffffffffffffff", b"1\r\nxy", b"1;a\nb", b"1\nx"]
NOT_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /2018-06-01/ping HTTP/9.9\r\n\r\n",
    b"GET /2018-06-01/ping HTTP/1.1\nHost: x\n\n",
    b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
    b"get /2018-06-01/ping HTTP/1.1\r\n\r\n",
    b"GET /2018-06-01/ping HTTP/1.1\r\nNo colon\r\n\r\n",
]
UNREADABLE = [
    *(b"POST %b HTTP/1.1\r\n%b\r\n\r\n0\r\n\r\n" % (RESPONSE, headers) for headers in SMUGGLING),
    *(b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n0\r\n\r\n" % (RESPONSE, size) for size in BAD_CHUNKS),
    *NOT_HTTP,
]


@pytest.mark.parametrize("sent", UNREADABLE)
async def test_what_cannot_be_read(api, sent):
    """It is answered with one 400 and the connection is closed; nothing in or behind it counts, and others go on."""
    client, answer = await running(api)
    client.send(sent + PING)
    said = await client.rest()
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert said.count(b"HTTP/1.1") == 1
    assert not answer.done()
    other = await api.connect()
    assert (await other.ask(answered(b"id-1", b"fine")))[0] == 202
    assert (await answer).body == b"fine"


OVERSIZED = [
    b"GET /2018-06-01/ping HTTP/1.1\r\nX: " + b"a" * 1_400_000,
    b"GET /2018-06-01/ping HTTP/1.1\r\n" + b"X: a\r\n" * 250_000,
    b"GET /" + b"a" * 1_400_000,
    b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" % RESPONSE + b"X: a\r\n" * 250_000,
    b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" % RESPONSE + b"a" * 1_400_000,
]


@pytest.mark.parametrize("sent", OVERSIZED, ids=["header", "headers", "path", "trailers", "chunk extension"])
async def test_oversized_head(api, sent):
    """What grows without end outside of a body is cut off, with 431 for whoever still listens."""
    client, answer = await running(api)
    client.send(sent)
    said = await client.rest()
    assert said == b"" or said.startswith(b"HTTP/1.1 431 ")
    assert not answer.done()
    assert (await (await api.connect()).ask(PING))[2] == b"pong"
