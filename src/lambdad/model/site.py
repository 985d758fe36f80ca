"""An HTTP address that is not one of AWS's APIs: what its owner is told of a request, and what it answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

import msgspec

from lambdad.model.permission import Permission
from lambdad.model.request import Principal


class SiteCaller(msgspec.Struct, frozen=True):
    """Who signed a request, and for which region."""

    principal: Principal
    region: str
    unique_id: str | None = None  #: AIDA... of a user, AROA...:SESSION of a role's session, where identities are kept


class SiteRequest(Protocol):
    """A request as it came in. Its body is read and its signature looked at only when the site asks."""

    request_id: str
    method: str
    raw_path: str  #: undecoded, as sent
    raw_query: str  #: undecoded, as sent
    headers: Mapping[str, str]  #: lower-case names; repeated headers joined with a comma
    raw_headers: Sequence[tuple[bytes, bytes]]
    host: str  #: the Host header as sent, in lower case
    scheme: str
    protocol: str  #: "HTTP/1.1"
    source_ip: str

    def check_claim(self, signing_name: str) -> None:
        """ServiceError where it can be told without the body that the signature is missing or no good."""
        ...

    async def body(self, limit: int) -> bytes:
        """The whole body; ServiceError RequestEntityTooLargeException above `limit` bytes."""
        ...

    def stream(self) -> AsyncIterator[bytes]:
        """The body in pieces, as they come, instead of `body`; ServiceError when it is cut short."""
        ...

    def caller(self, signing_name: str, body: bytes) -> SiteCaller:
        """Who signed the request and this body; ServiceError when nobody did, or not well. Verified as the API does it."""
        ...

    async def permit(self, caller: SiteCaller, permissions: tuple[Permission, ...]) -> bool:
        """Puts the caller to all policies, those of the resource too; ServiceError when they do not allow it.

        False where no policies are evaluated (`--auth off`): then the site asks the resource's itself.
        """
        ...


class AnswerBroken(Exception):
    """Raised by a body: what has begun cannot be finished, so its connection ends without an end of the answer."""


class SiteResponse(msgspec.Struct, frozen=True):
    status: int
    headers: Sequence[tuple[str, str]] = ()  #: lower-case names, in this order, repeated where they are repeated here
    body: bytes | AsyncIterator[bytes] = b""


class Site(Protocol):
    def owns(self, host: str, raw_path: str) -> bool:
        """Whether requests with this Host header (in lower case) and path are the site's, and never the API's."""
        ...

    async def answer(self, request: SiteRequest) -> SiteResponse: ...


class Sites:
    """Several sites as one: a request is the first one's that owns it."""

    def __init__(self, *sites: Site) -> None:
        self._sites = sites

    def owns(self, host: str, raw_path: str) -> bool:
        return self._owner(host, raw_path) is not None

    async def answer(self, request: SiteRequest) -> SiteResponse:
        owner = self._owner(request.host, request.raw_path)
        assert owner is not None  # nobody else's requests come here
        return await owner.answer(request)

    def _owner(self, host: str, raw_path: str) -> Site | None:
        return next((site for site in self._sites if site.owns(host, raw_path)), None)
