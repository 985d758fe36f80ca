"""What comes in at function URLs: let in or refused, run by the same way as every invocation, and answered as HTTP."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.arn import FunctionName
from lambdad.model.function_url import METHODS, NONE, RESPONSE_STREAM, FunctionUrl, is_preflight
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.permission import KeyReader, Parameters, Permission
from lambdad.model.policy import Policy, allows
from lambdad.model.request import NOBODY, Principal, RequestContext
from lambdad.model.request_keys import caller_of
from lambdad.model.site import SiteCaller, SiteRequest, SiteResponse
from lambdad.model.trace_header import MOST_INVOCATIONS, entering
from lambdad.model.version import LATEST
from lambdad.services.lambda_.invoke import run
from lambdad.services.lambda_.recursion import check_recursion
from lambdad.services.lambda_.refusal import too_large
from lambdad.services.lambda_.resolve import resolve_version
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.url_address import UrlAddress, address_of, owns
from lambdad.services.lambda_.url_event import event_of
from lambdad.services.lambda_.url_response import JSON, MalformedResponse, response_of
from lambdad.services.lambda_.url_stream import response_of_stream

logger = logging.getLogger(__name__)

SIGNING_NAME = "lambda"

_NOT_READY = frozenset({"ResourceConflictException", "SnapStartNotReadyException", "CodeArtifactUserPendingException"})
_HELP = "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
_FORBIDDEN = f"Forbidden. For troubleshooting Function URL authorization issues, see: {_HELP}"
#: URLs under one path share their origin with the API and with each other: a page from there must not count as one of it.
_SANDBOX = "sandbox allow-downloads allow-forms allow-modals allow-popups allow-scripts"


@dataclass(frozen=True, slots=True)
class _Called:
    """A request to a URL that there is."""

    request: SiteRequest
    address: UrlAddress
    name: FunctionName
    url: FunctionUrl
    policy: Policy | None


class FunctionUrlSite:
    """`model.site.Site` for all function URLs of the service."""

    def __init__(self, state: LambdaState) -> None:
        self._state = state

    def owns(self, host: str, raw_path: str) -> bool:
        return owns(host, raw_path)

    async def answer(self, request: SiteRequest) -> SiteResponse:
        called = await self._called(request)
        if called is None:
            return _refusal(404, None, "ResourceNotFoundException")
        cors = called.url.cors
        if cors is not None and is_preflight(request.method, request.headers):
            return _finished(called, SiteResponse(200), cors.preflight_headers(request.headers))
        response = await self._answered(called)
        if cors is None:
            return _finished(called, response, {})
        return _finished(called, _without_cors(response), cors.answer_headers(request.headers.get("origin")))

    async def _called(self, request: SiteRequest) -> _Called | None:
        address = address_of(request.host, request.raw_path)
        owner = await self._state.records.url_owner(address.url_id) if address else None
        if address is None or owner is None or address.region not in (None, owner.region):
            return None
        stored = await self._state.functions.find(owner.key)
        url = stored.urls.get(owner.qualifier or LATEST) if stored else None
        if stored is None or url is None:
            return None
        return _Called(request, address, owner, url, stored.policies.get(owner.qualifier or ""))

    async def _answered(self, called: _Called) -> SiteResponse:
        if called.request.method not in METHODS:
            return _refusal(405, "Method Not Allowed", "MethodNotAllowedException")
        try:
            caller, body = await self._let_in(called)
            return await self._invoked(called, caller, body)
        except ServiceError as error:
            return _refused(called, error)

    async def _let_in(self, called: _Called) -> tuple[SiteCaller | None, bytes]:
        """Nothing of the body is read for somebody who may not call."""
        request, limit = called.request, self._state.quotas.sync_payload_bytes
        if called.url.auth_type == NONE:
            self._check_policy(called, NOBODY)
            return None, await request.body(limit)
        request.check_claim(SIGNING_NAME)
        body = await request.body(limit)
        caller = request.caller(SIGNING_NAME, body)
        if caller.region != called.name.region:
            raise ServiceError("InvalidSignatureException", "Credential should be scoped to a valid region.", status=403)
        is_decided = await request.permit(caller, _permissions(called))
        if not is_decided and caller.principal.account_id != called.name.account_id:
            self._check_policy(called, caller.principal)  # within the account any signature will do with `--auth off`
        return caller, body

    def _check_policy(self, called: _Called, principal: Principal) -> None:
        """Whether the resource policy lets in this principal, or anybody."""
        request, name = called.request, called.name
        context = RequestContext(
            request_id=request.request_id,
            service=SIGNING_NAME,
            operation="InvokeFunctionUrl",
            account_id=name.account_id,
            region=name.region,
            principal=principal,
            source_ip=request.source_ip,
            endpoint=f"{request.scheme}://{request.host}",
            headers=request.headers,
            raw_path=request.raw_path,
            raw_query=request.raw_query,
        )
        for action, keys in _asked(called.url.auth_type).items():
            if not allows(called.policy, caller_of(context, self._state.clock, keys), action, name.qualified_arn):
                who = principal.arn or "anybody"
                message = f"No statement lets {who} do {action} on {name.qualified_arn}."
                raise ServiceError("AccessDeniedException", message, status=403)

    async def _invoked(self, called: _Called, caller: SiteCaller | None, body: bytes) -> SiteResponse:
        state, request, name = self._state, called.request, called.name
        version = await resolve_version(state, name)
        now = state.clock()
        trace_header, times = entering(request.headers.get("x-amzn-trace-id", ""), name.key, now)
        if times > MOST_INVOCATIONS:
            await check_recursion(state, name)
        payload = event_of(request, called.address, name.region, body, caller, trace_header, now)
        if len(payload) > state.quotas.sync_payload_bytes:
            raise too_large(f"Request must be smaller than {state.quotas.sync_payload_bytes} bytes")
        invocation = Invocation(
            request_id=request.request_id,
            version=version,
            invoked_function_arn=name.qualified_arn,
            payload=payload,
            trace_header=trace_header,
            wants_stream=called.url.invoke_mode == RESPONSE_STREAM,
        )
        result = await run(state, name, invocation)
        return _traced(await _response_of_result(result, called), trace_header)


async def _response_of_result(result: InvocationResult, called: _Called) -> SiteResponse:
    if result.function_error is not None:
        return _function_failed()
    try:
        return await response_of_stream(result.stream) if result.stream is not None else response_of(result.payload)
    except MalformedResponse as malformed:
        request_id, name = called.request.request_id, called.name.name
        logger.info("request %s: %s answered with no HTTP answer: %s", request_id, name, malformed)
        return _function_failed()


def _asked(auth_type: str) -> Mapping[str, Mapping[str, str]]:
    """The two actions that AWS asks for since October 2025, each with the condition keys that it has."""
    return {
        "lambda:InvokeFunctionUrl": {"lambda:functionurlauthtype": auth_type},
        "lambda:InvokeFunction": {"lambda:invokedviafunctionurl": "true"},
    }


def _permissions(called: _Called) -> tuple[Permission, ...]:
    def resource(context: RequestContext, parameters: Parameters) -> str:
        return called.name.qualified_arn

    def key(value: str) -> KeyReader:
        return lambda context, parameters: (value,)

    asked = _asked(called.url.auth_type)
    return tuple(
        Permission(action, resource, {name: key(value) for name, value in keys.items()}) for action, keys in asked.items()
    )


def _refused(called: _Called, error: ServiceError) -> SiteResponse:
    """In the words of function URLs, which are fewer than the API's."""
    if error.code == "TooManyRequestsException":
        return _refusal(429, "Too Many Requests", error.code, error.headers)
    if error.code == "RequestEntityTooLargeException":
        return _refusal(413, "Request Entity Too Large", error.code)
    if error.code == "AccessDeniedException":
        logger.info("request %s: refused: %s", called.request.request_id, error.message)
        return _refusal(403, _FORBIDDEN, error.code)
    if error.status == 403:
        return _refusal(403, error.message, error.code)
    logger.info("request %s: %s could not be run: %s", called.request.request_id, called.name.name, error)
    return _refusal(503, "Service Unavailable", error.code) if error.code in _NOT_READY else _function_failed()


def _refusal(status: int, message: str | None, code: str, headers: Mapping[str, str] | None = None) -> SiteResponse:
    body = msgspec.json.encode({"Message": message})
    return SiteResponse(status, [("content-type", JSON), ("x-amzn-errortype", code), *(headers or {}).items()], body)


def _function_failed() -> SiteResponse:
    return SiteResponse(502, [("content-type", JSON)], b"Internal Server Error")


def _traced(response: SiteResponse, trace_header: str) -> SiteResponse:
    return SiteResponse(response.status, [*response.headers, ("x-amzn-trace-id", trace_header)], response.body)


def _without_cors(response: SiteResponse) -> SiteResponse:
    """What the URL's settings say is said once: two answers to the same question, and browsers take neither."""
    kept = [(name, value) for name, value in response.headers if not name.startswith("access-control-")]
    return SiteResponse(response.status, kept, response.body)


def _finished(called: _Called, response: SiteResponse, cors_headers: Mapping[str, str]) -> SiteResponse:
    headers = [*response.headers, *cors_headers.items()]
    if called.address.is_in_path:
        headers.append(("content-security-policy", _SANDBOX))
    return SiteResponse(response.status, headers, response.body)
