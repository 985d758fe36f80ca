"""`lambdad invoke`."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from lambdad.cli.client import EndpointOption, RegionOption, aws_client
from lambdad.cli.failure import FAILED, CommandError

_ALLOWED = "This invocation would be allowed."


class InvocationType(StrEnum):
    REQUEST_RESPONSE = "RequestResponse"
    EVENT = "Event"
    DRY_RUN = "DryRun"


def invoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The function's name or ARN; NAME:QUALIFIER works too.")],
    payload: Annotated[
        str | None,
        typer.Option("--payload", "-p", metavar="JSON|@FILE|-", help="The event; - is standard input. [default: no payload]"),
    ] = None,
    invocation_type: Annotated[
        InvocationType,
        typer.Option("--type", "-t", metavar="TYPE", help="RequestResponse, Event (queued) or DryRun."),
    ] = InvocationType.REQUEST_RESPONSE,
    log: Annotated[bool, typer.Option("--log", help="Print the last 4 KB of this invocation's log on standard error.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Print the answer while the function writes it.")] = False,
    qualifier: Annotated[str | None, typer.Option("--qualifier", "-q", help="A version or an alias.")] = None,
    tenant_id: Annotated[str | None, typer.Option("--tenant-id", help="Whom it is for, if the function has tenants.")] = None,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
) -> None:
    """Invoke a function and print its answer on standard output.

    Exit codes: 0 it answered; 1 it failed (the error is printed, like the answer) or the server refused; 2 the command
    line is wrong; 3 no server answers.

    \b
    Examples:
      lambdad invoke hello
      lambdad invoke hello --payload '{"name": "Ada"}' --log
      lambdad invoke hello --payload @event.json --type Event
      jq .detail event.json | lambdad invoke hello --payload -
      lambdad invoke chat --stream --payload '"Hello?"'
    """
    parameters: dict[str, Any] = {"FunctionName": name, "InvocationType": invocation_type.value}
    if payload is not None:
        parameters["Payload"] = read_payload(payload)
    if qualifier is not None:
        parameters["Qualifier"] = qualifier
    if tenant_id is not None:
        parameters["TenantId"] = tenant_id
    if log:
        parameters["LogType"] = "Tail"
    if stream and invocation_type is InvocationType.EVENT:
        raise typer.BadParameter("An event that is queued has no answer to stream.", param_hint="--stream")
    with aws_client("lambda", endpoint, region) as client:
        if stream:
            _print_stream(invocation_type, client.invoke_with_response_stream(**parameters))
            return
        answer = client.invoke(**parameters)
        _print_answer(invocation_type, answer, answer["Payload"].read())
    if answer.get("FunctionError"):
        raise typer.Exit(1)


def read_payload(text: str) -> bytes:
    """The event's bytes, checked to be JSON so that a slip in quoting is told here."""
    if text == "-":
        content, source = sys.stdin.buffer.read(), "standard input"
    elif text.startswith("@"):
        content, source = _read_file(Path(text[1:])), text[1:]
    else:
        content, source = text.encode("utf-8", "surrogateescape"), "--payload"
    try:
        json.loads(content)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"{source} is not JSON: {error}", param_hint="--payload") from error
    return content


def _read_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise typer.BadParameter(f"{file} cannot be read: {reason}", param_hint="--payload") from error


def _print_stream(invocation_type: InvocationType, answer: dict[str, Any]) -> None:
    """Each piece as it comes; the end like that of an answer which is not streamed."""
    with closing(answer["EventStream"]) as events:
        if invocation_type is InvocationType.DRY_RUN:
            typer.echo(_ALLOWED, err=True)
            return
        end = _print_pieces(events)
    if end is None:
        raise CommandError("The answer was cut short.", FAILED)
    typer.echo()
    _print_log(end)
    if end.get("ErrorCode"):
        typer.echo(f"The function failed ({end['ErrorCode']}): {end.get('ErrorDetails', '')}", err=True)
        raise typer.Exit(1)


def _print_pieces(events: Iterable[dict[str, Any]]) -> dict[str, str] | None:
    """The event that says how it ended, if there is one."""
    from urllib3.exceptions import HTTPError

    end: dict[str, str] | None = None
    try:
        for event in events:
            if "PayloadChunk" in event:
                sys.stdout.buffer.write(event["PayloadChunk"]["Payload"])
                sys.stdout.buffer.flush()
            end = event.get("InvokeComplete", end)
    except HTTPError as error:  # botocore lets through what happens while events are read
        raise CommandError(f"The answer was cut short: {error}", FAILED) from error
    return end


def _print_log(answer: dict[str, Any]) -> None:
    if answer.get("LogResult"):
        typer.echo(base64.b64decode(answer["LogResult"]).decode("utf-8", "replace").rstrip("\n"), err=True)


def _print_answer(invocation_type: InvocationType, answer: dict[str, Any], payload: bytes) -> None:
    """The payload's bytes untouched on standard output; everything else on standard error."""
    _print_log(answer)
    if invocation_type is InvocationType.EVENT:
        typer.echo(f"Queued as {answer['ResponseMetadata'].get('RequestId')}.", err=True)
    elif invocation_type is InvocationType.DRY_RUN:
        typer.echo(_ALLOWED, err=True)
    else:
        sys.stdout.flush()
        typer.echo(payload)
        if answer.get("FunctionError"):
            typer.echo(f"The function failed ({answer['FunctionError']}).", err=True)
