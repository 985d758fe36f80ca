"""The functions of the conformance suite in Java: a class for each case, all compiled at once."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

import pytest

from lambdad.runtimes.find import Interpreter
from support.java_runtime import compile_java, javac
from support.runtime_cases import Case

_CLASS = """
import com.amazonaws.services.lambda.runtime.*;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.util.*;

public class {name} implements RequestHandler<Object, Object> {{
    {members}
    public Object handleRequest(Object event, Context c) {{ {body} }}
}}
"""
_BODIES = {
    "echo": "return event;",
    "state": "seen.add(event); return seen;",
    "nothing": "return null;",
    "context": (
        "return Arrays.asList(c.getAwsRequestId(), c.getFunctionName(), c.getFunctionVersion(), c.getInvokedFunctionArn(),"
        " c.getMemoryLimitInMB(), c.getLogGroupName(), c.getLogStreamName(), c.getRemainingTimeInMillis());"
    ),
    "client": (
        "ClientContext k = c.getClientContext(); return Arrays.asList(c.getIdentity().getIdentityId(),"
        ' c.getIdentity().getIdentityPoolId(), k.getCustom().get("one"), k.getClient().getInstallationId(),'
        ' k.getEnvironment().get("locale"));'
    ),
    #: On AWS, Java 17 and newer have it as a property.
    "trace": (
        'String variable = System.getenv("_X_AMZN_TRACE_ID");'
        ' return variable != null ? variable : System.getProperty("com.amazonaws.xray.traceHeader");'
    ),
    "fails": 'if (event.equals("fail")) throw new IllegalArgumentException("broken: \\u00e4"); return "fine";',
    "unserializable": 'return event.equals("fail") ? (Object) this : "fine";',
    "huge": "char[] x = new char[event.equals(\"fail\") ? 6291600 : 4]; Arrays.fill(x, 'x'); return new String(x);",
    "bad_event": 'return "fine";',
    "import_fails": "return NUMBER;",
    "exit_at_import": "return NUMBER;",
    "exit": "System.exit(3); return null;",
    "json_log": 'c.getLogger().log("not this", LogLevel.DEBUG); c.getLogger().log("this", LogLevel.WARN); return null;',
}
_MEMBERS = {
    "state": "private static final List<Object> seen = new ArrayList<>();",
    "unserializable": "public Object getThis() { return this; }",
    "import_fails": 'static final int NUMBER = Integer.parseInt("while it loads");',
    "exit_at_import": "static final int NUMBER = exit(); static int exit() { System.exit(3); return 0; }",
}
_HOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def write(case: Case, folder: Path, interpreter: Interpreter) -> str | None:
    """Classes and methods that are not there fail each invocation, not Init; and messages carry no request id: as on AWS, and
    tested in test_java_runtime.py."""
    if case.name not in _BODIES:
        return None
    if javac() is None:
        pytest.skip("no javac to compile functions in Java with")
    shutil.copytree(_compiled(), folder, dirs_exist_ok=True)
    return _class_of(case.name)


@functools.cache
def _compiled() -> Path:
    holder = tempfile.TemporaryDirectory(prefix="lambdad-java-cases-")
    _HOLDERS.append(holder)
    sources = Path(holder.name, "sources")
    sources.mkdir()
    for name, body in _BODIES.items():
        text = _CLASS.format(name=_class_of(name), members=_MEMBERS.get(name, ""), body=body)
        (sources / f"{_class_of(name)}.java").write_text(text)
    compile_java(sorted(sources.iterdir()), Path(holder.name, "classes"))
    return Path(holder.name, "classes")


def _class_of(case: str) -> str:
    return "".join(word.title() for word in case.split("_")) + "Case"
