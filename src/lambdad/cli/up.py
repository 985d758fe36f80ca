"""`lambdad up`: the server in the foreground. Its flags are the table of settings."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from lambdad.cli.failure import USAGE, CommandError
from lambdad.cli.output import styled
from lambdad.config import SETTINGS, Setting, Settings, load, unknown_variables
from lambdad.health import Announcement

_OPTIONS_OF_UP = {
    "config": Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Settings file. [default: LAMBDAD_CONFIG, else lambdad.toml here if there is one]"),
    ],
    "ready_file": Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write {port, pid, endpoint} there as JSON once it serves; removed at the end."),
    ],
    "ready_fd": Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Write the same JSON line to this open file descriptor and close it.")
    ],
}


def up(*, config: Path | None = None, ready_file: Path | None = None, ready_fd: int | None = None, **flags: str | None) -> None:
    """Start the server and serve in the foreground. Ctrl-C or SIGTERM lets running invocations finish, then stops; a second
    one stops at once: nothing acknowledged is lost, and what ran asynchronously runs again after the next start.

    A flag wins over its environment variable, that over the settings file, that over the default.

    Exit codes: 0 stopped as asked (130 when Ctrl-C came before it was up or twice, 143 when SIGTERM came twice); 1 it could
    not start (one sentence says why); 2 there is no such flag, or nothing can be written where the ready flags say.

    \b
    Examples:
      lambdad up
      lambdad up --port 0 --data-dir ./data --ready-file ready.json
      lambdad up --host 0.0.0.0 --auth on
    """
    settings = load(flags, os.environ, config_file=config)
    _check_descriptor(ready_fd)
    _clear_ready_file(ready_file)

    def announce(announcement: Announcement) -> None:
        print_banner(announcement)
        _tell_ready(announcement, ready_file, ready_fd)

    try:
        _run(settings, announce)
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)


def _run(settings: Settings, announce: Callable[[Announcement], None]) -> None:
    import logging

    import uvloop

    from lambdad import telemetry
    from lambdad.app import serve

    telemetry.set_up_logging(settings.log_level)
    for name in unknown_variables(os.environ):
        logging.getLogger(__name__).warning("The environment variable %s is not a setting and has no effect", name)
    uvloop.run(serve(settings, announce=announce))


def print_banner(announcement: Announcement) -> None:
    """What a user must know before relying on this server, above all what isolation is in force."""
    isolates = announcement.isolation != "process"
    in_force = announcement.isolation if isolates else "process: NONE. Functions can read and change what lambdad's user can."
    typer.echo(styled("lambdad is up", bold=True))
    typer.echo(f"  endpoint   {announcement.endpoint}")
    typer.echo(f"  data       {announcement.data_dir}")
    typer.echo("  isolation  " + styled(in_force, colour=None if isolates else "red", bold=not isolates))
    for weakness in announcement.weaknesses:
        typer.echo(styled(f"             ! {weakness}", colour="yellow"))
    typer.echo(f"  network    {_NETWORK[announcement.network]}")
    if announcement.network_remark:
        typer.echo(styled(f"             ! {announcement.network_remark}", colour="yellow"))
    typer.echo(f"  cpu        {_CPU[announcement.cpu]}")
    typer.echo(f"  auth       {_AUTH[announcement.auth]}")
    typer.echo(f"  quotas     {announcement.quotas}")
    typer.echo(f"  runtimes   {' '.join(announcement.runtimes) or 'none'}")
    for name, problem in announcement.runtime_problems.items():
        typer.echo(styled(f"             ! {name}: {problem}", colour="yellow"))
    typer.echo("Ready. Ctrl-C lets running invocations finish, then stops.")
    sys.stdout.flush()


_NETWORK = {
    "nat": "nat: functions reach the outside with this machine's address, and not this machine",
    "none": "none: functions reach the AWS endpoint and nothing else",
    "host": "host: functions reach whatever this machine does, its own services included",
}

_CPU = {
    "weight": "weight: in proportion to memory; idle processors are anybody's",
    "strict": "strict: AWS's quota, one processor for each 1,769 MB",
    "none": "none: a function that is busy can slow down the others and the server",
}

_AUTH = {
    "on": "on: requests must be signed (`lambdad credentials create`), and policies are evaluated",
    "off": "off: whoever reaches the endpoint may do everything; an access key id of 12 digits names the account",
}


def _check_descriptor(descriptor: int | None) -> None:
    if descriptor is None:
        return
    try:
        os.fstat(descriptor)
    except OSError as error:
        raise CommandError(f"--ready-fd {descriptor} is not an open file descriptor.", USAGE) from error


def _clear_ready_file(file: Path | None) -> None:
    """One that an earlier, killed server left must not fool anybody; and a place that cannot be written is told now."""
    if file is None:
        return
    try:
        file.unlink(missing_ok=True)
        _partial(file).touch()
        _partial(file).unlink()
    except OSError as error:
        raise CommandError(f"--ready-file {file} cannot be written: {error.strerror}.", USAGE) from error


def _tell_ready(announcement: Announcement, file: Path | None, descriptor: int | None) -> None:
    facts = {"port": announcement.port, "pid": announcement.pid, "endpoint": announcement.endpoint}
    line = (json.dumps(facts) + "\n").encode()
    if file is not None:
        partial = _partial(file)
        partial.write_bytes(line)
        partial.replace(file)  # readers see the whole line or no file
    if descriptor is not None:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(line)


def _partial(file: Path) -> Path:
    return file.with_name(f".{file.name}.{os.getpid()}")


def _signature() -> inspect.Signature:
    """One option a setting, made from the table, so that a new setting needs no change here."""
    options = {**{setting.name: _option(setting) for setting in SETTINGS}, **_OPTIONS_OF_UP}
    return inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
            for name, annotation in options.items()
        ]
    )


def _option(setting: Setting) -> Any:
    text = f"{setting.meaning} [env: {setting.variable}; default: {setting.default_shown}]"
    return Annotated[str | None, typer.Option(setting.flag, metavar=setting.metavar, help=text)]


up.__signature__ = _signature()  # type: ignore[attr-defined]
up.__annotations__ = {parameter.name: parameter.annotation for parameter in _signature().parameters.values()}
