"""Java functions that begin in a machine which was booted before they were known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from support.java_runtime import compiled, javac
from support.pre_booted import OWN, masked
from support.server import ROLE, Server, running, zipped

RUNTIME = "java25"

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.runtime(RUNTIME),
    pytest.mark.skipif(javac() is None, reason="no javac to compile the tests' functions with"),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("pre-booted-java")) as started:
        if RUNTIME not in started.health()["runtimes"]["available"]:
            pytest.skip(f"no machine for {RUNTIME}")
        yield started


def create(server: Server, name: str, **variables: str) -> None:
    files: dict[str, str | bytes] = {"own.txt": "own", "bin/own-program": "#!/bin/sh\necho found $SECRET\n"}
    for file in compiled().rglob("*.class"):
        files[file.relative_to(compiled()).as_posix()] = file.read_bytes()
    settings: dict[str, Any] = {"Runtime": RUNTIME, "Timeout": 30, "MemorySize": 512, "Handler": "example.Start"}
    variables = {"PATH": "/var/task/bin:/usr/bin:/bin", "COLOUR": "grün", "EMPTY": "", "LINES": "a\n b", **variables}
    code = {"ZipFile": zipped(files, ["bin/own-program"])}
    settings["Environment"] = {"Variables": variables}
    server.client("lambda").create_function(FunctionName=name, Role=ROLE, Code=code, **settings)
    server.wait_active(name)


def begun(server: Server, name: str) -> tuple[bool, dict[str, Any]]:
    """Whether a function's first invocation, with one machine waiting, was run by that; and what it answered."""
    seen = server.wait_for_pre_booted(RUNTIME)
    answer = server.invoke(name)
    return answer["started"] < seen * 1000, answer


@pytest.fixture(scope="module")
def primed(server: Server) -> dict[str, Any]:
    """What a function answers that was started by itself: the first of its memory size."""
    create(server, "by-itself", SECRET="of another")
    return server.invoke("by-itself")


def test_a_function_cannot_tell_whether_its_machine_was_there_before(server: Server, primed: dict[str, Any]) -> None:
    """Variables, also those of what it starts and in their order; properties, arguments, threads, libraries, limits, files."""
    create(server, "in-waiting", SECRET="mine")
    was_waiting, answer = begun(server, "in-waiting")
    assert was_waiting
    assert "error" not in answer["alike"]
    assert answer["uid"] != primed["uid"]
    ordinary, waited = comparable(primed), comparable(answer)
    assert list(waited) == list(ordinary)
    for name in ordinary:
        assert waited[name] == ordinary[name], name
    seen = answer["alike"]
    variables = dict(seen["environment"])
    assert (variables["SECRET"], variables["EMPTY"], variables["LINES"]) == ("mine", "", "a\n b")
    assert not any(name.startswith("_LAMBDAD") for name in variables)
    assert seen["found"] == ["found mine"]
    assert seen["there"][0] == "/var/task"
    assert "own.txt" in seen["there"]
    for way in ("inherited", "copied", "executed"):
        assert {"COLOUR=grün", "SECRET=mine", "EMPTY=", "LINES=a", " b"} <= set(seen[way])
        assert {line.partition("=")[0] for line in seen[way]} - {" b", "ADDED"} == set(variables)
    assert seen["given"] == ["ONE=1"]


#: There are the keys' older names as well; the trace is a property, and no variable.
OWN_OF_JAVA = (OWN - {"_X_AMZN_TRACE_ID"}) | {"AWS_ACCESS_KEY", "AWS_SECRET_KEY"}


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """Without what is each function's own."""
    alike = dict(answer["alike"])
    alike["environment"] = masked(alike["environment"], OWN_OF_JAVA)
    for way in ("inherited", "copied", "executed"):
        alike[way] = [re.sub(f"^({'|'.join(OWN_OF_JAVA)})=.*", r"\1", line) for line in alike[way]]
    del alike["found"]
    alike["mounts"] = re.sub(r"uid=\d+|gid=\d+|lambdad-\w+", "", alike["mounts"])
    kept = [line for line in alike["status"].splitlines() if re.match("Cap|Sig|Shd|NoNew|Seccomp|Umask|NS", line)]
    alike["status"] = kept
    alike["stat"] = re.sub(r".*\) ", "", alike["stat"]).split()[2:4]
    return alike


@pytest.mark.parametrize("name, value", [("JAVA_TOOL_OPTIONS", "-Dchosen=yes"), ("TZ", "Asia/Tokyo")])
def test_what_a_machine_reads_when_it_starts_is_honoured(server: Server, primed: dict[str, Any], name: str, value: str) -> None:
    """Such a function gets a machine of its own."""
    create(server, f"sets-{name.lower()}", **{name: value})
    was_waiting, answer = begun(server, f"sets-{name.lower()}")
    assert not was_waiting
    assert (answer["alike"]["properties"].get("chosen") == "yes") == (name == "JAVA_TOOL_OPTIONS")
    assert (answer["alike"]["places"][1] == "Asia/Tokyo") == (name == "TZ")
