"""wire/route.py and addressing.py: which service a request is for."""

from __future__ import annotations

from functools import cache

import pytest

from lambdad.errors import ServiceError
from lambdad.wire.addressing import meaning_of
from lambdad.wire.claim import claim_of, take_headers_from_query
from lambdad.wire.dialect import dialect_of
from lambdad.wire.http import HttpRequest, parse_query, request_from_scope
from lambdad.wire.route import Router
from lambdad.wire.spec import SpecLibrary


@cache
def router() -> Router:
    library = SpecLibrary(("lambda", "s3", "logs", "sts", "iam"))
    return Router(library, {spec.name: dialect_of(spec.name, spec.protocol) for spec in library})


def request(address: str, **headers: str) -> HttpRequest:
    path, _, query = address.partition("?")
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    made = request_from_scope({"method": "POST", "raw_path": path.encode(), "query_string": query.encode(), "headers": raw})
    made.query = parse_query(query)
    return made


def signed_for(service: str) -> str:
    return f"AWS4-HMAC-SHA256 Credential=AKID/20261123/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"


CHOICES = [
    (request("/x", authorization=signed_for("lambda")), "lambda"),
    (request("/x", authorization=signed_for("s3")), "s3"),
    (request("/", authorization=signed_for("logs")), "logs"),
    (request("/b/k?X-Amz-Credential=AKID/20261123/us-east-1/s3/aws4_request", host="h"), "s3"),
    (request("/b/k?AWSAccessKeyId=AKID&Signature=x&Expires=1", host="h"), "s3"),
    (request("/b/k", authorization="AWS AKID:sig"), "s3"),
    (request("/", x_amz_target="Logs_20140328.DescribeLogGroups"), "logs"),
    (request("/", host="sts.us-east-1.localhost.localstack.cloud:4566"), "sts"),
    (request("/x", host="lambda.localhost:4566"), "lambda"),
    (request("/2015-03-31/functions"), "lambda"),
    (request("/2015-03-31"), "lambda"),
    (request("/bucket/key"), "s3"),
    (request("/"), "s3"),
    (request("/x", authorization="garbage"), "s3"),
    (request("/x", authorization="AWS4-HMAC-SHA256 Credential=short, SignedHeaders="), "s3"),
]


@pytest.mark.parametrize(("made", "service"), CHOICES, ids=range(len(CHOICES)))
def test_service(made: HttpRequest, service: str) -> None:
    """Scope, target, host and path are asked in this order; S3 takes what remains."""
    assert router().service_of(made, claim_of(made), None).name == service


def test_unsigned_forms_are_told_by_action_and_version() -> None:
    """Calls made before one has credentials name their service only by what they want."""
    form = {"Action": ["AssumeRoleWithWebIdentity"], "Version": ["2011-06-15"]}
    spec = router().service_of(request("/"), None, form)
    assert spec.name == "sts"
    assert router().operation_of(spec, request("/"), form).operation == "AssumeRoleWithWebIdentity"


@pytest.mark.parametrize("action", ["", "Nope", "__class__"])
def test_unknown_actions(action: str) -> None:
    """An action that the model does not have is the query protocol's InvalidAction, and a target's the json one."""
    for service, form, code in (("sts", {"Action": [action]}, "InvalidAction"), ("logs", None, "UnknownOperationException")):
        made = request("/", authorization=signed_for(service), x_amz_target=f"Logs_20140328.{action}")
        spec = router().service_of(request("/", authorization=signed_for(service)), claim_of(made), None)
        with pytest.raises(ServiceError) as caught:
            router().operation_of(spec, made, form)
        assert caught.value.code == code


HOSTS = [
    ("bucket.s3.amazonaws.com", "bucket", "s3"),
    ("my.dotted.bucket.s3.eu-west-1.amazonaws.com", "my.dotted.bucket", "s3"),
    ("bucket.s3-eu-west-1.amazonaws.com", "bucket", "s3"),
    ("bucket.s3.dualstack.eu-west-1.amazonaws.com", "bucket", "s3"),
    ("bucket.s3.localhost.localstack.cloud:4566", "bucket", "s3"),
    ("bucket.s3.us-east-1.localhost:4566", "bucket", "s3"),
    ("bucket.localhost:4566", "bucket", "s3"),
    ("BUCKET.localhost:4566", "bucket", "s3"),
    ("s3.localhost:4566", None, "s3"),
    ("lambda.eu-west-1.amazonaws.com", None, "lambda"),
    ("localhost:4566", None, None),
    ("127.0.0.1:4566", None, None),
    ("bucket.example.com", None, None),
    ("169.254.100.1:4566", None, None),
    ("", None, None),
]


@pytest.mark.parametrize(("host", "bucket", "service"), HOSTS, ids=[host for host, *_ in HOSTS])
def test_hosts(host: str, bucket: str | None, service: str | None) -> None:
    """A bucket is read from the host in every form that AWS and its emulators use, and from nothing else."""
    meaning = meaning_of(host, frozenset({"s3", "lambda", "logs"}))
    assert (meaning.bucket, meaning.service) == (bucket, service)


def test_host_style_keeps_the_path_for_signatures() -> None:
    """Routing sees path style; the signed path stays what was sent."""
    made = request("/dir/k%20", host="b-1.s3.localhost:4566", authorization=signed_for("s3"))
    router().service_of(made, claim_of(made), None)
    assert (made.path, made.raw_path, made.endpoint) == ("/b-1/dir/k%20", "/dir/k%20", "http://s3.localhost:4566")


def test_lambda_on_a_host_that_looks_like_a_bucket() -> None:
    """A request signed for another service is not rewritten by the look of its host."""
    made = request("/2015-03-31/functions", host="b-1.localhost:4566", authorization=signed_for("lambda"))
    assert router().service_of(made, claim_of(made), None).name == "lambda"
    assert made.path == "/2015-03-31/functions"


def test_presigned_headers_in_the_query() -> None:
    """x-amz- values hoisted into a presigned query count as headers; the signature's own do not, nor a body's checksum."""
    checksum = "x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32&x-amz-checksum-mode=ENABLED"
    made = request(f"/b/k?X-Amz-Date=1&x-amz-acl=private&x-amz-meta-k=v&{checksum}", x_amz_meta_k="sent")
    take_headers_from_query(made)
    assert made.headers == {"x-amz-meta-k": "sent", "x-amz-acl": "private", "x-amz-checksum-mode": "ENABLED"}
