"""`lambdad functions`."""

from __future__ import annotations

import json
from typing import Any

import typer

from lambdad.cli.client import EndpointOption, JsonOption, RegionOption, aws_client
from lambdad.cli.output import print_table

COLUMNS = ("NAME", "RUNTIME", "MEMORY", "TIMEOUT", "CODE", "MODIFIED")


def functions(as_json: JsonOption = False, endpoint: EndpointOption = None, region: RegionOption = None) -> None:
    """List the account's functions in a region.

    With --json: the list of configurations, as ListFunctions gives them.

    \b
    Examples:
      lambdad functions
      lambdad functions --json | jq -r '.[].FunctionArn'
    """
    with aws_client("lambda", endpoint, region) as client:
        pages = client.get_paginator("list_functions").paginate()
        found = [function for page in pages for function in page.get("Functions", [])]
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=str))
    elif found:
        print_table(COLUMNS, [_row(function) for function in found])
    else:
        typer.echo("No functions yet.", err=True)


def _row(function: dict[str, Any]) -> tuple[str, ...]:
    return (
        function["FunctionName"],
        function.get("Runtime", "-"),
        f"{function.get('MemorySize', 0)} MB",
        f"{function.get('Timeout', 0)} s",
        f"{function.get('CodeSize', 0):,} B",
        function.get("LastModified", "-")[:19],
    )
