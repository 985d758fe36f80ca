"""How commands reach a server."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.cli.client import aws_client
from lambdad.cli.failure import FAILED, UNREACHABLE, USAGE, CommandError


@pytest.mark.usefixtures("run")
def test_the_environment_s_credentials_and_region_sign_the_request(fake_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for every AWS client."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAX")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    fake_server.answer({"Functions": []})
    with aws_client("lambda", fake_server.endpoint, None) as client:
        client.list_functions()
    headers = fake_server.asked[0].headers
    assert "Credential=AKIAX/" in headers["authorization"]
    assert "/eu-west-1/lambda/" in headers["authorization"]
    assert headers["x-amz-security-token"] == "token"


@pytest.mark.usefixtures("run")
def test_proxies_are_not_asked(fake_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A company's HTTP proxy cannot reach this machine's loopback."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    fake_server.answer({"Functions": []})
    with aws_client("lambda", fake_server.endpoint, None) as client:
        assert client.list_functions()["Functions"] == []


@pytest.mark.usefixtures("run")
def test_failures_are_told_apart(fake_server: Any) -> None:
    """A refusal, no answer, and a request that cannot be sent have each their exit code."""
    fake_server.answer({"Message": "no"}, status=403, x_amzn_errortype="AccessDeniedException")
    with (
        pytest.raises(CommandError, match=r"^AccessDeniedException: no$") as refused,
        aws_client("lambda", fake_server.endpoint, None) as client,
    ):
        client.list_functions()
    with pytest.raises(CommandError) as unreachable, aws_client("lambda", "http://127.0.0.1:1", None) as client:
        client.list_functions()
    with pytest.raises(CommandError) as wrong, aws_client("lambda", fake_server.endpoint, None) as client:
        client.list_functions(MaxItems="many")
    assert str(refused.value) == "AccessDeniedException: no"
    assert [error.value.exit_code for error in (refused, unreachable, wrong)] == [FAILED, UNREACHABLE, USAGE]


@pytest.mark.usefixtures("run")
def test_an_error_without_an_error_s_shape_is_still_a_sentence(fake_server: Any) -> None:
    """Another web server's page, for instance."""
    fake_server.answer(b"<html>", status=502)
    with pytest.raises(CommandError) as refused, aws_client("lambda", fake_server.endpoint, None) as client:
        client.list_functions()
    assert refused.value.exit_code == FAILED
    assert str(refused.value).startswith("502: ")
