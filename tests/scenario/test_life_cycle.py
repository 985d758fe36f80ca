"""The life of an execution environment as its function and its callers see it: updates, freezing, a slow or failing Init."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.belongings import Belongings, descendants
from support.caller import Caller
from support.function_sources import PUT, WAIT_FOR
from support.processes import cgroups_named, command_line
from support.server import Server, running, wait_until, zipped

pytestmark = pytest.mark.root

VERSIONED = """
import os, time
VERSION = {version}
def handler(event, context):
    time.sleep(event["seconds"])
    if "number" in event:
        print("EVENT", event["number"], VERSION, os.environ.get("TURN", "0"), flush=True)
    return [VERSION, int(os.environ.get("TURN", "0"))]
"""
#: One whose call can be held for as long as a test wants.
HELD = f"""{PUT}{WAIT_FOR}
VERSION = 0
def handler(event, context):
    if event == "wait":
        put("replaced", "in")
        wait_for("replaced", "go-on")
    return VERSION
"""
#: A thread that counts as fast as it can, and the processor time that it has used.
COUNTING = """
import threading, time
count = 0
def run():
    global count
    while True:
        count += 1
threading.Thread(target=run, daemon=True).start()
def handler(event, context):
    return [count, time.thread_time(), time.process_time(), time.monotonic(), time.time()]
"""
#: Its first process takes longer over its import than Init may; what it leaves in /tmp makes the next one quick.
SLOW_ONCE = """
import os, time
if not os.path.exists("/tmp/seen"):
    open("/tmp/seen", "w").close()
    time.sleep(30)
def handler(event, context):
    return "fine"
"""
FAILING = """
import os
with open("/tmp/attempts", "a+") as file:
    file.write("x")
raise RuntimeError("attempt %d" % os.path.getsize("/tmp/attempts"))
"""


class Observer:
    """Calls the function again and again; what it returned, with the newest state known when the call began."""

    def __init__(self, server: Server, name: str) -> None:
        self.known = (0, 0)  #: the newest (version, turn) of which `Successful` was seen
        self.seen: list[tuple[tuple[int, int], tuple[int, int]]] = []
        self._server = server
        self._name = name
        self._over = threading.Event()

    def call(self, seconds: float) -> None:
        caller = Caller(self._server)
        while not self._over.is_set():
            known = self.known
            outcome, answer = caller.invoke(self._name, {"seconds": seconds})
            assert outcome == "answered"
            self.seen.append((known, tuple(answer)))
        caller.close()

    def wait_for_more(self) -> None:
        before = len(self.seen)
        wait_until(lambda: len(self.seen) > before + 24, 60, "calls to be made")

    def end(self) -> None:
        self._over.set()


@pytest.mark.slow
def test_no_call_after_successful_sees_the_code_or_the_configuration_before(server: Server) -> None:
    """Twelve callers, quick and slow, go on through updates of both kinds; so do asynchronous events."""
    lambda_ = server.client("lambda")
    server.create_function("drained", VERSIONED.format(version=0), Timeout=10)
    observer, number, states = Observer(server, "drained"), 0, [(0, 0)]
    events: dict[int, tuple[int, int]] = {}
    with ThreadPoolExecutor(12) as pool:
        calls = [pool.submit(observer.call, seconds) for seconds in (0.0, 0.01, 0.3) * 4]
        try:
            observer.wait_for_more()
            for turn in range(1, 7):
                if turn % 2:
                    code = zipped({"lambda_function.py": VERSIONED.format(version=turn)})
                    lambda_.update_function_code(FunctionName="drained", ZipFile=code)
                    state = (turn, states[-1][1])
                else:
                    lambda_.update_function_configuration(
                        FunctionName="drained", Environment={"Variables": {"TURN": str(turn)}}
                    )
                    state = (states[-1][0], turn)
                server.wait_active("drained")
                observer.known = state
                states.append(state)
                for _ in range(5):
                    events[number] = state
                    lambda_.invoke(
                        FunctionName="drained",
                        InvocationType="Event",
                        Payload=json.dumps({"seconds": 0.0, "number": number}).encode(),
                    )
                    number += 1
                observer.wait_for_more()
        finally:
            observer.end()
        for call in calls:
            call.result()
    assert all(seen >= known for known, seen in observer.seen)
    assert {seen for _, seen in observer.seen} == set(states), "each of them was called"

    def ran() -> dict[int, tuple[int, int]]:
        lines = [line.split() for line in server.messages("/aws/lambda/drained") if line.startswith("EVENT")]
        return {int(number): (int(version), int(turn)) for _, number, version, turn in lines}

    wait_until(lambda: len(ran()) == len(events), 60, "all events to run")
    assert all(ran()[number] >= state for number, state in events.items())


def test_an_update_leaves_no_environment_of_the_revision_before(server: Server) -> None:
    """Once the last call of the old revision has ended, so has its environment."""
    lambda_, s3 = server.client("lambda"), server.client("s3")
    s3.create_bucket(Bucket="replaced")
    server.create_function("replaced", HELD, Timeout=60)
    server.invoke("replaced")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.invoke, "replaced", "wait")
        wait_until(lambda: "Contents" in s3.list_objects_v2(Bucket="replaced"), 10, "the call to be running")
        code = zipped({"lambda_function.py": HELD.replace("VERSION = 0", "VERSION = 1")})
        lambda_.update_function_code(FunctionName="replaced", ZipFile=code)
        server.wait_active("replaced")
        assert server.invoke("replaced") == 1
        s3.put_object(Bucket="replaced", Key="go-on")
        assert slow.result() == 0, "what had begun ends as it began"
    lambda_.delete_function(FunctionName="replaced")


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, "--memory-budget-mb", "512") as started:
        yield started


def frozen(server: Server) -> list[int]:
    """The processes of the server's sandboxes that stand still."""
    found = []
    for pid in descendants(server.process.pid):
        for group in cgroups_named(pid, "lambdad-"):
            for name, text in (("freezer.state", "FROZEN"), ("cgroup.events", "frozen 1")):
                with contextlib.suppress(OSError):  # a hierarchy of the other kind, or a sandbox that has just ended
                    if text in (group / name).read_text():
                        found.append(pid)
    return found


def test_background_threads_stand_still_between_invocations(own_server: Server) -> None:
    """A frozen environment uses no processor; its clocks have gone on when it thaws, and its threads go on as well."""
    own_server.create_function("counting", COUNTING, MemorySize=256)
    first = own_server.invoke("counting")
    pids = wait_until(lambda: frozen(own_server), 10, "the environment to be frozen")
    before = [Path(f"/proc/{pid}/stat").read_text().split()[13:15] for pid in pids]
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 1, 5, "a second to go by")
    assert [Path(f"/proc/{pid}/stat").read_text().split()[13:15] for pid in pids] == before
    second = own_server.invoke("counting")
    assert second[3] - first[3] >= 1, "the monotonic clock is the machine's"
    assert second[4] - first[4] >= 1
    assert second[2] - first[2] < second[3] - first[3] - 0.5, "it had no processor for most of the time"
    third = wait_until(
        lambda: (answer := own_server.invoke("counting"))[0] > second[0] and answer, 10, "the thread to count on"
    )
    assert third[1] >= second[1]


def test_a_frozen_environment_can_be_killed_and_given_up(own_server: Server) -> None:
    """One that is killed while it is frozen is replaced; one in the way of another function's is evicted; nothing is left."""
    belongings = Belongings(own_server.data_dir)
    for name in ("one", "two"):
        own_server.create_function(name, "import os\ndef handler(event, context):\n    return os.getpid()\n", MemorySize=512)
    own_server.invoke("one")
    victims = wait_until(
        lambda: [pid for pid in frozen(own_server) if "zygote" in command_line(pid)], 10, "the environment to be frozen"
    )
    os.kill(victims[0], signal.SIGKILL)
    lambda_ = own_server.client("lambda")
    answers = [json.loads(lambda_.invoke(FunctionName="one")["Payload"].read()) for _ in range(2)]
    errors = [answer["errorType"] for answer in answers if not isinstance(answer, int)]
    assert errors in ([], ["Runtime.ExitError"]), "its death is one invocation's, be it told after another was answered"
    assert own_server.invoke("one")
    wait_until(lambda: frozen(own_server), 10, "the environment to be frozen")
    assert own_server.invoke("two"), "the budget has room for one of the two"
    at_rest = {"busy": 0, "idle": 1, "starting": 0}
    wait_until(lambda: own_server.health()["environments"] == at_rest, 10, "the runtime to be done")  # the answer comes before
    belongings.look(own_server.process.pid)
    assert own_server.stop() == 0
    belongings.wait_until_gone(10)


@pytest.mark.slow
def test_an_init_that_takes_too_long_is_tried_again_inside_the_invocation(server: Server) -> None:
    """After ten seconds; /tmp is as the first attempt left it, and the log tells of it."""
    server.create_function("slow-once", SLOW_ONCE, Timeout=20)
    assert server.invoke("slow-once") == "fine"
    lines = server.messages("/aws/lambda/slow-once")
    reports = [line for line in lines if line.startswith("INIT_REPORT")]
    assert len(reports) == 1
    report = re.fullmatch(r"INIT_REPORT Init Duration: ([\d.]+) ms\tPhase: init\tStatus: timeout\s*", reports[0])
    assert report is not None
    assert float(report[1]) >= 10_000
    assert server.invoke("slow-once") == "fine"


def test_a_function_that_fails_at_init_again_and_again(server: Server) -> None:
    """Its invokers get its error each time, /tmp outlives the first resets, and its environments do not pile up."""
    server.create_function("failing", FAILING)
    caller, attempts, sizes = Caller(server), [], []
    for _ in range(9):
        outcome, error = caller.invoke("failing", 1)
        assert outcome == "RuntimeError"
        attempts.append(error["errorMessage"])
        server.wait_for_rest()
        sizes.append(len(descendants(server.process.pid)))
    caller.close()
    assert attempts == [f"attempt {number}" for number in (2, 3, 4, 5, 2, 3, 4, 5, 2)], "each Init once more inside its call"
    # What is kept in reserve may have been on its way when the first size was taken.
    wait_until(lambda: len(descendants(server.process.pid)) < sizes[0] + len(attempts), 60, "fewer than one more for each call")
    server.client("lambda").delete_function(FunctionName="failing")
