"""The reserved concurrency of functions: how much of the account's is theirs alone, and the most they get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.model.arn import FunctionName
from lambdad.model.concurrency import MIN_UNRESERVED
from lambdad.model.request import RequestContext, Response
from lambdad.model.version import LATEST
from lambdad.services.lambda_.lookup import QUALIFIED, find_function, named, named_unqualified
from lambdad.services.lambda_.managed_rules import not_with_instances
from lambdad.services.lambda_.refusal import function_not_found, invalid_parameter
from lambdad.services.lambda_.state import LambdaState

Request = Mapping[str, Any]

_TOO_MUCH = (
    "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
    f"below its minimum value of [{MIN_UNRESERVED}]."
)


async def put_function_concurrency(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """From the next invocation on; those that run are not stopped. 0 stops the function. `$LATEST` is a qualifier here, as on
    AWS."""
    name = named(context, request["FunctionName"])
    if name.qualifier is not None:
        raise invalid_parameter(QUALIFIED)
    reserve = request["ReservedConcurrentExecutions"]
    async with state.reserve_locks.hold((name.account_id, name.region)):
        await _set_reserve(state, name, reserve)
    return {"ReservedConcurrentExecutions": reserve}


async def get_function_concurrency(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    stored = await find_function(state, named_unqualified(context, request["FunctionName"]))
    reserve = stored.function.reserved_concurrency
    return {} if reserve is None else {"ReservedConcurrentExecutions": reserve}


async def delete_function_concurrency(state: LambdaState, context: RequestContext, request: Request) -> Response:
    await _set_reserve(state, named_unqualified(context, request["FunctionName"]), None)
    return Response({}, status=204)


async def _set_reserve(state: LambdaState, name: FunctionName, reserve: int | None) -> None:
    async with state.functions.change(name.key) as change:
        if change.stored is None:
            raise function_not_found(name, qualifier=LATEST)
        function = change.stored.function
        if reserve is not None and function.latest.configuration.capacity is not None:
            raise not_with_instances("Reserved Concurrency")
        provisioned = change.stored.provisioned_concurrency
        if reserve is not None and reserve < provisioned:
            raise invalid_parameter(
                "ReservedConcurrentExecutions  should not be lower than function's total provisioned concurrency "
                f"[{provisioned}]."
            )
        others = state.records.claimed_concurrency(name.account_id, name.region) - change.stored.claimed_concurrency
        if reserve and state.quotas.concurrent_executions - others - reserve < MIN_UNRESERVED:
            raise invalid_parameter(_TOO_MUCH)
        if reserve != function.reserved_concurrency:
            await change.save(replace(change.stored, function=replace(function, reserved_concurrency=reserve)))
