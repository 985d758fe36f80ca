"""What is made of errors that runtimes post: whatever they are, somebody is told."""

from __future__ import annotations

import pytest

from lambdad.invocation import failure


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"errorType":"E","errorMessage":"m"}', "E: m"),
        (b"{}", "Custom: "),
        (b"", "Custom"),
        (b"no json", "Custom"),
        (b"\xff", "Custom"),
        (b"[1]", "Custom"),
        (b'{"a":' * 50_000, "Custom"),
    ],
)
def test_an_error_is_told_in_a_sentence(body: bytes, told: str) -> None:
    """The type and message that the runtime posted; of a body that does not have them, the type that it gave in the header."""
    assert failure.posted("Custom", body, "application/json").told == told
