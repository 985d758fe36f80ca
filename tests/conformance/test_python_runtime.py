"""The runtime client as a real process of every Python on this machine, against a Runtime API that writes everything down."""

from __future__ import annotations

import json
import re
import time

import pytest

from lambdad.runtimes.python.family import CLIENT
from support.python_runtime import Python
from support.runtime_api import ARN, REQUEST_ID, RuntimeProcess, Told

TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def test_a_connection_that_has_nothing_yet_is_waited_for(python: Python) -> None:
    """Some kernels (gVisor's) answer EAGAIN on a blocking socket: no reason to end."""
    source = """
import fcntl, os
def handler(event, context):
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and os.path.exists("/proc/self/fd/%d" % fd):
            fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
    return "x" * event
"""
    with python.run(source) as process:
        for size in (1, 5_000_000, 1):
            assert len(process.invoke(str(size).encode()).body) == size + 2


def test_a_handlers_result_is_posted_as_json(python: Python) -> None:
    """The result goes to the invocation's response URL as JSON, with letters escaped up to python3.11 and as UTF-8 after."""
    with python.run("def handler(event, context):\n    return [event['k'], None, True, u'\\u3053']\n") as process:
        told = process.invoke(b'{"k": 1.5}')
    assert told.path == f"/2018-06-01/runtime/invocation/{REQUEST_ID}/response"
    assert told.headers["content-type"] == "application/json"
    assert told.body == ('[1.5, null, true, "こ"]'.encode() if python.version >= (3, 12) else b'[1.5, null, true, "\\u3053"]')


def test_several_invocations_share_one_connection_and_process(python: Python) -> None:
    """The process keeps its state between invocations, in order, and asks for the next one after each answer."""
    with python.run("seen = []\ndef handler(event, context):\n    seen.append(event)\n    return seen\n") as process:
        bodies = [process.invoke(b"%d" % number).body for number in range(3)]
        python.api.asked.get(timeout=100)
    assert [json.loads(body) for body in bodies] == [[0], [0, 1], [0, 1, 2]]


@pytest.mark.parametrize(
    "handler, file",
    [("app.handler", "app.py"), ("pkg/module.handler", "pkg/module.py"), ("pkg.module.handler", "pkg/module.py")],
)
def test_handler_strings_name_modules_in_folders(python: Python, handler: str, file: str) -> None:
    """ "pkg/module.fn" and "pkg.module.fn" mean the same; the string is split at its last dot."""
    python.write("pkg/__init__.py", "")
    python.write(file, "def handler(event, context):\n    return __name__\n")
    with python.start(handler) as process:
        assert json.loads(process.invoke().body) == handler.rpartition(".")[0].replace("/", ".")


def init_error(python: Python, process: RuntimeProcess) -> tuple[Told, str]:
    with process:
        told = python.api.told.get(timeout=100)
        assert process.wait() == 1
        return told, process.ended_log()


INIT_FAULTS = {
    "nodot": ("Runtime.MalformedHandlerName", "Bad handler 'nodot': not enough values to unpack (expected 2, got 1)"),
    "app.nothing": ("Runtime.HandlerNotFound", "Handler 'nothing' missing on module 'app'"),
    "absent.handler": ("Runtime.ImportModuleError", "Unable to import module 'absent': No module named 'absent'"),
    "sys.exit": ("Runtime.BuiltInModuleConflict", "Cannot use built-in module sys as a handler module"),
}


@pytest.mark.parametrize("handler", INIT_FAULTS)
def test_a_function_that_cannot_be_loaded_reports_an_init_error(python: Python, handler: str) -> None:
    """The fault has AWS's type and text, an empty request id from python3.9 on, and is logged; the process then exits 1."""
    error_type, message = INIT_FAULTS[handler]
    if python.version < (3, 0):
        message = message.replace("not enough values to unpack (expected 2, got 1)", "need more than 1 value to unpack")
        message = message.replace("named 'absent'", "named absent")
    python.write("app.py", "")
    told, log = init_error(python, python.start(handler))
    assert told.path == "/2018-06-01/runtime/init/error"
    assert told.headers["lambda-runtime-function-error-type"] == error_type
    assert told.body == python.error(error_type, message, [], request_id="")
    assert log == f"[ERROR] {error_type}: {message}\rTraceback (most recent call last):\n"


def test_a_syntax_error_names_its_line(python: Python) -> None:
    """A file that does not parse is Runtime.UserCodeSyntaxError with the line in its stack trace."""
    told, _ = init_error(python, python.run("def handler(event, context)\n    return 1\n"))
    error = json.loads(told.body)
    assert error["errorType"] == "Runtime.UserCodeSyntaxError"
    assert error["errorMessage"].startswith("Syntax error in module 'app': ")
    path = python.folder / "task" / "app.py"
    assert error["stackTrace"] == [f'  File "{path}" Line 2\n    def handler(event, context)\n']


def test_an_exception_while_loading_is_reported_with_its_own_type(python: Python) -> None:
    """Code outside the handler may raise anything; the stack ends in the user's line."""
    told, log = init_error(python, python.run("raise RuntimeError('not today')\n"))
    error = json.loads(told.body)
    assert told.headers["lambda-runtime-function-error-type"] == "RuntimeError"
    assert (error["errorType"], error["errorMessage"]) == ("RuntimeError", "not today")
    assert (
        error["stackTrace"][-1]
        == f"  File \"{python.folder}/task/app.py\", line 2, in <module>\n    raise RuntimeError('not today')\n"
    )
    assert log.startswith("[ERROR] RuntimeError: not today\rTraceback (most recent call last):\r")


def test_a_raised_exception_becomes_an_error_and_a_log_block(python: Python) -> None:
    """The payload holds the frames from the user's first one on; the block is one line, indented with no-break spaces."""
    source = "def inner():\n    raise ValueError(u'no \u00e9')\ndef handler(event, context):\n    inner()\n"
    with python.run(source) as process:
        told = process.invoke()
        log = process.ended_log()
    task = python.folder / "task"
    stack = [
        f'  File "{task}/app.py", line 5, in handler\n    inner()\n',
        f"  File \"{task}/app.py\", line 3, in inner\n    raise ValueError(u'no é')\n",
    ]
    assert told.path == f"/2018-06-01/runtime/invocation/{REQUEST_ID}/error"
    assert told.headers["lambda-runtime-function-error-type"] == "ValueError"
    assert told.body == python.error("ValueError", "no é", stack)
    assert log == (
        "[ERROR] ValueError: no é\rTraceback (most recent call last):\r"
        f'\u00a0\u00a0File "{task}/app.py", line 5, in handler\r\u00a0\u00a0\u00a0\u00a0inner()\r'
        f"\u00a0\u00a0File \"{task}/app.py\", line 3, in inner\r\u00a0\u00a0\u00a0\u00a0raise ValueError(u'no é')\n"
    )


def test_an_error_does_not_end_the_environment(python: Python) -> None:
    """After an error the same process serves the next invocation."""
    with python.run("def handler(event, context):\n    return 1 / event\n") as process:
        assert process.invoke(b"0").kind == "error"
        assert float(process.invoke(b"1").body) == 1


def test_a_handler_of_the_wrong_shape_shows_the_clients_line(python: Python) -> None:
    """With no frame of the user's, the client's own call is what the stack shows, as on AWS."""
    with python.run("def handler(event):\n    return 1\n") as process:
        error = json.loads(process.invoke().body)
    assert error["errorType"] == "TypeError"
    assert "bootstrap.py" in error["stackTrace"][0] and "request_handler(event, context)" in error["stackTrace"][0]


@pytest.mark.parametrize("value", ["{1, 2}", "object()", "lambda: 0"])
def test_a_result_that_is_not_json_is_a_marshal_error(python: Python, value: str) -> None:
    """Runtime.MarshalError names the type."""
    with python.run(f"def handler(event, context):\n    return {value}\n") as process:
        error = json.loads(process.invoke().body)
    assert error["errorType"] == "Runtime.MarshalError"
    assert error["errorMessage"].startswith("Unable to marshal response: ")
    assert error["errorMessage"].endswith("is not JSON serializable")


def test_a_cycle_is_a_marshal_error(python: Python) -> None:
    """A structure that holds itself is refused and does not hang the client."""
    with python.run("def handler(event, context):\n    a = []\n    a.append(a)\n    return a\n") as process:
        error = json.loads(process.invoke().body)
    assert error["errorMessage"] == "Unable to marshal response: Circular reference detected"


@pytest.mark.parametrize("event", [b"", b"{", b'"\xff"', b"\xff\xfe", b"[" * 100_000])
def test_an_event_that_is_not_json_is_an_unmarshal_error(python: Python, event: bytes) -> None:
    """Whatever the event's bytes are, the handler is not called and the process lives on."""
    with python.run("def handler(event, context):\n    return 'ran'\n") as process:
        told = process.invoke(event)
        error = json.loads(told.body)
        assert json.loads(process.invoke(b"1").body) == "ran"
    assert error["errorType"] == "Runtime.UnmarshalError" == told.headers["lambda-runtime-function-error-type"]
    assert error["errorMessage"].startswith("Unable to unmarshal input: ")


def test_an_event_of_six_megabytes_comes_back_whole(python: Python) -> None:
    """Events and responses larger than any buffer on the way are complete."""
    event = json.dumps("x" * (6 * 1024 * 1024 - 2)).encode()
    with python.run("def handler(event, context):\n    return event\n") as process:
        assert process.invoke(event).body == event


def test_a_response_over_the_limit_is_refused_and_the_environment_goes_on(python: Python) -> None:
    """413 and a closed connection: the client connects again and serves the next invocation."""
    with python.run("def handler(event, context):\n    return 'x' * event\n") as process:
        process.invoke(b"9000000")
        assert process.invoke(b"2").body == b'"xx"'


def test_an_answer_refused_by_413_on_a_kept_connection_is_no_end(python: Python) -> None:
    """A 413 that leaves the connection open is read, and the next invocation served on it."""
    python.api.refuse.append((413, b'{"errorType":"RequestEntityTooLarge"}', False))
    with python.run("def handler(event, context):\n    return event\n") as process:
        process.invoke(b"1")
        assert process.invoke(b"2").body == b"2"


@pytest.mark.parametrize("status", [400, 403, 500])
def test_any_other_refusal_ends_the_process(python: Python, status: int) -> None:
    """An answer that is refused must not be lost silently: the process says so and exits 1."""
    python.api.refuse.append((status, b'{"errorType":"InvalidStateTransition"}', False))
    with python.run("def handler(event, context):\n    return event\n") as process:
        process.invoke(b"1")
        assert process.wait() == 1
        assert f"the Runtime API refused an answer: {status}" in process.ended_log()


def test_numbers_and_containers_of_python_become_json_as_on_aws(python: Python) -> None:
    """From python3.8 on a Decimal keeps its digits and a named tuple is an object; before they are a float and a list."""
    source = (
        "from collections import namedtuple\nfrom decimal import Decimal\nPoint = namedtuple('Point', 'x y')\n"
        "def handler(event, context):\n    return [Decimal('1.10'), Point(1, (2,)), Decimal('NaN'), float('inf')]\n"
    )
    with python.run(source) as process:
        body = process.invoke().body
    if python.version >= (3, 8):
        assert body == b'[1.10, {"x": 1, "y": [2]}, NaN, Infinity]'
    else:
        assert body == b"[1.1, [1, [2]], NaN, Infinity]"


def test_bytes_are_passed_on_as_they_are(python: Python) -> None:
    """A handler's bytes are the response itself, of an unknown content type. In Python 2 they are text."""
    with python.run("def handler(event, context):\n    return b'\\x00{raw'\n") as process:
        told = process.invoke()
    if python.version >= (3, 0):
        assert (told.body, told.headers["content-type"]) == (b"\x00{raw", "application/unknown")
    else:
        assert (told.body, told.headers["content-type"]) == (b'"\\u0000{raw"', "application/json")


def test_the_context_holds_what_aws_documents(python: Python) -> None:
    """Every attribute, the client context and the identity as objects, the remaining time counting down to the deadline."""
    source = (
        "def handler(event, context):\n"
        "    c = context.client_context\n"
        "    return {'id': context.aws_request_id, 'arn': context.invoked_function_arn, 'name': context.function_name,\n"
        "            'version': context.function_version, 'memory': context.memory_limit_in_mb,\n"
        "            'group': context.log_group_name,\n"
        "            'stream': context.log_stream_name, 'identity': context.identity.cognito_identity_id,\n"
        "            'pool': context.identity.cognito_identity_pool_id, 'custom': c.custom, 'env': c.env,\n"
        "            'title': c.client.app_title, 'code': c.client.app_version_code,\n"
        "            'left': context.get_remaining_time_in_millis(),\n"
        "            'tenant': context.tenant_id}\n"
    )
    client_context = {"custom": {"k": "é"}, "env": {"e": "1"}, "client": {"app_title": "t"}}
    with python.run(source) as process:
        told = process.invoke(
            client_context=json.dumps(client_context, ensure_ascii=False),
            cognito_identity='{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}',
            deadline_ms=str(int(time.time() * 1000) + 30_000),
        )
    answer = json.loads(told.body)
    assert 0 < answer.pop("left") <= 30_000
    assert answer == {
        "id": REQUEST_ID,
        "arn": ARN,
        "name": "hello",
        "version": "$LATEST",
        "memory": "128",
        "group": "/aws/lambda/hello",
        "stream": "2026/11/23/[$LATEST]0123456789abcdef0123456789abcdef",
        "identity": "i",
        "pool": "p",
        "custom": {"k": "é"},
        "env": {"e": "1"},
        "title": "t",
        "code": None,
        "tenant": None,
    }


def test_the_context_without_extras(python: Python) -> None:
    """Without a client context there is None; the identity is an object with Nones; a passed deadline leaves 0."""
    source = (
        "def handler(event, context):\n"
        "    return [context.client_context, context.identity.cognito_identity_id, context.get_remaining_time_in_millis()]\n"
    )
    with python.run(source) as process:
        assert json.loads(process.invoke(deadline_ms="1000").body) == [None, None, 0]


def test_a_broken_client_context_is_its_own_error(python: Python) -> None:
    """Runtime.LambdaContextUnmarshalError, before the handler runs."""
    with python.run("def handler(event, context):\n    return 1\n") as process:
        told = process.invoke(client_context="{")
    assert told.headers["lambda-runtime-function-error-type"] == "Runtime.LambdaContextUnmarshalError"
    assert json.loads(told.body)["errorMessage"].startswith("Unable to parse Client Context JSON: ")


def test_the_trace_header_is_in_the_environment_of_its_invocation(python: Python) -> None:
    """_X_AMZN_TRACE_ID is set for each invocation and gone in one without a trace."""
    source = "import os\ndef handler(event, context):\n    return os.environ.get('_X_AMZN_TRACE_ID')\n"
    with python.run(source) as process:
        assert json.loads(process.invoke(trace_id="Root=1-a;Parent=b;Sampled=0").body) == "Root=1-a;Parent=b;Sampled=0"
        assert json.loads(process.invoke(trace_id=None).body) is None


def test_output_arrives_raw_and_log_records_in_aws_format(python: Python) -> None:
    """print is untouched; logging's lines are tab-separated, WARN and above, one event each whatever they contain."""
    source = (
        "from __future__ import print_function\nimport logging, sys\n"
        "logging.warning('while loading')\n"
        "def handler(event, context):\n"
        "    print('printed')\n    sys.stderr.write('to stderr\\n')\n"
        "    logging.info('not seen')\n    logging.error('%s\\n%s', 'two', 'lines')\n"
        "    logging.getLogger('mine').setLevel('INFO')\n    logging.getLogger('mine').info(u'seen \\u00e9')\n"
        "    context.log('no end')\n    sys.stdout.write(' of line')\n"
    )
    with python.run(source) as process:
        assert process.invoke().body == b"null"
        log = process.ended_log()
    pattern = (
        rf"\[WARNING\]\t{TIMESTAMP}\t\twhile loading\n"
        r"printed\nto stderr\n"
        rf"\[ERROR\]\t{TIMESTAMP}\t{REQUEST_ID}\ttwo\rlines\n"
        rf"\[INFO\]\t{TIMESTAMP}\t{REQUEST_ID}\tseen é\n"
        r"no end of line"
    )
    assert re.fullmatch(pattern, log), log


@pytest.mark.parametrize("code, status", [("0", 0), ("3", 3), ("None", 0), ("'words'", 1)])
@pytest.mark.parametrize("where", ["handler", "module"])
def test_sys_exit_ends_the_process_with_its_status(python: Python, where: str, code: str, status: int) -> None:
    """Nothing is answered: that the process has gone is for the server to tell."""
    call = f"import sys\nsys.exit({code})\n"
    body = call if where == "module" else "def handler(event, context):\n    " + call.replace("\n", "\n    ")
    with python.run(body) as process:
        python.api.give(b"{}")
        assert process.wait() == status
    assert python.api.told.empty()


def test_base_exceptions_end_the_process(python: Python) -> None:
    """An exception that is no Exception is not the handler's error but the process's end, with its traceback on stderr."""
    source = "class Stop(BaseException):\n    pass\ndef handler(event, context):\n    raise Stop('now')\n"
    with python.run(source) as process:
        python.api.give(b"{}")
        assert process.wait() == 1
        assert "Stop: now" in process.ended_log()
    assert python.api.told.empty()


def test_atexit_functions_run_at_the_end(python: Python) -> None:
    """A process that ends by itself ends as any Python does."""
    source = "import atexit, sys\natexit.register(sys.stderr.write, 'bye\\n')\ndef handler(event, context):\n    sys.exit(2)\n"
    with python.run(source) as process:
        python.api.give(b"{}")
        assert process.wait() == 2
        assert process.ended_log() == "bye\n"


def test_threads_go_on_between_invocations(python: Python) -> None:
    """A thread that a handler started is alive in the next invocation."""
    source = (
        "import threading\ngo, done = threading.Event(), threading.Event()\n"
        "def work():\n    go.wait()\n    done.set()\n"
        "def handler(event, context):\n"
        "    if event == 1:\n        t = threading.Thread(target=work)\n        t.daemon = True\n        t.start()\n"
        "        return 'started'\n"
        "    go.set()\n    return done.wait(10)\n"
    )
    with python.run(source) as process:
        assert process.invoke(b"1").body == b'"started"'
        assert process.invoke(b"2").body == b"true"


def test_a_forked_child_does_not_answer(python: Python) -> None:
    """A child that returns from the handler ends there; only the parent's answer is told."""
    source = (
        "import os\ndef handler(event, context):\n    child = os.fork()\n    if child == 0:\n        return 'child'\n"
        "    return [os.waitpid(child, 0)[1], 'parent']\n"
    )
    with python.run(source) as process:
        assert json.loads(process.invoke().body) == [0, "parent"]
        assert json.loads(process.invoke().body) == [0, "parent"]
    assert python.api.told.empty()


def test_started_programs_do_not_inherit_the_connection(python: Python) -> None:
    """A program that the function starts, even with every descriptor kept, has no socket to the Runtime API."""
    source = (
        "import subprocess\ndef handler(event, context):\n"
        "    p = subprocess.Popen(['/bin/ls', '-l', '/proc/self/fd'], stdout=subprocess.PIPE, close_fds=False)\n"
        "    return p.communicate()[0].decode()\n"
    )
    with python.run(source) as process:
        assert "socket:" not in json.loads(process.invoke().body)


def test_the_search_path_has_awss_order_and_nothing_of_the_machines_owner(python: Python) -> None:
    """Task root, layers, runtime, PYTHONPATH, standard library; packages installed beside the interpreter are not seen."""
    layers = python.folder / "opt" / "python"
    site_packages = layers / "lib" / f"python{python.version[0]}.{python.version[1]}" / "site-packages"
    site_packages.mkdir(parents=True)
    (python.folder / "extra").mkdir()
    (layers / "more.pth").write_text(str(python.folder / "extra") + "\n")
    source = "import sys\ndef handler(event, context):\n    return [sys.path, sys.argv[0]]\n"
    with python.run(source, PYTHONPATH="/var/mine") as process:
        paths, program = json.loads(process.invoke().body)
    assert paths[:5] == [str(python.folder / "task"), str(site_packages), str(layers), str(CLIENT), "/var/mine"]
    assert paths[-1] == str(python.folder / "extra")
    assert not [path for path in paths[5:] if path.endswith("-packages")]
    assert program.endswith("bootstrap.py")


def test_a_module_named_like_the_client_is_the_functions_own(python: Python) -> None:
    """A function's bootstrap.py is its own; the client does not stand in the way."""
    python.write("bootstrap.py", "def handler(event, context):\n    return 'mine'\n")
    with python.start("bootstrap.handler") as process:
        assert process.invoke().body == b'"mine"'


def test_a_lost_runtime_api_is_one_sentence_and_an_end(python: Python) -> None:
    """Without a Runtime API the process says so and exits 1."""
    with python.run("def handler(event, context):\n    return 1\n", AWS_LAMBDA_RUNTIME_API="127.0.0.1:1") as process:
        assert process.wait() == 1
        assert re.match(r"the Runtime API at '127\.0\.0\.1:1' cannot be reached: .*\n$", process.ended_log())
