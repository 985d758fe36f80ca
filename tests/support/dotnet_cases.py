"""The functions of the conformance suite in C#: a class for each case, all in one assembly."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

from lambdad.runtimes.find import Interpreter
from support.dotnet_function import describe, made_folder, package
from support.runtime_cases import Case

_HEAD = """
using System;
using System.Collections.Generic;
using Amazon.Lambda.Core;
[assembly: LambdaSerializer(typeof(Example.Json.JsonSerializer))]
"""
_CLASS = """
public class {name}
{{
    {members}
    public object Handle(object input, ILambdaContext c) {{ {body} }}
}}
"""
_BODIES = {
    "echo": "return input;",
    "state": "seen.Add(input); return seen;",
    "nothing": "return null;",
    "context": (
        "return new object[] { c.AwsRequestId, c.FunctionName, c.FunctionVersion, c.InvokedFunctionArn, c.MemoryLimitInMB,"
        " c.LogGroupName, c.LogStreamName, (long)c.RemainingTime.TotalMilliseconds };"
    ),
    "client": (
        'var k = c.ClientContext; return new object[] { c.Identity.IdentityId, c.Identity.IdentityPoolId, k.Custom["one"],'
        ' k.Client.InstallationId, k.Environment["locale"] };'
    ),
    "trace": 'return Environment.GetEnvironmentVariable("_X_AMZN_TRACE_ID");',
    "fails": 'if (input.Equals("fail")) throw new ArgumentException("broken: \\u00e4"); return "fine";',
    "unserializable": 'return input.Equals("fail") ? (object)this : "fine";',
    "huge": "return new string('x', input.Equals(\"fail\") ? 6291600 : 4);",
    "bad_event": 'return "fine";',
    "import_fails": "return null;",
    "exit_at_import": "return null;",
    "exit": "Environment.Exit(3); return null;",
    "log": 'c.Logger.LogLine("one\\ntwo 3"); return null;',
    "json_log": 'c.Logger.Log("Debug", "not this"); c.Logger.Log("Warning", "this"); return null;',
}
_MEMBERS = {
    "state": "private static readonly List<object> seen = new List<object>();",
    "unserializable": "public object This => this;",
    "import_fails": 'public ImportFailsCase() { int.Parse("while it loads"); }',
    "exit_at_import": "public ExitAtImportCase() { Environment.Exit(3); }",
}
_HANDLERS = {
    "no_handler": "Cases::EchoCase::Absent",
    "no_module": "Absent::EchoCase::Handle",
    "malformed": "Cases.EchoCase.Handle",
}


def write(case: Case, folder: Path, interpreter: Interpreter) -> str | None:
    """Nothing is compiled when a function is loaded, so there is no error of syntax. Up to .NET Core 3.1 messages carry neither
    level nor request id, as on AWS."""
    if case.name == "log" and interpreter.version[0] < 5:
        return None
    if case.name not in _BODIES and case.name not in _HANDLERS:
        return None
    shutil.copytree(_compiled(), folder, dirs_exist_ok=True)
    version = ".".join(map(str, (*interpreter.version[:2], 0)))
    describe(folder, "Cases", version)
    if case.name == "no_module":
        describe(folder, "Absent", version)
    return _HANDLERS.get(case.name) or f"Cases::{_class_of(case.name)}::Handle"


@functools.cache
def _compiled() -> Path:
    source = made_folder("cases-source") / "Cases.cs"
    classes = (_CLASS.format(name=_class_of(name), members=_MEMBERS.get(name, ""), body=body) for name, body in _BODIES.items())
    source.write_text(_HEAD + "".join(classes))
    return package("Cases", [source])


def _class_of(case: str) -> str:
    return "".join(word.title() for word in case.split("_")) + "Case"
