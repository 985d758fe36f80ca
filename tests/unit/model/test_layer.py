"""Layer versions."""

from __future__ import annotations

import pytest

from lambdad.model.layer import LayerVersion
from lambdad.model.version import CodeArchive


@pytest.mark.parametrize(
    ("runtime", "architecture", "suits"),
    [(None, None, True), ("python3.8", None, True), ("python3.9", None, False), (None, "x86_64", True), (None, "arm64", False)],
)
def test_suits(runtime: str | None, architecture: str | None, suits: bool) -> None:
    """A listing narrowed to a runtime or architecture shows the versions made for it."""
    layer = LayerVersion("1" * 12, "us-east-1", "l", 3, CodeArchive("0" * 64, 1, 1), 0.0, compatible_runtimes=("python3.8",))
    assert layer.suits(runtime, architecture) is suits
    assert layer.version_arn == f"arn:aws:lambda:us-east-1:{'1' * 12}:layer:l:3"
