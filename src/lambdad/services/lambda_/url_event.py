"""From an HTTP request to a function URL to the event that its function gets: payload format 2.0."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import msgspec

from lambdad.model.site import SiteCaller, SiteRequest
from lambdad.services.lambda_.url_address import UrlAddress, host_of

_TEXT = re.compile(r"text/.+|application/(json|xml|javascript)|application/[^;]+\+(json|xml)")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: Cookies have a member of their own; a signature is for lambdad; the rest is said anew.
_NOT_PASSED = frozenset({"cookie", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto", "x-amzn-trace-id"})


def event_of(
    request: SiteRequest,
    address: UrlAddress,
    region: str,
    body: bytes,
    caller: SiteCaller | None,
    trace_header: str,
    now: float,
) -> bytes:
    """`caller` is None where the URL lets in anybody."""
    query = _query(request.raw_query)
    cookies = _cookies(request)
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": address.path,
        "rawQueryString": request.raw_query,
        **({"cookies": cookies} if cookies else {}),
        "headers": _headers(request, caller, trace_header),
        **({"queryStringParameters": query} if query else {}),
        "requestContext": _context(request, address, region, caller, now),
    }
    if body:
        text = _text_of(body, request.headers)
        event["body"] = b64encode(body).decode() if text is None else text
        event["isBase64Encoded"] = text is None
    else:
        event["isBase64Encoded"] = False
    return msgspec.json.encode(event)


def _context(
    request: SiteRequest, address: UrlAddress, region: str, caller: SiteCaller | None, now: float
) -> dict[str, Any]:  # fmt: skip
    return {
        "accountId": caller.principal.account_id if caller else "anonymous",
        "apiId": address.url_id,
        **({"authorizer": {"iam": _identity(caller)}} if caller else {}),
        "domainName": host_of(address.url_id, region),
        "domainPrefix": address.url_id,
        "http": {
            "method": request.method,
            "path": address.path,
            "protocol": request.protocol,
            "sourceIp": request.source_ip,
            "userAgent": request.headers.get("user-agent", ""),
        },
        "requestId": request.request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": _time(now),
        "timeEpoch": int(now * 1000),
    }


def _identity(caller: SiteCaller) -> dict[str, str | None]:
    """Without identities (`--auth off`) the access key stands for its owner, and the account for its root, as on AWS."""
    principal = caller.principal
    unique_id = caller.unique_id or (principal.account_id if principal.arn.endswith(":root") else principal.access_key_id)
    return {
        "accessKey": principal.access_key_id,
        "accountId": principal.account_id,
        "callerId": unique_id,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": principal.arn,
        "userId": unique_id,
    }


def _headers(request: SiteRequest, caller: SiteCaller | None, trace_header: str) -> dict[str, str]:
    headers = {name: value for name, value in request.headers.items() if name not in _NOT_PASSED}
    if caller is not None:
        headers.pop("authorization", None)
    port = request.host.rpartition(":")[2]
    headers["x-forwarded-for"] = request.source_ip
    headers["x-forwarded-port"] = port if port.isdigit() else {"https": "443"}.get(request.scheme, "80")
    headers["x-forwarded-proto"] = request.scheme
    headers["x-amzn-trace-id"] = trace_header
    return headers


def _cookies(request: SiteRequest) -> list[str]:
    given = [value.decode("utf-8", "replace") for name, value in request.raw_headers if name == b"cookie"]
    return [cookie.strip() for value in given for cookie in value.split(";") if cookie.strip()]


def _query(raw: str) -> dict[str, str]:
    """Decoded, repeated names joined with a comma. Bytes that are not UTF-8 are replaced; the raw text has them."""
    query: dict[str, list[str]] = {}
    for part in raw.split("&"):
        if part:
            name, _, value = part.partition("=")
            query.setdefault(_decoded(name), []).append(_decoded(value))
    return {name: ",".join(values) for name, values in query.items()}


def _decoded(text: str) -> str:
    return unquote(text.replace("+", " "), errors="replace")


def _text_of(body: bytes, headers: Mapping[str, str]) -> str | None:
    """The body as text if its content type says that it is, and it is true."""
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not _TEXT.fullmatch(content_type) or headers.get("content-encoding", "identity") != "identity":
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _time(now: float) -> str:
    """12/Mar/2020:19:03:58 +0000, in whatever language the server runs."""
    moment = datetime.fromtimestamp(now, UTC)
    return f"{moment.day:02d}/{_MONTHS[moment.month - 1]}/{moment:%Y:%H:%M:%S} +0000"
