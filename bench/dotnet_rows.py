"""What a function in .NET takes to start and to answer."""

from __future__ import annotations

import asyncio
import io
import json
import tempfile
import urllib.request
import zipfile
from pathlib import Path

from bench.rows import Figure, cold_and_warm
from bench.server import Server
from lambdad.runtimes.dotnet.dll import INTERFACE, Compiler, find_compiler

RUNTIME = "dotnetcore3.1"
CACHE = Path(__file__).parents[1] / ".cache"  #: where `make test-tools` puts the SDK and what runs it
SOURCE = """
using System.IO;
using Amazon.Lambda.Core;

public class Hello
{
    public Stream Handle(Stream input, ILambdaContext context) => input;
}
"""


def dotnet(server: Server) -> list[Figure]:
    """A function of streams; what .NET itself takes to start an empty program is more than half of its cold start."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/_lambdad/health", timeout=30) as answer:
        is_ready = RUNTIME in json.load(answer)["runtimes"]["available"]
    compiler = asyncio.run(find_compiler(CACHE / "lambdad", CACHE / "dotnet-sdk"))
    if not is_ready or compiler is None:
        return []
    settings = {
        "Runtime": RUNTIME,
        "Handler": "Hello::Hello::Handle",
        "Code": {"ZipFile": _package(compiler)},
        "MemorySize": 512,
    }
    cold, warm = cold_and_warm(server, "dotnet", settings)
    return [
        Figure(f"cold start, .NET hello ({RUNTIME}), p50", cold, "ms", 250, 80),
        Figure(f"warm sync invoke, .NET echo ({RUNTIME}), p50", warm, "ms", 0.9, 0.4),
    ]


def _package(compiler: Compiler) -> bytes:
    with tempfile.TemporaryDirectory(prefix="lambdad-bench-") as name:
        folder = Path(name)
        (folder / "Hello.cs").write_text(SOURCE)
        core = folder / "Amazon.Lambda.Core.dll"
        compiler.compile(sorted(INTERFACE.glob("*.cs")), core)
        compiler.compile([folder / "Hello.cs"], folder / "Hello.dll", references=[core])
        (folder / "Hello.cs").unlink()
        framework = {"name": "Microsoft.NETCore.App", "version": "3.1.0"}
        (folder / "Hello.runtimeconfig.json").write_text(json.dumps({"runtimeOptions": {"framework": framework}}))
        (folder / "Hello.deps.json").write_text(json.dumps(_assemblies("Hello", "Amazon.Lambda.Core")))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for file in sorted(folder.iterdir()):
                file.chmod(0o644)
                archive.write(file, file.name)
        return buffer.getvalue()


def _assemblies(*names: str) -> dict[str, object]:
    target = ".NETCoreApp,Version=v3.1"
    entries = {f"{name}/1.0.0": {"runtime": {f"{name}.dll": {}}} for name in names}
    libraries = {f"{name}/1.0.0": {"type": "project", "serviceable": False, "sha512": ""} for name in names}
    return {"runtimeTarget": {"name": target, "signature": ""}, "targets": {target: entries}, "libraries": libraries}
