"""Packages that users build functions with, real ones in pinned versions, as layers; skips by name what cannot be fetched."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest

from support.fetching import fetch
from support.server import CACHE_DIR, RUNTIME, zipped

#: With all that they need except boto3's own packages, which the runtime brings, as AWS's does.
PYTHON_PACKAGES = (
    *("aws-lambda-powertools==3.37.0", "aws-xray-sdk==2.15.0", "wrapt==2.5.2"),
    *("mangum==0.22.0", "fastapi==0.165.0", "starlette==1.10.0", "anyio==4.16.0", "idna==3.20"),
    *("annotated-doc==0.0.7", "opentelemetry-api==1.45.2"),
    *("pydantic==2.14.4", "pydantic-core==2.50.5", "annotated-types==0.8.0"),
    *("typing-extensions==4.16.0", "typing-inspection==0.4.5"),
    *("serverless-wsgi==3.1.0", "flask==3.1.3", "werkzeug==3.1.9", "blinker==1.9.0", "click==8.5.1"),
    *("itsdangerous==2.2.0", "jinja2==3.1.6", "markupsafe==3.0.4"),
)
NODE_PACKAGES = (
    *("@aws-sdk/client-s3@3.1175.0", "@aws-lambda-powertools/logger@2.36.0"),
    *("serverless-http@4.0.0", "express@5.3.0"),
)


def python_layer() -> bytes:
    options = ("--quiet", "--retries", "1", "--timeout", "30", "--no-deps", "--no-compile", "--only-binary", ":all:")
    command = [sys.executable, "-m", "pip", "install", *options, "--target", "python"]
    return _layer(RUNTIME, command, PYTHON_PACKAGES)


def node_layer() -> bytes:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("the packages for Node.js need npm")
    patience = ("--fetch-retries", "1", "--fetch-retry-mintimeout", "1000", "--fetch-timeout", "30000")
    options = ("--ignore-scripts", "--no-audit", "--no-fund", *patience)
    return _layer("nodejs", [npm, "install", *options, "--prefix", "nodejs"], NODE_PACKAGES)


def _layer(name: str, command: Sequence[str], packages: Sequence[str]) -> bytes:
    """The archive is what is kept: it is there whole or not at all, and other versions of packages are another one."""
    folder = CACHE_DIR.parent / "ecosystem"
    archive = folder / f"{name}-{sha256(' '.join(packages).encode()).hexdigest()[:16]}.zip"
    if not archive.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as fetched:
            fetch(f"the packages for {name}", [*command, *packages], Path(fetched))
            files = {str(path.relative_to(fetched)): path.read_bytes() for path in Path(fetched).rglob("*") if path.is_file()}
            whole = Path(fetched) / "layer.zip"
            whole.write_bytes(zipped(files))
            whole.rename(archive)
    return archive.read_bytes()
