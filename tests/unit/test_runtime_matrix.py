"""The page of runtimes is made from outcomes."""

from __future__ import annotations

from support.runtime_cases import CASES
from support.runtime_matrix import matrix_page


def test_the_matrix_says_what_was_seen() -> None:
    """A row a case, a column a runtime that was tried; what was not there is named with its reason."""
    outcomes = {(case.name, "nodejs20.x"): "yes" for case in CASES}
    outcomes["huge", "nodejs20.x"] = "no"
    outcomes |= {(case.name, "ruby2.5"): "no interpreter for ruby2.5" for case in CASES}
    page = matrix_page(outcomes)
    assert "| case | nodejs20.x |\n" in page
    assert f"| {CASES[0].claim} | yes |\n" in page
    assert "the next invocation works | no |\n" in page
    assert "- ruby2.5: no interpreter for ruby2.5\n" in page
