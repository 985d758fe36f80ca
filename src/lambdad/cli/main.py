"""The `lambdad` command itself: its subcommands, and what each kind of failure becomes for the caller.

Commands import what is heavy when they run, so that help and completion answer at once.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lambdad import __version__
from lambdad.cli import credentials, functions, health, invoke, logs, runtime, support, up, version
from lambdad.cli.failure import EXIT_CODES, FAILED, INTERRUPTED, CommandError
from lambdad.errors import StartupError


class LambdadGroup(TyperGroup):
    """Turns the failures that a command foresees into one sentence on standard error and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CommandError as error:
            typer.echo(f"lambdad: {error}", err=True)
            raise typer.Exit(error.exit_code) from error
        except StartupError as error:
            typer.echo(f"lambdad: {error}", err=True)
            raise typer.Exit(FAILED) from error
        except KeyboardInterrupt as interrupt:
            raise typer.Exit(INTERRUPTED) from interrupt
        except OSError as error:
            if error.errno not in _DISK_FULL:
                raise
            _forget_output()
            typer.echo(f"lambdad: {error.strerror}.", err=True)
            raise typer.Exit(FAILED) from error


#: Of whatever is written to, most likely standard output sent to a file. (A broken pipe ends the command silently.)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def _forget_output() -> None:
    """What standard output still holds back would fail once more when Python closes it."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


app = typer.Typer(
    name="lambdad",
    cls=LambdadGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # tracebacks with local variables would print payloads and secrets
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,  # plain help: quick, and square brackets stay what they are
    epilog="Exit codes: " + "; ".join(f"{code} {meaning}" for code, meaning in EXIT_CODES.items()) + ".",
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"lambdad {__version__}")
        raise typer.Exit


@app.callback()
def lambdad(
    is_version_asked: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """AWS Lambda on your own machines, with functions really isolated: its API, and those of S3, CloudWatch Logs, IAM, STS,
    ECR and Signer.

    \b
    Examples:
      lambdad up
      AWS_ENDPOINT_URL=http://127.0.0.1:4566 aws lambda list-functions
    """


app.command("up")(up.up)
app.command("health")(health.health)
app.command("functions")(functions.functions)
app.command("invoke")(invoke.invoke)
app.command("logs")(logs.logs)
app.command("support")(support.support)
app.command("version")(version.version)
app.add_typer(credentials.app, name="credentials")
app.add_typer(runtime.app, name="runtime")


def main() -> None:
    """The console script."""
    _open_standard_streams()
    app()


def _open_standard_streams() -> None:
    """A caller may have closed some; the next file opened, a database say, would take the place of standard output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
