"""Layers of a function as it sees them: their order, what of them the language finds by itself, and how long they live."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from support.server import ROLE, RUNTIME, Server, running, wait_until, zipped

pytestmark = pytest.mark.root

OTHER_ACCOUNT = "222222222222"
SITE_PACKAGES = f"python/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
SOURCE = """
import ctypes, os, subprocess
import common, in_site_packages, named_by_pth, of_package
from one import number as first
from five import number as fifth

def handler(event, context):
    return {
        "common": common.NUMBER,
        "modules": [first, fifth, in_site_packages.NUMBER, named_by_pth.NUMBER, of_package.NUMBER],
        "merged": sorted(os.listdir("/opt/data")),
        "replaced": open("/opt/data/all.txt").read(),
        "tool": subprocess.check_output(["tool"]).decode(),
        "library": ctypes.CDLL("liblayer.so").number() if os.path.exists("/opt/lib/liblayer.so") else 4,
        "writable": os.access("/opt/data", os.W_OK),
    }
"""
SEEN = {
    "common": 5,
    "modules": [1, 5, 2, 3, 0],
    "merged": [f"{number}.txt" for number in range(1, 6)] + ["all.txt"],
    "replaced": "5",
    "tool": "3\n",
    "library": 4,
    "writable": False,
}


def library(folder: Path) -> dict[str, str | bytes]:
    """A shared object that answers 4, where there is a compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return {}
    source, made = folder / "layer.c", folder / "liblayer.so"
    source.write_text("int number(void) { return 4; }\n")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, source], check=True)
    return {"lib/liblayer.so": made.read_bytes()}


def contents(folder: Path) -> list[dict[str, str | bytes]]:
    """Of five layers: each has something of its own, something that the next replaces, and something for the language."""
    own: list[dict[str, str | bytes]] = [
        {"python/one/__init__.py": "", "python/one/number.py": "", "python/of_package.py": "NUMBER = 1\n"},
        {f"{SITE_PACKAGES}/in_site_packages.py": "NUMBER = 2\n", "python/in_site_packages.py": "NUMBER = 22\n"},
        {
            f"{SITE_PACKAGES}/more.pth": "/opt/python/elsewhere\n",
            "python/elsewhere/named_by_pth.py": "NUMBER = 3\n",
            "bin/tool": "#!/bin/sh\necho 3\n",
        },
        library(folder),
        {"python/five/__init__.py": "number = 5\n"},
    ]
    own[0]["python/one/__init__.py"] = "number = 1\n"
    for number, files in enumerate(own, 1):
        files[f"data/{number}.txt"] = files["data/all.txt"] = str(number)
        files["python/common.py"] = f"NUMBER = {number}\n"
    return own


def publish(server: Server, name: str, files: dict[str, str | bytes], **options: str) -> str:
    content = {"ZipFile": zipped(files, ["bin/tool"])}
    return str(server.client("lambda", **options).publish_layer_version(LayerName=name, Content=content)["LayerVersionArn"])


def test_five_layers_are_one_folder_and_outlive_their_versions(tmp_path: Path) -> None:
    """The later wins, folders merge, and the package wins over all; modules, programs and libraries are found; a sixth is
    refused. Deleted versions stay with the function, when the server starts again and what was unpacked is lost, too."""
    with running(tmp_path) as server:
        lambda_ = server.client("lambda")
        layers = [publish(server, f"layer-{number}", files) for number, files in enumerate(contents(tmp_path), 1)]
        sixth = publish(server, "layer-6", {"x": "x"})
        package = {"ZipFile": zipped({"app.py": SOURCE, "of_package.py": "NUMBER = 0\n"})}
        function = {"FunctionName": "layered", "Runtime": RUNTIME, "Handler": "app.handler", "Role": ROLE, "Code": package}
        with pytest.raises(ClientError, match="Cannot reference more than 5 layers"):
            lambda_.create_function(**function, Layers=[*layers, sixth])
        made = lambda_.create_function(**function, Layers=layers)
        assert [layer["Arn"] for layer in made["Layers"]] == layers
        server.wait_active("layered")
        assert server.invoke("layered") == SEEN
        for layer in layers:
            lambda_.delete_layer_version(LayerName=layer.split(":")[6], VersionNumber=1)
        assert server.stop() == 0
        for unpacked in (server.data_dir / "code").glob("*/report.json"):
            unpacked.write_text("lost")
        server.start()
        assert server.invoke("layered") == SEEN
        lambda_ = server.client("lambda")
        with pytest.raises(ClientError, match="ResourceNotFound"):
            lambda_.get_layer_version_by_arn(Arn=layers[0])
        with pytest.raises(ClientError, match="does not exist"):
            lambda_.create_function(**{**function, "FunctionName": "late"}, Layers=layers)


def test_a_layer_is_shared_by_its_policy(server: Server) -> None:
    """An account that the policy names may use it; what uses it goes on when the permission and the version are gone."""
    owner = {"aws_access_key_id": OTHER_ACCOUNT, "aws_secret_access_key": "test"}
    theirs = server.client("lambda", **owner)
    layer = publish(server, "shared-layer", {"python/shared_by_policy.py": "WORD = 'shared'\n"}, **owner)
    source = "import shared_by_policy\ndef handler(event, context):\n    return shared_by_policy.WORD\n"
    with pytest.raises(ClientError, match="AccessDenied"):
        server.create_function("borrower", source, Layers=[layer])
    version = {"LayerName": "shared-layer", "VersionNumber": 1}
    statement = {"StatementId": "one", "Action": "lambda:GetLayerVersion", "Principal": "000000000000"}
    theirs.add_layer_version_permission(**version, **statement)
    server.create_function("borrower", source, Layers=[layer])
    theirs.remove_layer_version_permission(**version, StatementId="one")
    theirs.delete_layer_version(**version)
    assert server.invoke("borrower") == "shared"


def test_layers_that_cannot_lie_over_each_other(server: Server) -> None:
    """A folder takes the place of a file; a file where an earlier layer has a folder makes the function Failed."""
    lambda_ = server.client("lambda")
    file = publish(server, "with-file", {"data/place": "file"})
    folder = publish(server, "with-folder", {"data/place/inside": "folder"})
    source = "import os\ndef handler(event, context):\n    return os.listdir('/opt/data/place')\n"
    server.create_function("folder-last", source, Layers=[file, folder])
    assert server.invoke("folder-last") == ["inside"]
    lambda_.create_function(
        FunctionName="file-last",
        Runtime=RUNTIME,
        Handler="lambda_function.handler",
        Role=ROLE,
        Code={"ZipFile": zipped({"lambda_function.py": source})},
        Layers=[folder, file],
    )
    settled = wait_until(
        lambda: (shown := lambda_.get_function_configuration(FunctionName="file-last"))["State"] != "Pending" and shown,
        60,
        "its end",
    )
    assert settled["State"] == "Failed"
    assert "place is a folder in one layer and a file in another" in settled["StateReason"]
