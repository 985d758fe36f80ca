"""`lambdad version`."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from importlib import metadata

from typer.testing import Result

from lambdad import __version__

Run = Callable[..., Result]


def test_what_a_bug_report_needs(run: Run) -> None:
    """lambdad, Python and botocore, a line each."""
    lines = [f"lambdad {__version__}", f"python {platform.python_version()}", f"botocore {metadata.version('botocore')}"]
    assert run("version").stdout.splitlines() == lines


def test_json(run: Run) -> None:
    """The same for programs."""
    assert json.loads(run("version", "--json").stdout)["lambdad"] == __version__
