"""What the conformance suites run on."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from lambdad.runtimes.find import Interpreter, InterpreterFinder, Places
from lambdad.runtimes.python.family import FAMILY as PYTHON
from support.python_runtime import Python
from support.runtime_api import RuntimeApi

RUNTIMES = ["python2.7", *(f"python3.{minor}" for minor in range(6, 15))]


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The Runtime API is held to its tables on the loop of the server, and on the one that every platform has."""
    if item.path.name == "test_runtime_api.py":
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}


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
