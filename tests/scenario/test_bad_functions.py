"""What is bad of a function in any language is its caller's to hear, and nothing of it reaches the next invocation.

The functions are those of `tests/support/runtime_cases.py`, where clients alone are held to more; here they run in a server.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lambdad.runtimes.families import FAMILIES, FAMILY_OF
from lambdad.runtimes.find import Interpreter, own_interpreter
from support.case_functions import Functions
from support.language import find_interpreters
from support.runtime_cases import CASES, LINES, Refusal
from support.runtime_functions import FUNCTIONS
from support.server import ROLE, Server, running, zipped

pytestmark = pytest.mark.root

#: Of each family, the first that is there. Ruby 3.1 is Debian 12's, which the server's settings let stand in.
WANTED = {
    "python": ("python3.11", "python3.12", "python3.13"),
    "node": ("nodejs20.x", "nodejs22.x", "nodejs24.x"),
    "java": ("java17", "java21", "java25", "java11"),
    "dotnet": ("dotnetcore3.1", "dotnet8", "dotnet10"),
    "ruby": ("ruby3.3", "ruby3.4", "ruby2.7", "ruby3.2"),
    "go": ("go1.x",),
    "custom": ("provided.al2023",),
}
CASE = {case.name: case for case in CASES}
TIMEOUT_SECONDS = 3
#: Run one after the other in one function, each with an event that makes it fail.
BAD = {
    "unserializable": "fail",
    "circular": "fail",
    "huge": "fail",
    "long_error": 7_000_000,
    "recursion": "fail",
    "exit": None,
}


@dataclass(frozen=True)
class Place:
    server: Server
    runtime: str
    interpreter: Interpreter
    functions: Functions

    def create(self, name: str, folder: Path, handler: str, **settings: Any) -> None:
        files = {str(file.relative_to(folder)): file for file in sorted(folder.rglob("*")) if file.is_file()}
        package = zipped(
            {path: file.read_bytes() for path, file in files.items()},
            [path for path, file in files.items() if file.stat().st_mode & 0o100],
        )
        self.server.client("lambda").create_function(
            **{
                "FunctionName": name,
                "Runtime": self.runtime,
                "Handler": handler,
                "Role": ROLE,
                "Code": {"ZipFile": package},
                "Timeout": TIMEOUT_SECONDS,
                "MemorySize": 512,
                **settings,
            }
        )
        self.server.wait_active(name)

    def create_bad(self, case: str, folder: Path, **settings: Any) -> str:
        """A function of one case alone; its name."""
        name = f"bad-{FAMILY_OF[self.runtime].name}-{case.replace('_', '-')}"
        folder.mkdir()
        self.create(name, folder, self.functions.write(case, folder, self.interpreter), **settings)
        return name


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("bad"), "--runtime-substitutes", "ruby3.2=ruby3.1") as started:
        yield started


@pytest.fixture(scope="module")
def never_loaded(own_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Future[dict[str, Any]]]]:
    """What invocations end with of functions whose code never has loaded, in each kind of start that this machine has. They
    take more than ten seconds, and the other tests run meanwhile."""
    places = [_place(family, own_server) for family in ("python", "node", "custom") if _runtime(family, own_server)]
    folder = tmp_path_factory.mktemp("never-loaded")
    with ThreadPoolExecutor(len(places)) as pool:
        names = [place.create_bad("import_hangs", folder / place.runtime, Timeout=1) for place in places]
        yield [pool.submit(place.server.failure, name) for place, name in zip(places, names, strict=True)]


@pytest.fixture(scope="module", params=[family.name for family in FAMILIES])
def place(request: pytest.FixtureRequest, own_server: Server, never_loaded: object) -> Place:
    return _place(request.param, own_server)


def _runtime(family: str, server: Server) -> str | None:
    available = server.health()["runtimes"]["available"]
    return next((name for name in WANTED[family] if name in available), None)


def _place(family: str, server: Server) -> Place:
    runtime = _runtime(family, server)
    if runtime is None:
        pytest.skip(f"none of {', '.join(WANTED[family])} is on this machine")
    found = find_interpreters()
    if FAMILY_OF[runtime].lookup is None:
        interpreter = own_interpreter(runtime)
    else:
        interpreter = dataclasses.replace(found.get(runtime) or found["ruby3.1"], runtime=runtime)
    return Place(server, runtime, interpreter, FUNCTIONS[family])


def test_no_failure_reaches_the_next_invocation(place: Place, tmp_path: Path) -> None:
    """Results that are no JSON or too long, errors too long, a recursion without end, an exit and an invocation that times out:
    each caller gets AWS's payload, and the next invocation its answer."""
    assert place.functions.write_shared is not None
    name = f"bad-{FAMILY_OF[place.runtime].name}"
    place.create(name, tmp_path, place.functions.write_shared(tmp_path, place.interpreter), Publish=True)
    lambda_ = place.server.client("lambda")
    for alias in (*BAD, "hang", "echo", "many_lines"):
        lambda_.create_alias(FunctionName=name, Name=alias, FunctionVersion="1")
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(place.server.failure, name, Qualifier="hang")  # in an environment of its own while the others run
        for case, event in BAD.items():
            if place.functions.dash(CASE[case], place.runtime) is not None:
                continue
            _check(place, case, place.server.failure(name, event, Qualifier=case))
            assert place.server.invoke(name, [case], Qualifier="echo") == [case]
        failure = hanging.result()
    assert failure["errorType"] == "Sandbox.Timedout"
    assert _text(failure) == f"Task timed out after {TIMEOUT_SECONDS:.2f} seconds"
    assert place.server.invoke(name, LINES, Qualifier="many_lines") == "fine"


def _check(place: Place, case: str, failure: dict[str, Any]) -> None:
    expected = place.functions.expectation(CASE[case], place.runtime)
    if case == "huge":
        assert failure == {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        }
    elif case == "exit":
        assert (failure["errorType"], _text(failure)) == ("Runtime.ExitError", "Runtime exited with error: exit status 3")
    elif case == "recursion" and expected[0] is None:
        assert failure["errorType"] == "Runtime.ExitError"
        assert (
            _text(failure)
            == f"Runtime exited with error: {'signal: aborted' if expected[1] < 0 else f'exit status {expected[1]}'}"
        )
    elif case == "long_error":
        assert failure["errorMessage"]
    else:
        assert failure["errorType"] == (expected[0] if case == "recursion" else expected)


def _text(failure: dict[str, Any]) -> str:
    """Without the request id that stands in front."""
    matched = re.fullmatch(r"RequestId: [0-9a-f-]{36} Error: (.*)", failure["errorMessage"])
    assert matched, failure
    return matched[1]


def test_a_function_that_cannot_be_loaded_says_so_each_time_and_can_be_mended(place: Place, tmp_path: Path) -> None:
    """An exit while the code loads, and code that is no program or wants what is not there: twice the same. Another package
    then answers under its name."""
    case = next(
        case for case in ("import_error", "syntax", "no_module") if place.functions.dash(CASE[case], place.runtime) is None
    )
    expected = place.functions.expectation(CASE[case], place.runtime)
    assert isinstance(expected, Refusal)
    name = place.create_bad(case, tmp_path / case)
    for _ in range(2):
        failure = place.server.failure(name)
        assert failure["errorType"] == expected.error_type
        text = _text(failure) if failure["errorMessage"].startswith("RequestId: ") else failure["errorMessage"]
        assert re.search(expected.message, text), failure
    name = place.create_bad("exit_at_import", tmp_path / "exit")
    for _ in range(2):
        failure = place.server.failure(name)
        assert (failure["errorType"], _text(failure)) == ("Runtime.ExitError", "Runtime exited with error: exit status 3")
    (tmp_path / "good").mkdir()
    good = place.functions.write("echo", tmp_path / "good", place.interpreter)
    place.server.client("lambda").delete_function(FunctionName=name)
    place.create(name, tmp_path / "good", good)
    assert place.server.invoke(name, "good") == "good"


def test_code_that_never_has_loaded_times_out(never_loaded: list[Future[dict[str, Any]]]) -> None:
    """After the ten seconds of Init it is tried once more, within the function's timeout."""
    for future in never_loaded:
        failure = future.result()
        assert (failure["errorType"], _text(failure)) == ("Sandbox.Timedout", "Task timed out after 1.00 seconds")
