"""The event that a function gets for an HTTP request to its URL."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambdad.model.request import Principal
from lambdad.model.site import SiteCaller
from lambdad.services.lambda_.url_address import address_of
from lambdad.services.lambda_.url_event import event_of
from support.site_request import URL_ID, GivenRequest

TRACE = "Root=1-5e6b4a90-000000000000000000000001"
NOW = 1_583_348_638.390


def made(request: GivenRequest, body: bytes = b"", caller: SiteCaller | None = None) -> dict[str, Any]:
    address = address_of(request.host, request.raw_path)
    assert address is not None
    return json.loads(event_of(request, address, "us-west-2", body, caller, TRACE, NOW))


def test_the_whole_event_of_a_public_url() -> None:
    """Every member, in AWS's order, and none that has nothing to say."""
    request = GivenRequest(
        method="POST",
        raw_path="/pa2%Fth/1",
        raw_query="parameter1=value1&parameter1=value2&parameter2=a%20b+c",
        sent=[
            ("Host", f"{URL_ID}.lambda-url.us-west-2.localhost:4566"),
            ("User-Agent", "agent"),
            ("Header2", "value1"),
            ("Header2", "value2"),
            ("Cookie", "cookie1=a; cookie2=b"),
            ("Content-Type", "text/plain; charset=utf-8"),
            ("X-Forwarded-For", "6.6.6.6"),
            ("Authorization", "Bearer token"),
        ],
    )
    event = made(request, "Grüße".encode())
    assert event == {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/pa2%Fth/1",
        "rawQueryString": "parameter1=value1&parameter1=value2&parameter2=a%20b+c",
        "cookies": ["cookie1=a", "cookie2=b"],
        "headers": {
            "host": f"{URL_ID}.lambda-url.us-west-2.localhost:4566",
            "user-agent": "agent",
            "header2": "value1,value2",
            "content-type": "text/plain; charset=utf-8",
            "authorization": "Bearer token",
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-port": "4566",
            "x-forwarded-proto": "http",
            "x-amzn-trace-id": TRACE,
        },
        "queryStringParameters": {"parameter1": "value1,value2", "parameter2": "a b c"},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": URL_ID,
            "domainName": f"{URL_ID}.lambda-url.us-west-2.localhost",
            "domainPrefix": URL_ID,
            "http": {
                "method": "POST",
                "path": "/pa2%Fth/1",
                "protocol": "HTTP/1.1",
                "sourceIp": "127.0.0.1",
                "userAgent": "agent",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "04/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1583348638390,
        },
        "body": "Grüße",
        "isBase64Encoded": False,
    }
    assert list(event)[:4] == ["version", "routeKey", "rawPath", "rawQueryString"]


def test_what_is_not_there_is_left_out() -> None:
    """No cookies, no parameters, no body: no members."""
    event = made(GivenRequest())
    assert not {"cookies", "queryStringParameters", "body"} & event.keys()
    assert event["isBase64Encoded"] is False
    assert event["requestContext"]["http"]["userAgent"] == ""


def test_the_path_form_is_not_seen_by_the_function() -> None:
    """Path and domain are as if the request had come by the URL's host."""
    event = made(GivenRequest(raw_path=f"/_lambdad/url/{URL_ID}/a//b", sent=[("Host", "localhost:4566")]))
    assert event["rawPath"] == event["requestContext"]["http"]["path"] == "/a//b"
    assert event["requestContext"]["domainName"] == f"{URL_ID}.lambda-url.us-west-2.localhost"


def test_a_signer_is_told_and_the_signature_is_not() -> None:
    """With AWS_IAM the identity stands in the context, and what was for lambdad alone does not go on."""
    principal = Principal("111122223333", "arn:aws:iam::111122223333:user/example-user", "AKIA")
    caller = SiteCaller(principal, "us-west-2", "AIDA")
    event = made(
        GivenRequest(sent=[("Authorization", "AWS4-HMAC-SHA256 ..."), ("X-Amz-Date", "20200304T190358Z")]), b"", caller
    )
    assert "authorization" not in event["headers"]
    assert event["headers"]["x-amz-date"] == "20200304T190358Z"
    assert event["requestContext"]["accountId"] == "111122223333"
    assert event["requestContext"]["authorizer"] == {
        "iam": {
            "accessKey": "AKIA",
            "accountId": "111122223333",
            "callerId": "AIDA",
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": "arn:aws:iam::111122223333:user/example-user",
            "userId": "AIDA",
        }
    }


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ({"content-type": "application/json"}, b'{"a":1}', '{"a":1}'),
        ({"content-type": "Text/HTML; charset=x"}, b"<p>", "<p>"),
        ({"content-type": "application/problem+json"}, b"{}", "{}"),
        ({"content-type": "application/javascript"}, b"\x00", "\x00"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"a=1", None),
        ({"content-type": "multipart/form-data; boundary=x"}, b"--x", None),
        ({"content-type": "application/octet-stream"}, b"text", None),
        ({}, b"text", None),
        ({"content-type": ""}, b"text", None),
        ({"content-type": "application/json", "content-encoding": "gzip"}, b"{}", None),
        ({"content-type": "text/plain"}, b"\xff\xfe", None),
    ],
)
def test_a_body_is_text_where_its_type_says_so_and_it_is(headers: dict[str, str], body: bytes, expected: str | None) -> None:
    """Everything else is Base64, so that no byte is lost."""
    event = made(GivenRequest(sent=list(headers.items())), body)
    assert event["isBase64Encoded"] is (expected is None)
    assert expected is None or event["body"] == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("a", {"a": ""}),
        ("a=&b==", {"a": "", "b": "="}),
        ("&&a=1&", {"a": "1"}),
        ("a=%FF&%00=%", {"a": "\ufffd", "\x00": "%"}),
        ("a=%zz&a=%C3%A9", {"a": "%zz,é"}),
        ("=x", {"": "x"}),
    ],
)
def test_queries_that_are_odd_pass(raw: str, expected: dict[str, str]) -> None:
    """What cannot be decoded is shown as it is; the raw text has it all."""
    event = made(GivenRequest(raw_query=raw))
    assert event["queryStringParameters"] == expected
    assert event["rawQueryString"] == raw
