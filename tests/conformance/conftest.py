"""What the conformance suites run on."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop

from lambdad.runtimes.find import Interpreter, InterpreterFinder, Places
from lambdad.runtimes.python.family import FAMILY as PYTHON
from lambdad.runtimes.ruby.family import FAMILY as RUBY
from support.dotnet_function import compiler
from support.dotnet_runtime import NEW, OLD, Dotnet
from support.language import Language, find_interpreters
from support.python_runtime import Python
from support.raw_runtime import Api, serving
from support.ruby_runtime import Ruby
from support.runtime_api import RuntimeApi
from support.runtime_matrix import matrix_page
from support.server import CACHE_DIR

MATRIX_VARIABLE = "RUNTIME_MATRIX"  #: names the page that a run of test_runtimes.py writes
RUNTIMES = ["python2.7", *(f"python3.{minor}" for minor in range(6, 15))]


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The Runtime API is held to its tables on the loop of the server, and on the one that every platform has."""
    if item.path.name.startswith("test_runtime_api"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving() as served:
        yield served


@pytest.fixture(scope="session")
def interpreters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Interpreter]:
    places = Places.usual(os.environ, Path.home())
    cache = tmp_path_factory.mktemp("interpreters") / "interpreters.json"
    return asyncio.run(InterpreterFinder(PYTHON.lookup, places, cache).find())


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.runtime(name), id=name) for name in RUNTIMES])
def python(request: pytest.FixtureRequest, interpreters: dict[str, Interpreter], tmp_path: Path) -> Iterator[Python]:
    if request.param not in interpreters:
        pytest.skip(f"no interpreter for {request.param}")
    with RuntimeApi() as api:
        yield Python(interpreters[request.param], tmp_path, api)


_OUTCOMES: dict[tuple[str, str], str] = {}  #: (case, runtime) -> what the matrix says of it


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Notes how a case of test_runtimes.py went."""
    matched = re.search(r"test_runtimes\.py::test_a_runtime_keeps_the_case\[(.+)-(\w+)\]$", report.nodeid)
    if matched and (report.when == "call" or report.outcome != "passed"):
        outcome = "yes" if report.passed else "no" if report.failed else report.longrepr[2].removeprefix("Skipped: ")  # type: ignore[index]
        _OUTCOMES[matched[2], matched[1]] = outcome


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the matrix, where it was asked for."""
    if _OUTCOMES and os.environ.get(MATRIX_VARIABLE):
        Path(os.environ[MATRIX_VARIABLE]).write_text(matrix_page(_OUTCOMES), encoding="utf-8")


@pytest.fixture(scope="session")
def rubies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Interpreter]:
    places = Places.usual(os.environ, Path.home())
    everywhere = Places(places.programs, [*places.installations, CACHE_DIR / "languages"])
    cache = tmp_path_factory.mktemp("rubies") / "interpreters.json"
    assert RUBY.lookup is not None
    found = asyncio.run(InterpreterFinder(RUBY.lookup, everywhere, cache).find())
    return {name: interpreter for name, interpreter in found.items() if interpreter.problem is None}


@pytest.fixture(params=["newest", *(pytest.param(name, marks=pytest.mark.long) for name in (*RUBY.runtimes, "ruby3.1"))])
def ruby(request: pytest.FixtureRequest, rubies: dict[str, Interpreter], tmp_path: Path) -> Iterator[Ruby]:
    """The newest Ruby of this machine, and in a long run every one that there is."""
    name = request.param
    if name == "newest":
        name = max(rubies, key=lambda each: rubies[each].version, default="Ruby")
    if name not in rubies:
        pytest.skip(f"no interpreter for {name} (Debian: apt-get install ruby)")
    (tmp_path / "task").mkdir()
    with RuntimeApi() as api:
        yield Ruby(rubies[name], tmp_path, api)


@pytest.fixture(scope="session")
def dotnet_languages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Language, Language]:
    compiler()  # skips where there is none
    found: Interpreter | None = find_interpreters().get(OLD)
    if found is None:
        pytest.skip(f"no interpreter for {OLD}")
    folder = tmp_path_factory.mktemp("client")
    return Language.make(found, folder / "old"), Language.make(replace(found, runtime=NEW), folder / "new")


@pytest.fixture
def dotnet(dotnet_languages: tuple[Language, Language], tmp_path: Path) -> Dotnet:
    (tmp_path / "tmp").mkdir()
    return Dotnet(*dotnet_languages, tmp_path / "tmp")


@pytest.fixture(scope="session")
def java_machine() -> Path:
    found = shutil.which("java")
    if found is None:
        pytest.skip("no java on PATH")
    return Path(found)
