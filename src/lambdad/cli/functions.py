"""`lambdad functions`."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import typer

from lambdad.cli.client import EndpointOption, JsonOption, RegionOption, aws_client
from lambdad.cli.output import print_table

COLUMNS = ("NAME", "RUNTIME", "MEMORY", "TIMEOUT", "CODE", "MODIFIED", "URL")
_QUESTIONS_AT_ONCE = 8
_COLONS_UNQUALIFIED = 6  #: in the ARN of a function without a qualifier


def functions(as_json: JsonOption = False, endpoint: EndpointOption = None, region: RegionOption = None) -> None:
    """List the account's functions in a region.

    URL is the function's own, or how many its aliases have; `aws lambda list-function-url-configs` shows all.
    With --json: the list of configurations, as ListFunctions gives them.

    \b
    Examples:
      lambdad functions
      lambdad functions --json | jq -r '.[].FunctionArn'
    """
    with aws_client("lambda", endpoint, region) as client:
        pages = client.get_paginator("list_functions").paginate()
        found = [function for page in pages for function in page.get("Functions", [])]
        urls = [] if as_json else _urls(client, [function["FunctionName"] for function in found])
    if as_json:
        typer.echo(json.dumps(found, indent=2, default=str))
    elif found:
        print_table(COLUMNS, [_row(*each) for each in zip(found, urls, strict=True)])
    else:
        typer.echo("No functions yet.", err=True)


def _urls(client: Any, names: list[str]) -> list[str]:
    """What stands in the column URL, for each function."""
    with ThreadPoolExecutor(_QUESTIONS_AT_ONCE) as pool:
        return list(pool.map(lambda name: _url(client, name), names))


def _url(client: Any, name: str) -> str:
    from botocore.exceptions import ClientError

    try:
        configs = client.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"]
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "Error")
        return "-" if code == "ResourceNotFoundException" else f"({code})"  # gone since it was listed, or not to be seen
    own = [config["FunctionUrl"] for config in configs if config["FunctionArn"].count(":") == _COLONS_UNQUALIFIED]
    if own:
        return str(own[0])
    return f"{len(configs)} of aliases" if configs else "-"


def _row(function: dict[str, Any], url: str) -> tuple[str, ...]:
    return (
        function["FunctionName"],
        function.get("Runtime", "-"),
        f"{function.get('MemorySize', 0)} MB",
        f"{function.get('Timeout', 0)} s",
        f"{function.get('CodeSize', 0):,} B",
        function.get("LastModified", "-")[:19],
        url,
    )
