"""Serves a site: addresses whose requests go to one owner whole, whatever else they look like."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.permission import Permission
from lambdad.model.request import RequestContext
from lambdad.model.site import AnswerBroken, Site, SiteCaller, SiteResponse
from lambdad.store.base import InsufficientStorage
from lambdad.wire.auth_error import AuthError, AuthFailure
from lambdad.wire.authorize import Authorizer, Target
from lambdad.wire.body import BodyTooLarge, Receive, plain_body
from lambdad.wire.claim import Claim, claim_of
from lambdad.wire.dialect import Dialect
from lambdad.wire.http import HttpRequest, MalformedUri, parse_query
from lambdad.wire.permit import Permits
from lambdad.wire.respond import HttpDate, Send, close_iterator, send_stream
from lambdad.wire.sigv4 import Signature

logger = logging.getLogger(__name__)

_NO_BODY = frozenset({204, 304})


class ArrivedRequest:
    """`model.site.SiteRequest` over an ASGI connection."""

    def __init__(
        self,
        request: HttpRequest,
        protocol: str,
        receive: Receive,
        authorizer: Authorizer,
        permits: Permits | None,
        request_id: str,
    ) -> None:
        self.request_id = request_id
        self.method = request.method
        self.raw_path = request.raw_path
        self.raw_query = request.raw_query
        self.headers: Mapping[str, str] = request.headers
        self.raw_headers: Sequence[tuple[bytes, bytes]] = request.raw_headers
        self.host = request.headers.get("host", "").lower()
        self.scheme = request.scheme
        self.protocol = protocol
        self.source_ip = request.source_ip
        self._request = request
        self._receive = receive
        self._authorizer = authorizer
        self._permits = permits
        self._signature: Signature | None = None
        self._claim: Claim | None = None

    def check_claim(self, signing_name: str) -> None:
        try:
            self._request.query = parse_query(self._request.raw_query)
            self._claim = claim_of(self._request)
            if self._claim is None or not self._claim.access_key_id:
                raise AuthFailure(AuthError.MISSING)
            if self._claim.service != signing_name:
                message = f"Credential should be scoped to correct service: '{signing_name}'."
                raise AuthFailure(AuthError.MISMATCH, message)
            self._signature = self._authorizer.refuse_early(self._request, self._claim, Target(signing_name))
        except AuthFailure as failure:
            raise _refused(failure) from failure
        except MalformedUri as error:
            raise ServiceError("SerializationException", str(error), status=403) from error

    async def body(self, limit: int) -> bytes:
        try:
            return await plain_body(self._request, self._receive).read_all(limit)
        except BodyTooLarge as error:
            raise ServiceError(
                "RequestEntityTooLargeException", f"The body has more than {limit} bytes.", status=413
            ) from error

    def stream(self) -> AsyncIterator[bytes]:
        return aiter(plain_body(self._request, self._receive))

    def caller(self, signing_name: str, body: bytes) -> SiteCaller:
        try:
            caller = self._authorizer.caller_of(
                self._request, self._claim, self._signature, Target(signing_name), lambda: hashlib.sha256(body).hexdigest()
            )
        except AuthFailure as failure:
            raise _refused(failure) from failure
        unique_id = self._permits.unique_id_of(caller.principal) if self._permits is not None else None
        return SiteCaller(caller.principal, caller.region, unique_id)

    async def permit(self, caller: SiteCaller, permissions: tuple[Permission, ...]) -> bool:
        if self._permits is None:
            return False
        service, _, operation = permissions[0].action.partition(":")
        context = RequestContext(
            request_id=self.request_id,
            service=service,
            operation=operation,
            account_id=caller.principal.account_id,
            region=caller.region,
            principal=caller.principal,
            source_ip=self.source_ip,
            endpoint=self._request.endpoint,
            headers=self.headers,
            raw_path=self.raw_path,
            raw_query=self.raw_query,
        )
        await self._permits.check(Dialect(), permissions, context, {})
        return True


async def serve_site(
    site: Site, arrived: ArrivedRequest, date: HttpDate, receive: Receive, send: Send
) -> None:  # fmt: skip
    """What goes wrong on our side is logged and answered; once an answer has begun, its connection is ended instead."""
    try:
        response = await site.answer(arrived)
    except ServiceError as error:
        response = _error(error.status or 400, error.message)
    except InsufficientStorage as full:
        logger.warning("request %s was refused: the disk is full: %s", arrived.request_id, full)
        response = _error(507, "There is no room on the disk.")
    except Exception:
        logger.exception("request %s to %s failed", arrived.request_id, arrived.host)
        response = _error(500, "Internal Server Error")
    try:
        await _send(response, arrived, date(), receive, send)
    except AnswerBroken as broken:
        logger.info("request %s: the answer was cut short: %s", arrived.request_id, broken)
    except Exception:
        logger.exception("request %s: the answer could not be sent in full", arrived.request_id)


async def _send(response: SiteResponse, arrived: ArrivedRequest, date: bytes, receive: Receive, send: Send) -> None:
    body = response.body
    try:
        headers = [(name.encode("ascii"), value.encode()) for name, value in response.headers]
        headers += [(b"date", date), (b"x-amzn-requestid", arrived.request_id.encode())]
        if isinstance(body, bytes) and response.status not in _NO_BODY:
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        has_body = arrived.method != "HEAD" and response.status not in _NO_BODY
        if not isinstance(body, bytes) and has_body:
            await send_stream(body, receive, send)
        else:
            await send({"type": "http.response.body", "body": body if isinstance(body, bytes) and has_body else b""})
    finally:
        if not isinstance(body, bytes):
            await close_iterator(body)


def _refused(failure: AuthFailure) -> ServiceError:
    code, message = failure.error.value[2]
    return ServiceError(code, failure.message or message, status=403)


def _error(status: int, message: str) -> SiteResponse:
    return SiteResponse(status, [("content-type", "application/json")], msgspec.json.encode({"Message": message}))
