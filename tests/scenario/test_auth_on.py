"""`--auth on`: signatures are verified, keys come from `lambdad credentials create`."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

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
    streamed = lambda_.invoke_with_response_stream(FunctionName="calls-back", Payload=b"{}")
    assert list(streamed["EventStream"]) == [{"PayloadChunk": {"Payload": b'"signed body"'}}, {"InvokeComplete": {}}]
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


def test_a_function_url_is_for_signers_or_for_everybody(strict: Server, keys: dict[str, str]) -> None:
    """AWS_IAM verifies a signature over the body as the API does; NONE wants none, once the policy lets everybody in."""
    lambda_, iam = strict.client("lambda", **keys), strict.client("iam", **keys)
    iam.create_role(RoleName="of-url", AssumeRolePolicyDocument=json.dumps(TRUST))
    code = zipped({"lambda_function.py": "def handler(event, context): return event"})
    lambda_.create_function(
        FunctionName="signed-url", Runtime=RUNTIME, Handler="lambda_function.handler", Code={"ZipFile": code},
        Role="arn:aws:iam::000000000000:role/of-url",
    )  # fmt: skip
    lambda_.get_waiter("function_active_v2").wait(FunctionName="signed-url", WaiterConfig={"Delay": 1})
    url_id = lambda_.create_function_url_config(FunctionName="signed-url", AuthType="AWS_IAM")["FunctionUrl"][7:39]
    url = f"{strict.endpoint}/_lambdad/url/{url_id}/a%20b?x=1"

    def call(
        body: bytes, *, signed_body: bytes | None = None, by: tuple[str, ...] = tuple(keys.values())
    ) -> tuple[int, dict[str, Any]]:
        request = AWSRequest("POST", url, data=body if signed_body is None else signed_body)
        if signed_body is not None:
            SigV4Auth(Credentials(*by), "lambda", "us-east-1").add_auth(request)
        sent = urllib.request.Request(url, body, dict(request.headers.items()), method="POST")
        try:
            with urllib.request.urlopen(sent) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error as answer:
                return answer.code, json.load(answer)

    status, event = call(b"hello", signed_body=b"hello")
    assert status == 200, event
    assert event["requestContext"]["authorizer"]["iam"]["accessKey"] == keys["aws_access_key_id"]
    assert "authorization" not in event["headers"]
    status, refusal = call(b"hello", signed_body=b"other")
    assert (status, refusal["Message"].startswith("The request signature we calculated does not match")) == (403, True)
    assert call(b"hello") == (403, {"Message": "Missing Authentication Token"})

    user = iam.create_user(UserName="caller")["User"]
    made = iam.create_access_key(UserName="caller")["AccessKey"]
    ann = (made["AccessKeyId"], made["SecretAccessKey"])
    of_url = {"Action": "lambda:InvokeFunctionUrl", "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}}
    by_url = {"Action": "lambda:InvokeFunction", "Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}}
    for allowed, status in ([of_url], 403), ([by_url], 403), ([of_url, by_url], 200):
        statements = [{"Effect": "Allow", "Resource": "*", **each} for each in allowed]
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_user_policy(UserName="caller", PolicyName="p", PolicyDocument=document)
        assert call(b"hello", signed_body=b"hello", by=ann)[0] == status
    event = call(b"hello", signed_body=b"hello", by=ann)[1]
    assert event["requestContext"]["authorizer"]["iam"]["userId"] == user["UserId"]
    with pytest.raises(botocore.exceptions.ClientError, match="AccessDenied"):
        strict.client("lambda", aws_access_key_id=ann[0], aws_secret_access_key=ann[1]).invoke(FunctionName="signed-url")

    lambda_.update_function_url_config(FunctionName="signed-url", AuthType="NONE")
    assert call(b"hello")[0] == 403
    everybody = {"FunctionName": "signed-url", "Principal": "*"}
    lambda_.add_permission(
        **everybody, StatementId="a", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE"
    )  # fmt: skip
    lambda_.add_permission(**everybody, StatementId="b", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True)
    status, event = call(b"hello")
    assert (status, event["requestContext"]["accountId"]) == (200, "anonymous")
