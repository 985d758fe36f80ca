"""What is written when a function changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from lambdad.model.alias import Alias
from lambdad.model.event_invoke_config import EventInvokeConfig
from lambdad.model.function import Configuration, Function, FunctionVersion
from lambdad.model.function_url import FunctionUrl
from lambdad.model.managed import ProviderUse, ScalingConfig
from lambdad.model.policy import Policy
from lambdad.model.provisioned_concurrency import ProvisionedConfig
from lambdad.model.version import CodeArchive
from lambdad.services.lambda_.function_changes import dropped_stacks, function_changes
from lambdad.services.lambda_.record_keys import (
    ALIASES,
    EVENT_CONFIGS,
    FUNCTIONS,
    LAST_USES,
    POLICIES,
    PROVIDER_USES,
    PROVISIONED,
    RESERVES,
    SCALING,
    SIGNING_USES,
    UNSETTLED,
    URL_OWNERS,
    URLS,
    VERSIONS,
)
from lambdad.services.lambda_.stored_function import StoredFunction
from lambdad.store.base import REFERENCES, Change, Delete, Put

KEY = "111111111111/us-east-1/f"
CODE = CodeArchive("1" * 64, 1, 2)
OLD_CODE = CodeArchive("2" * 64, 1, 2)
PROVIDER = ProviderUse("arn:aws:lambda:us-east-1:111111111111:capacity-provider:p")
CONFIGURATION = Configuration("python3.12", "app.handler", "role", CODE)
LATEST = FunctionVersion("1" * 12, "us-east-1", "f", "$LATEST", replace(CONFIGURATION, capacity=PROVIDER), "r1", 0.0)
PUBLISHED = replace(LATEST, version="1", configuration=replace(CONFIGURATION, code=OLD_CODE, snap_start=True)).settled("r2")
RICH = StoredFunction(
    function=Function(LATEST, reserved_concurrency=3, code_signing_config_arn="arn:aws:lambda:us-east-1:1:csc:csc-0"),
    versions={"1": PUBLISHED},
    aliases={"live": Alias("live", "1", "r3")},
    policies={"": Policy("r4")},
    event_configs={"live": EventInvokeConfig(0.0)},
    urls={"live": FunctionUrl("id", "NONE", 0.0, 0.0)},
    provisioned={"live": ProvisionedConfig(1, 0.0)},
    scaling={"1": ScalingConfig()},
    revision=7,
)


def places(changes: Iterable[Change], kind: type[Put] | type[Delete]) -> set[tuple[str, str]]:
    return {(each.collection, each.key) for each in changes if isinstance(each, kind)}


def test_deletion_removes_whatever_was_written() -> None:
    """Each record that any part of a function writes, under the guard of the function's own."""
    written, removed = function_changes(None, RICH), function_changes(RICH, None)
    assert places(written, Put) == places(removed, Delete)
    assert (len(written), len(removed)) == (len(places(written, Put)), len(places(removed, Delete)))
    assert {collection for collection, _ in places(written, Put)} == {
        FUNCTIONS, VERSIONS, ALIASES, POLICIES, EVENT_CONFIGS, URLS, URL_OWNERS, PROVISIONED, SCALING, RESERVES, UNSETTLED,
        LAST_USES, PROVIDER_USES, SIGNING_USES, REFERENCES,
    }  # fmt: skip
    assert isinstance(written[0], Put)
    assert (written[0].collection, written[0].if_absent) == (FUNCTIONS, True)
    assert removed[0] == Delete(FUNCTIONS, KEY, if_revision=7)
    assert dropped_stacks(RICH, None) == {(CODE.digest,), (OLD_CODE.digest,)}


def test_only_what_differs_is_written() -> None:
    """Marks that stay are left alone: what others have written into them since would be lost."""
    (guard,) = function_changes(RICH, RICH)
    assert isinstance(guard, Put)
    assert (guard.collection, guard.key, guard.if_revision) == (FUNCTIONS, KEY, 7)
    function = replace(RICH.function.settled("r9"), reserved_concurrency=4)
    changes = function_changes(RICH, replace(RICH, function=function, versions={}))
    assert places(changes, Put) == {(FUNCTIONS, KEY), (RESERVES, KEY)}
    assert places(changes, Delete) == {
        (VERSIONS, f"{KEY}/0000000001"),
        (LAST_USES, f"{KEY}/0000000001"),
        (UNSETTLED, KEY),
        (REFERENCES, f"{OLD_CODE.digest}/lambda/function/{KEY}/1"),
    }
