"""`lambdad version`."""

from __future__ import annotations

import json
import platform
from importlib import metadata

import typer

from lambdad import __version__
from lambdad.cli.client import JsonOption


def version(as_json: JsonOption = False) -> None:
    """Show the versions of lambdad, Python and botocore.

    botocore's service models decide which API is spoken.

    \b
    Examples:
      lambdad version --json
    """
    versions = {"lambdad": __version__, "python": platform.python_version(), "botocore": metadata.version("botocore")}
    typer.echo(json.dumps(versions) if as_json else "\n".join(f"{name} {number}" for name, number in versions.items()))
