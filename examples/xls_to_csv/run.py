"""The whole story: starts lambdad, deploys the function with its layer and trigger, puts an .xls, prints the .csv."""

import argparse
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import zipfile

import boto3
import botocore.exceptions
from botocore.config import Config

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
import layer  # noqa: E402  (the neighbour file, also usable alone)

FUNCTION_NAME = "xls-to-csv"
BUCKET = "spreadsheets"
ROLE = "arn:aws:iam::000000000000:role/xls-to-csv"
SOURCE_KEY = "orders.xls"
RESULT_KEY = "update_orders.xls.csv"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", default=f"python{sys.version_info.major}.{sys.version_info.minor}")
    parser.add_argument("--cache-dir", default=".cache")
    parser.add_argument("--isolation", default="auto", help="auto, namespace or process (see lambdad up --help)")
    arguments = parser.parse_args()
    archive = layer.build(arguments.runtime, pathlib.Path(arguments.cache_dir) / "layers", say)
    with tempfile.TemporaryDirectory(prefix="lambdad-run-") as data_dir:
        server, endpoint = start_server(pathlib.Path(data_dir), arguments)
        try:
            tell_the_story(endpoint, arguments.runtime, archive)
        finally:
            stop_server(server)


def tell_the_story(endpoint, runtime, archive):
    s3, lambda_, logs = (client(name, endpoint) for name in ("s3", "lambda", "logs"))
    s3.create_bucket(Bucket=BUCKET)
    deploy(s3, lambda_, runtime, archive)
    say(f"Putting {SOURCE_KEY} into s3://{BUCKET} ...")
    s3.upload_file(str(HERE / SOURCE_KEY), BUCKET, SOURCE_KEY)
    csv = wait_for_object(s3, RESULT_KEY, seconds=60)
    log = wait_for_report(logs, seconds=10)
    say(f"\ns3://{BUCKET}/{RESULT_KEY}:")
    print(csv, flush=True)
    say("The function's log:")
    print(log, flush=True)


def deploy(s3, lambda_, runtime, archive):
    say("Publishing the layer ...")
    s3.upload_file(str(archive), BUCKET, "layers/pandas-xlrd.zip")
    published = lambda_.publish_layer_version(
        LayerName="pandas-xlrd",
        Content={"S3Bucket": BUCKET, "S3Key": "layers/pandas-xlrd.zip"},
        CompatibleRuntimes=[runtime],
    )
    say("Creating the function ...")
    function = lambda_.create_function(
        FunctionName=FUNCTION_NAME,
        Runtime=runtime,
        Handler="lambda_function.lambda_handler",
        Role=ROLE,
        Code={"ZipFile": zipped(HERE / "lambda_function.py")},
        Layers=[published["LayerVersionArn"]],
        Environment={"Variables": {"PROJECT_MANAGER": "Ada Lovelace"}},
        MemorySize=512,
        Timeout=30,
    )
    lambda_.get_waiter("function_active_v2").wait(FunctionName=FUNCTION_NAME, WaiterConfig={"Delay": 1})
    lambda_.add_permission(
        FunctionName=FUNCTION_NAME,
        StatementId="from-the-bucket",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn=f"arn:aws:s3:::{BUCKET}",
    )
    trigger = {
        "LambdaFunctionArn": function["FunctionArn"],
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "suffix", "Value": ".xls"}]}},
    }
    s3.put_bucket_notification_configuration(
        Bucket=BUCKET, NotificationConfiguration={"LambdaFunctionConfigurations": [trigger]}
    )


def zipped(path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.write(path, path.name)
    return buffer.getvalue()


def wait_for_object(s3, key, seconds):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchKey":
                raise
            if time.monotonic() > deadline:
                raise SystemExit(f"No s3://{BUCKET}/{key} after {seconds} seconds.") from error
        time.sleep(0.1)


def wait_for_report(logs, seconds):
    """The function's log up to its REPORT line; the log is written a moment after the function's end."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{FUNCTION_NAME}")["events"]
        except logs.exceptions.ResourceNotFoundException:
            events = []
        text = "\n".join(event["message"].rstrip("\n") for event in events)
        if "REPORT RequestId" in text:
            return text
        if time.monotonic() > deadline:
            raise SystemExit(f"No REPORT line in the log after {seconds} seconds. The log so far:\n{text}")
        time.sleep(0.1)


def start_server(data_dir, arguments):
    ready_file = data_dir / "ready.json"
    command = [sys.executable, "-m", "lambdad", "up", "--port", "0", "--data-dir", str(data_dir / "data")]
    command += ["--cache-dir", str(pathlib.Path(arguments.cache_dir).resolve() / "lambdad")]
    command += ["--isolation", arguments.isolation, "--ready-file", str(ready_file)]
    say("Starting lambdad ...")
    server = subprocess.Popen(command)
    while not ready_file.exists():
        if server.poll() is not None:
            raise SystemExit(server.returncode)
        time.sleep(0.05)
    return server, json.loads(ready_file.read_text())["endpoint"]


def stop_server(server):
    server.terminate()
    if server.wait(timeout=30) != 0:
        raise SystemExit(f"lambdad ended with exit code {server.returncode}.")


def client(service, endpoint):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 0}),
    )


def say(text):
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
