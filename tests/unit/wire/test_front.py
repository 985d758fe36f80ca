"""wire/front.py over real sockets, with botocore as the client."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from lambdad.errors import ServiceError
from lambdad.model.request import RequestContext, Response
from lambdad.wire.body import BodyLimit, BodyLimits
from lambdad.wire.internal import InternalRequest, InternalResponse
from unit.wire.serving import CREDENTIAL, KEY, TEMPORARY, Credential, Recorder, call, client_for, front_over, serving

BOTH = pytest.mark.parametrize("auth_required", [False, True], ids=["auth off", "auth on"])


async def send_raw(port: int, text: bytes) -> bytes:
    """What the server answers to these bytes until it closes; the request must ask it to close."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    await writer.drain()
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def raw_request(method: str, target: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "host: 127.0.0.1:4566", "connection: close", *headers]
    if body:
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def parts(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    return int(status.split(" ")[1]), dict(line.lower().split(": ", 1) for line in lines), body


@BOTH
async def test_invoke_passes_the_payload_through_untouched(state: Recorder, auth_required: bool) -> None:
    """The payload's bytes are neither decoded nor re-encoded on their way in and out."""
    async with serving(front_over(state, auth_required=auth_required)) as port:
        client = client_for("lambda", port)
        answer = await call(client.invoke, FunctionName="echo", Payload=b'{"a" : 1.0}', Qualifier="live")
    assert answer["Payload"].read() == b'{"a" : 1.0}'
    assert answer["ExecutedVersion"] == "$LATEST"
    assert answer["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "application/json"
    context, request = state.calls[0]
    assert (request["FunctionName"], request["Qualifier"]) == ("echo", "live")
    assert (context.account_id, context.region) == ("111122223333", "eu-west-1")
    assert answer["ResponseMetadata"]["RequestId"] == context.request_id
    assert context.endpoint == f"http://127.0.0.1:{port}"


@BOTH
async def test_put_object_streams_what_the_sdk_sends_by_default(state: Recorder, auth_required: bool) -> None:
    """An upload arrives decoded of aws-chunked, with its trailing checksum, in pieces."""
    content = bytes(range(256)) * 8192
    async with serving(front_over(state, auth_required=auth_required)) as port:
        client = client_for("s3", port)
        await call(client.put_object, Bucket="b-1", Key="a b/é/../x", Body=io.BytesIO(content), Metadata={"k": "v"})
    stored = state.objects["b-1/a b/é/../x"]
    assert stored["Size"] == stored["ContentLength"] == len(content)
    assert stored["Trailers"].keys() == {"x-amz-checksum-crc32"} or stored["ChecksumCRC32"]
    assert stored["Metadata"] == {"k": "v"}
    assert stored.get("ContentEncoding") is None
    assert stored["Largest"] < 1 << 20


async def test_get_object_streams_and_closes(state: Recorder) -> None:
    """A streamed answer has its length announced and arrives whole."""
    async with serving(front_over(state)) as port:
        client = client_for("s3", port)
        await call(client.put_object, Bucket="b-1", Key="k", Body=b"content", Metadata={"m": "1"})
        answer = await call(client.get_object, Bucket="b-1", Key="k")
        assert await asyncio.to_thread(answer["Body"].read) == b"content"
    assert answer["ContentLength"] == 7
    assert answer["Metadata"] == {"m": "1"}


ERRORS = [
    ("lambda", "get_function", {"FunctionName": "f"}, "ResourceNotFoundException", 404),
    ("s3", "list_objects_v2", {"Bucket": "b-1"}, "NoSuchBucket", 404),
    ("logs", "describe_log_groups", {}, "ResourceNotFoundException", 400),
    ("sts", "get_caller_identity", {}, "ExpiredTokenException", 400),
    ("sqs", "list_queues", {}, "QueueDoesNotExist", 400),
]


@pytest.mark.parametrize(("name", "method", "parameters", "code", "status"), ERRORS, ids=[case[0] for case in ERRORS])
async def test_errors_are_read_back(
    state: Recorder, name: str, method: str, parameters: Mapping[str, Any], code: str, status: int
) -> None:
    """In every protocol botocore reads the code, the message and the status of a ServiceError."""

    async def fail(context: RequestContext, request: Mapping[str, Any]) -> Any:
        raise ServiceError(code, "no <such> thing & é", headers={"Retry-After": "3"})

    async with serving(front_over(state)) as port:
        client = client_for(name, port)
        operation = client.meta.method_to_api_mapping[method]
        state.answers[operation] = fail
        with pytest.raises(ClientError) as caught:
            await call(getattr(client, method), **parameters)
    answer = caught.value.response
    assert answer["Error"]["Code"] == code
    assert answer["Error"]["Message"] == "no <such> thing & é"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == status
    assert answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "3"
    assert answer["ResponseMetadata"]["RequestId"]


async def test_all_violations_come_in_one_message(state: Recorder) -> None:
    """Validation names every broken constraint, in AWS's words, before the operation is called."""
    async with serving(front_over(state)) as port:
        with pytest.raises(ClientError) as caught:
            await call(client_for("lambda", port).create_function, FunctionName="a" * 200, Handler=" ", Role="r", Code={})
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert error["Message"].startswith("3 validation errors detected: Value '")
    assert (
        "at 'handler' failed to satisfy constraint: Member must satisfy regular expression pattern: [^\\s]+" in error["Message"]
    )
    assert not state.calls


async def test_refused_members_and_operations(state: Recorder) -> None:
    """A member without effect, at any depth, and an operation not served are refused with the service's code."""
    async with serving(front_over(state)) as port:
        client = client_for("lambda", port)
        base = {"FunctionName": "f", "Role": "arn:aws:iam::000000000000:role/r", "Handler": "h.h"}
        for extra in ({"VpcConfig": {"SubnetIds": ["subnet-12345678"]}, "Code": {}}, {"Code": {"ImageUri": "x"}}):
            with pytest.raises(ClientError, match=r"InvalidParameterValueException.*is not supported"):
                await call(client.create_function, **base, **extra)
        with pytest.raises(ClientError, match="ListEventSourceMappings is not supported: it comes later"):
            await call(client.list_event_source_mappings)
        assert not state.calls
        await call(client.create_function, **base, Code={"ZipFile": b"z"}, VpcConfig={})
    assert state.calls[0][1]["Code"] == {"ZipFile": b"z"}


async def test_status_and_headers_of_the_operation_win(state: Recorder) -> None:
    """A Response sets what the model cannot say, and 204 has no body."""
    state.answers["Invoke"] = Response({"StatusCode": 204, "Payload": b""}, headers={"X-Amzn-Trace-Id": "Root=1"})
    async with serving(front_over(state)) as port:
        answer = await call(client_for("lambda", port).invoke, FunctionName="f", InvocationType="DryRun")
    assert answer["StatusCode"] == 204
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-trace-id"] == "Root=1"
    assert "content-length" not in answer["ResponseMetadata"]["HTTPHeaders"]


async def test_our_fault_is_a_500_with_a_log_entry(state: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception says nothing of itself to the caller, and all of itself to the log with the request's id."""
    state.answers["GetFunction"] = RuntimeError("secret detail")
    state.answers["HeadBucket"] = RuntimeError("secret detail")
    async with serving(front_over(state)) as port:
        with caplog.at_level(logging.ERROR), pytest.raises(ClientError) as caught:
            await call(client_for("lambda", port).get_function, FunctionName="f")
        with pytest.raises(ClientError) as head:
            await call(client_for("s3", port).head_bucket, Bucket="b-1")
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("ServiceException", 500)
    assert "secret" not in json.dumps(answer, default=str)
    assert answer["ResponseMetadata"]["RequestId"] in caplog.text
    assert head.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


async def test_too_large_bodies_are_refused_in_awss_words(state: Recorder) -> None:
    """The limit of an operation that is not streamed holds with and without an announced length."""
    limits = BodyLimits(operations={("lambda", "Invoke"): BodyLimit(1000, "InvokeFunction", named_size=900)})
    async with serving(front_over(state, limits=limits)) as port:
        with pytest.raises(
            ClientError, match="Request must be smaller than 900 bytes for the InvokeFunction operation"
        ) as caught:
            await call(client_for("lambda", port).invoke, FunctionName="f", Payload=b"x" * 1001)
        chunked = b"400\r\n" + b"x" * 1024 + b"\r\n0\r\n\r\n"
        head = raw_request("POST", "/2015-03-31/functions/f/invocations", "transfer-encoding: chunked")
        status, headers, _ = parts(await send_raw(port, head + chunked))
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status == 413
    assert headers["x-amzn-errortype"] == "requestentitytoolargeexception"


async def test_temporary_credentials_need_their_token(state: Recorder) -> None:
    """With auth on a session token is checked; a wrong or a missing one is refused."""
    async with serving(front_over(state, auth_required=True)) as port:
        await call(client_for("lambda", port, TEMPORARY).invoke, FunctionName="f", Payload=b"{}")
        for token in ("wrong", None):
            stolen = Credential(TEMPORARY.access_key_id, TEMPORARY.secret, "", "", token)
            with pytest.raises(ClientError, match="UnrecognizedClientException"):
                await call(client_for("lambda", port, stolen).invoke, FunctionName="f", Payload=b"{}")
    assert state.calls[0][0].principal.arn == TEMPORARY.principal_arn


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("s3", "SignatureDoesNotMatch"),
        ("lambda", "InvalidSignatureException"),
        ("sts", "SignatureDoesNotMatch"),
        ("logs", "InvalidSignatureException"),
    ],
)
async def test_wrong_secrets_are_refused_in_each_protocol(state: Recorder, name: str, code: str) -> None:
    """A signature made with another secret never reaches an operation."""
    wrong = Credential(CREDENTIAL.access_key_id, "another secret", "", "")
    calls = {"s3": "list_buckets", "lambda": "list_functions", "sts": "get_caller_identity", "logs": "describe_log_groups"}
    async with serving(front_over(state, auth_required=True)) as port:
        with pytest.raises(ClientError) as caught:
            await call(getattr(client_for(name, port, wrong), calls[name]))
        unknown = Credential("AKIANOBODY", "x", "", "")
        with pytest.raises(ClientError, match=r"InvalidAccessKeyId|UnrecognizedClientException|InvalidClientTokenId"):
            await call(getattr(client_for(name, port, unknown), calls[name]))
    assert caught.value.response["Error"]["Code"] == code
    assert not state.calls


async def test_anonymous_requests_are_refused_when_auth_is_on(state: Recorder) -> None:
    """Without a signature nothing is answered but the refusal."""
    async with serving(front_over(state, auth_required=True)) as port:
        for target, code in (("/", b"AccessDenied"), ("/2015-03-31/functions", b"Missing Authentication Token")):
            status, _, body = parts(await send_raw(port, raw_request("GET", target)))
            assert (status, code in body) == (403, True)
    assert not state.calls


async def test_key_of_twelve_digits_names_the_account_when_auth_is_off(state: Recorder) -> None:
    """With auth off any secret will do and the key says whose resources are meant."""
    async with serving(front_over(state)) as port:
        await call(client_for("lambda", port, Credential("444455556666", "any", "", "")).list_functions)
        await send_raw(port, raw_request("GET", "/2015-03-31/functions/"))
    assert [context.account_id for context, _ in state.calls] == ["444455556666", "000000000000"]


async def test_unknown_operations(state: Recorder) -> None:
    """An address that no operation has is refused in the service's way."""
    async with serving(front_over(state)) as port:
        lambda_answer = parts(await send_raw(port, raw_request("PATCH", "/2015-03-31/functions/f")))
        s3_answer = parts(await send_raw(port, raw_request("POST", "/bucket/key")))
        options = parts(await send_raw(port, raw_request("OPTIONS", "/bucket/key", "origin: http://evil")))
        foreign = parts(await send_raw(port, raw_request("POST", "/2015-03-31/functions/f/invocations", "origin: http://evil")))
    assert (lambda_answer[0], lambda_answer[1]["x-amzn-errortype"]) == (404, "unknownoperationexception")
    assert (s3_answer[0], b"<Code>MethodNotAllowed</Code>" in s3_answer[2]) == (405, True)
    assert options[0] == foreign[0] == 403
    assert not state.calls


async def test_pages_elsewhere_cannot_act_by_a_made_up_credential_in_the_url(state: Recorder) -> None:
    """Where nothing is verified, a credential in a URL is no proof of anything: browsers send it without asking first."""
    credential = f"X-Amz-Credential={KEY}/20261125/us-east-1/lambda/aws4_request"
    path = "/2015-03-31/functions/f/invocations"
    async with serving(front_over(state)) as port:
        for query in (credential, f"AWSAccessKeyId={KEY}&Signature=x"):
            foreign = parts(await send_raw(port, raw_request("POST", f"{path}?{query}", "origin: http://evil")))
            assert foreign[0] == 403
        assert not state.calls
        own = parts(await send_raw(port, raw_request("POST", f"{path}?{credential}")))
        assert own[0] == 200


async def test_bucket_in_the_host_name(state: Recorder) -> None:
    """Host-style requests reach the bucket's operation, and their endpoint is that of the service."""
    async with serving(front_over(state)) as port:
        request = (
            f"GET /dir/k?list-type=2 HTTP/1.1\r\nhost: my.b.s3.localhost.localstack.cloud:{port}\r\nconnection: close\r\n\r\n"
        )
        refused = parts(await send_raw(port, request.encode()))
        listing = request.replace("/dir/k", "/")
        assert parts(await send_raw(port, listing.encode()))[0] == 200
    assert b"InvalidArgument" in refused[2]
    context, parameters = state.calls[0]
    assert (context.operation, parameters["Bucket"]) == ("ListObjectsV2", "my.b")
    assert context.endpoint == f"http://s3.localhost.localstack.cloud:{port}"


HOSTILE = [
    ("GET", "/bucket/%zz", 400),
    ("GET", "/bucket/%ff%fe", 400),
    ("GET", "/2015-03-31/functions/%ff", 400),
    ("GET", "/bucket?prefix=%ff", 400),
    ("GET", "/bucket?" + "&".join(f"a{n}=1" for n in range(1500)), 400),
    ("GET", "/2015-03-31/functions?MaxItems=abc", 400),
    ("GET", "/2015-03-31/functions?MaxItems=" + "9" * 5000, 400),
    ("GET", "/bucket?max-keys=1_0", 400),
    ("GET", "/bucket/key?response-content-type=a%0d%0aset-cookie:x", 400),
    ("PUT", "/bucket/key?partNumber=1", 400),
]


@pytest.mark.parametrize(("method", "target", "status"), HOSTILE, ids=[case[1][:40] for case in HOSTILE])
async def test_hostile_addresses(state: Recorder, method: str, target: str, status: int) -> None:
    """What cannot be read is a 400 in the service's form, and no operation sees it."""
    async with serving(front_over(state)) as port:
        answer = parts(await send_raw(port, raw_request(method, target)))
    assert answer[0] == status, answer
    assert b"Error" in answer[2] or b"essage" in answer[2]
    assert not state.calls


BODIES = [
    ("POST", "/2015-03-31/functions", b"{", "SerializationException"),
    ("POST", "/2015-03-31/functions", b"\xff\xfe", "SerializationException"),
    ("POST", "/2015-03-31/functions", b"[" * 100_000, "SerializationException"),
    ("POST", "/2015-03-31/functions", b"[1]", "SerializationException"),
    ("POST", "/2015-03-31/functions", b'{"Timeout":"x"}', "SerializationException"),
    ("POST", "/2015-03-31/functions", b'{"Code":{"ZipFile":"*"}}', "SerializationException"),
    ("POST", "/2015-03-31/functions", b'{"Timeout":NaN}', "SerializationException"),
    ("PUT", "/bucket?notification", b"<a", "MalformedXML"),
    ("PUT", "/bucket?notification", b"", "MissingRequestBodyError"),
    ("PUT", "/bucket?notification", b"<NotificationConfiguration><Typo/></NotificationConfiguration>", "MalformedXML"),
    ("POST", "/bucket?delete", b"<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><Delete>&b;</Delete>", "MalformedXML"),
    ("POST", "/bucket?delete", b"<x>" * 10_000, "MalformedXML"),
    ("POST", "/bucket?delete", b"<Delete><Object></Object></Delete>", "MalformedXML"),
]


@pytest.mark.parametrize(("method", "target", "body", "code"), BODIES, ids=[f"{c[1]} {c[2][:24]!r}" for c in BODIES])
async def test_hostile_bodies(state: Recorder, method: str, target: str, body: bytes, code: str) -> None:
    """A body that is not what the model asks for is refused before the operation is called."""
    async with serving(front_over(state)) as port:
        digest = base64.b64encode(hashlib.md5(body).digest()).decode()
        answer = parts(await send_raw(port, raw_request(method, target, f"content-md5: {digest}", body=body)))
    assert answer[0] == 400
    assert code.encode() in answer[2] or answer[1].get("x-amzn-errortype") == code.lower()
    assert not state.calls


async def test_stored_values_cannot_forge_headers(state: Recorder, caplog: pytest.LogCaptureFixture) -> None:
    """A value with a line break never becomes two headers: the answer is not sent."""
    state.answers["HeadObject"] = {"ContentType": "text/plain\r\nset-cookie: a=b"}
    async with serving(front_over(state)) as port:
        answer = await send_raw(port, raw_request("HEAD", "/bucket/key"))
    assert b"set-cookie" not in answer
    assert "could not be sent" in caplog.text


async def test_operation_runs_to_its_end_when_the_caller_goes(state: Recorder) -> None:
    """A caller that hangs up does not cancel the operation it started."""
    begun, release, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(context: RequestContext, request: Mapping[str, Any]) -> Any:
        begun.set()
        await release.wait()
        ended.set()
        return {}

    state.answers["ListFunctions"] = slow
    async with serving(front_over(state)) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw_request("GET", "/2015-03-31/functions"))
        await begun.wait()
        writer.close()
        await writer.wait_closed()
        release.set()
        await asyncio.wait_for(ended.wait(), 60)
    assert [context.operation for context, _ in state.calls] == ["ListFunctions"]


async def test_answers_are_closed_when_the_caller_goes(state: Recorder) -> None:
    """An iterator that is still giving is closed as soon as nobody reads it any more."""
    closed = asyncio.Event()

    async def endless() -> Any:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def answer(context: RequestContext, request: Mapping[str, Any]) -> Any:
        return {"Body": endless()}

    state.answers["GetObjectTorrent"] = answer
    async with serving(front_over(state)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw_request("GET", "/bucket/key?torrent"))
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        await asyncio.wait_for(closed.wait(), 60)
    assert [context.operation for context, _ in state.calls] == ["GetObjectTorrent"]


async def test_cut_short_uploads_are_told_to_the_operation(state: Recorder) -> None:
    """A connection that ends inside a body raises in the operation, which then keeps nothing."""
    failure: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def read(context: RequestContext, request: Mapping[str, Any]) -> Any:
        try:
            await request["AnnotationPayload"].read(1000)
        except ServiceError as error:
            failure.set_result(error)
            raise
        return {}

    state.answers["PutObjectAnnotation"] = read
    async with serving(front_over(state)) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        target = "/bucket/key?annotation&annotationName=a"
        writer.write(raw_request("PUT", target, "content-length: 100") + b"only this")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        assert (await asyncio.wait_for(failure, 60)).code == "IncompleteBody"  # type: ignore[attr-defined]


async def test_expect_100_continue(state: Recorder) -> None:
    """A client that waits for leave to send its body gets it, and gets a refusal instead when there is one."""
    async with serving(front_over(state)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(raw_request("PUT", "/bucket/key", "expect: 100-continue", "content-length: 3"))
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert b"200 OK" in await reader.read()
        writer.close()
        refused = raw_request("PUT", "/bucket/key?uploads", "expect: 100-continue", "content-length: 3")
        assert (await send_raw(port, refused)).startswith(b"HTTP/1.1 400")


async def test_internal_addresses(state: Recorder) -> None:
    """Internal handlers are found by prefix, before any AWS meaning, and refuse pages of other origins."""

    async def health(request: InternalRequest) -> InternalResponse:
        return InternalResponse(body=json.dumps([request.method, request.path, request.query]).encode())

    async def broken(request: InternalRequest) -> InternalResponse:
        raise ValueError("secret")

    routes = {"/_lambdad/": health, "/_localstack/health": health, "/_lambdad/broken": broken}
    async with serving(front_over(state, internal=routes)) as port:
        answer = parts(await send_raw(port, raw_request("GET", "/_lambdad/health?a=1")))
        other = parts(await send_raw(port, raw_request("GET", "/_localstack/health")))
        failed = parts(await send_raw(port, raw_request("GET", "/_lambdad/broken/x")))
        foreign = parts(await send_raw(port, raw_request("GET", "/_lambdad/health", "origin: http://evil")))
        bucket = parts(await send_raw(port, raw_request("GET", "/_lambdadx/key")))
    assert json.loads(answer[2]) == ["GET", "/_lambdad/health", {"a": ["1"]}]
    assert (other[0], failed[0], foreign[0], bucket[0]) == (200, 500, 403, 404)
    assert b"secret" not in failed[2]


async def test_head_and_not_modified_have_no_body(state: Recorder) -> None:
    """A HEAD keeps the length of what a GET would give; 304 carries neither body nor length."""
    state.answers["HeadObject"] = {"ContentLength": 12345, "ETag": '"e"'}
    state.answers["HeadBucket"] = ServiceError("NotModified", "", status=304)
    async with serving(front_over(state)) as port:
        head = parts(await send_raw(port, raw_request("HEAD", "/bucket/key")))
        unchanged = parts(await send_raw(port, raw_request("HEAD", "/bucket")))
        missing = parts(await send_raw(port, raw_request("HEAD", "/bucket/a/b?uploads")))
    assert (head[0], head[1]["content-length"], head[2]) == (200, "12345", b"")
    assert (unchanged[0], unchanged[2], "content-length" in unchanged[1]) == (304, b"", False)
    assert (missing[0], missing[2]) == (400, b"")


@pytest.mark.parametrize("version", ["s3v4", "s3"])
@BOTH
async def test_presigned_urls(state: Recorder, version: str, auth_required: bool) -> None:
    """A presigned URL of either version works until its time; an expired one needs no secret to be refused."""
    async with serving(front_over(state, auth_required=auth_required)) as port:
        client = client_for("s3", port, signature_version=version)
        url = client.generate_presigned_url("get_object", {"Bucket": "b-1", "Key": "k"}, ExpiresIn=60)
        target = url[url.index("/b-1") :]
        get = f"GET {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n".encode()
        fresh = parts(await send_raw(port, get))
        altered = parts(await send_raw(port, get.replace(b"/b-1/k", b"/b-1/j")))
    async with serving(front_over(state, auth_required=auth_required, clock=lambda: 4e9)) as port:
        late = parts(await send_raw(port, get))
    assert altered[0] == (403 if auth_required else 404)
    assert (fresh[0], b"NoSuchKey" in fresh[2]) == (404, True)
    assert (late[0], b"Request has expired" in late[2]) == (403, True)


async def test_services_that_are_not_served(state: Recorder) -> None:
    """A request signed for another service says so, in a way that no SDK tries again, and does not fall through to S3."""
    async with serving(front_over(state)) as port:
        with pytest.raises(ClientError, match="The service 'dynamodb' is not served here") as error:
            await call(client_for("dynamodb", port).list_tables)
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert not state.calls
