"""The AWS SDK for JavaScript of each Node.js, and that its version 2 finds lambdad."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lambdad.runtimes.node.family import FAMILY
from lambdad.runtimes.node.sdk import PACKAGES_3


@pytest.mark.parametrize("runtime", FAMILY.runtimes)
def test_every_node_has_the_sdk_of_awss_runtime(runtime: str) -> None:
    """Version 2 up to nodejs16.x, then version 3, of which the last for Node.js 18 is not the newest; all pinned."""
    sdk = FAMILY.sdk(runtime)
    assert sdk is not None
    if runtime in ("nodejs10.x", "nodejs12.x", "nodejs14.x", "nodejs16.x"):
        assert sdk.requirements == ("aws-sdk@2.1693.0",)
    else:
        newest = "3.966.0" if runtime == "nodejs18.x" else "3.1176.0"
        assert sdk.requirements == tuple(f"{package}@<={newest}" for package in PACKAGES_3)


#: What of version 2 of the SDK is patched: `Service.initialize`, which sets options of its own over the common ones.
CORE = "const AWS = module.exports = {config: JSON.parse(process.env.COMMON), S3: null}; require('./service');"
SERVICE = """
const AWS = require('./core');
AWS.Service = module.exports = function Service(options) { this.initialize(options); };
AWS.Service.prototype.serviceIdentifier = process.env.SERVICE;
AWS.Service.prototype.api = {serviceId: process.env.SERVICE_ID};
AWS.Service.prototype.initialize = function (options) { this.options = Object.assign({}, AWS.config, options); };
"""
SCRIPT = """
require(process.argv[1]).teachEndpointVariables();
const AWS = require(process.argv[2]);
const options = JSON.parse(process.env.OPTIONS);
const {endpoint, s3ForcePathStyle, region} = new AWS.Service(options === null ? undefined : options).options;
console.log(JSON.stringify([endpoint, s3ForcePathStyle, region].map((one) => (one === undefined ? null : one))));
"""


@pytest.mark.parametrize(
    "service, variables, common, options, expected",
    [
        ("S3", {"AWS_ENDPOINT_URL": "http://l:1"}, {}, None, ["http://l:1", True, None]),
        ("S3", {"AWS_ENDPOINT_URL": "http://l:1"}, {}, {"s3ForcePathStyle": False}, ["http://l:1", False, None]),
        ("SQS", {"AWS_ENDPOINT_URL": "http://l:1"}, {}, {"region": "r"}, ["http://l:1", None, "r"]),
        ("SQS", {"AWS_ENDPOINT_URL": "http://l:1"}, {"sqs": {"region": "q"}}, None, ["http://l:1", None, "q"]),
        (
            "Secrets Manager",
            {"AWS_ENDPOINT_URL": "http://l:1", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://l:2"},
            {},
            None,
            ["http://l:2", None, None],
        ),
        ("SQS", {"AWS_ENDPOINT_URL": "http://l:1"}, {}, {"endpoint": "http://own"}, ["http://own", None, None]),
        ("SQS", {"AWS_ENDPOINT_URL": "http://l:1"}, {"endpoint": "http://all"}, None, ["http://all", None, None]),
        ("SQS", {}, {}, {"region": "r"}, [None, None, "r"]),
    ],
)
def test_version_2_reads_the_endpoint_variables(
    tmp_path: Path,
    service: str,
    variables: dict[str, str],
    common: dict[str, object],
    options: dict[str, object] | None,
    expected: list[object],
) -> None:
    """The service's own before the general one, and neither before what the function says itself."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on the PATH")
    library = tmp_path / "aws-sdk" / "lib"
    library.mkdir(parents=True)
    (library / "core.js").write_text(CORE)
    (library / "service.js").write_text(SERVICE)
    assert FAMILY.client is not None
    environment = {
        "PATH": os.environ["PATH"],
        "SERVICE": service.lower().replace(" ", ""),
        "SERVICE_ID": service,
        "COMMON": json.dumps(common),
        "OPTIONS": json.dumps(options),
        **variables,
    }
    command = [node, "-e", SCRIPT, str(FAMILY.client / "old_sdk.js"), str(library / "core.js")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == expected
