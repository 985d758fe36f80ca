"""S3 through boto3: the service behind the wire on a real socket, with the SQLite store and blob files."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import io
import os
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from lambdad.delivery import PLAIN, Delivery, Envelope, Sender
from lambdad.model.credential import Credential
from lambdad.model.service import BoundService
from lambdad.services.s3 import SERVICE
from lambdad.services.s3.notifier import Notifier
from lambdad.services.s3.state import S3State
from lambdad.store.files import FileBlobs
from lambdad.store.sqlite import SqliteStore
from lambdad.wire.front import Front
from lambdad.wire.listener import HttpListener
from support import clients
from support.server import wait_until

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:resize"
CREDENTIAL = Credential("AKIATEST", "secret", "000000000000", "arn:aws:iam::000000000000:user/ann")
PART = 5 * 1024**2


class Functions:
    """Takes the events for Lambda functions."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = []
        self.arrived = threading.Event()

    async def check(self, target_arn: str, sender: Sender) -> None:
        pass

    async def accept(
        self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str, envelope: Envelope = PLAIN
    ) -> None:
        self.payloads.append(payload)
        self.arrived.set()


class Running:
    def __init__(self, port: int, blobs: Path, functions: Functions) -> None:
        self.port = port
        self.blobs = blobs
        self.functions = functions

    def client(self, **options: Any) -> Any:
        settings = {
            "endpoint_url": f"http://127.0.0.1:{self.port}",
            "region_name": "us-east-1",
            "aws_access_key_id": CREDENTIAL.access_key_id,
            "aws_secret_access_key": CREDENTIAL.secret,
            "config": Config(retries={"max_attempts": 0}, s3={"addressing_style": "path"}),
        }
        return clients.client("s3", **{**settings, **options})


async def serve(
    folder: Path, sock: socket.socket, functions: Functions, ready: Callable[[], None], stop: asyncio.Event
) -> None:
    async with AsyncExitStack() as parts:
        store = SqliteStore(folder / "records.db")
        await store.open()
        parts.push_async_callback(store.close)
        blobs = FileBlobs(folder / "blobs", store)
        await blobs.open()
        parts.push_async_callback(blobs.close)
        delivery = Delivery()
        delivery.register("lambda", functions)
        state = S3State(store, blobs, store, delivery)
        notifier = Notifier(state)
        await notifier.start()
        parts.push_async_callback(notifier.stop)
        lookup = {CREDENTIAL.access_key_id: CREDENTIAL}.get
        listener = HttpListener(Front([BoundService(SERVICE, state)], lookup=lookup, auth_required=True))
        listening = await listener.listen(sock)
        ready()
        await stop.wait()
        await listener.drain([listening], grace_seconds=5)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("s3")
    functions, ready = Functions(), threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        served = serve(folder, sock, functions, ready.set, stop)
        thread = threading.Thread(target=lambda: loop.run_until_complete(served))
        thread.start()
        assert ready.wait(30)
        yield Running(port, folder / "blobs", functions)
        loop.call_soon_threadsafe(stop.set)
        thread.join()
    loop.close()


@pytest.fixture
def s3(running: Running) -> Any:
    return running.client()


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    name = "b-" + hashlib.sha1(request.node.name.encode()).hexdigest()
    s3.create_bucket(Bucket=name)
    return name


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    return error.value.response["Error"]["Code"], error.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_an_object_goes_in_and_comes_out(s3: Any, bucket: str) -> None:
    """Bytes, headers, metadata and checksum of a put come back by get and head."""
    key = "dir/ü +&%.txt"
    put = s3.put_object(
        Bucket=bucket,
        Key=key,
        Body=b"hello",
        ContentType="text/plain",
        CacheControl="no-store",
        ContentEncoding="identity",
        Expires=datetime(2030, 1, 2, tzinfo=UTC),
        Metadata={"Colour": "blue"},
        Tagging="a=1",
    )
    assert put["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    assert put["ChecksumCRC32"]
    for answer in (s3.get_object(Bucket=bucket, Key=key), s3.head_object(Bucket=bucket, Key=key)):
        assert (answer["ContentType"], answer["ContentLength"], answer["ETag"]) == ("text/plain", 5, put["ETag"])
        assert (answer["Metadata"], answer["CacheControl"], answer["TagCount"]) == ({"colour": "blue"}, "no-store", 1)
        assert answer["ContentEncoding"] == "identity"
        assert answer["Expires"] == datetime(2030, 1, 2, tzinfo=UTC)
        assert abs(answer["LastModified"] - datetime.now(UTC)) < timedelta(minutes=1)
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == b"hello"
    assert s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"] == [{"Key": "a", "Value": "1"}]


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_the_sdk_s_own_checksums(s3: Any, bucket: str, algorithm: str) -> None:
    """The SDK sends its checksum in a trailer, and finds it right in the answer."""
    s3.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(os.urandom(300_000)), ChecksumAlgorithm=algorithm)
    answer = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert answer[f"Checksum{algorithm}"]
    assert len(answer["Body"].read()) == 300_000
    for mode in ("ENABLED", "enabled"):  # the second as the SDK for C++ has it
        assert (
            s3.head_object(Bucket=bucket, Key="k", ChecksumMode=mode)[f"Checksum{algorithm}"] == answer[f"Checksum{algorithm}"]
        )
    with pytest.raises(ClientError) as error:
        s3.get_object(Bucket=bucket, Key="k", ChecksumMode="some")
    assert code_of(error) == ("InvalidArgument", 400)


def test_files_of_many_parts(s3: Any, bucket: str, tmp_path: Path) -> None:
    """upload_file and download_file carry 20 MB in parts, at once, whole."""
    content = os.urandom(20 * 1024**2)
    (tmp_path / "up").write_bytes(content)
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=4)
    s3.upload_file(str(tmp_path / "up"), bucket, "big", Config=config, ExtraArgs={"Metadata": {"a": "b"}})
    head = s3.head_object(Bucket=bucket, Key="big", PartNumber=2)
    assert (head["PartsCount"], head["ContentLength"], head["ETag"][-3:]) == (4, PART, '-4"')
    s3.download_file(bucket, "big", str(tmp_path / "down"), Config=config)
    assert (tmp_path / "down").read_bytes() == content
    ranged = s3.get_object(Bucket=bucket, Key="big", Range=f"bytes={PART - 10}-{PART + 9}")
    assert ranged["Body"].read() == content[PART - 10 : PART + 10]
    s3.copy({"Bucket": bucket, "Key": "big"}, bucket, "copy", Config=config)
    assert s3.get_object(Bucket=bucket, Key="copy")["Body"].read() == content
    parts = s3.get_object_attributes(Bucket=bucket, Key="big", ObjectAttributes=["ObjectParts", "Checksum"])
    assert parts["ObjectParts"]["TotalPartsCount"] == 4
    assert parts["Checksum"]["ChecksumType"]


def test_a_multipart_upload_by_hand(s3: Any, bucket: str) -> None:
    """Without further settings the SDK's checksums per part go through to the end, and a wrong list is refused."""
    upload_id = s3.create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    request = {"Bucket": bucket, "Key": "k", "UploadId": upload_id}
    part = s3.upload_part(**request, PartNumber=1, Body=b"x" * 100)
    assert [upload["UploadId"] for upload in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == [upload_id]
    assert [listed["Size"] for listed in s3.list_parts(**request)["Parts"]] == [100]
    with pytest.raises(ClientError) as error:
        s3.complete_multipart_upload(**request, MultipartUpload={"Parts": [{"PartNumber": 2, "ETag": part["ETag"]}]})
    assert code_of(error) == ("InvalidPart", 400)
    listed = {name: part[name] for name in part if name == "ETag" or name.startswith("Checksum")}
    done = s3.complete_multipart_upload(**request, MultipartUpload={"Parts": [{"PartNumber": 1, **listed}]})
    assert done["Bucket"] == bucket
    with pytest.raises(ClientError) as error:
        s3.abort_multipart_upload(**request)
    assert code_of(error) == ("NoSuchUpload", 404)


def test_conditions_and_ranges(s3: Any, bucket: str) -> None:
    """304, 412, 416 and 206 come as the SDK knows them."""
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")["ETag"]
    answer = s3.get_object(Bucket=bucket, Key="k", Range="bytes=-3")
    assert (answer["Body"].read(), answer["ContentRange"]) == (b"789", "bytes 7-9/10")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
    for request, expected in (
        ({"Range": "bytes=10-"}, ("InvalidRange", 416)),
        ({"IfNoneMatch": etag}, ("304", 304)),
        ({"IfModifiedSince": datetime.now(UTC)}, ("304", 304)),
        ({"IfMatch": '"x"'}, ("PreconditionFailed", 412)),
        ({"VersionId": "3"}, ("InvalidArgument", 400)),
    ):
        with pytest.raises(ClientError) as error:
            s3.get_object(Bucket=bucket, Key="k", **request)
        assert code_of(error) == expected
        with pytest.raises(ClientError) as error:
            s3.head_object(Bucket=bucket, Key="k", **request)
        assert code_of(error)[1] == expected[1]
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"", IfNoneMatch="*")
    assert code_of(error) == ("PreconditionFailed", 412)


def test_what_is_not_there(s3: Any, bucket: str) -> None:
    """The SDK's exceptions for unknown buckets, keys and settings."""
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket=bucket, Key="unknown")
    with pytest.raises(s3.exceptions.NoSuchBucket):
        s3.list_objects_v2(Bucket="unknown-bucket")
    with pytest.raises(ClientError) as error:
        s3.head_object(Bucket=bucket, Key="unknown")
    assert code_of(error) == ("404", 404)
    with pytest.raises(ClientError) as error:
        s3.head_bucket(Bucket="unknown-bucket")
    assert code_of(error) == ("404", 404)
    with pytest.raises(ClientError) as error:
        s3.get_bucket_policy(Bucket=bucket)
    assert code_of(error) == ("NoSuchBucketPolicy", 404)
    for call, request in (
        (s3.put_bucket_versioning, {"VersioningConfiguration": {"Status": "Enabled"}}),
        (s3.put_object, {"Key": "k", "Body": b"", "ServerSideEncryption": "AES256"}),
        (s3.put_object, {"Key": "k", "Body": b"", "StorageClass": "GLACIER"}),
    ):
        with pytest.raises(ClientError) as error:
            call(Bucket=bucket, **request)
        assert code_of(error) == ("NotImplemented", 501)


def test_an_upload_after_a_refused_one(s3: Any, bucket: str) -> None:
    """The SDK asks leave to send a body and keeps it when refused; its next request, on whatever connection, is understood."""
    for _ in range(3):
        with pytest.raises(ClientError) as refused:
            s3.put_object(Bucket="there-is-no-such", Key="k", Body=b"x" * 100_000)
        assert code_of(refused) == ("NoSuchBucket", 404)
        s3.put_object(Bucket=bucket, Key="k", Body=b"after")
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"after"


def test_event_bridge_is_not_taken_for_granted(s3: Any, bucket: str) -> None:
    """The element that asks for events to EventBridge is empty, and still refused, since none would come."""
    with pytest.raises(ClientError, match=r"NotImplemented.*EventBridge"):
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"EventBridgeConfiguration": {}})


def test_settings_that_are_as_they_are(s3: Any, bucket: str) -> None:
    """What infrastructure tools read of a bucket is answered truly."""
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Grantee"]["Type"] == "CanonicalUser"
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    rules = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"]
    assert rules == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    assert all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"


def test_settings_that_are_made(s3: Any, bucket: str) -> None:
    """Tags, given with the bucket and later, and blocks of public access come back as they were sent, and go."""
    tags = [{"Key": "stage", "Value": "a ü/1"}, {"Key": "k", "Value": ""}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    tagged = f"{bucket}-tagged"
    s3.create_bucket(Bucket=tagged, CreateBucketConfiguration={"Tags": tags[:1]})
    assert s3.get_bucket_tagging(Bucket=tagged)["TagSet"] == tags[:1]
    s3.delete_bucket(Bucket=tagged)
    blocks = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={**blocks, "BlockPublicPolicy": False})
    changed = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert changed == {**blocks, "BlockPublicPolicy": False}
    s3.delete_bucket_tagging(Bucket=bucket)
    s3.delete_public_access_block(Bucket=bucket)
    for read in (s3.get_bucket_tagging, s3.get_public_access_block):
        with pytest.raises(ClientError) as error:
            read(Bucket=bucket)
        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


def test_listings(s3: Any, bucket: str) -> None:
    """Both listings page through keys that need encoding, and fold them by the delimiter."""
    keys = sorted([f"d {number:02d}/ü&<\x01>" for number in range(12)] + ["a+b", "é\U0001f600"])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b"x"), keys))
    for operation in ("list_objects", "list_objects_v2"):
        pages = s3.get_paginator(operation).paginate(Bucket=bucket, PaginationConfig={"PageSize": 5})
        assert [content["Key"] for page in pages for content in page["Contents"]] == keys
        pages = s3.get_paginator(operation).paginate(Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 5})
        prefixes = [common["Prefix"] for page in pages for common in page.get("CommonPrefixes", ())]
        assert prefixes == [f"d {number:02d}/" for number in range(12)]
    assert s3.list_objects_v2(Bucket=bucket, Prefix="d 0", MaxKeys=3)["KeyCount"] == 3


def test_deleting(s3: Any, bucket: str) -> None:
    """One, many, and at last the bucket."""
    for number in range(5):
        s3.put_object(Bucket=bucket, Key=f"k {number}", Body=b"x")
    with pytest.raises(ClientError) as error:
        s3.delete_bucket(Bucket=bucket)
    assert code_of(error) == ("BucketNotEmpty", 409)
    assert s3.delete_object(Bucket=bucket, Key="k 0")["ResponseMetadata"]["HTTPStatusCode"] == 204
    named = [{"Key": f"k {number}"} for number in range(5)]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": named})
    assert answer["Deleted"] == named
    s3.delete_bucket(Bucket=bucket)
    assert bucket not in [listed["Name"] for listed in s3.list_buckets()["Buckets"]]


def test_presigned_urls_of_the_javascript_sdk(running: Running, s3: Any, bucket: str) -> None:
    """They have the checksum of no bytes in their query, whatever will be sent; that of a header counts."""
    query = "x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32"
    signed = AWSRequest("PUT", f"http://127.0.0.1:{running.port}/{bucket}/k?{query}")
    key = Credentials(CREDENTIAL.access_key_id, CREDENTIAL.secret)
    S3SigV4QueryAuth(key, "s3", "us-east-1", expires=60).add_auth(signed)
    request = urllib.request.Request(signed.url, data=b"content", method="PUT")
    assert urllib.request.urlopen(request).status == 200
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"content"
    with pytest.raises(ClientError, match="BadDigest"):
        s3.put_object(Bucket=bucket, Key="k", Body=b"other", ChecksumCRC32="AAAAAA==")


def test_presigned_urls(s3: Any, bucket: str) -> None:
    """A URL alone puts and gets an object; a changed one does not."""
    put = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "a b", "ContentType": "text/x"})
    request = urllib.request.Request(put, data=b"presigned", method="PUT", headers={"Content-Type": "text/x"})
    assert urllib.request.urlopen(request).status == 200
    params = {"Bucket": bucket, "Key": "a b", "ResponseContentDisposition": "attachment; filename=x"}
    get = s3.generate_presigned_url("get_object", Params=params)
    with urllib.request.urlopen(get) as answer:
        assert answer.read() == b"presigned"
        assert answer.headers["Content-Disposition"] == "attachment; filename=x"
        assert answer.headers["Content-Type"] == "text/x"
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(get.replace("a%20b", "a%20c"))
    assert error.value.code == 403
    error.value.close()


def test_other_accounts_stay_outside(running: Running, bucket: str) -> None:
    """An unsigned request is denied."""
    connection = http.client.HTTPConnection("127.0.0.1", running.port)
    connection.request("GET", f"/{bucket}/k")
    assert connection.getresponse().status == 403
    connection.close()


def files(folder: Path) -> set[str]:
    """What is in it at the moment, however that changes meanwhile."""
    return {os.path.join(place, name) for place, _, names in os.walk(folder) for name in names}


def test_an_upload_that_breaks_off_leaves_nothing(running: Running, s3: Any, bucket: str) -> None:
    """A client that goes away in the middle of its body has put nothing, and no half file stays."""
    before = files(running.blobs)
    url = s3.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
    path = url.partition(str(running.port))[2]
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nContent-Length: 4000000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 2_000_000)
    # Files of before may still be on their way out, of objects that another test has deleted.
    wait_until(lambda: files(running.blobs) <= before, 30, "the half file to go")
    with pytest.raises(ClientError):
        s3.head_object(Bucket=bucket, Key="k")


def test_notifications(running: Running, s3: Any, bucket: str) -> None:
    """What is configured comes back and can be written back, and a put reaches the function, with its own request's ids."""
    configuration = {
        "Id": "mine",
        "LambdaFunctionArn": FUNCTION,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "suffix", "Value": ".xls"}]}},
    }
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [configuration]}
    )
    configuration["Filter"]["Key"]["FilterRules"][0]["Name"] = "Suffix"
    told = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert told["LambdaFunctionConfigurations"] == [configuration]
    written_back = {"LambdaFunctionConfigurations": told["LambdaFunctionConfigurations"]}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=written_back)
    assert s3.get_bucket_notification_configuration(Bucket=bucket)["LambdaFunctionConfigurations"] == [configuration]
    put = s3.put_object(Bucket=bucket, Key="a b.xls", Body=b"x")
    assert running.functions.arrived.wait(30)
    (payload,) = running.functions.payloads
    headers = put["ResponseMetadata"]["HTTPHeaders"]
    assert f'"x-amz-request-id":"{headers["x-amz-request-id"]}"'.encode() in payload
    assert f'"x-amz-id-2":"{headers["x-amz-id-2"]}"'.encode() in payload
    assert b'"key":"a+b.xls","size":1' in payload
    with pytest.raises(ClientError) as error:
        queue = {"QueueArn": "arn:aws:sqs:us-east-1:000000000000:q", "Events": ["s3:ObjectCreated:*"]}
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [queue]})
    assert code_of(error) == ("NotImplemented", 501)
    told["LambdaFunctionConfigurations"][0]["Filter"]["Key"]["FilterRules"][0]["Name"] = "infix"
    with pytest.raises(ClientError, match="filter rule name must be either prefix or suffix") as error:
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=written_back)
    assert code_of(error) == ("InvalidArgument", 400)


def test_virtual_host_addressing(running: Running, s3: Any, bucket: str) -> None:
    """The bucket may stand in the host's name."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"a": "b"})
    url = s3.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert urllib.request.urlopen(url).status == 200
    config = Config(s3={"addressing_style": "virtual"}, retries={"max_attempts": 0})
    virtual = running.client(endpoint_url=f"http://s3.localhost.localstack.cloud:{running.port}", config=config)
    signed = virtual.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    host, _, path = signed.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection("127.0.0.1", running.port)
    connection.request("GET", f"/{path}", headers={"Host": host})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"x")
    connection.close()
