"""Names and ARNs of runtime versions."""

from __future__ import annotations

import re

import pytest

from lambdad.model.runtime_version import runtime_version

PATTERN = re.compile(r"arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}-[a-z]+-\d{1}::runtime:[0-9a-f]{64}")


@pytest.mark.parametrize(
    ("runtime", "patch", "name"),
    [
        ("python3.12", 7, "python:3.12.v7"),
        ("nodejs14.x", 1, "nodejs:14.v1"),
        ("provided.al2", 1, "provided:al2.v1"),
        ("java8.al2", 1, "java:8.al2.v1"),
        ("provided", 1, "provided:.v1"),
    ],
)
def test_names(runtime: str, patch: int, name: str) -> None:
    """A version is named as AWS names its own, with the interpreter's patch for a number."""
    made = runtime_version(runtime, patch)
    assert made.name == name
    assert PATTERN.fullmatch(made.arn("eu-west-1"))


def test_each_difference_makes_another_version() -> None:
    """Another runtime, patch, client or Region has another ARN; the same has the same."""
    arns = {
        runtime_version("python3.12", 1, "client").arn("us-east-1"),
        runtime_version("python3.11", 1, "client").arn("us-east-1"),
        runtime_version("python3.12", 2, "client").arn("us-east-1"),
        runtime_version("python3.12", 1, "another client").arn("us-east-1"),
        runtime_version("python3.12", 1, "client").arn("eu-west-1"),
    }
    assert len(arns) == 5
    assert runtime_version("python3.12", 1, "client").arn("us-east-1") in arns
