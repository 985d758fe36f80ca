"""The AWS API over HTTP: an ASGI application whose request steps stand in one list, `Front._steps`."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.request import RequestContext, Response
from lambdad.model.service import BoundService
from lambdad.model.site import Site
from lambdad.store.base import InsufficientStorage
from lambdad.wire.auth_error import AuthFailure
from lambdad.wire.authorize import NO_DEFAULTS_GIVEN, Authorizer, Caller, Defaults, Lookup
from lambdad.wire.body import BodyLimits, BodyTooLarge, Receive, RequestBody, plain_body, streamed_body
from lambdad.wire.claim import Claim, claim_of, take_headers_from_query
from lambdad.wire.dialect import dialect_of
from lambdad.wire.fault import disk_full_error, internal_error, malformed_uri_error, too_large_error, unreadable_error
from lambdad.wire.http import HttpRequest, MalformedUri, Query, Reply, decode_uri_text, parse_query, request_from_scope
from lambdad.wire.internal import MAX_INTERNAL_BODY_BYTES, InternalHandler, InternalRequest, InternalRoutes
from lambdad.wire.permit import Permits, SubjectOf
from lambdad.wire.plan import OperationPlan, ServicePlan
from lambdad.wire.protocols.base import Arrival
from lambdad.wire.protocols.rest_xml import host_id
from lambdad.wire.protocols.scalar import Unreadable
from lambdad.wire.request_id import new_request_id
from lambdad.wire.respond import HttpDate, Send, send_reply
from lambdad.wire.rest_table import Match
from lambdad.wire.route import FORM, Router
from lambdad.wire.sigv4 import Signature
from lambdad.wire.site import ArrivedRequest, serve_site
from lambdad.wire.spec import SpecLibrary

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Exchange:
    """One request on its way through the steps; each step adds what the later ones need."""

    request: HttpRequest
    receive: Receive
    request_id: str
    claim: Claim | None = None
    signature: Signature | None = None
    form: Query | None = None
    service: ServicePlan | None = None
    match: Match = field(default_factory=lambda: Match("", {}))
    plan: OperationPlan | None = None
    body: Any = b""  #: bytes, or RequestBody where the operation streams its input
    caller: Caller | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    context: RequestContext | None = None  #: made before the call only where the call must be permitted
    output: Mapping[str, Any] | Response = field(default_factory=dict)
    reply: Reply | None = None


_SECONDS_BETWEEN_WARNINGS = 60.0
MAX_FORM_BYTES = 1024 * 1024  #: it is read before the caller is known
T = TypeVar("T")
Step = Callable[[Exchange], Awaitable[None]]


class Front:
    """Serves the bound services, the internal addresses and the site. Holds no state of any request once it is answered."""

    def __init__(
        self,
        services: Sequence[BoundService],
        *,
        lookup: Lookup,
        auth_required: bool,
        defaults: Defaults = NO_DEFAULTS_GIVEN,
        internal: Mapping[str, InternalHandler] | None = None,
        site: Site | None = None,
        limits: BodyLimits | None = None,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = new_request_id,
        subject_of: SubjectOf | None = None,
    ) -> None:
        """With `subject_of` every operation is put to the policies of its caller; without, nothing is evaluated."""
        library = SpecLibrary(bound.service.name for bound in services)
        dialects = {spec.name: dialect_of(spec.name, spec.protocol) for spec in library}
        bound_limits = limits or BodyLimits()
        self._services = {
            bound.service.name: ServicePlan(bound, library[bound.service.name], dialects[bound.service.name], bound_limits)
            for bound in services
        }
        self._router = Router(library, dialects)
        self._authorizer = Authorizer(lookup, auth_required=auth_required, clock=clock, defaults=defaults)
        self._internal = InternalRoutes(internal or {})
        self._auth_required = auth_required
        self._site = site
        self._date = HttpDate(clock)
        self._clock = clock
        self._warned_at = -_SECONDS_BETWEEN_WARNINGS
        self._new_id = new_id
        self._permits = Permits(services, subject_of, clock) if subject_of is not None else None
        #: The way of a request, in order. Nothing is read of its body before it is known who may be asking for what.
        self._steps: tuple[Step, ...] = (
            self._read_query,
            self._refuse_other_origins,
            self._read_form,
            self._choose_service,
            self._refuse_early,
            self._choose_operation,
            self._read_body,
            self._identify_caller,
            self._parse,
            self._check_parameters,
            *((self._permit,) if self._permits is not None else ()),
            self._call,
            self._write,
        )

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _serve_lifespan(receive, send)
        elif scope["type"] == "http":
            request = request_from_scope(scope)
            if self._site is not None and self._site.owns(request.headers.get("host", "").lower(), request.raw_path):
                arrived = ArrivedRequest(
                    request, f"HTTP/{scope['http_version']}", receive, self._authorizer, self._permits, self._new_id()
                )
                await serve_site(self._site, arrived, self._date, receive, send)
            else:
                await self._serve(request, receive, send)
        else:
            await send({"type": f"{scope['type']}.close", "code": 1002})

    async def _serve(self, request: HttpRequest, receive: Receive, send: Send) -> None:
        exchange = Exchange(request, receive, self._new_id())
        handler = self._internal.handler_of(request.raw_path)
        if handler is not None:
            reply = await self._answer_internal(handler, exchange)
        else:
            reply = await self._answer(exchange)
        try:
            await send_reply(reply, request.method, self._date(), receive, send)
        except Exception:
            # The status line may be out already; leaving the answer unfinished makes the server close the connection.
            logger.exception("request %s: the answer could not be sent in full", exchange.request_id)

    async def _answer(self, exchange: Exchange) -> Reply:
        try:
            for step in self._steps:
                await step(exchange)
            assert exchange.reply is not None  # the last step sets it
            reply = exchange.reply
        except ServiceError as error:
            reply = self._refusal(exchange, error)
        except AuthFailure as failure:
            reply = self._refusal(exchange, self._named(exchange, failure))
        except InsufficientStorage as full:
            self._warn_of_full_disk(full)
            reply = self._refusal(exchange, disk_full_error(self._service_or_fallback(exchange)))
        except Exception:
            logger.exception("request %s failed", exchange.request_id)
            reply = self._refusal(exchange, internal_error(self._service_or_fallback(exchange)))
        self._add_identity(exchange, reply)
        return reply

    # The steps, in their order.

    async def _read_query(self, exchange: Exchange) -> None:
        if exchange.request.raw_query:
            try:
                exchange.request.query = parse_query(exchange.request.raw_query)
            except MalformedUri as error:
                raise malformed_uri_error(self._service_or_fallback(exchange), error) from error
        exchange.claim = claim_of(exchange.request)

    async def _refuse_other_origins(self, exchange: Exchange) -> None:
        """A web page elsewhere must not act here by way of its visitor's browser; no CORS rules exist that would allow it.

        Credentials in a header come from no page, since browsers ask first; in a URL they may, and prove nothing unverified.
        """
        request = exchange.request
        origin = request.headers.get("origin")
        is_foreign = origin is not None and origin.partition("://")[2].lower() != request.headers.get("host", "").lower()
        claim = exchange.claim
        is_on_its_own = claim is None or (claim.is_presigned and not self._auth_required)
        if request.method == "OPTIONS" or (is_foreign and is_on_its_own):
            raise ServiceError("AccessForbidden", "CORSResponse: CORS is not enabled here.", status=403)

    async def _read_form(self, exchange: Exchange) -> None:
        """Calls of the query protocol name their operation, and when unsigned even their service, in the body."""
        request = exchange.request
        if request.method == "POST" and request.headers.get("content-type", "").startswith(FORM) and request.raw_path == "/":
            try:
                exchange.body = await plain_body(request, exchange.receive).read(MAX_FORM_BYTES)
                exchange.form = parse_query(exchange.body.decode("latin-1"))
            except MalformedUri as error:
                raise malformed_uri_error(self._service_or_fallback(exchange), error) from error

    async def _choose_service(self, exchange: Exchange) -> None:
        spec = self._router.service_of(exchange.request, exchange.claim, exchange.form)
        exchange.service = self._services[spec.name]

    async def _refuse_early(self, exchange: Exchange) -> None:
        service = _set(exchange.service)
        exchange.signature = self._authorizer.refuse_early(exchange.request, exchange.claim, service.target)
        if service.dialect.is_s3 and exchange.claim is not None and exchange.claim.is_presigned:
            take_headers_from_query(exchange.request)

    async def _choose_operation(self, exchange: Exchange) -> None:
        service = _set(exchange.service)
        try:
            exchange.match = self._router.operation_of(service.spec, exchange.request, exchange.form)
        except MalformedUri as error:
            raise malformed_uri_error(service, error) from error
        exchange.plan = service.operation(exchange.match.operation)

    async def _read_body(self, exchange: Exchange) -> None:
        """A body that streams is only opened here, later, when its signature's seed is known."""
        service, plan = _set(exchange.service), _set(exchange.plan)
        if exchange.form is None and not service.dialect.is_s3:
            try:
                exchange.body = await plain_body(exchange.request, exchange.receive).read_all(plan.limit.size)
            except BodyTooLarge as error:
                raise too_large_error(service, plan) from error

    async def _identify_caller(self, exchange: Exchange) -> None:
        service = _set(exchange.service)
        exchange.caller = self._authorizer.caller_of(
            exchange.request,
            exchange.claim,
            exchange.signature,
            service.target,
            payload_digest=lambda: hashlib.sha256(exchange.body).hexdigest(),
        )
        if service.dialect.is_s3:
            await self._open_body(exchange, service, exchange.caller)

    async def _open_body(self, exchange: Exchange, service: ServicePlan, caller: Caller) -> None:
        plan = _set(exchange.plan)
        body: RequestBody = streamed_body(
            exchange.request, exchange.receive, caller.chunk_signer, lambda failure: self._named(exchange, failure)
        )
        if plan.is_streaming_input:
            exchange.body = body
            return
        plan.checksum.refuse_missing(exchange.request)
        try:
            exchange.body = await body.read_all(plan.limit.size)
        except BodyTooLarge as error:
            raise too_large_error(service, plan) from error
        plan.checksum.verify(exchange.request, body.trailers, exchange.body)

    async def _parse(self, exchange: Exchange) -> None:
        request, plan = exchange.request, _set(exchange.plan)
        arrival = Arrival(exchange.match.labels, request.query, request.headers, exchange.body, exchange.form)
        try:
            exchange.parameters = plan.parse(arrival)
        except Unreadable as unreadable:
            raise unreadable_error(_set(exchange.service), unreadable) from unreadable
        except RecursionError as error:
            raise unreadable_error(_set(exchange.service), Unreadable("The request is nested too deeply")) from error

    async def _check_parameters(self, exchange: Exchange) -> None:
        for check in _set(exchange.plan).checks:
            check(exchange.parameters)

    async def _permit(self, exchange: Exchange) -> None:
        exchange.context = self._context_of(exchange, is_permitted=True)
        service, plan = _set(exchange.service), _set(exchange.plan)
        withheld = await _set(self._permits).check(service.dialect, plan.permissions, exchange.context, exchange.parameters)
        if withheld:
            exchange.context = msgspec.structs.replace(exchange.context, withheld=withheld)

    async def _call(self, exchange: Exchange) -> None:
        """An operation that has begun runs to its end, whether or not the caller is still there."""
        context = exchange.context or self._context_of(exchange, is_permitted=False)
        exchange.output = await _set(exchange.plan).call(_set(exchange.service).state, context, exchange.parameters)

    def _context_of(self, exchange: Exchange, *, is_permitted: bool) -> RequestContext:
        service, plan, caller, request = _set(exchange.service), _set(exchange.plan), _set(exchange.caller), exchange.request
        return RequestContext(
            request_id=exchange.request_id,
            service=service.spec.name,
            operation=plan.name,
            account_id=caller.principal.account_id,
            region=caller.region,
            principal=caller.principal,
            source_ip=request.source_ip,
            endpoint=request.endpoint,
            headers=request.headers,
            raw_path=request.raw_path,
            raw_query=request.raw_query,
            is_permitted=is_permitted,
        )

    async def _write(self, exchange: Exchange) -> None:
        output, plan = exchange.output, _set(exchange.plan)
        if not isinstance(output, Response):
            exchange.reply = plan.write(output, exchange.request_id)
            return
        reply = plan.write(output.output, exchange.request_id)
        if output.status is not None:
            reply.status = output.status
        for name, value in output.headers.items():
            reply.headers[name.lower()] = value
        exchange.reply = reply

    # What is not a step.

    async def _answer_internal(self, handler: InternalHandler, exchange: Exchange) -> Reply:
        request = exchange.request
        try:
            await self._read_query(exchange)
            await self._refuse_other_origins(exchange)
            body = await plain_body(request, exchange.receive).read(MAX_INTERNAL_BODY_BYTES)
            path = decode_uri_text(request.raw_path)
            arrived = InternalRequest(
                request.method, path, request.query, request.headers, body, request.source_ip, request.endpoint
            )
            return (await handler(arrived)).as_reply()
        except MalformedUri as error:
            return _plain_reply(400, str(error))
        except ServiceError as error:
            return _plain_reply(error.status or 400, error.message)
        except Exception:
            logger.exception("request %s to %s failed", exchange.request_id, request.raw_path)
            return _plain_reply(500, f"Internal error; see the log for request {exchange.request_id}.")

    def _warn_of_full_disk(self, full: InsufficientStorage) -> None:
        """Once a minute: clients retry, and a log that grows with each retry would not help a full disk."""
        now = self._clock()
        if now - self._warned_at >= _SECONDS_BETWEEN_WARNINGS:
            self._warned_at = now
            logger.warning("The disk is full, so requests that write are refused until there is room: %s", full)

    def _refusal(self, exchange: Exchange, error: ServiceError) -> Reply:
        service = self._service_or_fallback(exchange)
        reply = service.codec.error(error, self._shown_id(exchange, service), exchange.request.path)
        for name, value in error.headers.items():
            reply.headers[name.lower()] = value
        return reply

    def _named(self, exchange: Exchange, failure: AuthFailure) -> ServiceError:
        service = self._service_or_fallback(exchange)
        return failure.as_service_error(service.dialect, service.spec.protocol)

    def _service_or_fallback(self, exchange: Exchange) -> ServicePlan:
        """Before the service is known an error still needs a form: that of the service the request seems to be for."""
        if exchange.service is not None:
            return exchange.service
        name = self._router.likely_service(exchange.request, exchange.claim)
        return self._services[name]

    def _add_identity(self, exchange: Exchange, reply: Reply) -> None:
        service = self._service_or_fallback(exchange)
        request_id = self._shown_id(exchange, service)
        if service.dialect.is_s3:
            reply.headers["x-amz-request-id"] = request_id
            reply.headers["x-amz-id-2"] = host_id(request_id)
            reply.headers["server"] = "AmazonS3"
        else:
            reply.headers["x-amzn-requestid"] = request_id

    def _shown_id(self, exchange: Exchange, service: ServicePlan) -> str:
        """S3's ids are 16 upper-case characters."""
        if service.dialect.is_s3:
            return exchange.request_id.replace("-", "")[:16].upper()
        return exchange.request_id


def _set(value: T | None) -> T:
    assert value is not None  # an earlier step sets it
    return value


def _plain_reply(status: int, message: str) -> Reply:
    return Reply(status, {"content-type": "text/plain; charset=utf-8"}, f"{message}\n".encode())


async def _serve_lifespan(receive: Receive, send: Send) -> None:
    """Parts are started and stopped by app.py; the server only wants its messages answered."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
