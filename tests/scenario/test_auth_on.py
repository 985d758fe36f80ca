"""`--auth on`: signatures are verified, keys come from `lambdad credentials create`."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import botocore.exceptions
import pytest

from support.server import ROLE, RUNTIME, Server, running, wait_until, zipped

pytestmark = pytest.mark.root

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
CALLS_BACK = """
import boto3

def handler(event, context):
    boto3.client("s3").put_object(Bucket="signed", Key="from-function", Body=b"hello")
    return boto3.client("s3").get_object(Bucket="signed", Key="by-user")["Body"].read().decode()
"""


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("strict"), "--auth", "on") as started:
        yield started


@pytest.fixture(scope="module")
def keys(strict: Server) -> dict[str, str]:
    """An access key made while the server runs, as client arguments."""
    made = subprocess.run(
        [sys.executable, "-m", "lambdad", "credentials", "create", "--data-dir", str(strict.data_dir), "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    key = json.loads(made.stdout)
    return {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}


def test_a_made_key_works_for_every_service(strict: Server, keys: dict[str, str]) -> None:
    """S3 with streaming signatures, Lambda and Logs accept requests signed with the key."""
    s3 = strict.client("s3", **keys)
    s3.create_bucket(Bucket="signed")
    s3.put_object(Bucket="signed", Key="by-user", Body=b"signed body")
    assert s3.get_object(Bucket="signed", Key="by-user")["Body"].read() == b"signed body"
    assert strict.client("lambda", **keys).list_functions()["Functions"] == []
    assert strict.client("logs", **keys).describe_log_groups()["logGroups"] == []


def test_a_presigned_url_works_until_it_is_altered(strict: Server, keys: dict[str, str]) -> None:
    """The URL alone is enough to read; with another key in it it is refused."""
    s3 = strict.client("s3", **keys)
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "signed", "Key": "by-user"})
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"signed body"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url.replace("by-user", "other"))
    with refused.value as answer:
        assert answer.code == 403
        assert b"SignatureDoesNotMatch" in answer.read()


@pytest.mark.parametrize(
    ("service", "call", "code"),
    [
        ("s3", "list_buckets", "InvalidAccessKeyId"),
        ("lambda", "list_functions", "UnrecognizedClientException"),
        ("logs", "describe_log_groups", "UnrecognizedClientException"),
    ],
)
def test_an_unknown_key_is_refused(strict: Server, service: str, call: str, code: str) -> None:
    """Each protocol says so in its own error."""
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        getattr(strict.client(service), call)()
    assert refused.value.response["Error"]["Code"] == code


def test_a_wrong_secret_is_refused(strict: Server, keys: dict[str, str]) -> None:
    """A known key id with another secret does not sign."""
    client = strict.client("lambda", **{**keys, "aws_secret_access_key": "wrong"})
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        client.list_functions()
    assert refused.value.response["Error"]["Code"] in ("InvalidSignatureException", "SignatureDoesNotMatch")
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_function_has_credentials_that_work(strict: Server, keys: dict[str, str]) -> None:
    """Inside a function boto3 signs with the environment's own credentials, and the server accepts them."""
    lambda_, iam = strict.client("lambda", **keys), strict.client("iam", **keys)
    iam.create_role(RoleName="test", AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.attach_role_policy(RoleName="test", PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    lambda_.create_function(
        FunctionName="calls-back", Runtime=RUNTIME, Handler="lambda_function.handler", Role=ROLE, Timeout=30, MemorySize=256,
        Code={"ZipFile": zipped({"lambda_function.py": CALLS_BACK})},
    )  # fmt: skip
    wait_until(lambda: lambda_.get_function_configuration(FunctionName="calls-back")["State"] == "Active", 60, "the function")
    answer = lambda_.invoke(FunctionName="calls-back", Payload=b"{}")
    assert json.loads(answer["Payload"].read()) == "signed body"
    assert strict.client("s3", **keys).get_object(Bucket="signed", Key="from-function")["Body"].read() == b"hello"


def test_keys_outlive_a_restart(tmp_path: Path) -> None:
    """A key made before the first start is there, and still there after kill -9."""
    made = subprocess.run(
        [sys.executable, "-m", "lambdad", "credentials", "create", "--data-dir", str(tmp_path / "data"), "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    key = json.loads(made.stdout)
    keys = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    with running(tmp_path, "--auth", "on") as server:
        assert server.client("s3", **keys).list_buckets()["Buckets"] == []
        server.kill()
        server.start()
        assert server.client("s3", **keys).list_buckets()["Buckets"] == []
