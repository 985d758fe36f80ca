"""Java functions that begin in a machine which was booted before they were known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from support.java_runtime import compiled, javac
from support.pre_booted import OWN, masked
from support.server import ROLE, Server, running, zipped

#: One of each release of Java; the other identifiers are of the same machines.
RUNTIMES = ("java8", "java11", "java17", "java21", "java25")

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(javac() is None, reason="no javac to compile the tests' functions with"),
]


@dataclass(frozen=True)
class Place:
    server: Server
    runtime: str
    ordinary: dict[str, Any]  #: what a function answers that was started by itself: the first of its memory size


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("pre-booted-java")) as started:
        yield started


@pytest.fixture(scope="module", params=RUNTIMES)
def place(request: pytest.FixtureRequest, server: Server) -> Place:
    runtime: str = request.param
    if runtime not in server.health()["runtimes"]["available"]:
        pytest.skip(f"no machine for {runtime}")
    create(server, runtime, "by-itself", SECRET="of another")
    return Place(server, runtime, server.invoke(f"by-itself-{runtime}"))


def create(server: Server, runtime: str, name: str, **variables: str) -> None:
    """A function of that name, with the runtime's behind it."""
    files: dict[str, str | bytes] = {"own.txt": "own", "bin/own-program": "#!/bin/sh\necho found $SECRET\n"}
    for file in compiled().rglob("*.class"):
        files[file.relative_to(compiled()).as_posix()] = file.read_bytes()
    settings: dict[str, Any] = {"Runtime": runtime, "Timeout": 30, "MemorySize": 512, "Handler": "example.Start"}
    variables = {"PATH": "/var/task/bin:/usr/bin:/bin", "COLOUR": "grün", "EMPTY": "", "LINES": "a\n b", **variables}
    code = {"ZipFile": zipped(files, ["bin/own-program"])}
    settings["Environment"] = {"Variables": variables}
    full_name = f"{name}-{runtime}"
    server.client("lambda").create_function(FunctionName=full_name, Role=ROLE, Code=code, **settings)
    server.wait_active(full_name)


def begun(place: Place, name: str, **variables: str) -> tuple[bool, dict[str, Any]]:
    """Whether a new function's first invocation, with one machine waiting, was run by that; and what it answered."""
    create(place.server, place.runtime, name, **variables)
    seen = place.server.wait_for_pre_booted(place.runtime)
    answer = place.server.invoke(f"{name}-{place.runtime}")
    return answer["started"] < seen * 1000, answer


def test_a_function_cannot_tell_whether_its_machine_was_there_before(place: Place) -> None:
    """Variables, also those of what it starts and in their order; properties, arguments, threads, libraries, limits, files."""
    was_waiting, answer = begun(place, "in-waiting", SECRET="mine")
    assert was_waiting
    assert "error" not in answer["alike"]
    assert answer["uid"] != place.ordinary["uid"]
    ordinary, waited = comparable(place.ordinary), comparable(answer)
    assert list(waited) == list(ordinary)
    assert {name: (waited[name], ordinary[name]) for name in ordinary if waited[name] != ordinary[name]} == {}
    seen = answer["alike"]
    variables = dict(seen["environment"])
    assert (variables["SECRET"], variables["EMPTY"], variables["LINES"]) == ("mine", "", "a\n b")
    assert not any(name.startswith("_LAMBDAD") for name in variables)
    assert seen["found"] == ["found mine"]
    assert seen["there"][0] == "/var/task"
    assert "own.txt" in seen["there"]
    for way in ("inherited", "copied", "executed"):
        assert {"COLOUR=grün", "SECRET=mine", "EMPTY=", "LINES=a", " b"} <= set(seen[way])
        assert {line.partition("=")[0] for line in seen[way]} - {" b", "ADDED", "_X_AMZN_TRACE_ID"} == set(variables)
    assert seen["given"] == ["ONE=1"]


#: There are the keys' older names as well; the trace is a variable in Java 8 and 11, and a property since.
OWN_OF_JAVA = OWN | {"AWS_ACCESS_KEY", "AWS_SECRET_KEY"}


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """Without what is each function's own."""
    alike = dict(answer["alike"])
    alike["environment"] = masked(alike["environment"], OWN_OF_JAVA)
    for way in ("inherited", "copied", "executed"):
        alike[way] = [re.sub(f"^({'|'.join(OWN_OF_JAVA)})=.*", r"\1", line) for line in alike[way]]
    if "ld-linux" in alike["cmdline"]:  # one from Debian, whose script of lambdad's is run by a shell that sorts variables
        for way in ("environment", "inherited", "copied", "executed"):
            alike[way] = sorted(alike[way])
    if alike["properties"]["java.specification.version"] == "17":  # which opens one with the first channel, wherever it is then
        alike["descriptors"] = [re.sub(r"^[67] (?=socket)", "", line) for line in alike["descriptors"]]
    del alike["found"]
    alike["mounts"] = re.sub(r"uid=\d+|gid=\d+|lambdad-\w+", "", alike["mounts"])
    kept = [line for line in alike["status"].splitlines() if re.match("Cap|Sig|Shd|NoNew|Seccomp|Umask|NS", line)]
    alike["status"] = kept
    alike["stat"] = re.sub(r".*\) ", "", alike["stat"]).split()[2:4]
    return alike


@pytest.mark.parametrize("name, value", [("JAVA_TOOL_OPTIONS", "-Dchosen=yes"), ("TZ", "Asia/Tokyo")])
def test_what_a_machine_reads_when_it_starts_is_honoured(place: Place, name: str, value: str) -> None:
    """Such a function gets a machine of its own."""
    was_waiting, answer = begun(place, f"sets-{name.lower()}", **{name: value})
    assert not was_waiting
    assert (answer["alike"]["properties"].get("chosen") == "yes") == (name == "JAVA_TOOL_OPTIONS")
    assert (answer["alike"]["places"][1] == "Asia/Tokyo") == (name == "TZ")
