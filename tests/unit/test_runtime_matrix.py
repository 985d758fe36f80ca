"""The page of runtimes is made from outcomes, and no family of runtimes is without its cases."""

from __future__ import annotations

import pytest

from lambdad.runtimes.families import FAMILIES
from lambdad.runtimes.family import Family
from support.runtime_cases import CASES
from support.runtime_functions import FUNCTIONS
from support.runtime_matrix import matrix_page


def test_the_matrix_says_what_was_seen() -> None:
    """A row a case, a column a runtime that was tried, a reason for each dash; what was not there is named and counted."""
    outcomes = {(case.name, "nodejs20.x"): "yes" for case in CASES}
    outcomes["huge", "nodejs20.x"] = "no"
    outcomes |= {(name, "nodejs20.x"): f"{name}: such as this" for name in ("stream", "log")}
    outcomes |= {(case.name, "ruby2.5"): "no interpreter for ruby2.5" for case in CASES}
    outcomes |= {(case.name, "ruby3.1"): "yes" for case in CASES}
    page = matrix_page(outcomes)
    assert "| case | nodejs20.x |\n" in page
    assert f"| `{CASES[0].name}`: {CASES[0].claim} | yes |\n" in page
    assert "the next invocation works | no |\n" in page
    assert "- Node.js, `stream`, `log`: such as this\n" in page
    assert "\n1 of 2 identifiers were not tried, " in page
    assert "- ruby2.5: no interpreter for ruby2.5\n" in page


@pytest.mark.parametrize("family", [pytest.param(family, id=family.name) for family in FAMILIES])
def test_every_family_has_a_function_or_a_reason_for_every_case(family: Family) -> None:
    """And speaks of no case that there is not: whether or not its language is on this machine."""
    functions = FUNCTIONS[family.name]
    names = {case.name for case in CASES}
    without = [
        (runtime, case.name)
        for runtime in family.runtimes
        for case in CASES
        if case.source not in functions.names and functions.dash(case, runtime) is None
    ]
    assert without == []
    assert {*functions.dashes, *functions.expected} <= names
    assert set(functions.names) <= {case.source for case in CASES}
