"""How commands reach a server: the same public API that every AWS client uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from lambdad.cli.failure import FAILED, UNREACHABLE, USAGE, CommandError
from lambdad.client_settings import ClientSettings, load_client
from lambdad.errors import StartupError

EndpointOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where the server listens. [default: AWS_ENDPOINT_URL, else the host and port of the settings]",
    ),
]
RegionOption = Annotated[
    str | None,
    typer.Option(metavar="REGION", help="AWS region. [default: AWS_REGION, AWS_DEFAULT_REGION, else the settings' region]"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

#: A function may run for 15 minutes; the answer is awaited a little longer than that.
READ_TIMEOUT_SECONDS = 960
CONNECT_TIMEOUT_SECONDS = 5


def client_settings(endpoint: str | None, region: str | None = None) -> ClientSettings:
    """Wrong settings are a wrong use of a client command."""
    try:
        return load_client(os.environ, endpoint=endpoint, region=region)
    except StartupError as error:
        raise CommandError(str(error), USAGE) from error


@contextmanager
def aws_client(service: str, endpoint: str | None, region: str | None) -> Iterator[Any]:
    """A botocore client for the server; what goes wrong within the block becomes a CommandError."""
    settings = client_settings(endpoint, region)
    with _told_apart(settings.endpoint):
        client = _make_client(service, settings)
        try:
            yield client
        finally:
            client.close()


def _make_client(service: str, settings: ClientSettings) -> Any:
    import botocore.config
    import botocore.session

    # An invocation sent twice would run twice, so nothing is retried.
    options = botocore.config.Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"total_max_attempts": 1},
        proxies={},
        user_agent_extra="lambdad-cli",
    )
    return botocore.session.get_session().create_client(
        service,
        region_name=settings.region,
        endpoint_url=settings.endpoint,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
        aws_session_token=settings.session_token,
        config=options,
    )


@contextmanager
def _told_apart(endpoint: str) -> Iterator[None]:
    """No answer at all, an answer that refuses, and a request that is wrong before it is sent."""
    from botocore import exceptions

    try:
        yield
    except exceptions.ClientError as error:
        refusal = error.response.get("Error", {})
        raise CommandError(f"{refusal.get('Code', 'Error')}: {refusal.get('Message', error)}", FAILED) from error
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:  # with its relatives: refused, timed out, closed
        raise CommandError(unreachable(endpoint, error), UNREACHABLE) from error
    except UnicodeEncodeError as error:
        raise CommandError("An argument is not valid UTF-8 text.", USAGE) from error
    except exceptions.BotoCoreError as error:
        raise CommandError(str(error), USAGE) from error


def unreachable(endpoint: str, error: Exception) -> str:
    return f"No answer from {endpoint} ({error}). Is the server up? `lambdad up` starts one, --endpoint names another."
