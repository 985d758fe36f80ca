"""Node.js functions that begin in an interpreter which was booted before they were known."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lambdad.runtimes.node.family import MAJORS
from support.namespaces import has_ended, open_process
from support.pre_booted import masked
from support.processes import command_line, descendants
from support.server import ROLE, Server, running, wait_until, zipped

pytestmark = [pytest.mark.root, pytest.mark.runtime("nodejs20.x")]

RUNTIME = "nodejs20.x"
#: All that a function could tell its start by.
PROBE = """
const fs = require('fs');
const v8 = require('v8');
const started = Date.now() - process.uptime() * 1000;
const marked = global.marked;
global.marked = process.env.AWS_LAMBDA_FUNCTION_NAME;
const opened = fs.openSync('/dev/null');
fs.closeSync(opened);
const descriptors = fs.readdirSync('/proc/self/fd').map((name) => {
  try { return [name, fs.readlinkSync(`/proc/self/fd/${name}`).replace(/\\d+/g, '#')]; } catch (_own) { return null; }
});
const read = (path) => fs.readFileSync(path, 'utf8');
exports.handler = async (event) => {
  const isThere = (url) => new Promise((done) => {
    require('http').request(url, { method: 'HEAD' }, (answer) => { answer.resume(); done(answer.statusCode === 200); }).end();
  });
  while (event && event.gate && !await isThere(`${process.env.AWS_ENDPOINT_URL}/${event.gate}`)) {
    await new Promise((done) => setTimeout(done, 200));
  }
  if (event && event.exits) process.exit(3);
  return {
    started, marked: marked || null, inherited: process.env.SECRET || null, uid: process.getuid(),
    tmp: fs.readdirSync('/tmp'), limit: Error.stackTraceLimit, wrapped: process.env.WRAPPED || null,
    alike: {
      environment: Object.entries(process.env), argv: process.argv, execArgv: process.execArgv, execPath: process.execPath,
      title: process.title, cwd: process.cwd(), pids: [process.pid, process.ppid], umask: process.umask(),
      main: require.main.filename, paths: require.main.paths, global: require('module').globalPaths,
      children: require.main.children.map((child) => [child.id, child.children.map((each) => each.id)]),
      modules: Object.keys(require.cache), resolved: require.resolve('./app.js'), opened, descriptors,
      time: new Date(0).toString(), language: Intl.DateTimeFormat().resolvedOptions(), groups: process.getgroups().length,
      heap: v8.getHeapStatistics().heap_size_limit, limits: read('/proc/self/limits'), line: read('/proc/self/cmdline'),
      mounts: read('/proc/self/mounts').replace(/uid=\\d+|lambdad-\\w+/g, ''), score: read('/proc/self/oom_score_adj'),
      status: read('/proc/self/status').split('\\n').filter((line) => /^(Cap|Sig|Shd|NoNew|Seccomp|Umask|NS)/.test(line)),
      session: read('/proc/self/stat').replace(/.*\\) /, '').split(' ').slice(2, 4),
      others: fs.readdirSync('/proc').filter((name) => /^\\d+$/.test(name)),
    },
  };
};
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("pre-booted")) as started:
        if RUNTIME not in started.health()["runtimes"]["available"]:
            pytest.skip(f"no interpreter for {RUNTIME}")
        yield started


def create(server: Server, name: str, source: str = PROBE, file: str = "app.js", **settings: Any) -> None:
    settings = {"Runtime": RUNTIME, "Timeout": 20, "MemorySize": 256, "Handler": "app.handler", **settings}
    files = settings.pop("files", {})
    code = {"ZipFile": zipped({file: source, **files}, tuple(files))}
    server.client("lambda").create_function(FunctionName=name, Role=ROLE, Code=code, **settings)
    server.wait_active(name)


def waiting(server: Server) -> list[int]:
    """Those of this server that are in no function's hands: nothing of one is mounted."""
    return [pid for pid in descendants(server.process.pid) if is_waiting(pid)]


def is_waiting(pid: int) -> bool:
    try:
        mounts = Path(f"/proc/{pid}/mounts").read_text()
        return "/var/runtime/index.js" in command_line(pid) and " /var/task " not in mounts
    except OSError:  # it has just ended
        return False


def begun(server: Server, name: str, runtime: str = RUNTIME) -> tuple[bool, dict[str, Any]]:
    """Whether a function's first invocation, with one runtime waiting, was run by that; and what it answered."""
    seen = server.wait_for_pre_booted(runtime)
    answer = server.invoke(name)
    return answer["started"] < seen * 1000, answer


@pytest.fixture(scope="module")
def primed(server: Server) -> dict[str, Any]:
    """What a function answers that was started by itself: the first of its memory size."""
    create(server, "by-itself", Environment={"Variables": {"SECRET": "of another", "COLOUR": "grün"}})
    return server.invoke("by-itself")


def test_a_function_cannot_tell_whether_its_interpreter_was_there_before(server: Server, primed: dict[str, Any]) -> None:
    """Variables in their order, arguments, limits, descriptors, mounts, user, heap, modules: as those of an ordinary start."""
    create(server, "in-waiting", Environment={"Variables": {"SECRET": "mine", "COLOUR": "grün"}})
    was_waiting, answer = begun(server, "in-waiting")
    assert was_waiting
    check_alike(primed, answer)
    assert dict(answer["alike"]["environment"])["COLOUR"] == "grün"


def check_alike(ordinary: dict[str, Any], answer: dict[str, Any]) -> None:
    """But for what is each function's own, of which only its own is there."""
    assert (answer["marked"], answer["inherited"], answer["tmp"]) == (None, "mine", [])
    assert answer["uid"] != ordinary["uid"]
    both = [dict(each["alike"]) for each in (ordinary, answer)]
    for each in both:
        each["environment"] = masked(each["environment"])
    for name in both[0]:
        assert both[1][name] == both[0][name], name


def test_each_runtime_serves_one_function(server: Server, primed: dict[str, Any]) -> None:
    """The next function begins in another one, in a sandbox of another user, and finds nothing of the first."""
    users = {primed["uid"]}
    for number in range(3):
        create(server, f"one-of-{number}", Environment={"Variables": {"SECRET": str(number)}})
        was_waiting, answer = begun(server, f"one-of-{number}")
        assert was_waiting
        assert (answer["marked"], answer["inherited"]) == (None, str(number))
        users.add(answer["uid"])
    assert len(users) == 4


MODULE = (
    "import { readFileSync } from 'fs'; export const handler = async () => ({ started: Date.now() - process.uptime() * 1000 });"
)


def test_es_modules_and_failures_are_as_ever(server: Server, primed: dict[str, Any]) -> None:
    """A module is loaded; what does not load is an error of Init, with its line in the log; what ends is started again."""
    create(server, "a-module", MODULE, "app.mjs")
    assert begun(server, "a-module")[0]
    create(server, "broken", "throw new RangeError('at load');")
    server.wait_for_pre_booted(RUNTIME)
    client = server.client("lambda")
    answer = json.loads(client.invoke(FunctionName="broken")["Payload"].read())
    assert (answer["errorType"], answer["errorMessage"]) == ("RangeError", "at load")
    create(server, "exits")
    server.wait_for_pre_booted(RUNTIME)
    assert "Runtime.ExitError" in client.invoke(FunctionName="exits", Payload=b'{"exits": true}')["Payload"].read().decode()
    again = server.invoke("exits")
    assert again["alike"]["pids"] != primed["alike"]["pids"]  # in the same sandbox, and not booted before
    reports = [line for line in server.messages("/aws/lambda/a-module") if line.startswith("REPORT")]
    assert re.search(r"Init Duration: \d+\.\d\d ms", reports[0])


@pytest.mark.parametrize(
    "name, settings",
    [
        ("options", {"Environment": {"Variables": {"NODE_OPTIONS": "--stack-trace-limit=50"}}}),
        ("zone", {"Environment": {"Variables": {"TZ": "Asia/Tokyo"}}}),
        ("wrapped", {"Environment": {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}}}),
        ("library", {}),
    ],
)
def test_what_an_interpreter_reads_when_it_starts_is_honoured(
    server: Server, primed: dict[str, Any], name: str, settings: dict[str, Any]
) -> None:
    """Such a function gets an interpreter of its own."""
    files = {"wrap": '#!/bin/sh\nexport WRAPPED=yes\nexec "$@"\n', **({"lib/libx.so.1": ""} if name == "library" else {})}
    create(server, name, files=files, **settings)
    was_waiting, answer = begun(server, name)
    assert not was_waiting
    assert (answer["limit"] == 50) == (name == "options")
    assert ("GMT+0900" in answer["alike"]["time"]) == (name == "zone")
    assert (answer["wrapped"] == "yes") == (name == "wrapped")


def test_modules_are_found_in_the_functions_home(server: Server, primed: dict[str, Any]) -> None:
    """Where `require` looks besides, which Node.js reads when it starts."""
    source = PROBE + "exports.answer = require('at-home');"
    files = {".node_modules/at-home.js": "module.exports = 42;"}
    create(server, "at-home", source, files=files, Environment={"Variables": {"HOME": "/var/task"}})
    was_waiting, answer = begun(server, "at-home")
    assert was_waiting
    own = ["/var/task/.node_modules", "/var/task/.node_libraries"]
    places, of_language = primed["alike"]["global"][:-1], primed["alike"]["global"][-1]
    assert answer["alike"]["global"] == [*places, *own, of_language]


def test_a_waiting_runtime_that_is_killed_is_replaced(server: Server, primed: dict[str, Any]) -> None:
    """And the next function does not notice."""
    server.wait_for_pre_booted(RUNTIME)
    [pid] = waiting(server)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: waiting(server) not in ([], [pid]), 60, "another one")
    create(server, "after-a-death")
    assert begun(server, "after-a-death")[0]


def test_a_burst_of_first_invocations_is_served(server: Server, primed: dict[str, Any]) -> None:
    """More than there are runtimes that wait: each has an environment of its own, one of them the one that waited."""
    server.client("s3").create_bucket(Bucket="burst")
    create(server, "burst", Timeout=60)
    seen = server.wait_for_pre_booted(RUNTIME)
    with ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(server.invoke, "burst", {"gate": "burst/open"}) for _ in range(12)]
        wait_until(lambda: server.health()["environments"]["busy"] == 12, 60, "twelve environments")
        server.client("s3").put_object(Bucket="burst", Key="open")
        answers = [call.result() for call in calls]
    users = {answer["uid"] for answer in answers}
    assert len(users) == 12
    assert sum(answer["started"] < seen * 1000 for answer in answers) == 1
    assert all(answer["marked"] is None for answer in answers)


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_nothing_that_waits_outlives_the_server(tmp_path: Path, way: str) -> None:
    """Asked to stop, or killed."""
    with running(tmp_path, "--pre-booted", "2") as server:
        if RUNTIME not in server.health()["runtimes"]["available"]:
            pytest.skip(f"no interpreter for {RUNTIME}")
        create(server, "one")
        server.invoke("one")
        server.wait_for_pre_booted(RUNTIME, 2)
        processes = [open_process(pid) for pid in waiting(server)]
        assert len(processes) == 2
        if way == "stop":
            assert server.stop() == 0
        else:
            server.kill()
        assert all(map(has_ended, processes))


@pytest.mark.long
@pytest.mark.parametrize("runtime", [f"nodejs{major}.x" for major in MAJORS if f"nodejs{major}.x" != RUNTIME])
def test_nor_can_one_in_another_version(server: Server, runtime: str) -> None:
    """Each release of Node.js has its own ways to start. Last, since four kinds of runtimes wait at most."""
    if runtime not in server.health()["runtimes"]["available"]:
        pytest.skip(f"no interpreter for {runtime}")
    first, second = (f"{name}-{runtime.partition('.')[0]}" for name in ("by-itself", "in-waiting"))
    create(server, first, Runtime=runtime, Environment={"Variables": {"SECRET": "of another"}})
    ordinary = server.invoke(first)
    create(server, second, Runtime=runtime, Environment={"Variables": {"SECRET": "mine"}})
    was_waiting, answer = begun(server, second, runtime)
    assert was_waiting
    check_alike(ordinary, answer)
