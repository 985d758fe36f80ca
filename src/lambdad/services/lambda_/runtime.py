"""Which runtimes a function or a layer may name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from lambdad.runtimes.catalog import CATALOG, Change, refusal
from lambdad.services.lambda_.refusal import invalid_parameter
from lambdad.services.lambda_.state import LambdaState


def check_runtime(state: LambdaState, runtime: str, change: Change) -> str:
    """A runtime that AWS knows, that is not past its end where that counts, and that this machine can run."""
    today = datetime.fromtimestamp(state.clock(), UTC).date()
    refused = refusal(runtime, change, state.runtime_policy, today, state.runtimes.available())
    if refused is not None:
        raise invalid_parameter(refused.message)
    return runtime


async def look_for(state: LambdaState, request: Mapping[str, Any]) -> None:
    """To be called before `check_runtime`: a runtime may have been installed a moment ago."""
    if request.get("Runtime", "") not in state.runtimes.available():
        await state.runtimes.look_again()


def check_known_runtimes(runtimes: Iterable[str]) -> None:
    """Layers may be for any runtime that AWS has."""
    for runtime in runtimes:
        if runtime not in CATALOG:
            raise invalid_parameter(
                f"Value {runtime} at 'compatibleRuntimes' failed to satisfy constraint: "
                f"Member must satisfy enum value set: [{', '.join(CATALOG)}]"
            )
