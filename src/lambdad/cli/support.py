"""`lambdad support`: what of AWS's API is served, made from the services' own records."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from lambdad.cli.client import JsonOption
from lambdad.cli.failure import USAGE, CommandError
from lambdad.cli.output import print_table
from lambdad.model.service import Service

#: service -> operation -> {"served": bool, "reason": why not, "refused": {member: why}, "limited": {member: when refused}}
Support = dict[str, dict[str, dict[str, Any]]]


def support(
    service: Annotated[str | None, typer.Argument(metavar="SERVICE", help="Only this service: lambda, s3, logs ...")] = None,
    as_json: JsonOption = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, as in docs/reference/support.md.")] = False,
) -> None:
    """Show which AWS operations are served.

    For each operation: whether it is served, or why not yet, and which of its settings are refused. What is served
    and not refused has its effect; nothing is accepted and then ignored.

    \b
    Examples:
      lambdad support s3
      lambdad support --json | jq '.lambda.CreateFunction.refused'
    """
    table = collect()
    if service is not None:
        if service not in table:
            raise CommandError(f"There is no service {service!r}; there are {', '.join(table)}.", USAGE)
        table = {service: table[service]}
    if as_json:
        typer.echo(json.dumps(table, indent=2))
    elif as_markdown:
        typer.echo(markdown(table), nl=False)
    else:
        print_table(("SERVICE", "OPERATION", "SUPPORT"), _rows(table))


def services() -> list[Service]:
    """The record of each folder in `lambdad.services`, so that a new service needs no entry here, and Lambda's neighbours."""
    import importlib
    import pkgutil

    import lambdad.services
    from lambdad.services.lambda_.unsupported import NEIGHBOURS
    from lambdad.wire.spec import ServiceSpec

    folders = [found.name for found in pkgutil.iter_modules(lambdad.services.__path__)]
    modules = [importlib.import_module(f"lambdad.services.{folder}") for folder in folders]
    records: list[Service] = [module.SERVICE for module in modules if hasattr(module, "SERVICE")]
    records += [Service(name, {}, dict.fromkeys(ServiceSpec(name).operation_names, why)) for name, why in NEIGHBOURS.items()]
    return sorted(records, key=lambda service: service.name)


def collect() -> Support:
    return {service.name: _operations(service) for service in services()}


def markdown(table: Support) -> str:
    """One table a service, in the order of the operations' names."""
    parts = []
    for service, operations in table.items():
        served = sum(entry["served"] for entry in operations.values())
        parts.append(f"## {service}\n\n{served} of {len(operations)} operations are served.\n")
        parts.append("| operation | support | refused settings |\n| --- | --- | --- |")
        for name, entry in operations.items():
            members = {**entry["refused"], **entry["limited"]}
            refused = "<br>".join(f"`{path}`: {_cell(reason)}" for path, reason in sorted(members.items()))
            parts.append(f"| {name} | {_cell(_state(entry))} | {refused} |")
        parts.append("")
    return "\n".join(parts)


def _operations(service: Service) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = {
        name: {
            "served": True,
            "reason": None,
            "refused": dict(sorted(service.refused.get(name, {}).items())),
            "limited": dict(sorted(service.limited.get(name, {}).items())),
        }
        for name in service.operations
    }
    for name, reason in service.not_yet.items():
        entries[name] = {"served": False, "reason": reason, "refused": {}, "limited": {}}
    return dict(sorted(entries.items()))


def _rows(table: Support) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for service, operations in table.items():
        for name, entry in operations.items():
            rows.append((service, name, _state(entry)))
            rows.extend(("", "", f"  refuses {path}: {reason}") for path, reason in entry["refused"].items())
            rows.extend(("", "", f"  limits {path}: {reason}") for path, reason in entry["limited"].items())
    return rows


def _state(entry: dict[str, Any]) -> str:
    return "served" if entry["served"] else f"not yet: {entry['reason']}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
