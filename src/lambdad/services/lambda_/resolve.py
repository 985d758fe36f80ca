"""From a name and a qualifier to the version that one invocation runs: a look into memory when the function is in use."""

from __future__ import annotations

from lambdad.model.arn import FunctionName
from lambdad.model.event import MAXIMUM_AGE_SECONDS, NOBODY, FailureTargets, QueuedEvent
from lambdad.model.event_invoke_config import EventInvokeConfig
from lambdad.model.function import TERMINATE, FunctionVersion
from lambdad.model.managed import LATEST_PUBLISHED
from lambdad.model.retry import MAXIMUM_RETRIES, EventPolicy
from lambdad.model.version import LATEST, Version
from lambdad.services.lambda_.lookup import not_invocable
from lambdad.services.lambda_.refusal import function_not_found
from lambdad.services.lambda_.runtime_version import check_runtime_version
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.stored_function import StoredFunction
from lambdad.services.lambda_.tenancy import check_tenant, for_tenant


async def resolve_version(
    state: LambdaState, name: FunctionName, tenant_id: str | None = None, *, is_dry_run: bool = False
) -> Version:
    """Draws between the versions of a weighted alias. Refuses a function that is not ready, or that wants a tenant's id and has
    none, or the other way round. One that is idle is refused as well, and made ready again, unless this is only a dry run."""
    stored = await state.functions.find(name.key)
    if stored is None:
        raise function_not_found(name, qualifier=LATEST)
    number = _version_number(state, stored, name)
    reading = _reading(stored, number)
    if reading is None:
        raise function_not_found(name, qualifier=number if number == LATEST_PUBLISHED else LATEST)
    if reading.state != "Active":
        if reading.state == "Inactive" and not is_dry_run:
            await state.reclaimer.wake(name.key, number)
        raise not_invocable(reading)
    if reading.runtime_version_arn is not None:
        check_runtime_version(state.runtimes.version, reading)
    check_tenant(reading, tenant_id)
    if reading.is_reclaimable and not is_dry_run:
        state.reclaimer.note_use(name.key, number)
    provisioned = stored.provisioned_for(name.qualifier or LATEST, number) if stored.provisioned else None
    if reading.is_managed:
        provisioned = number
    return for_tenant(state.functions.runnable(stored, reading, provisioned), tenant_id)


async def is_current(state: LambdaState, version: Version) -> bool:
    """Whether invocations of the version still run what it was when it was resolved."""
    reading = _read(await state.functions.find((version.account_id, version.region, version.function_name)), version.version)
    return reading is not None and reading.state == "Active" and reading.revision_id == version.revision_id


class EventFunctions:
    """What the dispatcher of asynchronous events asks."""

    def __init__(self, state: LambdaState) -> None:
        self._state = state

    async def resolve(self, event: QueuedEvent, /) -> Version:
        name = FunctionName(*event.function_key, event.qualifier)
        return await resolve_version(self._state, name, event.tenant_id)

    async def event_policy(self, event: QueuedEvent, executed_version: str | None, /) -> EventPolicy:
        """Of the qualifier as it was invoked; the dead-letter queue is the executed version's, or an alias's main version's."""
        stored = await self._state.functions.find(event.function_key)
        qualifier = event.qualifier or LATEST
        reading = _read(stored, qualifier, executed_version)
        if stored is None or reading is None:
            return _policy_of_the_gone(event.if_function_goes)
        config = stored.event_configs.get(qualifier) or EventInvokeConfig(0)
        retries, age = config.maximum_retries, config.maximum_age_seconds
        return EventPolicy(
            maximum_retries=MAXIMUM_RETRIES if retries is None else retries,
            maximum_age_seconds=MAXIMUM_AGE_SECONDS if age is None else age,
            on_success=config.on_success,
            on_failure=config.on_failure,
            dead_letter=reading.configuration.dead_letter,
            role=reading.configuration.role,
            stops_loops=stored.function.recursive_loop == TERMINATE,
        )


def failure_targets(stored: StoredFunction | None, qualifier: str | None) -> FailureTargets:
    """Who is to be told of an event that outlives its function."""
    reading = _read(stored, qualifier or LATEST)
    if stored is None or reading is None:
        return NOBODY
    config = stored.event_configs.get(qualifier or LATEST)
    on_failure, dead_letter = config.on_failure if config else None, reading.configuration.dead_letter
    return FailureTargets(on_failure, dead_letter, reading.configuration.role) if on_failure or dead_letter else NOBODY


def _policy_of_the_gone(targets: FailureTargets) -> EventPolicy:
    return EventPolicy(on_failure=targets.on_failure, dead_letter=targets.dead_letter, role=targets.role)


def _read(stored: StoredFunction | None, qualifier: str, executed_version: str | None = None) -> FunctionVersion | None:
    """The version that ran, or that an invocation of the qualifier mainly runs; None when it is gone."""
    if stored is None:
        return None
    alias = stored.aliases.get(qualifier)
    number = executed_version or (alias.function_version if alias else qualifier)
    return _reading(stored, number)


def _reading(stored: StoredFunction, number: str) -> FunctionVersion | None:
    """What invocations of a version run: while it is being replaced, what it was before."""
    if number == LATEST:
        return stored.function.running
    if number == LATEST_PUBLISHED and stored.function.republished_from is not None:
        return stored.function.republished_from
    return stored.versions.get(number)


def _version_number(state: LambdaState, stored: StoredFunction, name: FunctionName) -> str:
    qualifier = name.qualifier
    if qualifier is None:
        return LATEST if stored.function.latest.configuration.capacity is None else LATEST_PUBLISHED
    alias = stored.aliases.get(qualifier)
    if alias is None:
        return qualifier
    return alias.pick(state.draw()) if alias.weights else alias.function_version
