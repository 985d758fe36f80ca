"""`lambdad support`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import botocore.loaders
import pytest
from typer.testing import Result

from lambdad.cli import support
from lambdad.model.request import RequestContext
from lambdad.model.service import Service

Run = Callable[..., Result]


async def put(state: Any, context: RequestContext, request: Any) -> dict[str, Any]:
    return {}


SERVICE = Service(
    name="demo",
    operations={"PutThing": put, "GetThing": put},
    not_yet={"DropThing": "a | later step"},
    refused={"PutThing": {"Vpc": "there is no VPC here", "Kms": "no keys"}},
    limited={"PutThing": {"Target": "only here"}},
)
TABLE = {
    "demo": {
        "DropThing": {"served": False, "reason": "a | later step", "refused": {}, "limited": {}},
        "GetThing": {"served": True, "reason": None, "refused": {}, "limited": {}},
        "PutThing": {
            "served": True,
            "reason": None,
            "refused": {"Kms": "no keys", "Vpc": "there is no VPC here"},
            "limited": {"Target": "only here"},
        },
    }
}


@pytest.fixture
def _only_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "services", lambda: [SERVICE])


@pytest.mark.usefixtures("_only_the_demo")
def test_json(run: Run) -> None:
    """Every operation of the model, with whether it is served, why not, and what it refuses."""
    assert json.loads(run("support", "--json").stdout) == TABLE


@pytest.mark.usefixtures("_only_the_demo")
def test_table(run: Run) -> None:
    """For people: one line an operation, refused settings below it."""
    lines = [line.rstrip() for line in run("support", "demo").stdout.splitlines()]
    assert lines == [
        "SERVICE  OPERATION  SUPPORT",
        "demo     DropThing  not yet: a | later step",
        "demo     GetThing   served",
        "demo     PutThing   served",
        "                      refuses Kms: no keys",
        "                      refuses Vpc: there is no VPC here",
        "                      limits Target: only here",
    ]


@pytest.mark.usefixtures("_only_the_demo")
def test_markdown(run: Run) -> None:
    """For the documentation; a bar in a reason does not break the table."""
    text = run("support", "--markdown").stdout
    assert "## demo\n\n2 of 3 operations are served.\n" in text
    assert "| DropThing | not yet: a \\| later step |  |\n" in text
    assert "| PutThing | served | `Kms`: no keys<br>`Target`: only here<br>`Vpc`: there is no VPC here |\n" in text


@pytest.mark.usefixtures("_only_the_demo")
def test_an_unknown_service_is_exit_code_2(run: Run) -> None:
    """The sentence says which there are."""
    result = run("support", "ec2")
    assert (result.exit_code, result.stderr) == (2, "lambdad: There is no service 'ec2'; there are demo.\n")


def test_every_service_folder_is_in_the_table() -> None:
    """What exists is found without a list to keep, and each reason and refusal says something."""
    for operations in support.collect().values():
        for name, entry in operations.items():
            assert entry["served"] or entry["reason"].strip(), name
            assert all(reason.strip() for reason in entry["refused"].values()), name
            assert "ignored" not in json.dumps(entry), name


def test_apis_beside_lambda_are_said_not_to_be_served() -> None:
    """Whatever botocore has under Lambda's name and address, each operation with the reason."""
    loader, table = botocore.loaders.Loader(), support.collect()
    named = [name for name in loader.list_available_services("service-2") if name.startswith("lambda")]
    assert {"lambda-core", "lambda-microvms", "lambda-web"} <= set(named)
    for name in named:
        assert set(table[name]) == set(loader.load_service_model(name, "service-2")["operations"])
        assert name == "lambda" or not any(entry["served"] for entry in table[name].values())
