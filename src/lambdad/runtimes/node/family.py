"""Node.js 10 to 26: any Node.js of the right major version, with the client in `client/`, which is CommonJS for the oldest."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lambdad.model.pre_boot import start_pattern
from lambdad.model.runtime_program import StartCommand
from lambdad.runtimes.family import Family, inside
from lambdad.runtimes.find import Interpreter, Lookup, in_own_folder
from lambdad.runtimes.node.sdk import sdk
from lambdad.runtimes.source import NpmSource, Source

MAJORS = (10, 12, 14, 16, 18, 20, 22, 24, 26)
#: Of V8's spaces, in per cent of the function's memory.
_OLD_SPACE, _SEMI_SPACE = 90, 5
_MEGABYTES = {10: 15, 12: 20, 14: 28, 16: 31, 18: 42, 20: 44, 22: 50, 24: 52, 26: 55}  #: of the npm package


def read_answers(path: Path, output: str) -> Sequence[Interpreter]:
    matched = re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)(-\S+)?", output)
    if matched is None:
        return []
    version = (int(matched[1]), int(matched[2]), int(matched[3]))
    return [in_own_folder(f"nodejs{version[0]}.x", version, matched[4] is None, path, "node")]


def start(interpreter: Interpreter) -> StartCommand:
    spaces = (f"--max-old-space-size={{memory:{_OLD_SPACE}}}", f"--max-semi-space-size={{memory:{_SEMI_SPACE}}}")
    arguments = ("--expose-gc", "--max-http-header-size=81920", *spaces, "/var/runtime/index.js")
    return StartCommand((inside(interpreter),), arguments, honours_wrapper=True)


def variables(runtime: str) -> Mapping[str, str]:
    major = int(runtime.removeprefix("nodejs").removesuffix(".x"))
    return {
        "NODE_PATH": f"/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules:"
        "/var/runtime/node_modules:/var/runtime:/var/task"
    }


def sources(runtime: str) -> Sequence[Source]:
    major = runtime.removeprefix("nodejs").removesuffix(".x")
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine())
    if machine is None or sys.platform != "linux":
        return ()
    return [NpmSource(f"node-linux-{machine}@{major}", _MEGABYTES[int(major)])]


#: NODE_ENV is read by libraries alone.
START_NAMES = start_pattern(
    "NODE_(?!ENV$).*|UV_.*|V8_.*|OPENSSL_.*|SSL_CERT_.*|SSLKEYLOGFILE|ICU_.*|SIMDUTF_.*|SIMDJSON_.*|WATCH_REPORT_DEPENDENCIES"
    "|AWS_LAMBDA_NODEJS_.*"
)

FAMILY = Family(
    name="node",
    language="Node.js",
    runtimes=tuple(f"nodejs{major}.x" for major in MAJORS),
    client=Path(__file__).parent / "client",
    lookup=Lookup(re.compile("node"), ("--version",), read_answers),
    start=start,
    start_names=lambda: START_NAMES,
    variables=variables,
    sdk=sdk,
    sources=sources,
    advice=lambda runtime: f"put Node.js {runtime.removeprefix('nodejs').removesuffix('.x')} on the PATH of lambdad",
)
