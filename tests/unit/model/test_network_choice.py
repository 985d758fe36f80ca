"""network_choice.py: the tag by which a function is kept from the network."""

from __future__ import annotations

import pytest

from lambdad.model.network_choice import NETWORK_TAG, has_network, refusal


@pytest.mark.parametrize(
    ("tags", "expected"),
    [({}, True), ({"team": "none"}, True), ({NETWORK_TAG: "none"}, False), ({NETWORK_TAG: "none", "a": "b"}, False)],
)
def test_who_has_a_network(tags: dict[str, str], expected: bool) -> None:
    """Every function that is not tagged otherwise."""
    assert has_network(tags) is expected
    assert refusal(tags, can_be_withheld=True) is None


@pytest.mark.parametrize("value", ["", "nat", "None", "none ", "off"])
def test_a_value_without_a_meaning(value: str) -> None:
    """It is refused rather than passed over, and the refusal says what is possible."""
    assert "must be 'none'" in str(refusal({NETWORK_TAG: value}, can_be_withheld=True))


def test_an_isolation_that_cannot_do_it() -> None:
    """The tag is refused where it would have no effect; other tags are not."""
    assert "no effect" in str(refusal({NETWORK_TAG: "none"}, can_be_withheld=False))
    assert refusal({"a": "b"}, can_be_withheld=False) is None
