"""client_settings.py: which server a command talks to, and as whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.client_settings import endpoint_credentials, load_client
from lambdad.config import load
from lambdad.errors import StartupError


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_client_endpoint_precedence() -> None:
    """--endpoint wins over AWS_ENDPOINT_URL, that over the host and port of the settings."""
    environment = {"AWS_ENDPOINT_URL": "http://two:2/", "LAMBDAD_PORT": "3"}
    assert load_client(environment, endpoint="https://one:1").endpoint == "https://one:1"
    assert load_client(environment).endpoint == "http://two:2"
    assert load_client({"LAMBDAD_PORT": "3"}).endpoint == "http://127.0.0.1:3"


def test_a_client_may_use_a_host_that_a_server_may_not_listen_on() -> None:
    """The rule about authentication is the server's."""
    assert load_client({"LAMBDAD_HOST": "0.0.0.0"}).endpoint == "http://127.0.0.1:4566"


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:4566",
        "ftp://x",
        "http://",
        "http://x:99999",
        "http://x:0",
        "http://x?y",
        "http://[::1",
        "http://a@b",
        "x" * 9999,
    ],
)
def test_a_bad_endpoint_is_refused(url: str) -> None:
    """The sentence shows what an endpoint looks like."""
    with pytest.raises(StartupError, match="--endpoint must be a URL such as http://127"):
        load_client({}, endpoint=url)


def test_port_0_does_not_say_where_a_server_is() -> None:
    """With any free port a client must be told the endpoint."""
    with pytest.raises(StartupError, match="say with --endpoint"):
        load_client({"LAMBDAD_PORT": "0"})


def test_client_credentials() -> None:
    """Those of the environment; a profile is left to botocore; else the account's own id and any secret."""
    both = {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t", "AWS_PROFILE": "p"}
    given = load_client(both)
    assert (given.access_key_id, given.secret_access_key, given.session_token) == ("AKIA1", "s", "t")
    profile = load_client({"AWS_PROFILE": "p"})
    assert (profile.access_key_id, profile.secret_access_key) == (None, None)
    default = load_client({"LAMBDAD_ACCOUNT_ID": "123456789012", "AWS_SESSION_TOKEN": "stale"})
    assert (default.access_key_id, default.secret_access_key, default.session_token) == ("123456789012", "test", None)


def test_client_region() -> None:
    """--region, AWS_REGION, AWS_DEFAULT_REGION, the settings: in this order."""
    environment = {"AWS_REGION": "b", "AWS_DEFAULT_REGION": "c", "LAMBDAD_REGION": "eu-west-1"}
    assert load_client(environment, region="a").region == "a"
    assert load_client(environment).region == "b"
    assert load_client({"AWS_DEFAULT_REGION": "c"}).region == "c"
    assert load_client({"LAMBDAD_REGION": "eu-west-1"}).region == "eu-west-1"


def test_credentials_for_endpoints() -> None:
    """Those of the environment, which no text shows; else a profile's, which botocore finds; else the account's."""
    settings = load({}, {})
    found = endpoint_credentials({"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hidden"}, settings)
    assert (found.access_key_id, found.secret_access_key) == ("AKID", "hidden")
    assert "hidden" not in repr(found)
    assert endpoint_credentials({"AWS_PROFILE": "p"}, settings).access_key_id is None
    assert endpoint_credentials({}, settings).access_key_id == "000000000000"
