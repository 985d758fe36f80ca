"""AWS's own runtime interface clients, unmodified, as packages of functions; skips by name what is missing."""

from __future__ import annotations

import ctypes.util
import importlib.util
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from support.fetching import fetch
from support.server import CACHE_DIR

Files = dict[str, str | bytes]

BOOTSTRAP = '#!/bin/sh\nexec /usr/bin/env {command} "$_HANDLER"\n'
NODE_VERSION = "3.3.0"  #: the last of aws-lambda-ric that runs on Node 18 and 20
NODE_HEADERS = (Path("/usr/include/node"), Path("/usr/include/nodejs/src"))


def python_client() -> Files:
    """awslambdaric from PyPI, which is among the packages of the tests."""
    found = importlib.util.find_spec("awslambdaric")
    if found is None or found.origin is None:
        pytest.skip("needs awslambdaric")
    version = subprocess.run(["/usr/bin/python3", "-V"], capture_output=True, text=True).stdout.split()[-1]
    if not version.startswith(f"{sys.version_info[0]}.{sys.version_info[1]}."):
        pytest.skip("awslambdaric's compiled part is for the tests' Python, and /usr/bin/python3 is another")
    packages = Path(found.origin).parents[1]
    files: Files = {
        f"{path.relative_to(packages)}": path.read_bytes()
        for pattern in ("awslambdaric/*.py", "runtime_client*.so", "simplejson/*.py", "snapshot_restore_py/*.py")
        for path in packages.glob(pattern)
    }
    return {**files, "bootstrap": BOOTSTRAP.format(command="python3 -m awslambdaric")}


def node_client() -> Files:
    """aws-lambda-ric from npm; its compiled part is built once for all runs of the tests."""
    package = CACHE_DIR.parent / "aws-lambda-ric" / NODE_VERSION / "node_modules" / "aws-lambda-ric"
    compiled = package / "dist" / "rapid-client.node"
    if shutil.which("node", path="/usr/bin:/bin") is None:
        pytest.skip("needs node in /usr/bin")
    if not compiled.is_file():
        _build(package, compiled)
    parts = [package / "package.json", *(package / "bin").iterdir(), *(package / "dist").iterdir()]
    files: Files = {f"ric/{path.relative_to(package)}": path.read_bytes() for path in parts if path.is_file()}
    return {**files, "bootstrap": BOOTSTRAP.format(command="node /var/task/ric/bin/index.mjs")}


VERSION = """namespace aws { namespace lambda_runtime {
char const* get_version() { return "0.2.8"; }
} }
"""


def _build(package: Path, compiled: Path) -> None:
    """The package's own script builds a libcurl first, and fetches Node's headers; here the machine's are taken."""
    headers = next((folder for folder in NODE_HEADERS if (folder / "node_api.h").is_file()), None)
    curl = ctypes.util.find_library("curl")
    needed = {"npm": shutil.which("npm"), "g++": shutil.which("g++"), "libcurl": curl, "Node's headers": headers}
    for what, is_there in needed.items():
        if not is_there:
            pytest.skip(f"aws-lambda-ric is built with {what}, which is missing")
    folder = package.parents[1]
    folder.mkdir(parents=True, exist_ok=True)
    wanted = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", f"aws-lambda-ric@{NODE_VERSION}"]
    fetch("aws-lambda-ric", wanted, folder)
    deps = package / "deps"
    for archive in deps.glob("*.tar.gz"):
        with tarfile.open(archive) as content:
            content.extractall(deps, filter="data")
    [library] = deps.glob("aws-lambda-cpp-*/")
    [curl_headers] = deps.glob("curl-*/include")
    (library / "src" / "version.cpp").write_text(VERSION)
    sources = [library / "src" / f"{name}.cpp" for name in ("runtime", "logging", "version")]
    includes = [curl_headers, library / "include", package.parent / "node-addon-api", headers]
    made = compiled.with_suffix(".made")  # what is built is there whole or not at all
    subprocess.run(
        [
            *("g++", "-shared", "-fPIC", "-O1", "-w", "-std=c++17", "-fvisibility=hidden"),
            *("-DBUILDING_NODE_EXTENSION", "-DNODE_GYP_MODULE_NAME=rapid-client"),
            *(f"-I{include}" for include in includes),
            *(package / "src" / "rapid-client.cc", *sources),
            *(f"-l:{curl}", "-o", made),
        ],
        check=True,
    )
    made.rename(compiled)
