"""The document's own example: an .xls put into a bucket comes out as .csv."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from support.server import RUNTIME, Server, wait_until, zipped

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "xls_to_csv"
SEED_FUNCTION = REPOSITORY.parent / "shared" / "seed" / "lambda_function.py"

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(400)]


def layer_recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("layer", EXAMPLE / "layer.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def deploy_with_trigger(server: Server, name: str, source: Path, runtime: str, bucket: str) -> None:
    s3, lambda_ = server.client("s3"), server.client("lambda")
    s3.create_bucket(Bucket=bucket)
    archive = layer_recipe().build(runtime, REPOSITORY / ".cache" / "layers")
    s3.upload_file(str(archive), bucket, "layer.zip")
    layer = lambda_.publish_layer_version(LayerName=f"{name}-layer", Content={"S3Bucket": bucket, "S3Key": "layer.zip"})
    function_arn = server.create_function(
        name,
        "",
        runtime=runtime,
        Handler="lambda_function.lambda_handler",
        Code={"ZipFile": zipped({"lambda_function.py": source.read_text()})},
        Layers=[layer["LayerVersionArn"]],
        MemorySize=512,
        Timeout=60,
    )
    lambda_.add_permission(
        FunctionName=name,
        StatementId="bucket",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
        SourceArn=f"arn:aws:s3:::{bucket}",
    )
    trigger = {
        "LambdaFunctionArn": function_arn,
        "Events": ["s3:ObjectCreated:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "suffix", "Value": ".xls"}]}},
    }
    s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"LambdaFunctionConfigurations": [trigger]}
    )


def result_of_upload(server: Server, bucket: str, name: str) -> str:
    s3 = server.client("s3")
    s3.upload_file(str(EXAMPLE / "orders.xls"), bucket, "orders.xls")

    def csv() -> str | None:
        try:
            return s3.get_object(Bucket=bucket, Key="update_orders.xls.csv")["Body"].read().decode()
        except s3.exceptions.NoSuchKey:
            failures = [
                line
                for line in server.messages(f"/aws/lambda/{name}")
                if "[ERROR]" in line or ("Status: " in line and not line.startswith("INIT_REPORT"))
            ]
            assert not failures, failures
            return None

    return wait_until(csv, 60, "the CSV")


@pytest.mark.parametrize("runtime", [pytest.param("python3.8", marks=pytest.mark.runtime("python3.8")), RUNTIME])
def test_the_documents_function_runs_unmodified(server: Server, runtime: str) -> None:
    """The seed's function, byte for byte, turns orders.xls into update_orders.xls.csv with a projectmanager column."""
    if not SEED_FUNCTION.exists():
        pytest.skip("the document is not beside this checkout")
    name = f"seed-{runtime.replace('.', '-')}"
    deploy_with_trigger(server, name, SEED_FUNCTION, runtime, bucket=name)
    csv = result_of_upload(server, name, name)
    assert csv.splitlines()[0] == ",order,customer,amount,projectmanager"
    assert csv.splitlines()[1].startswith("0,1001,Ada,12.5,Jahidul")


def test_the_example_converts_and_logs(server: Server) -> None:
    """The project's example writes its CSV, and its log shows START, the function's output, END and REPORT in this order."""
    deploy_with_trigger(server, "example", EXAMPLE / "lambda_function.py", RUNTIME, bucket="example-sheets")
    csv = result_of_upload(server, "example-sheets", "example")
    assert csv == (
        "order,customer,amount,projectmanager\n"
        "1001,Ada,12.5,unassigned\n1002,Grace,99.0,unassigned\n1003,Edsger,7.25,unassigned\n1004,Barbara,42.0,unassigned\n"
    )
    log = wait_until(
        lambda: [lines for lines in [server.messages("/aws/lambda/example")] if any("REPORT" in line for line in lines)],
        20,
        "the REPORT line",
    )[0]
    positions = [
        next(i for i, line in enumerate(log) if line.startswith(start))
        for start in ("START RequestId: ", "Reading s3://", "Wrote s3://", "END RequestId: ", "REPORT RequestId: ")
    ]
    assert positions == sorted(positions)
