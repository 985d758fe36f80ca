"""Comparing a function in a runtime that waited with one that was started by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

#: Variables whose values are each function's own; SECRET is one of the tests.
OWN = frozenset(
    {
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "_X_AMZN_TRACE_ID",
        "SECRET",
    }
)


def masked(environment: Iterable[Sequence[str]], own: Collection[str] = OWN) -> list[tuple[str, str | None]]:
    """Every variable in its place; those that are a function's own without their values."""
    return [(name, None if name in own else value) for name, value in environment]
