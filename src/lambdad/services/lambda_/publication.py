"""As what `$LATEST` is published: a numbered version, or the one that every publication replaces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.model.function import Configuration, Function, FunctionVersion
from lambdad.model.managed import LATEST_PUBLISHED
from lambdad.services.lambda_.managed_rules import ONLY_MANAGED
from lambdad.services.lambda_.refusal import invalid_parameter
from lambdad.services.lambda_.state import LambdaState

NUMBERED = "numbered"


def publication(configuration: Configuration, request: Mapping[str, Any]) -> str | None:
    """What a request that may publish asks for: `NUMBERED`, `LATEST_PUBLISHED`, or nothing."""
    if "PublishTo" not in request:
        return NUMBERED if request.get("Publish") else None
    if configuration.capacity is None:
        raise invalid_parameter(ONLY_MANAGED)
    return LATEST_PUBLISHED


def published(
    state: LambdaState, function: Function, versions: Mapping[str, FunctionVersion], kind: str, description: str | None
) -> tuple[Function, FunctionVersion]:
    """The function, of which `$LATEST` has then another revision, and the version."""
    if kind == LATEST_PUBLISHED:
        changed, version = function.republished(versions.get(LATEST_PUBLISHED), state.new_id(), state.clock(), description)
    else:
        changed, version = function.published(state.new_id(), state.clock(), description)
    return replace(changed, latest=changed.latest.with_later_revision(state.new_id())), version
