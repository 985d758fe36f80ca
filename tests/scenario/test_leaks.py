"""Many invocations while processes are killed at random: every caller gets an answer, and in the end nothing is left behind."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.belongings import Belongings, descendants, descriptors
from support.caller import NO_SERVER, Caller
from support.function_sources import WAIT_FOR
from support.processes import children, command_line
from support.server import PATIENCE_SECONDS, Server, running, wait_until, zipped

pytestmark = pytest.mark.root

FUNCTION = """
import os, subprocess, threading, time
def handler(event, context):
    how = event["how"]
    if how == "exit":
        os._exit(3)
    if how == "sleep":
        time.sleep(20)
    if how == "memory":
        blocks = [bytearray(b"x") * (16 << 20) for _ in range(100)]
    if how == "daemon":
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)
    if how == "threads":
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    if how == "children":
        subprocess.Popen(["sleep", "600"])
    return {"echo": event["number"]}
"""
EXTENSION = """#!/usr/bin/python3
import http.client, json, os, sys
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
api.request("POST", "/2020-01-01/extension/register", '{"events": ["INVOKE", "SHUTDOWN"]}', {"Lambda-Extension-Name": "ext"})
answer = api.getresponse()
answer.read()
while True:
    api.request("GET", "/2020-01-01/extension/event/next", None,
                {"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]})
    if json.loads(api.getresponse().read())["eventType"] == "SHUTDOWN":
        sys.exit(0)
"""
NAMES = ("storm-0", "storm-1", "storm-2")
WAYS = ("echo",) * 12 + ("exit", "memory", "daemon", "threads", "children", "sleep")
#: What a caller may be told instead of its answer.
ERRORS = {
    "Runtime.ExitError",
    "Sandbox.Timedout",
    "Sandbox.Failure",
    "Extension.Crash",
    "Extension.LaunchError",
    "ServiceException",
    "TooManyRequestsException",
}


def of_kind(server: Server, kind: str) -> list[int]:
    """The server's processes that are zygotes, or that sandboxes run."""
    found = []
    for pid in descendants(server.process.pid):
        try:
            is_zygote = "/var/lambdad/zygote.py" in command_line(pid) and Path(f"/proc/{pid}/status").read_text()
            is_inside = is_zygote and len(is_zygote.split("NSpid:")[1].split("\n")[0].split()) > 1
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue
        if (kind == "zygote" and is_zygote and not is_inside) or (kind == "inside" and is_inside):
            found.append(pid)
    return found


def kill_launcher(server: Server) -> None:
    """The server ends then, and says so."""
    launcher = next(pid for pid in children(server.process.pid) if "launcher" in command_line(pid))
    os.kill(launcher, signal.SIGKILL)
    assert server.process.wait(60) == 1
    assert "launcher" in server.log().splitlines()[-1]


class Storm:
    """Invocations from several threads, and a thread that kills; `with_launcher` also, once, the launcher."""

    def __init__(self, server: Server, belongings: Belongings, seed: int) -> None:
        self.server = server
        self.random = random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[Any] = []
        self.kills: Counter[str] = Counter()
        self._belongings = belongings
        self._over = threading.Event()
        self._is_up = threading.Event()
        self._is_up.set()

    def run(self, count: int, *, threads: int = 6, with_launcher: bool = False) -> None:
        events = [{"how": self.random.choice(WAYS), "number": number} for number in range(count)]
        shares = [events[number::threads] for number in range(threads)]
        with ThreadPoolExecutor(threads + 1) as pool:
            killing = pool.submit(self._kill, count // 2 if with_launcher else None)
            try:
                calls = [pool.submit(self._invoke, share) for share in shares]
                for call in calls:
                    call.result()
            finally:
                self._over.set()
            killing.result()

    def _invoke(self, events: list[dict[str, Any]]) -> None:
        caller = Caller(self.server)
        for event in events:
            outcome, payload = caller.invoke(NAMES[event["number"] % 3], event)
            self.outcomes[outcome] += 1
            if outcome == NO_SERVER:
                assert self._is_up.wait(120)
            elif outcome == "answered" and payload != {"echo": event["number"]}:
                self.wrong.append((event, payload))
        caller.close()

    def _kill(self, launcher_after: int | None) -> None:
        while not self._over.wait(self.random.uniform(0.05, 0.4)):
            self._belongings.look(self.server.process.pid)
            if launcher_after is not None and self.outcomes.total() >= launcher_after:
                launcher_after = None
                self._restart_after(kill_launcher)
                self.kills["launcher"] += 1
                continue
            kind = self.random.choice(("inside",) * 6 + ("zygote",))
            victims = of_kind(self.server, kind)
            if victims:
                try:
                    os.kill(self.random.choice(victims), self.random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP)))
                except ProcessLookupError:
                    continue
                self.kills[kind] += 1

    def _restart_after(self, end: Callable[[Server], None]) -> None:
        """As a supervisor does."""
        self._is_up.clear()
        try:
            end(self.server)
            self.server.start()
        finally:
            self._is_up.set()


def storm(folder: Path, invocations: int, rounds: int) -> Counter[str]:
    """Every other round the launcher is killed in the midst of it, which ends the server; it is started again."""
    server = Server(folder, "--memory-budget-mb", "4096", "--keep-alive-seconds", "3")
    belongings = Belongings(server.data_dir)
    outcomes: Counter[str] = Counter()
    try:
        create_functions(server.start())
        for number in range(rounds):
            outcomes += weather(server, Storm(server, belongings, seed=number), invocations // rounds, bool(number % 2))
            assert belongings.left()["processes"], "what is looked for is found while it is there"
            assert server.stop() == 0, server.log()
            belongings.wait_until_gone(20)
            if number + 1 < rounds:
                server.start()
    finally:
        if server.process.poll() is None:
            server.kill()
    return outcomes


def weather(server: Server, storm: Storm, invocations: int, with_launcher: bool) -> Counter[str]:
    come_to_rest(server)
    before = opened_at_rest(server)
    storm.run(invocations, with_launcher=with_launcher)
    print(dict(storm.outcomes), dict(storm.kills))
    assert storm.wrong == []
    assert storm.kills["inside"] > 0, storm.kills
    assert storm.outcomes["answered"] > 0, storm.outcomes
    assert set(storm.outcomes) <= {"answered", *ERRORS, *([NO_SERVER] if with_launcher else [])}, storm.outcomes
    assert storm.kills["launcher"] == with_launcher
    assert server.process.poll() is None, server.log()
    come_to_rest(server)
    wait_until_closed(server, before)
    return storm.outcomes


def create_functions(server: Server) -> None:
    layer = server.client("lambda").publish_layer_version(
        LayerName="ext", Content={"ZipFile": zipped({"extensions/ext": EXTENSION}, executable=["extensions/ext"])}
    )
    for name in NAMES:
        settings = {"Layers": [layer["LayerVersionArn"]]} if name == "storm-2" else {}
        server.create_function(name, FUNCTION, Timeout=4, MemorySize=256, **settings)


def come_to_rest(server: Server) -> None:
    """Every function works once more, and then no environment is there, but two spares, of two processes each."""
    for name in NAMES:  # the neighbours of the dead work on
        wait_until(lambda name=name: works(server, name), 120, f"{name} to work")
    # One whose init was stopped while it started takes longest: Init's ten seconds, two shutdowns, and the wait for its end.
    begun = last = time.monotonic()
    while any(counts := server.health()["environments"].values()) or len(of_kind(server, "inside")) != 2 * 2:
        now = time.monotonic()
        assert now - begun < 240, (counts, [command_line(pid) for pid in of_kind(server, "inside")], server.log())
        if now - last > 60:  # where the last three spares were killed in the making, none is made until somebody waits for one
            works(server, NAMES[0])
            last = now
        time.sleep(0.1)
    wait_until(lambda: not any("/cgroup/" in kind for kind in opened(server)), 120, "what was of the last one to be closed")


def opened(server: Server) -> Counter[str]:
    """What the server and its launcher have open."""
    launcher = next(pid for pid in children(server.process.pid) if "launcher" in command_line(pid))
    kinds = {"server": descriptors(server.process.pid), "launcher": descriptors(launcher)}
    return Counter({f"{who} {kind}": count for who, each in kinds.items() for kind, count in each.items()})


def opened_at_rest(server: Server) -> Counter[str]:
    """As `opened`, when it has not changed for half a second: a spare that is there may not have handed everything over."""
    last, since = opened(server), time.monotonic()
    while time.monotonic() - since < 0.5:
        time.sleep(0.05)
        if (now := opened(server)) != last:
            last, since = now, time.monotonic()
    return last


def wait_until_closed(server: Server, before: Counter[str]) -> None:
    """No more is open than was."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while more := opened(server) - before:
        assert time.monotonic() < deadline, more
        time.sleep(0.1)


def works(server: Server, name: str) -> bool:
    caller = Caller(server)
    try:
        return caller.invoke(name, {"how": "echo", "number": 7}) == ("answered", {"echo": 7})
    finally:
        caller.close()


@pytest.mark.slow
def test_nothing_is_left_of_two_hundred_cold_starts_at_once(tmp_path: Path) -> None:
    """Each has an environment of its own; when they are gone, so is everything that they were made of."""
    source = WAIT_FOR + "def handler(event, context):\n    wait_for('gate', event['key'], 1)\n    return event['number']\n"
    with running(tmp_path, "--memory-budget-mb", "100000") as server:
        belongings, lambda_ = Belongings(server.data_dir), server.client("lambda")
        s3 = server.client("s3")
        s3.create_bucket(Bucket="gate")
        s3.put_object(Bucket="gate", Key="open")
        for name in ("burst", "before"):
            server.create_function(name, source, Timeout=120)
        assert server.invoke("before", {"key": "open", "number": 1}) == 1
        lambda_.delete_function(FunctionName="before")
        wait_until(lambda: not any(server.health()["environments"].values()), 30, "the environment to end")
        wait_until(lambda: not any("/cgroup/" in kind for kind in opened(server)), 30, "what was of it to be closed")
        before = opened_at_rest(server)

        def call(number: int) -> tuple[str, Any]:
            caller = Caller(server)
            try:
                return caller.invoke("burst", {"key": "go-on", "number": number})
            finally:
                caller.close()

        with ThreadPoolExecutor(200) as pool:
            calls = [pool.submit(call, number) for number in range(200)]
            wait_until(lambda: server.health()["environments"]["busy"] == 200, 60, "two hundred environments")
            belongings.look(server.process.pid)
            s3.put_object(Bucket="gate", Key="go-on")
            answers = [one.result() for one in calls]
        assert answers == [("answered", number) for number in range(200)]
        lambda_.delete_function(FunctionName="burst")
        wait_until(lambda: not any(server.health()["environments"].values()), 30, "the environments to end")
        wait_until_closed(server, before)
    belongings.wait_until_gone(20)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_left_of_a_few_hundred_invocations_with_random_kills(tmp_path: Path) -> None:
    """Each caller gets its own answer or a proper error; processes, namespaces, mounts, cgroups, links and descriptors are as
    many after as before. Sandboxes, zygotes and the launcher are among the killed."""
    storm(tmp_path, 300, rounds=2)


@pytest.mark.long
def test_nothing_is_left_of_ten_thousand_invocations_with_random_kills(tmp_path: Path) -> None:
    """As above, for longer."""
    print(storm(tmp_path, 10_000, rounds=10))
