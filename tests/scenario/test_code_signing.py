"""Code signing as its users have it: boto3 makes a profile, signs a package in S3, and deploys it where others are refused."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import botocore.exceptions
import pytest
from botocore.config import Config

from support.server import ROLE, RUNTIME, Server, zipped

pytestmark = pytest.mark.root

SOURCE = "def handler(event, context):\n    return 'signed'\n"


def refusal(call: Any, **arguments: Any) -> tuple[str, str]:
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        call(**arguments)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_only_signed_packages_are_deployed(server: Server) -> None:
    """From the profile to the function that runs: unsigned and altered packages are refused, the signed one says by whom."""
    signer, lambda_, s3 = server.client("signer"), server.client("lambda"), server.client("s3")
    profile = signer.put_signing_profile(profileName="release", platformId="AWSLambda-SHA384-ECDSA", tags={"team": "a"})
    config = lambda_.create_code_signing_config(
        AllowedPublishers={"SigningProfileVersionArns": [profile["profileVersionArn"]]},
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )["CodeSigningConfig"]["CodeSigningConfigArn"]
    s3.create_bucket(Bucket="packages")
    s3.put_object(Bucket="packages", Key="app.zip", Body=zipped({"lambda_function.py": SOURCE}))
    job = signer.start_signing_job(
        source={"s3": {"bucketName": "packages", "key": "app.zip", "version": "null"}},
        destination={"s3": {"bucketName": "packages", "prefix": "signed-"}},
        profileName="release",
    )["jobId"]
    signer.get_waiter("successful_signing_job").wait(jobId=job)
    signed = signer.describe_signing_job(jobId=job)["signedObject"]["s3"]
    function = {
        "FunctionName": "only-signed",
        "Runtime": RUNTIME,
        "Role": ROLE,
        "Handler": "lambda_function.handler",
        "CodeSigningConfigArn": config,
    }
    unsigned = {"S3Bucket": "packages", "S3Key": "app.zip"}
    assert refusal(lambda_.create_function, **function, Code=unsigned)[0] == "CodeVerificationFailedException"
    created = lambda_.create_function(**function, Code={"S3Bucket": signed["bucketName"], "S3Key": signed["key"]})
    assert created["SigningProfileVersionArn"] == profile["profileVersionArn"]
    assert created["SigningJobArn"] == f"arn:aws:signer:us-east-1:000000000000:/signing-jobs/{job}"
    server.wait_active("only-signed")
    assert json.loads(lambda_.invoke(FunctionName="only-signed")["Payload"].read()) == "signed"
    assert lambda_.get_function_code_signing_config(FunctionName="only-signed")["CodeSigningConfigArn"] == config
    users = lambda_.list_functions_by_code_signing_config(CodeSigningConfigArn=config)["FunctionArns"]
    assert users == [created["FunctionArn"]]
    altered = io.BytesIO(s3.get_object(Bucket=signed["bucketName"], Key=signed["key"])["Body"].read())
    with zipfile.ZipFile(altered, "a") as archive:
        archive.writestr("more.py", "evil = 1")
    code, message = refusal(lambda_.update_function_code, FunctionName="only-signed", ZipFile=altered.getvalue())
    assert code == "InvalidCodeSignatureException" and "changed after it was signed" in message
    code, message = refusal(lambda_.update_function_code, FunctionName="only-signed", **unsigned)
    assert code == "CodeVerificationFailedException" and message.startswith("Lambda cannot deploy the function.")
    assert refusal(lambda_.delete_code_signing_config, CodeSigningConfigArn=config)[0] == "ResourceConflictException"
    signer.revoke_signature(jobId=job, reason="leaked")
    whole = {"S3Bucket": signed["bucketName"], "S3Key": signed["key"]}
    assert "revoked" in refusal(lambda_.update_function_code, FunctionName="only-signed", **whole)[1]
    warns = {"UntrustedArtifactOnDeployment": "Warn"}
    lambda_.update_code_signing_config(CodeSigningConfigArn=config, CodeSigningPolicies=warns)
    lambda_.update_function_code(FunctionName="only-signed", **unsigned)
    assert "SigningJobArn" not in lambda_.get_function_configuration(FunctionName="only-signed")
    lambda_.delete_function(FunctionName="only-signed")
    lambda_.delete_code_signing_config(CodeSigningConfigArn=config)
    signer.cancel_signing_profile(profileName="release")
    assert signer.list_signing_profiles()["profiles"] == []
    for key in ("app.zip", signed["key"]):
        s3.delete_object(Bucket="packages", Key=key)
    s3.delete_bucket(Bucket="packages")


def test_a_package_that_only_s3_can_carry_is_signed_and_deployed(server: Server) -> None:
    """Of more than the 50 MB that a request may bring."""
    signer, lambda_, s3 = server.client("signer"), server.client("lambda"), server.client("s3")
    profile = signer.put_signing_profile(profileName="large", platformId="AWSLambda-SHA384-ECDSA")
    config = lambda_.create_code_signing_config(
        AllowedPublishers={"SigningProfileVersionArns": [profile["profileVersionArn"]]},
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )["CodeSigningConfig"]["CodeSigningConfigArn"]
    package = io.BytesIO(zipped({"lambda_function.py": SOURCE}))
    with zipfile.ZipFile(package, "a") as archive:
        archive.writestr("model.bin", bytes(51 << 20))
    s3.create_bucket(Bucket="large-packages")
    s3.put_object(Bucket="large-packages", Key="app.zip", Body=package.getvalue())
    job = signer.start_signing_job(
        source={"s3": {"bucketName": "large-packages", "key": "app.zip", "version": "null"}},
        destination={"s3": {"bucketName": "large-packages"}},
        profileName="large",
    )["jobId"]
    described = signer.describe_signing_job(jobId=job)
    assert described["status"] == "Succeeded", described["statusReason"]
    code = {"S3Bucket": "large-packages", "S3Key": described["signedObject"]["s3"]["key"]}
    lambda_.create_function(
        FunctionName="large",
        Runtime=RUNTIME,
        Role=ROLE,
        Handler="lambda_function.handler",
        CodeSigningConfigArn=config,
        Code=code,
    )
    server.wait_active("large")
    assert json.loads(lambda_.invoke(FunctionName="large")["Payload"].read()) == "signed"
    lambda_.delete_function(FunctionName="large")
    lambda_.delete_code_signing_config(CodeSigningConfigArn=config)
    signer.cancel_signing_profile(profileName="large")
    for key in ("app.zip", code["S3Key"]):
        s3.delete_object(Bucket="large-packages", Key=key)
    s3.delete_bucket(Bucket="large-packages")


def test_bad_requests_to_signer_are_refused(server: Server) -> None:
    """Names, ids and enums beyond the model, an unknown platform, and what is not served, in the model's errors."""
    signer = server.client("signer", config=Config(parameter_validation=False, retries={"max_attempts": 0}))
    put = {"profileName": "ok", "platformId": "AWSLambda-SHA384-ECDSA"}
    requests: list[tuple[Any, dict[str, Any]]] = [
        (signer.put_signing_profile, {**put, "profileName": "a"}),
        (signer.put_signing_profile, {**put, "profileName": "a-b"}),
        (signer.put_signing_profile, {**put, "platformId": "Other"}),
        (signer.put_signing_profile, {**put, "signatureValidityPeriod": {"value": 1, "type": "WEEKS"}}),
        (signer.put_signing_profile, {**put, "tags": {"aws:x": "y"}}),
        (signer.put_signing_profile, {**put, "signingMaterial": {"certificateArn": "arn:aws:acm:x"}}),
        (signer.list_signing_jobs, {"maxResults": 26}),
        (signer.list_signing_platforms, {}),
        (signer.start_signing_job, {"profileName": "ok", "clientRequestToken": "t", "source": {}, "destination": {}}),
    ]
    for call, request in requests:
        assert refusal(call, **request)[0] == "ValidationException", request
    for call, request in (
        (signer.get_signing_profile, {"profileName": "not_there"}),
        (signer.describe_signing_job, {"jobId": "../../x"}),
    ):
        assert refusal(call, **request)[0] == "ResourceNotFoundException"
    assert signer.list_signing_profiles()["profiles"] == []
