"""wire/sigv4.py and sigv2.py against botocore's signers."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lambdad.errors import ServiceError
from lambdad.model.credential import Credential
from lambdad.wire.auth_error import AuthError, AuthFailure
from lambdad.wire.authorize import Authorizer, Caller, Target
from lambdad.wire.claim import claim_of
from lambdad.wire.dialect import dialect_of
from lambdad.wire.http import HttpRequest, parse_query, request_from_scope
from lambdad.wire.sigv4 import canonical_path, canonical_query

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CREDENTIAL = Credential("AKIDEXAMPLE", SECRET, "111122223333", "arn:aws:iam::111122223333:user/alice")
SIGNERS = {
    ("lambda", "header"): botocore.auth.SigV4Auth,
    ("lambda", "query"): botocore.auth.SigV4QueryAuth,
    ("s3", "header"): botocore.auth.S3SigV4Auth,
    ("s3", "query"): botocore.auth.S3SigV4QueryAuth,
}
TARGETS = {"lambda": Target("lambda"), "s3": Target("s3", is_s3=True)}


def received(method: str, url: str, headers: dict[str, Any]) -> HttpRequest:
    """What our front makes of the request that botocore would send."""
    address = urlsplit(url)
    raw = [(k.lower().encode(), v if isinstance(v, bytes) else v.encode()) for k, v in headers.items()]
    if not any(name == b"host" for name, _ in raw):
        raw.append((b"host", address.netloc.encode()))
    scope = {
        "method": method,
        "raw_path": address.path.encode(),
        "query_string": address.query.encode(),
        "headers": raw,
    }
    request = request_from_scope(scope)
    request.query = parse_query(request.raw_query)
    return request


def sign(service: str, place: str, method: str, url: str, body: bytes, params: Any = None, **headers: str) -> HttpRequest:
    request = AWSRequest(method, url, params=params, data=body, headers={k.replace("_", "-"): v for k, v in headers.items()})
    request.context["payload_signing_enabled"] = True
    SIGNERS[service, place](Credentials("AKIDEXAMPLE", SECRET), service, "us-east-1").add_auth(request)
    prepared = request.prepare()
    return received(prepared.method, prepared.url, dict(prepared.headers))


def verify(request: HttpRequest, service: str, body: bytes, *, now: float | None = None, **credential: Any) -> Caller:
    known = Credential(**{**{name: getattr(CREDENTIAL, name) for name in CREDENTIAL.__slots__}, **credential})
    authorizer = Authorizer({known.access_key_id: known}.get, auth_required=True, clock=lambda: now or time.time())
    claim = claim_of(request)
    signature = authorizer.refuse_early(request, claim, TARGETS[service])
    return authorizer.caller_of(
        request, claim, signature, TARGETS[service], lambda: hashlib.sha256(body).hexdigest()
    )  # fmt: skip


def requests(count: int) -> Iterator[tuple[str, HttpRequest, bytes]]:
    chance = random.Random(7)
    alphabet = "ab/ ~+%é:=&.-_*'()!@$,"

    def text(size: int) -> str:
        return "".join(chance.choice(alphabet) for _ in range(size))

    for number in range(count):
        service = ("lambda", "s3")[number % 2]
        place = ("header", "query")[number // 2 % 2]
        body = text(20).encode() if place == "header" else b""
        path = "/" + quote(text(chance.randint(0, 12)), safe="/~")
        params = {text(3) or "a": text(4), "z": ""} if number % 3 else None
        method = "GET" if place == "query" else "PUT" if service == "s3" else "POST"
        url = f"http://lambda.us-east-1.localhost:4566{path}"
        yield service, sign(service, place, method, url, body, params, X_Amz_Target=" a  b "), body


def altered(request: HttpRequest) -> Iterator[HttpRequest]:
    """The same request with one thing changed."""
    headers = {name.decode(): value for name, value in request.raw_headers}
    query = f"?{request.raw_query}" if request.raw_query else ""

    def remade(path: str = request.raw_path, more: str = "", method: str = request.method, **changed: bytes) -> HttpRequest:
        url = f"http://x{path}{query}{more if query else more.replace('&', '?')}"
        return received(method, url, {**headers, **{k.replace("_", "-"): v for k, v in changed.items()}})

    yield remade(path=request.raw_path + "x")
    yield remade(more="&added=1")
    yield remade(method="DELETE")
    yield remade(host=b"elsewhere")
    yield remade(x_amz_target=b"other")
    yield remade(x_amz_added=b"1")


def test_signatures_of_botocore_are_accepted_and_altered_requests_refused() -> None:
    """Of 500 signed requests all pass, and none passes after its path, query, method, host or headers were changed."""
    for service, request, body in requests(500):
        assert verify(request, service, body).principal.arn == CREDENTIAL.principal_arn
        for forged in altered(request):
            with pytest.raises(AuthFailure):
                verify(forged, service, body)
        with pytest.raises(AuthFailure):
            verify(request, service, body, secret="another")


def test_another_body_is_refused() -> None:
    """The body is signed too, except in presigned URLs of S3."""
    request = sign("lambda", "header", "POST", "http://h/2015-03-31/functions", b"{}")
    with pytest.raises(AuthFailure) as caught:
        verify(request, "lambda", b"{ }")
    assert caught.value.error is AuthError.MISMATCH


TIMES = [(0, None), (890, None), (-890, None), (910, AuthError.SKEWED), (-910, AuthError.SKEWED)]


@pytest.mark.parametrize(("late", "error"), TIMES)
def test_clocks_may_differ_by_fifteen_minutes(late: int, error: AuthError | None) -> None:
    """A signature is good for 15 minutes on either side of its time."""
    request = sign("lambda", "header", "GET", "http://h/2015-03-31/functions", b"")
    if error is None:
        verify(request, "lambda", b"", now=time.time() + late)
        return
    with pytest.raises(AuthFailure) as caught:
        verify(request, "lambda", b"", now=time.time() + late)
    assert caught.value.error is error


def test_scope_must_be_the_service() -> None:
    """A signature for one service is no good at another."""
    request = sign("lambda", "header", "GET", "http://h/", b"", x_amz_content_sha256="UNSIGNED-PAYLOAD")
    with pytest.raises(AuthFailure) as caught:
        verify(request, "s3", b"")
    assert caught.value.error is AuthError.MISMATCH


BAD_QUERIES = [
    ("X-Amz-Expires=604801", AuthError.BAD_QUERY),
    ("X-Amz-Expires=0", AuthError.BAD_QUERY),
    ("X-Amz-Expires=-5", AuthError.BAD_QUERY),
    ("X-Amz-Expires=1&X-Amz-Expires=2", AuthError.BAD_QUERY),
    ("X-Amz-Expires=60&X-Amz-Date=nonsense", AuthError.BAD_QUERY),
    ("X-Amz-Signature=", AuthError.BAD_QUERY),
]


@pytest.mark.parametrize(("query", "error"), BAD_QUERIES, ids=[query for query, _ in BAD_QUERIES])
def test_malformed_presigned_urls(query: str, error: AuthError) -> None:
    """A presigned URL with a missing, doubled or impossible part is refused before anything is computed."""
    whole = "X-Amz-Credential=AKIDEXAMPLE/20261123/us-east-1/s3/aws4_request&" + query
    with pytest.raises(AuthFailure) as caught:
        verify(received("GET", f"http://h/b/k?{whole}", {}), "s3", b"")
    assert caught.value.error is error


BAD_HEADERS = [
    "AWS4-HMAC-SHA256",
    "AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host, Signature=" + "0" * 64,
    "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=zz",
    "Bearer abc",
    "",
    "AWS4-HMAC-SHA256 " + "Credential=" * 10_000,
]


@pytest.mark.parametrize("header", BAD_HEADERS, ids=range(len(BAD_HEADERS)))
def test_malformed_authorization_headers(header: str) -> None:
    """A header that is not a whole signature is refused as incomplete."""
    request = received("GET", "http://h/", {"Authorization": header, "X-Amz-Date": "20261123T000000Z"})
    with pytest.raises(AuthFailure) as caught:
        verify(request, "lambda", b"")
    assert caught.value.error is AuthError.INCOMPLETE


def test_impossible_dates_are_refused() -> None:
    """A timestamp that is no date does not raise anything but the refusal."""
    authorization = (
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20269999/r/lambda/aws4_request, SignedHeaders=host, Signature={'0' * 64}"
    )
    request = received("GET", "http://h/", {"Authorization": authorization, "X-Amz-Date": "20269999T999999Z"})
    with pytest.raises(AuthFailure) as caught:
        verify(request, "lambda", b"")
    assert caught.value.error is AuthError.INCOMPLETE


def test_unicode_in_signatures_is_only_a_refusal() -> None:
    """Text that is not ASCII in a credential or a token does not break the comparison."""
    token = sign("lambda", "header", "GET", "http://h/", b"")
    token.headers["x-amz-security-token"] = "é"
    with pytest.raises(AuthFailure) as caught:
        verify(token, "lambda", b"")
    assert caught.value.error is AuthError.BAD_TOKEN


def test_s3_demands_the_payload_hash() -> None:
    """S3 requests say in x-amz-content-sha256 what of the body is signed."""
    signed = sign("lambda", "header", "GET", "http://h/b", b"")
    signed.headers["authorization"] = signed.headers["authorization"].replace("/lambda/", "/s3/")
    with pytest.raises(ServiceError, match="x-amz-content-sha256"):
        verify(signed, "s3", b"")


def test_paths_are_canonical_as_the_services_want_them() -> None:
    """S3 takes a path as it is; others fold it and encode it once more."""
    assert canonical_path("/b/a%20b/../c", is_s3=True) == "/b/a%20b/../c"
    assert canonical_path("/a%20b/../c//d/", is_s3=False) == "/c/d/"
    assert canonical_path("/a%20b", is_s3=False) == "/a%2520b"
    assert canonical_query("b=2&a=x y&a=%2B&c", None) == "a=%2B&a=x%20y&b=2&c="
    assert canonical_query("X-Amz-Signature=1&b", "X-Amz-Signature") == "b="


NAMES = [
    ("s3", "SignatureDoesNotMatch", 403),
    ("lambda", "InvalidSignatureException", 403),
    ("logs", "InvalidSignatureException", 400),
    ("sts", "SignatureDoesNotMatch", 403),
]


@pytest.mark.parametrize(("service", "code", "status"), NAMES)
def test_each_service_names_a_refusal_in_its_way(service: str, code: str, status: int) -> None:
    """Codes and statuses of a wrong signature differ between S3, query and json services."""
    protocol = {"s3": "rest-xml", "lambda": "rest-json", "logs": "json", "sts": "query"}[service]
    error = AuthFailure(AuthError.MISMATCH).as_service_error(dialect_of(service, protocol), protocol)
    assert (error.code, error.status) == (code, status)


def test_presigned_urls_of_version_2() -> None:
    """boto3's default presigned URLs verify, with their extra headers in the query, and no sub-resource can be added."""
    request = AWSRequest("PUT", "http://h/b/a%20k?uploadId=u&partNumber=1", headers={"x-amz-meta-k": "v", "Content-Type": "t"})
    request.auth_path = "/b/a%20k"
    botocore.auth.HmacV1QueryAuth(Credentials("AKIDEXAMPLE", SECRET), expires=60).add_auth(request)
    assert verify(received("PUT", request.url, {}), "s3", b"").principal.account_id == "111122223333"
    for forged in (
        received("GET", request.url, {}),
        received("PUT", request.url.replace("/b/a", "/b/b"), {}),
        received("PUT", request.url, {"x-amz-acl": "public-read"}),
        received("PUT", request.url + "&acl", {}),
        received("PUT", request.url + "&x-amz-copy-source=b", {}),
    ):
        with pytest.raises(AuthFailure):
            verify(forged, "s3", b"")
    with pytest.raises(AuthFailure, match="EXPIRED"):
        verify(received("PUT", request.url, {}), "s3", b"", now=4e9)
