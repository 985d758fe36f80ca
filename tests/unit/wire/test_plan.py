"""wire/plan.py: what is refused because it would have no effect."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.errors import ServiceError
from lambdad.model.service import Service
from lambdad.wire.plan import refusal_of

SERVICE = Service(
    name="lambda",
    operations={},
    not_yet={},
    refused={"Op": {"A": "no A", "B.C": "no C", "L.X": "no X in any L"}},
    refusal_code="InvalidParameterValueException",
    refusal_status=400,
)


@pytest.mark.parametrize(
    "parameters",
    [{"A": 0}, {"A": False}, {"A": {"x": {}}}, {"B": {"C": "x"}}, {"L": [{}, {"X": "y"}]}],
)
def test_refused(parameters: dict[str, Any]) -> None:
    """A value that is set is refused, at any depth and in any element."""
    refuse = refusal_of(SERVICE, "Op")
    assert refuse is not None
    with pytest.raises(ServiceError, match=r"is not supported: no") as caught:
        refuse(parameters)
    assert (caught.value.code, caught.value.status) == ("InvalidParameterValueException", 400)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"A": None}, {"A": {}}, {"A": []}, {"A": ""}, {"B": {}}, {"B": {"D": 1}}, {"L": [{}]}, {"L": []}, {"B": 1}],
)
def test_empty_is_not_set(parameters: dict[str, Any]) -> None:
    """Tools send empty structures for what they do not use."""
    refuse = refusal_of(SERVICE, "Op")
    assert refuse is not None
    refuse(parameters)


def test_nothing_to_refuse() -> None:
    """An operation without refused members costs no check."""
    assert refusal_of(SERVICE, "Other") is None
