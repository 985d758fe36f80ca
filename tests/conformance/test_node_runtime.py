"""What only Node.js has: its kinds of handlers, its ways to end, its modules and its console."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lambdad.runtimes.find import Interpreter
from lambdad.runtimes.node.family import FAMILY
from support.language import Language, find_interpreters
from support.runtime_api import REQUEST_ID, RuntimeApi, RuntimeProcess

ALWAYS = "nodejs20.x"
MODULES = 14  #: from this version on there are ES modules

Start = Callable[..., RuntimeProcess]


@pytest.fixture(scope="module")
def interpreters() -> dict[str, Interpreter]:
    return find_interpreters()


def _runtimes() -> list[object]:
    return [
        pytest.param(name, id=name, marks=[pytest.mark.runtime(name), *([] if name == ALWAYS else [pytest.mark.long])])
        for name in FAMILY.runtimes
    ]


@pytest.fixture(params=_runtimes())
def node(request: pytest.FixtureRequest, interpreters: dict[str, Interpreter]) -> Language:
    if request.param not in interpreters:
        pytest.skip(f"no interpreter for {request.param}")
    assert FAMILY.client is not None
    return Language(interpreters[request.param], FAMILY.client)


@pytest.fixture
def start(node: Language, tmp_path: Path) -> Any:
    """Starts a function, with a Runtime API of its own: its files, its handler, and variables."""
    with ExitStack() as apis:

        def started(files: dict[str, str], handler: str, **environment: str) -> RuntimeProcess:
            for name, text in files.items():
                path = tmp_path / "task" / name if not name.startswith("/opt/") else tmp_path / name[1:]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            return node.start(tmp_path / "task", apis.enter_context(RuntimeApi()), handler, environment)

        yield started


def major(node: Language) -> int:
    return node.interpreter.version[0]


def result(process: RuntimeProcess, event: Any = None) -> Any:
    told = process.invoke(json.dumps(event).encode())
    assert told.kind == "response", told.body
    return json.loads(told.body)


def error(process: RuntimeProcess, event: Any = None) -> Any:
    told = process.invoke(json.dumps(event).encode())
    assert told.kind == "error", told.body
    return json.loads(told.body)


OLD_WAYS = """
let late = 0;
exports.callback = (event, context, callback) => { setTimeout(() => { late += 1; }, 50); callback(null, late); };
exports.hasty = (event, context, callback) => {
  context.callbackWaitsForEmptyEventLoop = false; setTimeout(() => { late += 1; }, 10000); callback(null, late); };
exports.fails = (event, context, callback) => { setTimeout(() => {}, 10000); callback(new RangeError('no')); };
exports.text = (event, context, callback) => callback('just text');
exports.done = (event, context) => context.done(null, 'done');
exports.succeed = (event, context) => context.succeed('succeeded');
exports.fail = (event, context) => context.fail(new RangeError('failed'));
exports.nobody = (event, context, callback) => {};
exports.tardy = (event, context, callback) => {
  if (event === 'first') {
    context.callbackWaitsForEmptyEventLoop = false; setTimeout(() => callback(null, 'too late'), 50); callback(null, 'first');
  } else { callback(null, 'second'); setTimeout(() => {}, 200); } };
exports.twice = (event, context, callback) => { context.done(null, 1); context.done(null, 2); };
"""


def test_callbacks_answer_when_nothing_is_left_to_do(node: Language, start: Start) -> None:
    """Unless the function says that it does not wait; an error is told at once. Gone from Node.js 24 on, and said so."""
    files = {"app.js": OLD_WAYS}
    if major(node) >= 24:
        with start(files, "app.callback") as process:
            told = process.api.told.get(timeout=100)
            assert (told.kind, json.loads(told.body)["errorType"]) == ("init/error", "Runtime.CallbackHandlerDeprecated")
        return
    with start(files, "app.callback") as process:
        assert [result(process) for _ in range(3)] == [0, 1, 2], "each has waited for its timer"
    with start(files, "app.hasty") as process:
        assert [result(process) for _ in range(2)] == [0, 0]
    with start(files, "app.tardy") as process:
        said = [result(process, "first"), result(process), result(process)]
        assert said == ["first", "second", "second"], "what an invocation says after its answer concerns no other"
    with start(files, "app.fails") as process:
        assert error(process)["errorType"] == "RangeError"
        assert error(process)["errorMessage"] == "no"
    with start(files, "app.text") as process:
        assert error(process) == {"errorType": "string", "errorMessage": "just text", "trace": []}


def test_the_context_can_end_an_invocation(node: Language, start: Start) -> None:
    """done, succeed and fail, as functions of the first days have it; without any of them the answer is null."""
    if major(node) >= 24:
        pytest.skip("not from Node.js 24 on")
    for handler, answer in (("done", "done"), ("succeed", "succeeded"), ("nobody", None), ("twice", 1)):
        with start({"app.js": OLD_WAYS}, f"app.{handler}") as process:
            assert [result(process), result(process)] == [answer, answer]
    with start({"app.js": OLD_WAYS}, "app.fail") as process:
        assert error(process)["errorMessage"] == "failed"


def test_handlers_are_found_in_folders_and_objects(node: Language, start: Start) -> None:
    """dir/file.a.b; what is behind the first dot of the file's name is looked up step by step."""
    files = {
        "lib/deep/app.js": "exports.a = { b: { c: async () => 'found' } };",
        "lib/index.js": "exports.h = async () => 'index';",
    }
    with start(files, "lib/deep/app.a.b.c") as process:
        assert result(process) == "found"
    with start(files, "lib.h") as process:
        assert result(process) == "index"
    for handler, error_type in (
        ("lib/deep/app.a.x.c", "Runtime.HandlerNotFound"),
        ("lib/deep/app.a.b", "Runtime.HandlerNotFound"),
        ("../app.handler", "Runtime.MalformedHandlerName"),
    ):
        with start(files, handler) as process:
            assert json.loads(process.api.told.get(timeout=100).body)["errorType"] == error_type


def test_modules_of_both_kinds(node: Language, start: Start) -> None:
    """.mjs, and .js beneath a package.json of type module, with await at the top; .cjs without; an import that fails."""
    source = "const answer = await Promise.resolve('module');\nexport const handler = async () => answer;\n"
    if major(node) < MODULES:
        with start({"app.mjs": source}, "app.handler") as process:
            assert json.loads(process.api.told.get(timeout=100).body)["errorType"] == "Runtime.ImportModuleError"
        return
    with start({"app.mjs": source}, "app.handler") as process:
        assert result(process) == "module"
    with start({"sub/app.js": source, "sub/package.json": '{"type": "module"}'}, "sub/app.handler") as process:
        assert result(process) == "module"
    with start({"common.cjs": "exports.handler = async () => typeof require;"}, "common.handler") as process:
        assert result(process) == "function"
    for text, error_type in (
        ("import 'not-there';\nexport const handler = async () => 1;", "Error"),
        ("import { createRequire } from 'module';\ncreateRequire(import.meta.url)('not-there');", "Runtime.ImportModuleError"),
        ("export const handler = async ( => 1;", "Runtime.UserCodeSyntaxError"),
        ("throw new RangeError('at import'); export const handler = 1;", "RangeError"),
    ):
        with start({"broken.mjs": text}, "broken.handler") as process:
            told = process.api.told.get(timeout=100)
            assert (told.kind, json.loads(told.body)["errorType"]) == ("init/error", error_type)


def test_layers_are_found_by_require(node: Language, start: Start) -> None:
    """In nodejs/node_modules and in that of the version; the package's own come first."""
    layer = {
        f"/opt/nodejs/node{major(node)}/node_modules/one/index.js": "module.exports = 'of the version';",
        "/opt/nodejs/node_modules/one/index.js": "module.exports = 'of all';",
        "/opt/nodejs/node_modules/two/index.js": "module.exports = 'of all';",
        "/opt/nodejs/node_modules/three/index.js": "module.exports = 'of the layer';",
        "node_modules/three/index.js": "module.exports = 'of the package';",
    }
    source = "exports.handler = async () => ['one', 'two', 'three'].map(require);"
    with start({"app.js": source, **layer}, "app.handler") as process:
        assert result(process) == ["of the version", "of all", "of the package"]


def test_a_promise_that_is_never_settled_is_an_error(node: Language, start: Start) -> None:
    """Of async functions, from Node.js 18 on; before, and where a compiler has made another function of it, the answer is null.

    Source: AWS's guide, "Unexpected Node.js exit in runtime": "Affected runtimes: Node.js 18 and later".
    """
    source = """
      exports.handler = async () => new Promise(() => {});
      exports.compiled = () => new Promise(() => {});
      exports.called = async (event, context, callback) => { callback(null, 'called'); await new Promise(() => {}); };"""
    for handler, since, until in (("handler", 18, 99), ("compiled", 24, 99), ("called", 99, 24)):
        if handler == "called" and major(node) >= until:
            continue
        with start({"app.js": source}, f"app.{handler}") as process:
            for _ in range(2):
                if major(node) >= since:
                    told = error(process)
                    assert (told["errorType"], "never settled" in told["errorMessage"]) == ("Runtime.NodeJsExit", True)
                else:
                    assert result(process) == ("called" if handler == "called" else None)


@pytest.mark.parametrize(
    "source, error_type, status",
    [
        (
            "exports.handler = () => new Promise(() => setTimeout(() => { throw new RangeError('late'); }, 1));",
            "RangeError",
            129,
        ),
        (
            "exports.handler = (e) => new Promise(() => { Promise.reject(new RangeError('late')); });",
            "Runtime.UnhandledPromiseRejection",
            128,
        ),
    ],
    ids=["exception", "rejection"],
)
def test_what_nobody_catches_is_told_and_ends_the_process(start: Start, source: str, error_type: str, status: int) -> None:
    """As the error of the invocation, with AWS's exit statuses; the log has it too."""
    with start({"app.js": source}, "app.handler") as process:
        told = error(process)
        assert told["errorType"] == error_type
        assert told["errorMessage"].endswith("late")
        assert process.wait() == status
        assert f"{REQUEST_ID}\tERROR\tUn" in process.ended_log()


def test_errors_of_every_kind_arrive(node: Language, start: Start) -> None:
    """Whatever is thrown: an error of one's own with a trace, a text, nothing, an object that lies."""
    source = """
      class Mine extends Error { constructor(m) { super(m); this.name = 'Mine'; this.code = 7; } }
      exports.handler = async (event) => {
        if (event === 'own') throw new Mine('own'); if (event === 'text') throw 'text'; if (event === 'none') throw undefined;
        if (event === 'null') return Promise.reject(null);
        if (event === 'liar') throw { get message() { throw 1; }, toString() { throw 2; } };
        return 'fine'; };"""
    with start({"app.js": source}, "app.handler") as process:
        own = error(process, "own")
        assert (own["errorType"], own["errorMessage"], own["trace"][0]) == ("Mine", "own", "Mine: own")
        assert re.search(r"^ +at .*app\.js:4:", own["trace"][1])
        assert error(process, "text") == {"errorType": "string", "errorMessage": "text", "trace": []}
        for event in ("none", "null", "liar"):
            assert error(process, event)["errorType"]
        assert result(process, "fine") == "fine"
        logged = [line.split("\tERROR\tInvoke Error \t") for line in process.ended_log().splitlines()]
    own, text, *_, liar = [json.loads(entry) for head, entry in logged if head.endswith(REQUEST_ID)]
    assert list(own) == ["errorType", "errorMessage", "code", "name", "stack"], "what it has of its own comes with it"
    assert (own["name"], own["code"], own["stack"][0]) == ("Mine", 7, "Mine: own")
    assert (text["errorType"], text["errorMessage"], text["stack"][0]) == ("Error", "text", "Error: text")
    assert liar["errorType"] == "Error"


def test_results_of_every_kind_are_json(start: Start) -> None:
    """Buffers, dates, functions and symbols as JSON.stringify has them; big integers cannot be written."""
    source = """
      exports.handler = async (event) => ({
        date: new Date(0), buffer: Buffer.from('a'), none: undefined, fun: () => 1, map: new Map() })[event];"""
    with start({"app.js": source}, "app.handler") as process:
        assert result(process, "date") == "1970-01-01T00:00:00.000Z"
        assert result(process, "buffer") == {"type": "Buffer", "data": [97]}
        assert [result(process, name) for name in ("none", "fun", "map")] == [None, None, {}]


def test_the_console_writes_with_time_id_and_level(start: Start) -> None:
    """Each method has its level, and values are shown as Node.js shows them; before the first invocation there is no id."""
    source = """
      console.log('early');
      exports.handler = async () => {
        console.trace('t'); console.debug('d'); console.info('i %s', 1); console.warn({ a: [1] }); console.error('e'); };"""
    with start({"app.js": source}, "app.handler") as process:
        process.invoke()
        lines = [line.split("\t") for line in process.ended_log().splitlines()]
    assert lines[0][1:] == ["undefined", "INFO", "early"]
    assert [line[1:] for line in lines[1:]] == [
        [REQUEST_ID, "TRACE", "t"],
        [REQUEST_ID, "DEBUG", "d"],
        [REQUEST_ID, "INFO", "i 1"],
        [REQUEST_ID, "WARN", "{ a: [ 1 ] }"],
        [REQUEST_ID, "ERROR", "e"],
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line[0]) for line in lines)


def test_json_logs_hold_objects_and_errors(start: Start) -> None:
    """One object is the message itself, an error comes with its type and trace, and a circle does no harm."""
    source = """
      exports.handler = async () => { console.log({ a: 1 }); console.error('it', new RangeError('x'));
        const c = {}; c.c = c; console.log(c);
        class Mine extends Error {} throw Object.assign(new Mine('last'), { code: 7 }); };"""
    with start({"app.js": source}, "app.handler", AWS_LAMBDA_LOG_FORMAT="JSON") as process:
        error(process)
        entries = [json.loads(line) for line in process.ended_log().splitlines()]
    assert entries[0]["message"] == {"a": 1}
    assert (entries[1]["errorType"], entries[1]["errorMessage"]) == ("RangeError", "x")
    assert entries[1]["stackTrace"][0] == "RangeError: x"
    assert "Circular" in entries[2]["message"]
    last = entries[3]["message"]
    assert list(last) == ["errorType", "errorMessage", "stackTrace", "code"]
    assert (last["errorType"], last["errorMessage"], last["stackTrace"][0], last["code"]) == ("Mine", "last", "Error: last", 7)
    assert not any("tenantId" in entry for entry in entries)


def test_json_logs_name_the_tenant(start: Start) -> None:
    """Of the invocation under way, where the function has tenants; the next one has its own."""
    source = "exports.handler = async (event, context) => { console.log(context.tenantId); throw new Error('no'); };"
    with start({"app.js": source}, "app.handler", AWS_LAMBDA_LOG_FORMAT="JSON") as process:
        for tenant in ("blue", "green"):
            process.invoke(b"{}", aws_tenant_id=tenant)
        entries = [json.loads(line) for line in process.ended_log().splitlines()]
    assert [entry["tenantId"] for entry in entries] == ["blue", "blue", "green", "green"]
    assert [entry["message"] for entry in entries[::2]] == ["blue", "green"]


def test_node_options_and_memory_reach_the_process(start: Start) -> None:
    """NODE_OPTIONS is Node's own; the heap follows the memory size; variables of the platform are not left behind."""
    source = """
      exports.handler = async () => [process.execArgv, process.env.MARK,
        Object.keys(process.env).filter((n) => /^_LAMBDA/.test(n))];"""
    variables = {
        "NODE_OPTIONS": "--require ./mark.js",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "_LAMBDA_TELEMETRY_LOG_FD": "1",
    }
    with start({"app.js": source, "mark.js": "process.env.MARK = 'set';"}, "app.handler", **variables) as process:
        arguments, mark, left = result(process)
    assert {"--expose-gc", "--max-http-header-size=81920", "--max-old-space-size=460"} <= set(arguments)
    assert (mark, left) == ("set", [])


def test_a_runtime_whose_runtime_api_is_gone_ends_without_a_word(start: Start) -> None:
    """The environment is being taken down, and nobody is to hear of that."""
    with start({"app.js": "exports.handler = async () => 1;"}, "app.handler") as process:
        assert result(process) == 1
        process.api._events.put(None)  # instead of an invocation, the end of the connection
        assert process.wait() == 1
        assert process.ended_log() == ""
