"""Many invocations while processes are killed at random: every caller gets an answer, and in the end nothing is left behind."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from support.processes import children, command_line, is_running
from support.server import Server, wait_until, zipped

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
WAYS = ("echo",) * 12 + ("exit", "memory", "daemon", "threads", "children", "sleep")


def census() -> dict[str, int]:
    """What sandboxes are made of, counted on the whole machine."""
    cgroups = [path for path in Path("/sys/fs/cgroup").rglob("lambdad-*") if path.is_dir()]
    namespaces = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        try:
            namespaces.add(os.readlink(path))
        except OSError:
            continue
    links = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {
        "cgroups": len(cgroups),
        "network namespaces": len(namespaces),
        "links": len(links),
        "mounts": len(Path("/proc/self/mounts").read_text().splitlines()),
        "loop devices": len(list(Path("/sys/block").glob("loop*/loop/backing_file"))),
    }


def descendants(pid: int) -> list[int]:
    found = []
    for child in children(pid):
        try:
            found += [child, *descendants(child)]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


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


class Storm:
    """Invocations from several threads, and a thread that kills."""

    def __init__(self, server: Server, seed: int) -> None:
        self.server = server
        self.random = random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.wrong: list[Any] = []
        self.kills: Counter[str] = Counter()
        self._over = threading.Event()
        self._clients = threading.local()

    def run(self, count: int, threads: int = 6) -> None:
        events = [{"how": self.random.choice(WAYS), "number": number} for number in range(count)]
        killer = threading.Thread(target=self._kill)
        killer.start()
        try:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(self._invoke, events))
        finally:
            self._over.set()
            killer.join()

    def _invoke(self, event: dict[str, Any]) -> None:
        if not hasattr(self._clients, "lambda_"):
            self._clients.lambda_ = self.server.client("lambda")
        name = f"storm-{event['number'] % 3}"
        try:
            answer = self._clients.lambda_.invoke(FunctionName=name, Payload=json.dumps(event).encode())
            payload = json.loads(answer["Payload"].read())
        except botocore.exceptions.ClientError as error:
            self.outcomes[error.response["Error"]["Code"]] += 1
            return
        if "FunctionError" in answer:
            self.outcomes[payload["errorType"]] += 1
        else:
            self.outcomes["answered"] += 1
            if payload != {"echo": event["number"]}:
                self.wrong.append((event, payload))

    def _kill(self) -> None:
        while not self._over.wait(self.random.uniform(0.05, 0.4)):
            kind = self.random.choice(("inside",) * 6 + ("zygote",))
            victims = of_kind(self.server, kind)
            if victims:
                try:
                    os.kill(self.random.choice(victims), self.random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP)))
                except ProcessLookupError:
                    continue
                self.kills[kind] += 1


def storm(folder: Path, invocations: int, rounds: int) -> None:
    before = census()
    server = Server(folder, "--memory-budget-mb", "4096")
    server.start()
    layer = server.client("lambda").publish_layer_version(
        LayerName="ext", Content={"ZipFile": zipped({"extensions/ext": EXTENSION}, executable=["extensions/ext"])}
    )
    for number in range(3):
        settings = {"Layers": [layer["LayerVersionArn"]]} if number == 2 else {}
        server.create_function(f"storm-{number}", FUNCTION, Timeout=3, MemorySize=256, **settings)
    storms = []
    for number in range(rounds):
        one = Storm(server, seed=number)
        one.run(invocations // rounds)
        storms.append(one)
        assert one.wrong == []
        assert one.outcomes["answered"] > 0, one.outcomes
        assert set(one.outcomes) <= {"answered", "Runtime.ExitError", "Sandbox.Timedout", "Sandbox.Failure", "Extension.Crash",
                                     "ServiceException", "TooManyRequestsException"}, one.outcomes  # fmt: skip
        assert server.process.poll() is None, server.log()
        for name in ("storm-0", "storm-1", "storm-2"):  # the neighbours of the dead work on
            wait_until(lambda name=name: works(server, name), 30, f"{name} to work")
        if number % 2:  # the launcher is killed, which ends the server; the next one finds everything in order
            launcher = next(pid for pid in children(server.process.pid) if "launcher" in command_line(pid))
            os.kill(launcher, signal.SIGKILL)
            server.process.wait(60)
        else:
            assert server.stop() == 0, server.log()
        wait_until(lambda: census() == before, 20, f"nothing to be left of {before}, now {census()}")
        if number + 1 < rounds:
            server.start()
    assert sum(sum(one.kills.values()) for one in storms) > 0
    assert not [
        pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if belongs_to(pid, folder) and is_running(pid)
    ]


def works(server: Server, name: str) -> bool:
    answer = server.client("lambda").invoke(FunctionName=name, Payload=b'{"how": "echo", "number": 7}')
    return bool("FunctionError" not in answer and json.loads(answer["Payload"].read()) == {"echo": 7})


def belongs_to(pid: int, folder: Path) -> bool:
    try:
        return str(folder) in command_line(pid)
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_nothing_is_left_of_a_few_hundred_invocations_with_random_kills(tmp_path: Path) -> None:
    """Processes, mounts, cgroups, namespaces and links are as many after as before; the launcher is among the killed."""
    storm(tmp_path, 300, rounds=2)


@pytest.mark.long
def test_nothing_is_left_of_ten_thousand_invocations_with_random_kills(tmp_path: Path) -> None:
    """As above, for longer."""
    began = time.monotonic()
    storm(tmp_path, 10_000, rounds=10)
    print(f"took {time.monotonic() - began:.0f} s")
