"""The same cases for every runtime identifier: the client of its language as a real process against a Runtime API.

One runtime of each family is held to them in every run, the others in the long one; `make test-runtimes` installs all that
registries offer, runs everything, and writes the matrix to docs/reference/runtimes.md.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lambdad.runtimes.families import FAMILIES, FAMILY_OF
from lambdad.runtimes.find import Interpreter, own_interpreter
from support.case_functions import Functions
from support.language import Language, find_interpreters
from support.runtime_api import ARN, RuntimeApi, RuntimeProcess
from support.runtime_cases import CASES, Case
from support.runtime_functions import FUNCTIONS

#: Of each family the runtime that is in every run.
ALWAYS = {"dotnetcore3.1", "go1.x", "java17", "nodejs20.x", "provided.al2023", "python3.11", "ruby3.1"}
#: What Debian 12 has, which is no runtime of AWS's: it is held to the cases as the next one, and is not in the matrix.
STAND_INS = {"ruby3.1": "ruby3.2"}


def _runtimes() -> list[object]:
    names = [name for family in FAMILIES for name in family.runtimes]
    marks = {name: [] if name in ALWAYS else [pytest.mark.long] for name in (*names, *STAND_INS)}
    return [pytest.param(name, id=name, marks=[pytest.mark.runtime(name), *marks[name]]) for name in marks]


@dataclass
class Bench:
    """A runtime with its functions, and the process that the cases share which can."""

    language: Language
    functions: Functions
    folder: Path
    _shared: ExitStack = field(default_factory=ExitStack)
    _process: RuntimeProcess | None = None

    @property
    def runtime(self) -> str:
        return self.language.interpreter.runtime

    @contextmanager
    def process(self, case: Case) -> Iterator[RuntimeProcess]:
        if case.is_alone or self.functions.write_shared is None:
            with ExitStack() as own:
                yield self._start(own, case)
            return
        if self._process is None:
            self._process = self._start(self._shared, None)
        try:
            self._process.api.arn = f"{ARN}:{case.source}"
            yield self._process
            assert self._process.api.told.empty(), "the runtime said more than it was asked"
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._process = None
        self._shared.close()

    def _start(self, stack: ExitStack, case: Case | None) -> RuntimeProcess:
        task = Path(tempfile.mkdtemp(dir=self.folder), "task")
        task.mkdir()
        if case is None:
            assert self.functions.write_shared is not None
            handler = self.functions.write_shared(task, self.language.interpreter)
        else:
            handler = self.functions.write(case.source, task, self.language.interpreter)
            for file, content in case.files.items():
                (task / file).write_bytes(content)
                (task / file).chmod(0o755)
        api = stack.enter_context(RuntimeApi())
        api.arn = f"{ARN}:{case.source if case is not None else ''}"
        return stack.enter_context(self.language.start(task, api, handler, case.environment if case is not None else {}))


@pytest.fixture(scope="module")
def interpreters() -> dict[str, Interpreter]:
    own = {name: own_interpreter(name) for name, family in FAMILY_OF.items() if family.lookup is None}
    return {**find_interpreters(), **own}


@pytest.fixture(scope="module", params=_runtimes())
def bench(
    request: pytest.FixtureRequest, interpreters: dict[str, Interpreter], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    runtime = request.param
    if runtime not in interpreters:
        pytest.skip(f"no interpreter for {runtime}")
    interpreter = dataclasses.replace(interpreters[runtime], runtime=STAND_INS.get(runtime, runtime))
    folder = tmp_path_factory.mktemp("bench")
    made = Bench(Language.make(interpreter, folder / "client"), FUNCTIONS[FAMILY_OF[interpreter.runtime].name], folder)
    yield made
    made.close()


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_a_runtime_keeps_the_case(bench: Bench, case: Case) -> None:
    """What the case claims holds in this language."""
    dash = bench.functions.dash(case, bench.runtime)
    if dash is not None:
        pytest.skip(f"{case.name}: {dash}")
    with bench.process(case) as process:
        case.check(process, bench.functions.expectation(case, bench.runtime))
