"""The whole story: starts lambdad, deploys the function with its layer and trigger, puts an .xls, prints the .csv."""

import argparse
import contextlib
import io
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import zipfile

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))
import layer  # noqa: E402  (the neighbour file, also usable alone)

FUNCTION_NAME = "xls-to-csv"
BUCKET = "spreadsheets"
ROLE = "arn:aws:iam::000000000000:role/xls-to-csv"
SOURCE_KEY = "orders.xls"
RESULT_KEY = "update_orders.xls.csv"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtime", default=f"python{sys.version_info.major}.{sys.version_info.minor}")
    parser.add_argument("--cache-dir", default=".cache")
    parser.add_argument("--isolation", default="auto", help="auto, namespace or process (see lambdad up --help)")
    arguments = parser.parse_args()
    archive = layer.build(arguments.runtime, pathlib.Path(arguments.cache_dir) / "layers", say)
    with (
        tempfile.TemporaryDirectory(prefix="lambdad-run-") as folder,
        running_server(pathlib.Path(folder), arguments) as endpoint,
    ):
        tell_the_story(endpoint, arguments.runtime, archive)


def tell_the_story(endpoint, runtime, archive):
    s3, lambda_, logs = (client(name, endpoint) for name in ("s3", "lambda", "logs"))
    s3.create_bucket(Bucket=BUCKET)
    deploy(s3, lambda_, runtime, archive)
    say(f"Putting {SOURCE_KEY} into s3://{BUCKET} ...")
    s3.upload_file(str(HERE / SOURCE_KEY), BUCKET, SOURCE_KEY)
    csv = wait_for_object(s3, logs, RESULT_KEY, seconds=60)
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
    wait_until_active(lambda_)
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


def wait_until_active(lambda_):
    """The first function of a runtime waits for its SDK, which is installed once."""
    while True:
        configuration = lambda_.get_function_configuration(FunctionName=FUNCTION_NAME)
        if configuration["State"] == "Active":
            return
        if configuration["State"] == "Failed":
            raise SystemExit(f"The function cannot run: {configuration['StateReason']}")
        time.sleep(0.1)


def zipped(path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.write(path, path.name)
    return buffer.getvalue()


def wait_for_object(s3, logs, key, seconds):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
        except s3.exceptions.NoSuchKey as error:
            if time.monotonic() > deadline:
                log = function_log(logs)
                raise SystemExit(
                    f"No s3://{BUCKET}/{key} after {seconds} seconds. The function's log so far:\n{log}"
                ) from error
        time.sleep(0.1)


def wait_for_report(logs, seconds):
    """The function's log up to its REPORT line; the log is written a moment after the function's end."""
    deadline = time.monotonic() + seconds
    while True:
        text = function_log(logs)
        if "REPORT RequestId" in text:
            return text
        if time.monotonic() > deadline:
            raise SystemExit(f"No REPORT line in the log after {seconds} seconds. The log so far:\n{text}")
        time.sleep(0.1)


def function_log(logs):
    try:
        events = logs.filter_log_events(logGroupName=f"/aws/lambda/{FUNCTION_NAME}")["events"]
    except logs.exceptions.ResourceNotFoundException:
        return ""
    return "\n".join(event["message"].rstrip("\n") for event in events)


@contextlib.contextmanager
def running_server(folder, arguments):
    """Gives the endpoint. The server is in a session of its own: Ctrl-C reaches this program alone, which then stops it."""
    ready_file = folder / "ready.json"
    command = [sys.executable, "-m", "lambdad", "up", "--port", "0", "--data-dir", str(folder / "data")]
    command += ["--cache-dir", str(pathlib.Path(arguments.cache_dir).resolve() / "lambdad")]
    command += ["--isolation", arguments.isolation, "--ready-file", str(ready_file)]
    command += ["--log-level", "warning", "--drain-seconds", "5"]
    say("Starting lambdad ...")
    server = subprocess.Popen(command, start_new_session=True)
    try:
        while not ready_file.exists():
            if server.poll() is not None:
                raise SystemExit(server.returncode)
            time.sleep(0.05)
        yield json.loads(ready_file.read_text())["endpoint"]
    finally:
        for impatience in STOP_SIGNALS:
            signal.signal(impatience, signal.SIG_IGN)
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
    if server.returncode != 0:
        raise SystemExit(f"lambdad ended with exit code {server.returncode}.")


def client(service, endpoint):
    import boto3  # here, because it takes a moment in which Ctrl-C would show where in boto3 it came
    from botocore.config import Config

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


def interrupt(number, frame):
    raise KeyboardInterrupt


if __name__ == "__main__":
    for stop_signal in STOP_SIGNALS:
        if signal.getsignal(stop_signal) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(stop_signal, interrupt)
    try:
        main()
    except KeyboardInterrupt:
        say("Interrupted.")
        sys.exit(130)
