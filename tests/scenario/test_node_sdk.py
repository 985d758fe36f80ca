"""The AWS SDK that Node.js functions find without bringing it, used against lambdad's own services."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lambdad.runtimes.install import NpmInstaller
from lambdad.runtimes.node.family import FAMILY
from support.server import ROLE, Server, zipped

RUNTIME = "nodejs20.x"
MODULE = """
import { S3Client, ListBucketsCommand } from '@aws-sdk/client-s3';
import { DynamoDBDocumentClient } from '@aws-sdk/lib-dynamodb';
export const handler = async () => {
  const { Buckets } = await new S3Client().send(new ListBucketsCommand({}));
  return [Buckets.map((bucket) => bucket.Name), typeof DynamoDBDocumentClient.from];
};
"""
SCRIPT = """
const { S3Client, ListBucketsCommand } = require('@aws-sdk/client-s3');
exports.handler = async () => {
  const { Buckets } = await new S3Client().send(new ListBucketsCommand({}));
  return [Buckets.map((bucket) => bucket.Name), 'function'];
};
"""
VERSION_2 = """
require(process.argv[1]).teachEndpointVariables();
const S3 = require(process.argv[2] + '/node_modules/aws-sdk/clients/s3');
const s3 = new S3();
(async () => {
  await s3.putObject({ Bucket: 'node-sdk-2', Key: 'a b', Body: 'hello' }).promise();
  const { Body } = await s3.getObject({ Bucket: 'node-sdk-2', Key: 'a b' }).promise();
  console.log(String(Body));
})();
"""


@pytest.mark.root
@pytest.mark.runtime(RUNTIME)
def test_functions_use_the_sdk_that_the_runtime_brings(server: Server) -> None:
    """By `import` and by `require`, without a word on where lambdad is."""
    health = server.health()["runtimes"]
    if RUNTIME not in health["available"]:
        pytest.skip(f"no interpreter for {RUNTIME}")
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    server.client("s3").create_bucket(Bucket="node-sdk-3")
    client = server.client("lambda")
    for name, file, source in (("node-sdk-import", "app.mjs", MODULE), ("node-sdk-require", "app.js", SCRIPT)):
        code = {"ZipFile": zipped({file: source})}
        settings = {"Runtime": RUNTIME, "Timeout": 30, "MemorySize": 512}
        client.create_function(FunctionName=name, Role=ROLE, Code=code, Handler="app.handler", **settings)
        server.wait_active(name)
        problem = server.health()["runtimes"]["problems"].get(RUNTIME, "")
        if "npm could not install" in problem:
            pytest.skip(f"npm's registry cannot be used: {problem}")
        buckets, kind = server.invoke(name, {})
        assert "node-sdk-3" in buckets
        assert kind == "function"


@pytest.mark.root
@pytest.mark.runtime(RUNTIME)
def test_the_sdk_of_a_layer_comes_before_the_runtimes(server: Server) -> None:
    """As on AWS, where a layer is how one pins a release."""
    if RUNTIME not in server.health()["runtimes"]["available"]:
        pytest.skip(f"no interpreter for {RUNTIME}")
    client = server.client("lambda")
    module = "nodejs/node_modules/@aws-sdk/client-s3/index.js"
    layer = {"ZipFile": zipped({module: "module.exports = 'layer';"})}
    arn = client.publish_layer_version(LayerName="node-sdk", Content=layer)["LayerVersionArn"]
    code = {"ZipFile": zipped({"app.js": "exports.handler = async () => require('@aws-sdk/client-s3');"})}
    settings = {"Runtime": RUNTIME, "Timeout": 30, "MemorySize": 512, "Layers": [arn]}
    client.create_function(FunctionName="node-sdk-layer", Role=ROLE, Code=code, Handler="app.handler", **settings)
    server.wait_active("node-sdk-layer")
    assert server.invoke("node-sdk-layer", {}) == "layer"


@pytest.mark.long
async def test_version_2_of_the_sdk_finds_lambdad(server: Server, tmp_path: Path) -> None:
    """The release that runtimes up to nodejs16.x bring along, with an object's name that has to be encoded."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        pytest.skip("no node and npm on the PATH")
    sdk = FAMILY.sdk("nodejs16.x")
    assert sdk is not None and FAMILY.client is not None
    await NpmInstaller().install(sdk.requirements, tmp_path / "content", lambda line: None)
    server.client("s3").create_bucket(Bucket="node-sdk-2")
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    command = [node, "-e", VERSION_2, str(FAMILY.client / "old_sdk.js"), str(tmp_path / "content")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.returncode) == ("hello", 0), done.stderr
