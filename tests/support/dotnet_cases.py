"""The functions of the conformance suite in C#: a class for each case, all in one assembly."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

from lambdad.runtimes.find import Interpreter
from support.case_functions import Functions
from support.dotnet_function import describe, package
from support.runtime_cases import Answer, Refusal

_HEAD = """
using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;
using System.Threading;
using Amazon.Lambda.Core;
[assembly: LambdaSerializer(typeof(Example.Json.JsonSerializer))]
"""
_CLASS = """
public class Case_{name}
{{
    {members}
    public object Handle(object input, ILambdaContext c) {{ {body} }}
}}
"""
_SHARED = """
public class Shared
{
    private readonly Dictionary<string, object> found = new Dictionary<string, object>();

    public object Handle(object input, ILambdaContext c)
    {
        string name = c.InvokedFunctionArn.Substring(c.InvokedFunctionArn.LastIndexOf(':') + 1);
        if (!found.TryGetValue(name, out object made))
        {
            made = found[name] = Activator.CreateInstance(Type.GetType("Case_" + name, true));
        }
        var handle = (Func<object, ILambdaContext, object>)made.GetType().GetMethod("Handle").CreateDelegate(
            typeof(Func<object, ILambdaContext, object>), made);
        return handle(input, c);
    }
}
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
    "surrogate": "return new string((char)0xd800, 1);",
    "long_error": "if ((long)input > 0) throw new ArgumentException(new string('x', (int)(long)input)); return \"fine\";",
    "unserializable": 'return input.Equals("fail") ? (object)this : "fine";',
    "circular": 'return input.Equals("fail") ? (object)this : "fine";',
    "huge": "return new string('x', input.Equals(\"fail\") ? 6291600 : 4);",
    "recursion": 'return input.Equals("fail") ? 1 + (int)Handle(input, c) : (object)"fine";',
    "late": (
        'if (input.Equals("fail")) new Thread(() => { Thread.Sleep(20); throw new ArgumentException("too late"); }).Start();'
        ' return "fine";'
    ),
    "wrong_architecture": "return Native();",
    "import_hangs": "return null;",
    "hang": 'Console.WriteLine("begun"); Thread.Sleep(-1); return null;',
    "many_lines": 'for (long n = 0; n < (long)input; n++) Console.WriteLine("line " + n); return "fine";',
    "wrapper": 'return Environment.GetEnvironmentVariable("WRAPPED");',
    "import_fails": "return null;",
    "exit_at_import": "return null;",
    "exit": "Environment.Exit(3); return null;",
    "signature": "return null;",
    "log": 'c.Logger.LogLine("one\\ntwo 3"); return null;',
    "json_log": 'c.Logger.Log("Debug", "not this"); c.Logger.Log("Warning", "this"); return null;',
}
_MEMBERS = {
    "state": "private static readonly List<object> seen = new List<object>();",
    "unserializable": 'public object Other => throw new InvalidOperationException("no");',
    "circular": "public object This => this;",
    "import_fails": 'public Case_import_fails() { int.Parse("while it loads"); }',
    "wrong_architecture": (
        '[DllImport("native.so")] private static extern int Native(); public Case_wrong_architecture() { Native(); }'
    ),
    "import_hangs": 'public Case_import_hangs() { Console.WriteLine("begun"); for (;;) { } }',
    "exit_at_import": "public Case_exit_at_import() { Environment.Exit(3); }",
    "signature": "public object Wrong(object one, object two, object three, object four) => null;",
}
_HANDLERS = {
    "no_handler": "Cases::Case_echo::Absent",
    "no_class": "Cases::Case_absent::Handle",
    "no_module": "Absent::Case_echo::Handle",
    "malformed": "Cases.Case_echo.Handle",
    "signature": "Cases::Case_signature::Wrong",
}


def _write(name: str, folder: Path, interpreter: Interpreter) -> str:
    shutil.copytree(_compiled(), folder, dirs_exist_ok=True)
    version = ".".join(map(str, (*interpreter.version[:2], 0)))
    describe(folder, "Cases", version)
    if name == "no_module":
        describe(folder, "Absent", version)
    return _HANDLERS.get(name) or f"Cases::Case_{name}::Handle"


def _write_shared(folder: Path, interpreter: Interpreter) -> str:
    _write("", folder, interpreter)
    return "Cases::Shared::Handle"


@functools.cache
def _compiled() -> Path:
    classes = (_CLASS.format(name=name, members=_MEMBERS.get(name, ""), body=body) for name, body in _BODIES.items())
    with tempfile.TemporaryDirectory(prefix="lambdad-dotnet-cases-") as folder:
        source = Path(folder, "Cases.cs")
        source.write_text(_HEAD + "".join(classes) + _SHARED)
        return package("Cases", [source])


_SERIALIZER = "the package brings its serializer along, and what that makes of it is its own"

DOTNET = Functions(
    {*_BODIES, *_HANDLERS},
    _write,
    write_shared=_write_shared,
    expected={
        "surrogate": Answer(b'"\xef\xbf\xbd"'),
        "fails": "ArgumentException",
        "payload": "errorType errorMessage stackTrace",
        "error_log": "ArgumentException",
        "unserializable": "TargetInvocationException",
        "circular": "JsonSerializerException",
        "bad_event": "JsonSerializerException",
        "recursion": (None, -6),  # which no .NET survives
        "late": -6,
        "no_handler": Refusal("init/error", "LambdaException", "Absent"),
        "no_class": Refusal("init/error", "LambdaException", "Case_absent"),
        "no_module": Refusal("init/error", "LambdaException", "Absent"),
        "malformed": Refusal("init/error", "LambdaException", "Cases.Case_echo.Handle"),
        "signature": Refusal("init/error", "LambdaException", "Wrong"),
        "import_fails": Refusal("init/error", "TargetInvocationException", ""),
        "wrong_architecture": Refusal("init/error", "TargetInvocationException", ""),
        "wrapper": lambda runtime: runtime != "dotnetcore2.1",
        "no_wrapper": lambda runtime: runtime != "dotnetcore2.1",
    },
    dashes={
        **dict.fromkeys(("binary", "numbers", "deep"), _SERIALIZER),
        "stream": "AWS's runtimes of this language stream nothing",
        "syntax": "nothing is compiled when a function is loaded",
        "import_error": "an assembly that is not there is found out by what uses it",
        "log": lambda runtime: (
            "up to .NET Core 3.1 messages carry neither level nor request id, as on AWS" if "core" in runtime else None
        ),
    },
)
