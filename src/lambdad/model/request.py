"""One AWS request as an operation sees it, and what an operation may answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import msgspec

DEFAULT_ACCOUNT_ID = "000000000000"
DEFAULT_REGION = "us-east-1"


class Principal(msgspec.Struct, frozen=True):
    """Who signed the request. With `--auth off` the account's root, whoever asked."""

    account_id: str
    arn: str
    access_key_id: str | None = None


NOBODY = Principal("", "")  #: of requests that want no signature


class RequestContext(msgspec.Struct, frozen=True):
    """What surrounds the request's parameters."""

    request_id: str
    service: str  #: botocore's name of the service, "lambda"
    operation: str  #: "CreateFunction"
    account_id: str
    region: str
    principal: Principal
    source_ip: str
    endpoint: str  #: base URL under which the caller reached us, "http://127.0.0.1:4566", no trailing slash
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)  #: lower-case names, for what the model does not describe
    raw_path: str = "/"  #: undecoded path as sent
    raw_query: str = ""
    is_permitted: bool = False  #: all policies were asked already, also those of resources; an operation need not ask again
    #: Action -> why the caller may not: of the permissions that are optional, so that the operation leaves something out.
    withheld: Mapping[str, str] = msgspec.field(default_factory=dict)


class BodyStream(Protocol):
    """The body of a request whose payload is streaming: decoded of `aws-chunked`, signatures checked as it is read.

    `content_length` is the decoded length in bytes where the client said it. `trailers` is complete once the
    iteration has ended. Iterating raises ServiceError when the body is cut short, longer than announced, or its
    signature or announced SHA-256 is wrong; the receiver must then keep nothing.
    """

    content_length: int | None
    trailers: Mapping[str, str]

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def read(self, limit: int) -> bytes:
        """The whole body, refused with RequestEntityTooLarge above `limit` bytes."""
        ...


class Response(msgspec.Struct, frozen=True):
    """An operation's output together with what the model cannot say: another HTTP status, further headers.

    A streaming payload member of `output` may be bytes or an async iterator of bytes; with an iterator give its
    ContentLength member, or the answer is sent chunked. An event stream is an async iterator of events, each
    `{"PayloadChunk": {"Payload": b"..."}}`: its name with its members.
    """

    output: Mapping[str, Any]
    status: int | None = None
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
