"""`lambdad functions`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]
FUNCTION = {
    "FunctionName": "[red]hello",
    "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:hello",
    "Runtime": "python3.12",
    "MemorySize": 128,
    "Timeout": 3,
    "CodeSize": 12345,
    "LastModified": "2026-01-31T08:00:00.000+0000",
}


def config(qualifier: str) -> dict[str, str]:
    return {
        "FunctionArn": FUNCTION["FunctionArn"] + qualifier,
        "FunctionUrl": "http://u/",
        "AuthType": "NONE",
        "CreationTime": "2026-01-31T08:00:00.000000Z",
        "LastModifiedTime": "2026-01-31T08:00:00.000000Z",
    }


def test_every_page_is_listed(run: Run, fake_server: Any) -> None:
    """The marker is followed to the end; names are data, never markup."""
    fake_server.answer({"Functions": [FUNCTION], "NextMarker": "m"})
    fake_server.answer({"Functions": [{"FunctionName": "second"}]})
    fake_server.answer({"FunctionUrlConfigs": []})
    result = run("functions", "--endpoint", fake_server.endpoint)
    assert result.exit_code == 0, result.output
    head, first, second = result.stdout.splitlines()
    assert head.split() == ["NAME", "RUNTIME", "MEMORY", "TIMEOUT", "CODE", "MODIFIED", "URL"]
    assert first.split() == ["[red]hello", "python3.12", "128", "MB", "3", "s", "12,345", "B", "2026-01-31T08:00:00", "-"]
    assert second.split()[0] == "second"
    assert "Marker=m" in fake_server.asked[1].path


@pytest.mark.parametrize(
    ("answer", "status", "shown"),
    [
        ({"FunctionUrlConfigs": [config(":live"), config("")]}, 200, "http://u/"),
        ({"FunctionUrlConfigs": [config(":live"), config(":next")]}, 200, "2 of aliases"),
        ({"Message": "gone"}, 404, "-"),
        ({"Message": "no"}, 403, "(AccessDeniedException)"),
    ],
)
def test_urls_are_shown(run: Run, fake_server: Any, answer: Any, status: int, shown: str) -> None:
    """The function's own first; what cannot be told spoils no listing."""
    codes = {403: "AccessDeniedException", 404: "ResourceNotFoundException"}
    fake_server.answer({"Functions": [FUNCTION]})
    fake_server.answer(answer, status=status, **({"x-amzn-ErrorType": codes[status]} if status in codes else {}))
    result = run("functions", "--endpoint", fake_server.endpoint)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1].endswith(shown)
    assert fake_server.asked[1].path.startswith("/2021-10-31/functions/")


def test_json_is_the_list_of_configurations(run: Run, fake_server: Any) -> None:
    """Programs get AWS's own members, and an empty list where there is nothing."""
    fake_server.answer({"Functions": [FUNCTION]})
    fake_server.answer({"Functions": []})
    assert json.loads(run("functions", "--json", "--endpoint", fake_server.endpoint).stdout) == [FUNCTION]
    assert json.loads(run("functions", "--json", "--endpoint", fake_server.endpoint).stdout) == []


def test_none_yet(run: Run, fake_server: Any) -> None:
    """Standard output stays empty, so that counting its lines is right."""
    fake_server.answer({"Functions": []})
    result = run("functions", "--endpoint", fake_server.endpoint, "--region", "eu-west-1")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No functions yet.\n")
    assert "/eu-west-1/lambda/" in fake_server.asked[0].headers["authorization"]
