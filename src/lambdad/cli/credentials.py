"""`lambdad credentials`: the access keys that requests are signed with when `--auth on`.

A running server is asked over its admin socket; otherwise the data folder is opened here.
"""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from lambdad.cli.admin import NoServer, ask_admin
from lambdad.cli.client import JsonOption
from lambdad.cli.failure import USAGE, CommandError
from lambdad.cli.output import print_table
from lambdad.config import Settings, read
from lambdad.errors import StartupError

PATH = "/_lambdad/credentials"

app = typer.Typer(
    no_args_is_help=True,
    help="Access keys for a server that runs with `--auth on`. They work on the data folder, whether or not a server runs.",
)
DataDirOption = Annotated[
    str | None,
    typer.Option(
        "--data-dir", metavar="PATH", help="The server's data folder. [env: LAMBDAD_DATA_DIR; default: the settings' data_dir]"
    ),
]
AccountOption = Annotated[
    str | None,
    typer.Option("--account-id", metavar="12 DIGITS", help="Its account. [default: the settings' account_id]"),
]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for; shown by `list`.")] = "",
    account_id: AccountOption = None,
    data_dir: DataDirOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an access key and print it. The secret is never shown again.

    \b
    Examples:
      lambdad credentials create --name ci
      eval "$(lambdad credentials create)"
    """
    settings = _settings(data_dir, account_id)
    request = {"account_id": settings.account_id, "name": name}
    key = _ask(settings, "POST", PATH, request)
    if as_json:
        typer.echo(json.dumps(key))
    else:
        typer.echo(f"export AWS_ACCESS_KEY_ID={key['AccessKeyId']}\nexport AWS_SECRET_ACCESS_KEY={key['SecretAccessKey']}")


@app.command("list")
def list_(data_dir: DataDirOption = None, as_json: JsonOption = False) -> None:
    """List the access keys, without their secrets.

    \b
    Examples:
      lambdad credentials list --json
    """
    settings = _settings(data_dir)
    keys = _ask(settings, "GET", PATH) if settings.data_dir.exists() else []
    if as_json:
        typer.echo(json.dumps(keys, indent=2))
    elif keys:
        print_table(("ACCESS KEY ID", "ACCOUNT", "NAME", "CREATED"), [_row(key) for key in keys])
    else:
        typer.echo(f"No access keys yet in {settings.data_dir}.", err=True)


@app.command()
def delete(
    access_key_id: Annotated[str, typer.Argument(metavar="ID", help="As `lambdad credentials list` shows it.")],
    data_dir: DataDirOption = None,
) -> None:
    """End an access key, at once.

    \b
    Examples:
      lambdad credentials delete AKIAIOSFODNN7EXAMPLE
    """
    settings = _settings(data_dir)
    if not settings.data_dir.exists():
        raise CommandError(f"There is no access key {access_key_id!r}: {settings.data_dir} is not there.")
    _ask(settings, "DELETE", f"{PATH}/{quote(access_key_id, safe='')}")


def _settings(data_dir: str | None, account_id: str | None = None) -> Settings:
    try:
        return read({"data_dir": data_dir, "account_id": account_id}, os.environ)
    except StartupError as error:
        raise CommandError(str(error), USAGE) from error


def _ask(settings: Settings, method: str, path: str, request: object = None) -> Any:
    """The same routes either way: over the socket of the server that owns the folder, or on the folder itself."""
    try:
        return ask_admin(settings.data_dir, method, path, request)
    except NoServer:
        status, document = asyncio.run(_answer_here(settings, method, path, request))
    if status >= 400:
        raise CommandError(document["message"])
    return document


async def _answer_here(settings: Settings, method: str, path: str, request: object) -> tuple[int, Any]:
    """Opens the store, which this process then owns; StartupError when another one does."""
    from lambdad.admin import answer
    from lambdad.identity import Identities
    from lambdad.store.lock import DataFolderLock
    from lambdad.store.sqlite import SqliteStore

    with DataFolderLock(settings.data_dir):
        store = SqliteStore(settings.database)
        await store.open()
        try:
            identities = Identities(store)
            await identities.open()
            return await answer(identities, method, path, json.dumps(request).encode())
        finally:
            await store.close()


def _row(key: dict[str, Any]) -> tuple[str, ...]:
    created = datetime.fromtimestamp(key["CreatedAt"], UTC).isoformat(timespec="seconds")
    return (key["AccessKeyId"], key["AccountId"], key["Name"], created)
