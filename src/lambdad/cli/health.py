"""`lambdad health`."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import typer

from lambdad.cli.client import EndpointOption, JsonOption, client_settings, unreachable
from lambdad.cli.failure import CommandError

PATH = "/_lambdad/health"
TIMEOUT_SECONDS = 10
_LARGEST_ANSWER = 2**20


def health(endpoint: EndpointOption = None, as_json: JsonOption = False) -> None:
    """Show whether the server is healthy.

    What isolation is in force, and what it does not keep apart on this machine, is part of the answer.

    Exit code 0 when it is, 1 when it is not or does not answer, so it can serve as a health check.

    \b
    Examples:
      lambdad health
      lambdad health --json --endpoint http://127.0.0.1:4570
    """
    url = client_settings(endpoint).endpoint
    document = fetch_health(url)
    typer.echo(json.dumps(document, indent=2) if as_json else describe(document))
    if document["status"] != "running":
        raise typer.Exit(1)


def fetch_health(endpoint: str) -> dict[str, Any]:
    parts = urlsplit(endpoint)
    make = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = make(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", PATH)
        response = connection.getresponse()
        status, body = response.status, response.read(_LARGEST_ANSWER)
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(unreachable(endpoint, error)) from error
    finally:
        connection.close()
    return _parse(endpoint, status, body)


def describe(document: dict[str, Any]) -> str:
    """The document in lines for people; parts that this version does not know are left out."""
    isolation, environments = document.get("isolation", {}), document.get("environments", {})
    runtimes, network = document.get("runtimes", {}), document.get("network", {})
    lines = [
        f"lambdad {document.get('version', '?')} is {document['status']}, for {document.get('uptime_seconds', 0):.0f} s",
        f"  isolation     {isolation.get('backend', '?')}",
        *(f"                ! {weakness}" for weakness in isolation.get("weaknesses", [])),
        f"  network       {network.get('mode', '?')}",
        *([f"                ! {network['remark']}"] if network.get("remark") else []),
        f"  cpu           {document.get('cpu', '?')}",
        f"  auth          {document.get('auth', '?')}",
        f"  quotas        {document.get('quotas', '?')}",
        f"  data          {document.get('data_dir', '?')}",
        f"  runtimes      {' '.join(runtimes.get('available', [])) or 'none'}",
        *(f"                ! {name}: {problem}" for name, problem in runtimes.get("problems", {}).items()),
        f"  environments  {', '.join(f'{count} {state}' for state, count in environments.items()) or '?'}",
        *_pre_booted_lines(document.get("pre_booted")),
        *_concurrency_lines(document.get("concurrency", {})),
        f"  services      {', '.join(f'{name} {state}' for name, state in document.get('services', {}).items()) or '?'}",
    ]
    return "\n".join(lines)


def _pre_booted_lines(waiting: dict[str, int] | None) -> list[str]:
    if waiting is None:
        return []
    return [f"  pre-booted    {', '.join(f'{count} {runtime}' for runtime, count in waiting.items()) or 'none'}"]


def _concurrency_lines(concurrency: dict[str, Any]) -> list[str]:
    if not concurrency:
        return []
    in_use, provisioned = concurrency.get("in_use", {}), concurrency.get("provisioned", {})
    lines = [f"  concurrency   {', '.join(f'{count} {kind}' for kind, count in in_use.items())}"]
    if provisioned.get("requested"):
        lines.append(
            f"                {provisioned.get('allocated', 0)} of {provisioned['requested']} provisioned environments are "
            f"there, {concurrency.get('spilled_over', 0)} invocations spilled over"
        )
    lines += [f"                ! {count} throttled: {reason}" for reason, count in concurrency.get("throttles", {}).items()]
    return lines


def _parse(endpoint: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("status"), str):
        raise CommandError(f"What answers at {endpoint} is not lambdad (HTTP {status} to {PATH}).")
    return document
