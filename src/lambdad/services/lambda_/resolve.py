"""From a name and a qualifier to the version that one invocation runs: a look into memory when the function is in use."""

from __future__ import annotations

from lambdad.errors import ServiceError
from lambdad.model.arn import FunctionName
from lambdad.model.event import MAXIMUM_AGE_SECONDS, QueuedEvent
from lambdad.model.event_invoke_config import EventInvokeConfig
from lambdad.model.function import FunctionVersion
from lambdad.model.retry import MAXIMUM_RETRIES, EventPolicy
from lambdad.model.version import LATEST, Version
from lambdad.services.lambda_.lookup import not_now
from lambdad.services.lambda_.records import StoredFunction
from lambdad.services.lambda_.refusal import function_not_found
from lambdad.services.lambda_.snap_start import NOT_READY
from lambdad.services.lambda_.state import LambdaState


async def resolve_version(state: LambdaState, name: FunctionName) -> Version:
    """Draws between the versions of a weighted alias. Refuses a function that is not ready."""
    stored = await state.functions.find(name.key)
    if stored is None:
        raise function_not_found(name, qualifier=LATEST)
    number = _version_number(state, stored, name)
    reading = stored.function.running if number == LATEST else stored.versions.get(number)
    if reading is None:
        raise function_not_found(name, qualifier=LATEST)
    _check_invocable(reading)
    provisioned = stored.provisioned_for(name.qualifier or LATEST, number) if stored.provisioned else None
    return state.functions.runnable(stored, reading, provisioned)


class EventFunctions:
    """What the dispatcher of asynchronous events asks."""

    def __init__(self, state: LambdaState) -> None:
        self._state = state

    async def resolve(self, account_id: str, region: str, function_name: str, qualifier: str | None, /) -> Version:
        return await resolve_version(self._state, FunctionName(account_id, region, function_name, qualifier))

    async def event_policy(self, event: QueuedEvent, executed_version: str | None, /) -> EventPolicy:
        """Of the qualifier as it was invoked; the dead-letter queue is the executed version's, or an alias's main version's."""
        stored = await self._state.functions.find(event.function_key)
        if stored is None:
            return EventPolicy()
        qualifier = event.qualifier or LATEST
        config = stored.event_configs.get(qualifier) or EventInvokeConfig(0)
        alias = stored.aliases.get(qualifier)
        number = executed_version or (alias.function_version if alias else qualifier)
        reading = stored.function.running if number == LATEST else stored.versions.get(number)
        retries, age = config.maximum_retries, config.maximum_age_seconds
        return EventPolicy(
            maximum_retries=MAXIMUM_RETRIES if retries is None else retries,
            maximum_age_seconds=MAXIMUM_AGE_SECONDS if age is None else age,
            on_success=config.on_success,
            on_failure=config.on_failure,
            dead_letter=reading.configuration.dead_letter if reading else None,
            role=reading.configuration.role if reading else "",
        )


def _version_number(state: LambdaState, stored: StoredFunction, name: FunctionName) -> str:
    qualifier = name.qualifier or LATEST
    alias = stored.aliases.get(qualifier)
    if alias is None:
        return qualifier
    return alias.pick(state.draw()) if alias.weights else alias.function_version


def _check_invocable(reading: FunctionVersion) -> None:
    if reading.state == "Pending" and reading.has_snapshot:
        raise ServiceError("SnapStartNotReadyException", NOT_READY)
    if reading.state != "Active":
        raise not_now(reading.state)
