"""The start script with a `dotnet` that only says what it was given: for versions that no test here can run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lambdad.runtimes.dotnet.family import CLIENT

DOTNET = f"""#!{sys.executable}
import json, os, sys
print(json.dumps({{"variables": dict(os.environ), "arguments": sys.argv[1:]}}))
"""


@pytest.fixture
def task(tmp_path: Path) -> Path:
    (tmp_path / "lang" / "bin").mkdir(parents=True)
    (tmp_path / "lang" / "bin" / "dotnet").write_text(DOTNET)
    (tmp_path / "lang" / "bin" / "dotnet").chmod(0o755)
    package = tmp_path / "package"
    package.mkdir()
    (package / "Hello.deps.json").write_text("{}")
    (package / "Hello.runtimeconfig.json").write_text("{}")
    return package


def start(task: Path, major: int, runtime: str, *more: str, **variables: str) -> dict[str, Any]:
    dotnet = str(task.parent / "lang" / "bin" / "dotnet")
    environment = {"_HANDLER": "Hello::A::B", "LAMBDA_TASK_ROOT": str(task), "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "300"}
    command = ["/bin/sh", str(CLIENT / "bootstrap"), dotnet, str(major), runtime, *more]
    done = subprocess.run(command, env={**environment, **variables}, stdout=subprocess.PIPE, check=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_the_client_runs_with_the_packages_own_files(task: Path) -> None:
    """Which name its dependencies and settings; it is told which runtime it is."""
    arguments = start(task, 8, "dotnet8")["arguments"]
    files = ["--depsfile", f"{task}/Hello.deps.json", "--runtimeconfig", f"{task}/Hello.runtimeconfig.json"]
    assert arguments == ["exec", *files, f"{CLIENT}/Lambdad.Runtime.dll", "dotnet8"]


@pytest.mark.parametrize(
    "major, runtime, prefix", [(3, "dotnetcore3.1", "COMPlus"), (6, "dotnet6", "DOTNET"), (10, "dotnet10", "DOTNET")]
)
def test_variables_have_the_prefix_that_the_version_knows(task: Path, major: int, runtime: str, prefix: str) -> None:
    """300 MB leave 268 for the heap; DOTNET_ROOT and LAMBDA_RUNTIME_NAME are as on AWS; only the oldest are told of ICU."""
    variables = start(task, major, runtime)["variables"]
    told = {name: variables.get(f"{prefix}_{name}") for name in ("GCHeapHardLimit", "GCgen0size", "EnableDiagnostics")}
    assert told == {"GCHeapHardLimit": "10c00000", "GCgen0size": "2000000", "EnableDiagnostics": "0"}
    assert variables["DOTNET_ROOT"] == str(task.parent / "lang" / "bin")
    assert variables.get("LAMBDA_RUNTIME_NAME") == (None if major == 3 else runtime)
    assert "DOTNET_ROLL_FORWARD" not in variables
    assert major == 3 or not {"CLR_ICU_VERSION_OVERRIDE", "LD_LIBRARY_PATH", "SSL_CERT_DIR"} & set(variables)


def test_a_substitute_may_run_what_was_made_for_an_older_version(task: Path) -> None:
    """.NET itself would refuse another major version."""
    assert start(task, 8, "dotnet6", "substitute")["variables"]["DOTNET_ROLL_FORWARD"] == "Major"


def test_a_profiler_has_the_diagnostics_that_it_needs(task: Path) -> None:
    """Which are off otherwise, since they leave pipes in /tmp."""
    variables = start(task, 8, "dotnet8", CORECLR_ENABLE_PROFILING="1")["variables"]
    assert "DOTNET_EnableDiagnostics" not in variables


def test_an_openssl_that_came_along_is_found(task: Path) -> None:
    """Behind the folders that the function has in LD_LIBRARY_PATH, and once; certificates are the machine's."""
    own = task.parent / "lang" / "lib"
    own.mkdir()
    (own / "libssl.so.1.1").touch()
    variables = start(task, 3, "dotnetcore3.1", LD_LIBRARY_PATH="/var/task/lib")["variables"]
    assert variables["LD_LIBRARY_PATH"] == f"/var/task/lib:{own}"
    assert start(task, 3, "dotnetcore3.1", LD_LIBRARY_PATH=str(own))["variables"]["LD_LIBRARY_PATH"] == str(own)
    assert start(task, 3, "dotnetcore3.1", SSL_CERT_FILE="/a")["variables"]["SSL_CERT_FILE"] == "/a"
    assert "LD_LIBRARY_PATH" not in start(task, 8, "dotnet8")["variables"]
