"""Requests to function URLs: who is let in, what is run, and what is answered when it cannot be."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec.structs
import pytest

from lambdad.errors import ServiceError
from lambdad.invocation.concurrency import throttled
from lambdad.model.concurrency import ThrottleReason
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.request import Principal
from lambdad.model.site import SiteCaller, SiteResponse
from lambdad.services.lambda_.url_site import FunctionUrlSite
from support.lambda_service import ACCOUNT, OTHER_ACCOUNT, REGION, World, function_request
from support.site_request import GivenRequest, GivenStream

PUBLIC_URL = {"Action": "lambda:InvokeFunctionUrl", "Principal": "*", "FunctionUrlAuthType": "NONE"}
PUBLIC_INVOKE = {"Action": "lambda:InvokeFunction", "Principal": "*", "InvokedViaFunctionUrl": True}
PAGE = "https://page.example"
FORBIDDEN = (
    b'{"Message":"Forbidden. For troubleshooting Function URL authorization issues, see: '
    b'https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"}'
)


def caller(account: str = ACCOUNT, name: str = "user/u", region: str = REGION) -> SiteCaller:
    return SiteCaller(Principal(account, f"arn:aws:iam::{account}:{name}", "AKIA"), region)


async def url_of(world: World, auth_type: str = "NONE", *, qualifier: str | None = None, **settings: Any) -> str:
    """The id of a new URL of the function `f`."""
    chosen = {"Qualifier": qualifier} if qualifier else {}
    made = await world.call("CreateFunctionUrlConfig", FunctionName="f", AuthType=auth_type, **chosen, **settings)
    return str(made["FunctionUrl"])[7:39]


async def allow(world: World, **permission: Any) -> None:
    await world.call("AddPermission", **{"FunctionName": "f", "StatementId": world.state.new_id(), **permission})


async def asked(world: World, url_id: str, **request: Any) -> SiteResponse:
    return await FunctionUrlSite(world.state).answer(GivenRequest(url_id=url_id, **request))


def header(response: SiteResponse, name: str) -> str | None:
    return dict(response.headers).get(name)


async def test_nobody_is_public_without_both_permissions(world: World) -> None:
    """NONE only says that no signature is wanted: the policy decides, and nothing is read or run for who is refused."""
    await world.create()
    url_id = await url_of(world)
    for permission in ({}, PUBLIC_URL):
        if permission:
            await allow(world, **permission)
        request = GivenRequest(method="POST", url_id=url_id, content=b"x")
        refused = await FunctionUrlSite(world.state).answer(request)
        assert (refused.status, refused.body) == (403, FORBIDDEN)
        assert header(refused, "x-amzn-errortype") == "AccessDeniedException"
        assert not request.is_read
    assert world.invoker.invocations == []
    await allow(world, **PUBLIC_INVOKE)
    assert (await asked(world, url_id)).status == 200


@pytest.mark.parametrize(
    ("operator", "key", "wanted", "good", "bad"),
    [
        ("IpAddress", "aws:SourceIp", "192.0.2.0/24", {"source_ip": "192.0.2.9"}, {"source_ip": "198.51.100.1"}),
        (
            "StringLike", "aws:Referer", "https://page.example/*",
            {"sent": [("Referer", "https://page.example/a")]}, {"sent": [("Referer", "https://other.example/a")]},
        ),
        ("Bool", "aws:SecureTransport", "true", {"scheme": "https"}, {"scheme": "http"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("effect", ["Allow", "Deny"])
async def test_conditions_hold_of_requests_without_a_signature(
    world: World, effect: str, operator: str, key: str, wanted: str, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    """A whole policy may say whence a public URL is called: who is denied is not let in for want of a signature."""
    await world.create()
    url_id = await url_of(world)
    resource = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    about, condition = {"Principal": "*", "Resource": resource}, {operator: {key: wanted}}
    public: list[tuple[str, dict[str, Any]]] = [
        ("lambda:InvokeFunctionUrl", {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}),
        ("lambda:InvokeFunction", {"StringEquals": {"lambda:InvokedViaFunctionUrl": "true"}}),
    ]
    more = condition if effect == "Allow" else {}
    statements = [{**about, "Effect": "Allow", "Action": action, "Condition": {**of, **more}} for action, of in public]
    if effect == "Deny":
        statements.append({**about, "Effect": "Deny", "Action": "lambda:*", "Condition": condition})
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    await world.call("PutResourcePolicy", ResourceArn=resource, Policy=policy)
    let_in = good if effect == "Allow" else bad
    turned_away = bad if effect == "Allow" else good
    assert (await asked(world, url_id, **let_in)).status == 200
    assert (await asked(world, url_id, **turned_away)).status == 403


@pytest.mark.parametrize(
    "permissions",
    [
        ({**PUBLIC_URL, "FunctionUrlAuthType": "AWS_IAM"}, PUBLIC_INVOKE),
        ({**PUBLIC_URL, "Principal": OTHER_ACCOUNT}, PUBLIC_INVOKE),
        (PUBLIC_URL, {**PUBLIC_INVOKE, "Principal": OTHER_ACCOUNT}),
        (PUBLIC_URL, {**PUBLIC_INVOKE, "Qualifier": "live"}),
        (PUBLIC_URL, {**PUBLIC_INVOKE, "SourceAccount": ACCOUNT}),
    ],
)
async def test_permissions_that_are_not_for_everybody_do_not_open_a_public_url(world: World, permissions: Any) -> None:
    """The auth type, the principal, the qualifier and every condition have to fit."""
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    url_id = await url_of(world)
    for permission in permissions:
        await allow(world, **permission)
    assert (await asked(world, url_id)).status == 403


async def test_the_invocation_of_an_alias(world: World) -> None:
    """An alias's URL has the alias's policy and ARN and runs its version; the request's id is the invocation's."""
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    url_id = await url_of(world, qualifier="live")
    for permission in (PUBLIC_URL, PUBLIC_INVOKE):
        await allow(world, Qualifier="live", **permission)
    trace = "Root=1-5e6b4a90-000000000000000000000001"
    answer = await asked(world, url_id, method="POST", content=b"\x00", sent=[("X-Amzn-Trace-Id", trace)])
    (invocation,) = world.invoker.invocations
    assert (invocation.request_id, invocation.version.version) == ("id", "1")
    assert invocation.invoked_function_arn == f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f:live"
    assert invocation.trace_header == header(answer, "x-amzn-trace-id")
    assert invocation.trace_header.startswith(f"{trace};Lineage=")
    event = json.loads(invocation.payload)
    assert (event["body"], event["isBase64Encoded"], event["requestContext"]["apiId"]) == ("AA==", True, url_id)


async def test_a_chain_that_keeps_coming_back_is_stopped(world: World) -> None:
    """The seventeenth request of a chain does not run the function, and is counted."""
    url_id = await public(world)
    trace = "Root=1-5e6b4a90-000000000000000000000001"
    statuses = []
    for _ in range(17):
        answer = await asked(world, url_id, sent=[("X-Amzn-Trace-Id", trace)])
        statuses.append(answer.status)
        trace = world.invoker.invocations[-1].trace_header
    assert statuses == [200] * 16 + [502]
    assert world.state.counters.recursive_invocations_dropped == 1


async def test_iam_lets_in_signers_of_the_account_and_those_whom_the_policy_names(world: World) -> None:
    """Unsigned requests, other regions' signatures and other accounts without permission are refused."""
    await world.create()
    url_id = await url_of(world, "AWS_IAM")
    unsigned = await asked(world, url_id)
    assert (unsigned.status, header(unsigned, "x-amzn-errortype")) == (403, "MissingAuthenticationTokenException")
    assert (await asked(world, url_id, signer=caller(region="eu-west-1"))).status == 403
    stranger = caller(OTHER_ACCOUNT)
    assert (await asked(world, url_id, signer=stranger)).body == FORBIDDEN
    assert (await asked(world, url_id, signer=caller())).status == 200
    iam = {"Action": "lambda:InvokeFunctionUrl", "Principal": OTHER_ACCOUNT, "FunctionUrlAuthType": "AWS_IAM"}
    await allow(world, **iam)
    assert (await asked(world, url_id, signer=stranger)).status == 403
    await allow(world, Action="lambda:InvokeFunction", Principal=OTHER_ACCOUNT, InvokedViaFunctionUrl=True)
    assert (await asked(world, url_id, signer=stranger)).status == 200
    event = json.loads(world.invoker.invocations[-1].payload)
    assert event["requestContext"]["authorizer"]["iam"]["userArn"] == f"arn:aws:iam::{OTHER_ACCOUNT}:user/u"


async def public(world: World, **settings: Any) -> str:
    await world.create()
    for permission in (PUBLIC_URL, PUBLIC_INVOKE):
        await allow(world, **permission)
    return await url_of(world, **settings)


async def test_urls_that_are_not_there(world: World) -> None:
    """Unknown ids, hosts that are none, another region's host and deleted URLs are all not found, and run nothing."""
    url_id = await public(world)
    for request in (
        {"url_id": "a" * 32},
        {"url_id": url_id, "sent": [("Host", f"{url_id}.lambda-url.eu-west-1.localhost")]},
        {"url_id": url_id, "sent": [("Host", f"x.{url_id}.lambda-url.{REGION}.localhost")]},
        {"url_id": url_id, "sent": [("Host", "localhost")], "raw_path": "/_lambdad/url/"},
    ):
        answer = await FunctionUrlSite(world.state).answer(GivenRequest(**request))  # type: ignore[arg-type]
        assert (answer.status, answer.body) == (404, b'{"Message":null}')
    await world.call("DeleteFunctionUrlConfig", FunctionName="f")
    assert (await asked(world, url_id)).status == 404
    assert world.invoker.invocations == []


async def test_pages_of_the_path_form_are_of_no_origin(world: World) -> None:
    """Under the API's own host a function's page may not act as a page of it."""
    url_id = await public(world)
    in_path = await asked(world, url_id, raw_path=f"/_lambdad/url/{url_id}/x", sent=[("Host", "localhost")])
    assert (in_path.status, json.loads(world.invoker.invocations[-1].payload)["rawPath"]) == (200, "/x")
    policy = header(in_path, "content-security-policy")
    assert policy is not None and policy.startswith("sandbox ") and "allow-same-origin" not in policy
    assert header(await asked(world, url_id), "content-security-policy") is None


async def test_methods_are_those_of_urls(world: World) -> None:
    """OPTIONS without CORS settings is the function's; TRACE and made-up ones are nobody's."""
    url_id = await public(world)
    for method in ("GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"):
        assert (await asked(world, url_id, method=method)).status == 200
    for method in ("TRACE", "PROPFIND", "get"):
        assert (await asked(world, url_id, method=method)).status == 405
    assert len(world.invoker.invocations) == 7


async def test_cors_is_answered_for_the_function(world: World) -> None:
    """A preflight runs nothing and needs no permission; what the function says of CORS itself gives way."""
    await world.create()
    url_id = await url_of(world, "AWS_IAM", Cors={"AllowOrigins": [PAGE], "AllowMethods": ["GET"], "MaxAge": 10})
    asking = [("Origin", PAGE), ("Access-Control-Request-Method", "GET")]
    preflight = await asked(world, url_id, method="OPTIONS", sent=asking)
    assert (preflight.status, preflight.body) == (200, b"")
    assert header(preflight, "access-control-allow-origin") == PAGE
    assert header(preflight, "access-control-max-age") == "10"
    assert world.invoker.invocations == []
    own = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Methods": "PUT", "x-a": "b"}
    world.invoker.result = InvocationResult(json.dumps({"statusCode": 200, "headers": own}).encode(), "$LATEST")
    answer = await asked(world, url_id, signer=caller(), sent=[("Origin", PAGE)])
    said = [(name, value) for name, value in answer.headers if name.startswith(("access-control", "x-a", "vary"))]
    assert [each for each in said if "trace" not in each[0]] == [
        ("x-a", "b"),
        ("access-control-allow-origin", PAGE),
        ("vary", "Origin"),
    ]
    refused = await asked(world, url_id, sent=[("Origin", PAGE)])
    assert (refused.status, header(refused, "access-control-allow-origin")) == (403, PAGE)
    await world.call("UpdateFunctionUrlConfig", FunctionName="f", Cors={})
    answer = await asked(world, url_id, signer=caller(), sent=[("Origin", PAGE)])
    assert header(answer, "access-control-allow-origin") == "*"
    assert (await asked(world, url_id, signer=caller(), method="OPTIONS", sent=asking)).status == 200
    assert len(world.invoker.invocations) == 3


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (InvocationResult(b'{"errorMessage":"no"}', "$LATEST", "Unhandled"), 502),
        (InvocationResult(b'{"statusCode":200,"body":"x"}', "$LATEST", "Unhandled"), 502),
        (InvocationResult(b'{"statusCode":"no"}', "$LATEST"), 502),
        (throttled(ThrottleReason.RESERVED), 429),
        (ServiceError("ServiceException", "no environment could be made", status=500), 502),
    ],
)
async def test_what_goes_wrong_has_its_status(world: World, result: Any, status: int) -> None:
    """A function's failure says nothing of itself to the public; a throttle says when to come again."""
    url_id = await public(world)

    async def invoke(invocation: Invocation) -> InvocationResult:
        if isinstance(result, Exception):
            raise result
        return msgspec.structs.replace(result, executed_version=invocation.version.version)

    world.invoker.invoke = invoke  # type: ignore[method-assign]
    answer = await asked(world, url_id)
    assert answer.status == status
    if status == 502:
        assert answer.body == b"Internal Server Error"
        assert (header(answer, "x-amzn-trace-id") is not None) == isinstance(result, InvocationResult), "where it has run"
    else:
        assert (answer.body, header(answer, "retry-after")) == (b'{"Message":"Too Many Requests"}', "1")


async def test_a_function_that_is_not_ready_is_unavailable(world: World) -> None:
    """Pending is no failure of the function's: the same request is answered when it is over."""
    world.runtimes.gate = asyncio.Event()
    await world.call("CreateFunction", **function_request())
    url_id = await url_of(world, "AWS_IAM")
    pending = await asked(world, url_id, signer=caller())
    assert (pending.status, pending.body) == (503, b'{"Message":"Service Unavailable"}')
    world.runtimes.gate.set()
    await world.settled()
    assert (await asked(world, url_id, signer=caller())).status == 200


async def test_a_url_streams_only_if_it_says_so(world: World) -> None:
    """BUFFERED never asks for a stream; RESPONSE_STREAM does, and takes an answer that is none as well."""
    url_id = await public(world)
    await asked(world, url_id)
    await world.call("UpdateFunctionUrlConfig", FunctionName="f", InvokeMode="RESPONSE_STREAM")
    assert (await asked(world, url_id)).body == b"done"
    assert [invocation.wants_stream for invocation in world.invoker.invocations] == [False, True]
    stream = GivenStream([b'{"statusCode": 207}' + bytes(8), b"piece"])
    world.invoker.result = InvocationResult(b"", "$LATEST", stream=stream)
    answer = await asked(world, url_id)
    assert (answer.status, header(answer, "x-amzn-trace-id") is not None) == (207, True)
    assert not isinstance(answer.body, bytes)
    assert [piece async for piece in answer.body] == [b"piece"]
    world.invoker.result = InvocationResult(b"", "$LATEST", stream=GivenStream([b"no head"]))
    broken = await asked(world, url_id)
    assert (broken.status, header(broken, "x-amzn-trace-id") is not None) == (502, True)


async def test_six_megabytes_of_event_and_no_more(world: World) -> None:
    """The limit is on the event, in which bytes grow by a third."""
    url_id = await public(world)
    limit = world.state.quotas.sync_payload_bytes
    text = [("Content-Type", "text/plain")]
    fits = await asked(world, url_id, method="POST", content=b"x" * (limit - 2000), sent=text)
    assert fits.status == 200
    for content, sent in ((b"x" * (limit + 1), text), (b"x" * limit, text), (b"x" * (limit * 4 // 5), [])):
        answer = await asked(world, url_id, method="POST", content=content, sent=sent)
        assert (answer.status, answer.body) == (413, b'{"Message":"Request Entity Too Large"}')
    assert len(world.invoker.invocations) == 1
