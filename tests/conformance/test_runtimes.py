"""The same cases for every runtime identifier: the client of its language as a real process against a Runtime API.

One runtime of each family is held to them in every run, the others in the long one; `make test-runtimes` installs all that
registries offer, runs everything, and writes the matrix to docs/reference/runtimes.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.runtimes.families import FAMILIES
from lambdad.runtimes.find import Interpreter
from support.language import Language, find_interpreters
from support.runtime_api import RuntimeApi
from support.runtime_cases import CASES, Case
from support.runtime_functions import FUNCTIONS

#: Of each family the runtime that is in every run.
ALWAYS = {"dotnetcore3.1", "java17", "nodejs20.x", "python3.11"}


@pytest.fixture(scope="module")
def interpreters() -> dict[str, Interpreter]:
    return find_interpreters()


@pytest.fixture(scope="module")
def languages() -> dict[str, Language]:
    """Those made so far."""
    return {}


def _runtimes() -> list[object]:
    found = []
    for family in FAMILIES:
        for name in family.runtimes if family.name in FUNCTIONS else ():
            marks = [pytest.mark.runtime(name), *([] if name in ALWAYS else [pytest.mark.long])]
            found.append(pytest.param(family.name, name, id=name, marks=marks))
    return found


@pytest.mark.parametrize("family, runtime", _runtimes())
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_a_runtime_keeps_the_case(
    family: str,
    runtime: str,
    case: Case,
    interpreters: dict[str, Interpreter],
    languages: dict[str, Language],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """What the case claims holds in this language."""
    if runtime not in interpreters:
        pytest.skip(f"no interpreter for {runtime}")
    if runtime not in languages:
        folder = tmp_path_factory.mktemp("client") / runtime
        languages[runtime] = Language.make(interpreters[runtime], folder)
    functions = FUNCTIONS[family]
    task = tmp_path / "task"
    task.mkdir()
    handler = functions.write(case, task, interpreters[runtime])
    if handler is None:
        pytest.skip(f"{family} has nothing for {case.name}")
    expected = functions.types.get(case.name, case.error_type)
    with RuntimeApi() as api, languages[runtime].start(task, api, handler, case.environment) as process:
        case.check(process, expected)
