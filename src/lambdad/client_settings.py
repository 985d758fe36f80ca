"""Where lambdad is a client itself: which server its commands talk to, and as whom it signs requests.

Credentials left None are botocore's to find (AWS_PROFILE).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from lambdad import setting_text as read_as
from lambdad.config import Environment, Settings, endpoint_url, read
from lambdad.errors import StartupError


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    access_key_id: str | None = None
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Which server a command talks to and as whom."""

    endpoint: str  #: base URL, no trailing slash
    region: str
    access_key_id: str | None
    secret_access_key: str | None
    session_token: str | None = None


def endpoint_credentials(environment: Environment, settings: Settings) -> AwsCredentials:
    """Those with which requests to the services at `settings.endpoints` are signed."""
    return AwsCredentials(*_credentials(environment, settings.account_id))


def load_client(environment: Environment, *, endpoint: str | None = None, region: str | None = None) -> ClientSettings:
    """Where the server is: `endpoint`, else AWS_ENDPOINT_URL, else the host and port that `lambdad up` would take here."""
    settings = read({}, environment)
    url, source = _first((endpoint, "--endpoint"), (environment.get("AWS_ENDPOINT_URL"), "AWS_ENDPOINT_URL"))
    if url is None:
        if settings.port == 0:
            raise StartupError("The settings give port 0 (any free port), so say with --endpoint where the server listens.")
        url, source = endpoint_url(settings.host, settings.port), "the settings"
    access_key_id, secret_access_key, session_token = _credentials(environment, settings.account_id)
    return ClientSettings(
        endpoint=read_as.checked_url(url, source),
        region=region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or settings.region,
        access_key_id=access_key_id,
        secret_access_key=secret_access_key,
        session_token=session_token,
    )


def _first(*candidates: tuple[str | None, str]) -> tuple[str | None, str]:
    """The first candidate that has a text. An empty environment variable counts as not set."""
    return next(((text, source) for text, source in candidates if text), (None, ""))


def _credentials(environment: Environment, account_id: str) -> tuple[str | None, str | None, str | None]:
    """Those of the environment; else a named profile's (None: botocore reads it); else the account's, with any secret."""
    if environment.get("AWS_ACCESS_KEY_ID"):
        secret_access_key = environment.get("AWS_SECRET_ACCESS_KEY", "")
        return environment["AWS_ACCESS_KEY_ID"], secret_access_key, environment.get("AWS_SESSION_TOKEN") or None
    return (None, None, None) if environment.get("AWS_PROFILE") else (account_id, "test", None)
