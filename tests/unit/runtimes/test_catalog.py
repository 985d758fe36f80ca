from __future__ import annotations

from datetime import date

import botocore.loaders
import pytest

from lambdad.runtimes.catalog import CATALOG, RUNNABLE, Change, Policy, refusal, sorted_names

SEED_RUNTIMES = [
    *("python3.8", "python3.7", "python3.6", "python2.7", "nodejs14.x", "nodejs12.x", "nodejs10.x", "java8", "java8.al2"),
    *("java11", "go1.x", "ruby2.7", "ruby2.5", "dotnetcore3.1", "dotnetcore2.1", "provided", "provided.al2"),
]
TODAY = date(2026, 11, 23)


def test_the_catalog_is_the_models_enum() -> None:
    """Each identifier that the API's model knows is in the catalog, and no other."""
    model = botocore.loaders.Loader().load_service_model("lambda", "service-2")
    assert set(CATALOG) == set(model["shapes"]["Runtime"]["enum"])


def test_dates_are_in_order() -> None:
    """No runtime is closed to updates before it is closed to creation, nor to creation before it is deprecated."""
    for runtime in CATALOG.values():
        if runtime.block_create is not None and runtime.block_update is not None:
            assert runtime.deprecated is not None
            assert runtime.deprecated <= runtime.block_create <= runtime.block_update, runtime


@pytest.mark.parametrize("identifier", sorted_names(RUNNABLE))
def test_the_seed_policy_takes_whatever_can_be_run(identifier: str) -> None:
    """With the default policy each Python may be created and updated, however long ago AWS has ended it."""
    for change in Change:
        assert refusal(identifier, change, Policy.SEED, TODAY, available=RUNNABLE) is None


@pytest.mark.parametrize("identifier", SEED_RUNTIMES)
def test_no_runtime_of_the_seed_is_called_deprecated(identifier: str) -> None:
    """A runtime of February 2021 may be refused because lambdad cannot run it, never because of its age."""
    refused = refusal(identifier, Change.CREATE, Policy.SEED, TODAY, available=RUNNABLE)
    assert refused is None or "cannot be run by this lambdad yet" in refused.message


@pytest.mark.parametrize("identifier", ["nodejs", "nodejs8.10", "dotnetcore2.0"])
def test_what_was_dead_before_the_seed_is_deprecated(identifier: str) -> None:
    """Runtimes that AWS had ended by February 2021 get AWS's text, unless no ends count."""
    refused = refusal(identifier, Change.CREATE, Policy.SEED, TODAY, available=RUNNABLE)
    assert refused is not None and refused.code == "InvalidParameterValueException"
    assert refused.message == (
        f"The runtime parameter of {identifier} is no longer supported for creating or updating AWS Lambda functions."
        " We recommend you use a supported runtime while creating or updating functions."
    )
    refused = refusal(identifier, Change.CREATE, Policy.OFF, TODAY, available=RUNNABLE)
    assert refused is not None and "cannot be run" in refused.message


@pytest.mark.parametrize(
    "identifier, change, day, is_refused",
    [
        ("python3.8", Change.CREATE, date(2026, 8, 30), False),
        ("python3.8", Change.CREATE, date(2026, 8, 31), True),
        ("python3.8", Change.UPDATE, date(2026, 9, 29), False),
        ("python3.8", Change.UPDATE, date(2026, 9, 30), True),
        ("python2.7", Change.UPDATE, date(2022, 5, 29), False),
        ("python2.7", Change.UPDATE, date(2022, 5, 30), True),
        ("python3.13", Change.CREATE, TODAY, False),
    ],
)
def test_the_today_policy_goes_by_the_dates(identifier: str, change: Change, day: date, is_refused: bool) -> None:
    """Creation and update close on their own days, the given day being the present one."""
    assert (refusal(identifier, change, Policy.TODAY, day, available=RUNNABLE) is not None) == is_refused


@pytest.mark.parametrize("identifier", ["", "python", "python3.99", "PYTHON3.8", "python3.8 ", "\n", "é" * 1000])
def test_an_unknown_runtime_gets_the_enum(identifier: str) -> None:
    """The message is AWS's, with what came and what may come."""
    refused = refusal(identifier, Change.CREATE, Policy.SEED, TODAY, available=RUNNABLE)
    assert refused is not None and refused.code == "InvalidParameterValueException"
    assert refused.message.startswith(
        f"Value {identifier} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [nodejs, "
    )
    assert refused.message.endswith("] or be a valid ARN")


def test_a_runtime_without_an_interpreter_says_what_is_missing() -> None:
    """The sentence names the language wanted, what to do, and the runtimes that are there."""
    refused = refusal("python3.12", Change.CREATE, Policy.SEED, TODAY, available=["python3.10", "python3.9"])
    assert refused is not None
    assert refused.message == (
        "The runtime python3.12 needs Python 3.12 on this machine, and no usable one was found."
        " Install Python 3.12 with pyenv, uv or the system's packages."
        " Runtimes with an interpreter here: python3.9, python3.10."
    )
