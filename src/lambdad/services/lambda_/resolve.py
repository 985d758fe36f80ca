"""From a name and a qualifier to the version that one invocation runs: a look into memory when the function is in use."""

from __future__ import annotations

from lambdad.model.arn import FunctionName
from lambdad.model.function import FunctionVersion
from lambdad.model.version import LATEST, Version
from lambdad.services.lambda_.lookup import not_now
from lambdad.services.lambda_.records import StoredFunction
from lambdad.services.lambda_.refusal import function_not_found
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
    return state.functions.runnable(stored, reading)


class Resolver:
    """What the dispatcher of asynchronous events asks."""

    def __init__(self, state: LambdaState) -> None:
        self._state = state

    async def __call__(self, account_id: str, region: str, function_name: str, qualifier: str | None, /) -> Version:
        return await resolve_version(self._state, FunctionName(account_id, region, function_name, qualifier))


def _version_number(state: LambdaState, stored: StoredFunction, name: FunctionName) -> str:
    qualifier = name.qualifier or LATEST
    alias = stored.aliases.get(qualifier)
    if alias is None:
        return qualifier
    return alias.pick(state.draw()) if alias.weights else alias.function_version


def _check_invocable(reading: FunctionVersion) -> None:
    if reading.state != "Active":
        raise not_now(reading.state)
