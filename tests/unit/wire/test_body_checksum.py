"""Bodies that S3 reads whole are compared with the checksums that came with them."""

from __future__ import annotations

import base64
import hashlib
import http.client
import zlib

import pytest

from .serving import Recorder, call, client_for, front_over, serving

BODY = b"<Delete><Object><Key>a</Key></Object></Delete>"
TAGGING = b"<Tagging><TagSet></TagSet></Tagging>"
COMPLETE = b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>"


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def md5(data: bytes) -> str:
    return b64(hashlib.md5(data).digest())


def crc32(data: bytes) -> str:
    return b64(zlib.crc32(data).to_bytes(4, "big"))


def exchange(port: int, method: str, target: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, target, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


DELETE = ("POST", "/bucket?delete", BODY)
CASES = {
    "the right MD5": (*DELETE, {"Content-MD5": md5(BODY)}, 200, ""),
    "another MD5": (*DELETE, {"Content-MD5": md5(b"other")}, 400, "<Code>BadDigest</Code>"),
    "no MD5 at all": (*DELETE, {"Content-MD5": "rubbish"}, 400, "<Code>InvalidDigest</Code>"),
    "the right CRC32": (*DELETE, {"x-amz-checksum-crc32": crc32(BODY)}, 200, ""),
    "another CRC32": (*DELETE, {"x-amz-checksum-crc32": crc32(b"other")}, 400, "The CRC32 you specified did not match"),
    "the right SHA256": (*DELETE, {"x-amz-checksum-sha256": b64(hashlib.sha256(BODY).digest())}, 200, ""),
    "a CRC32 of the wrong length": (*DELETE, {"x-amz-checksum-crc32": b64(b"12345")}, 400, "Value for x-amz-checksum-crc32"),
    "an algorithm not computed here": (*DELETE, {"x-amz-checksum-xxhash64": "AAAA"}, 501, "<Code>NotImplemented</Code>"),
    "two of them": (
        *DELETE,
        {"x-amz-checksum-crc32": crc32(BODY), "x-amz-checksum-sha1": b64(hashlib.sha1(BODY).digest())},
        400,
        "Multiple checksum Types are not allowed",
    ),
    "none where one is needed": (*DELETE, {}, 400, "Missing required header for this request: Content-MD5 OR x-amz-checksum-*"),
    "only the word for one": (*DELETE, {"x-amz-checksum-algorithm": "CRC32"}, 400, "Missing required header"),
    "none where AWS asks for none": ("PUT", "/bucket/key?tagging", TAGGING, {}, 200, ""),
    "another one there": ("PUT", "/bucket/key?tagging", TAGGING, {"Content-MD5": md5(b"other")}, 400, "BadDigest"),
    "that of the object": ("POST", "/bucket/key?uploadId=u", COMPLETE, {"x-amz-checksum-crc32": crc32(b"object")}, 200, ""),
    "in a trailer": (
        "POST",
        "/bucket?delete",
        b"%x\r\n%s\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % (len(BODY), BODY, crc32(BODY).encode()),
        {
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-decoded-content-length": str(len(BODY)),
            "content-encoding": "aws-chunked",
            "x-amz-trailer": "x-amz-checksum-crc32",
        },
        200,
        "",
    ),
    "another in a trailer": (
        "POST",
        "/bucket?delete",
        b"%x\r\n%s\r\n0\r\nx-amz-checksum-crc32:%s\r\n\r\n" % (len(BODY), BODY, crc32(b"other").encode()),
        {
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
            "x-amz-decoded-content-length": str(len(BODY)),
            "content-encoding": "aws-chunked",
            "x-amz-trailer": "x-amz-checksum-crc32",
        },
        400,
        "BadDigest",
    ),
}


@pytest.mark.parametrize(("method", "target", "body", "headers", "status", "text"), CASES.values(), ids=CASES.keys())
async def test_checksums_of_a_body(
    method: str, target: str, body: bytes, headers: dict[str, str], status: int, text: str
) -> None:
    """A body that is not what its client describes is refused, and its operation not called."""
    state = Recorder()
    async with serving(front_over(state)) as port:
        answer = await call(exchange, port=port, method=method, target=target, body=body, headers=headers)
    assert answer[0] == status, answer
    assert text in answer[1]
    assert bool(state.calls) == (status == 200)


@pytest.mark.parametrize("setting", ["when_required", "when_supported"])
async def test_what_botocore_sends(setting: str) -> None:
    """The checksums of the SDK, with either of its settings, are the right ones."""
    state = Recorder()
    async with serving(front_over(state)) as port:
        s3 = client_for("s3", port, request_checksum_calculation=setting)
        await call(s3.delete_objects, Bucket="bucket", Delete={"Objects": [{"Key": "a"}]})
        await call(s3.put_object_tagging, Bucket="bucket", Key="key", Tagging={"TagSet": []})
        await call(s3.put_bucket_notification_configuration, Bucket="bucket", NotificationConfiguration={})
    assert [context.operation for context, _ in state.calls] == [
        "DeleteObjects",
        "PutObjectTagging",
        "PutBucketNotificationConfiguration",
    ]
