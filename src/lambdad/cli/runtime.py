"""`lambdad runtime`: which runtimes this machine has the language for, and getting those that it has not.

It works on the cache folder, whether or not a server runs; one that runs takes up what was installed by itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lambdad.cli.client import JsonOption
from lambdad.cli.failure import CommandError
from lambdad.cli.output import print_table
from lambdad.config import Settings, read

if TYPE_CHECKING:
    from lambdad.runtimes.find import Interpreter

COLUMNS = ("RUNTIME", "STATE", "DETAIL")
_LOOK_SECONDS = 0.2

app = typer.Typer(
    no_args_is_help=True,
    help="The languages of runtimes on this machine: what is there, what can be installed, and installing it.",
)
CacheDirOption = Annotated[
    str | None,
    typer.Option(
        "--cache-dir",
        metavar="PATH",
        help="The server's cache folder. [env: LAMBDAD_CACHE_DIR; default: the settings' cache_dir]",
    ),
]


@app.command("list")
def list_runtimes(cache_dir: CacheDirOption = None, as_json: JsonOption = False) -> None:
    """List each runtime: ready (version and path), installable (from where, and about how big) or missing (what to do).

    With --json: a list of objects with runtime, state and detail.

    \b
    Examples:
      lambdad runtime list
      lambdad runtime list --json | jq -r '.[] | select(.state == "installable").runtime'
    """
    from lambdad.runtimes.families import FAMILIES
    from lambdad.runtimes.find import Places
    from lambdad.runtimes.languages import standings
    from lambdad.runtimes.programs import finder_for

    settings = _settings(cache_dir)
    finder = finder_for(FAMILIES, Places.usual(os.environ, Path.home()), settings.cache_dir)
    found = standings(asyncio.run(finder.find()), settings.runtime_substitutes)
    if as_json:
        shown = [{"runtime": each.runtime, "state": each.state, "detail": each.detail} for each in found]
        typer.echo(json.dumps(shown, indent=2))
    else:
        print_table(COLUMNS, [(each.runtime, each.state, each.detail) for each in found])


@app.command()
def install(
    runtime: Annotated[str, typer.Argument(metavar="RUNTIME", help="Its identifier, such as nodejs14.x.")],
    cache_dir: CacheDirOption = None,
) -> None:
    """Fetch a runtime's language from a package registry, try it, and keep it in the cache folder.

    A server that runs takes it up without a restart. Installing again gets the newest patch.

    \b
    Examples:
      lambdad runtime install nodejs14.x
    """
    from lambdad.runtimes.families import FAMILY_OF
    from lambdad.runtimes.install import InstallError
    from lambdad.runtimes.languages import install as install_language
    from lambdad.runtimes.languages import languages_dir, usable_source

    if runtime not in FAMILY_OF:
        raise CommandError(f"{runtime} is no runtime that lambdad runs; `lambdad runtime list` shows them.")
    if FAMILY_OF[runtime].lookup is None:
        typer.echo(f"{runtime} needs nothing of a language: functions bring their own.")
        return
    folder = _settings(cache_dir).cache_dir
    source = usable_source(runtime)
    try:
        with _bar(runtime, 0 if source is None else source.megabytes, languages_dir(folder)) as progress:
            interpreter = asyncio.run(_until_terminated(install_language(runtime, folder, progress)))
    except asyncio.CancelledError:
        raise typer.Exit(128 + signal.SIGTERM) from None
    except InstallError as error:
        raise CommandError(f"{runtime} was not installed: {error}") from error
    except OSError as error:
        raise CommandError(f"{runtime} was not installed: {error.strerror}: {error.filename}") from error
    typer.echo(f"{runtime} is ready: {'.'.join(map(str, interpreter.version))} at {interpreter.executable}")


async def _until_terminated(work: Coroutine[Any, Any, Interpreter]) -> Interpreter:
    """SIGTERM gives it up, as Ctrl-C does: what it has started ends, and nothing of it is left behind."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _settings(cache_dir: str | None) -> Settings:
    return read({"cache_dir": cache_dir}, os.environ)


@contextmanager
def _bar(runtime: str, megabytes: int, folder: Path) -> Iterator[Callable[[str], None]]:
    """On a terminal a bar that follows what has come to lie in `folder`; elsewhere the lines of who fetches."""
    if not sys.stderr.isatty():
        yield lambda line: typer.echo(line, err=True)
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    ended = threading.Event()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(runtime, total=megabytes << 20)

        def follow() -> None:
            while not ended.wait(_LOOK_SECONDS):
                bar.update(task, completed=min(_bytes_in(folder, runtime), megabytes << 20))

        follower = threading.Thread(target=follow, daemon=True)
        follower.start()
        try:
            yield lambda line: None
        finally:
            ended.set()
            follower.join()


def _bytes_in(folder: Path, runtime: str) -> int:
    """Of the installation that is being made; files come and go meanwhile."""
    total = 0
    for building in folder.glob(f".building-{runtime}-*"):
        for root, _, names in os.walk(building):
            for name in names:
                try:
                    total += os.lstat(f"{root}/{name}").st_size
                except FileNotFoundError:
                    continue
    return total
