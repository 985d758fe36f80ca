"""Which functions may begin in a runtime that was booted before they were known."""

from __future__ import annotations

import pytest

from lambdad.model.pre_boot import may_begin_booted, start_pattern

NAMES = start_pattern("NODE_.*|UV_.*")
DEFAULTS = {"PATH": "/bin", "LANG": "en_US.UTF-8", "TZ": ":UTC", "NODE_PATH": "/opt/nodejs"}


@pytest.mark.parametrize(
    "own",
    [
        {},
        {"TABLE": "orders", "PATH": "/opt/bin", "EDGE_NODE_OPTIONS": "x", "node_options": "x", "LANGUAGES": "de", "LD": "x"},
        {"LANG": "en_US.UTF-8", "NODE_PATH": "/opt/nodejs"},
    ],
)
def test_what_no_interpreter_reads_when_it_starts_is_no_obstacle(own: dict[str, str]) -> None:
    """Any other variables, and those that are as they would be anyway. The runtime is booted with nothing of them."""
    assert may_begin_booted(DEFAULTS, {**DEFAULTS, **own}, NAMES)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "NODE_OPTIONS",
            "NODE_PATH",
            "NODE_EXTRA_CA_CERTS",
            "UV_THREADPOOL_SIZE",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
        ),
        *("LANG", "LC_ALL", "TZ", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES", "RES_OPTIONS", "AWS_LAMBDA_EXEC_WRAPPER"),
    ],
)
def test_what_is_read_when_a_program_starts_needs_a_start(name: str) -> None:
    """Whatever the value, an empty one included."""
    for value in ("x", ""):
        assert not may_begin_booted(DEFAULTS, {**DEFAULTS, name: value}, NAMES)


def test_what_is_missing_differs_too() -> None:
    """A function without a variable that the runtime would have been booted with."""
    assert not may_begin_booted(DEFAULTS, {name: DEFAULTS[name] for name in ("PATH", "LANG", "NODE_PATH")}, NAMES)
