"""The functions of the conformance suite in Java: a class for each case, all compiled at once."""

from __future__ import annotations

import functools
import shutil
import tempfile
from pathlib import Path

import pytest

from lambdad.runtimes.find import Interpreter
from support.case_functions import Functions
from support.java_runtime import compile_java, javac
from support.runtime_cases import Answer, Refusal

_CLASS = """
import com.amazonaws.services.lambda.runtime.*;
import com.amazonaws.services.lambda.runtime.logging.LogLevel;
import java.util.*;

public class Case_{name} implements RequestHandler<Object, Object> {{
    {members}
    public Object handleRequest(Object event, Context c) {{ {body} }}
}}
"""
_SHARED = """
import com.amazonaws.services.lambda.runtime.*;
import java.util.*;

public class Shared implements RequestHandler<Object, Object> {
    private final Map<String, RequestHandler<Object, Object>> found = new HashMap<>();

    @SuppressWarnings("unchecked")
    public Object handleRequest(Object event, Context c) {
        String arn = c.getInvokedFunctionArn();
        String name = arn.substring(arn.lastIndexOf(':') + 1);
        return found.computeIfAbsent(name, Shared::make).handleRequest(event, c);
    }

    @SuppressWarnings("unchecked")
    private static RequestHandler<Object, Object> make(String name) {
        try {
            return (RequestHandler<Object, Object>) Class.forName("Case_" + name).getConstructor().newInstance();
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }
}
"""
_ABSENT = "public class Absent { static int number() { return 1; } }"
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
    "binary": "return new byte[] {0, (byte) 255};",
    "surrogate": "return String.valueOf((char) 0xd800);",
    "fails": 'if (event.equals("fail")) throw new IllegalArgumentException("broken: \\u00e4"); return "fine";',
    "long_error": 'int n = ((Number) event).intValue(); if (n > 0) throw new IllegalStateException(x(n)); return "fine";',
    "unserializable": 'return event.equals("fail") ? (Object) this : "fine";',
    "circular": 'return event.equals("fail") ? (Object) this : "fine";',
    "huge": "char[] x = new char[event.equals(\"fail\") ? 6291600 : 4]; Arrays.fill(x, 'x'); return new String(x);",
    "recursion": 'return event.equals("fail") ? 1 + (int) handleRequest(event, c) : (Object) "fine";',
    "late": (
        'if (event.equals("fail")) new Thread(() -> { throw new IllegalStateException("too late"); }).start(); return "fine";'
    ),
    "signature": "return null;",
    "import_error": "return NUMBER;",
    "wrong_architecture": "return null;",
    "import_fails": "return NUMBER;",
    "import_hangs": "return NUMBER;",
    "exit_at_import": "return NUMBER;",
    "exit": "System.exit(3); return null;",
    "hang": (
        'System.out.println("begun"); try { Thread.sleep(1000000); } catch (InterruptedException end) { return "interrupted"; }'
        ' return "late";'
    ),
    "many_lines": ('for (int n = 0; n < ((Number) event).intValue(); n++) System.out.println("line " + n); return "fine";'),
    "json_log": 'c.getLogger().log("not this", LogLevel.DEBUG); c.getLogger().log("this", LogLevel.WARN); return null;',
    "wrapper": 'return System.getenv("WRAPPED");',
}
_MEMBERS = {
    "state": "private static final List<Object> seen = new ArrayList<>();",
    "long_error": "private static String x(int n) { char[] x = new char[n]; Arrays.fill(x, 'x'); return new String(x); }",
    "unserializable": 'public Object getOther() { throw new IllegalStateException("no"); }',
    "circular": "public Object getThis() { return this; }",
    "signature": "public void wrong(Object one, Object two, Object three, Object four) {}",
    "import_error": "static final int NUMBER = Absent.number();",
    "wrong_architecture": 'static { System.load(System.getenv("LAMBDA_TASK_ROOT") + "/native.so"); }',
    "import_fails": 'static final int NUMBER = Integer.parseInt("while it loads");',
    "import_hangs": 'static final int NUMBER = hang(); static int hang() { System.out.println("begun"); for (;;) {} }',
    "exit_at_import": "static final int NUMBER = exit(); static int exit() { System.exit(3); return 0; }",
}
_HANDLERS = {
    "no_handler": "Case_echo::absent",
    "no_class": "Case_absent",
    "no_module": "absent.Case_echo",
    "malformed": "::",
    "signature": "Case_signature::wrong",
    "syntax": "Garbage",
}
_HOLDERS: list[tempfile.TemporaryDirectory[str]] = []


def _write(name: str, folder: Path, interpreter: Interpreter) -> str:
    if javac() is None:
        pytest.skip("no javac to compile functions in Java with")
    shutil.copytree(_compiled(), folder, dirs_exist_ok=True)
    (folder / "Garbage.class").write_bytes(b"class Garbage {")
    return _HANDLERS.get(name, f"Case_{name}")


def _write_shared(folder: Path, interpreter: Interpreter) -> str:
    _write("", folder, interpreter)
    return "Shared"


@functools.cache
def _compiled() -> Path:
    holder = tempfile.TemporaryDirectory(prefix="lambdad-java-cases-")
    _HOLDERS.append(holder)
    sources, classes = Path(holder.name, "sources"), Path(holder.name, "classes")
    sources.mkdir()
    (sources / "Shared.java").write_text(_SHARED)
    (sources / "Absent.java").write_text(_ABSENT)
    for name, body in _BODIES.items():
        text = _CLASS.format(name=name, members=_MEMBERS.get(name, ""), body=body)
        (sources / f"Case_{name}.java").write_text(text)
    compile_java(sorted(sources.iterdir()), classes)
    (classes / "Absent.class").unlink()
    return classes


_NO_METHOD = "^No public method named {} with appropriate method signature found on class {}$"

JAVA = Functions(
    {*_BODIES, *_HANDLERS},
    _write,
    write_shared=_write_shared,
    expected={
        "binary": Answer(b'"AP8="'),
        "surrogate": Answer(b'"\\uD800"'),
        "fails": "java.lang.IllegalArgumentException",
        "payload": "errorMessage errorType stackTrace",
        "error_log": "java.lang.IllegalArgumentException",
        "unserializable": "java.lang.RuntimeException",
        "circular": "java.lang.RuntimeException",
        "bad_event": "java.lang.RuntimeException",
        "deep": "java.lang.RuntimeException",
        "recursion": ("java.lang.StackOverflowError", 1),
        # What is merely not there fails each invocation, not Init, as on AWS.
        "no_handler": Refusal("error", None, _NO_METHOD.format("absent", "Case_echo")),
        "no_class": Refusal("error", "java.lang.ClassNotFoundException", "^Class not found: Case_absent$"),
        "no_module": Refusal("error", "java.lang.ClassNotFoundException", "^Class not found: absent.Case_echo$"),
        "malformed": Refusal("error", None, "^Invalid handler: `::'$"),
        "signature": Refusal("error", None, _NO_METHOD.format("wrong", "Case_signature")),
        "syntax": Refusal("init/error", "java.lang.ClassFormatError", "^Error loading class Garbage: "),
        "import_error": Refusal(
            "init/error", "java.lang.NoClassDefFoundError", "^Error loading class Case_import_error: Absent$"
        ),
        "wrong_architecture": Refusal(
            "init/error", "java.lang.UnsatisfiedLinkError", "^Error loading class Case_wrong_architecture: .*/native.so: "
        ),
        "import_fails": Refusal(
            "init/error", "java.lang.ExceptionInInitializerError", "^Error loading class Case_import_fails"
        ),
        "wrapper": lambda runtime: runtime != "java8",
        "no_wrapper": lambda runtime: runtime != "java8",
    },
    dashes={
        "stream": "AWS's runtimes of this language stream nothing",
        "log": "messages have neither id nor level of their own, as on AWS: test_java_runtime.py",
    },
)
