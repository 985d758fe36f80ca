"""Recursive loops: what is done to a chain of requests that keeps invoking a function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.arn import FunctionName
from lambdad.model.function import TERMINATE
from lambdad.model.request import RequestContext
from lambdad.model.retry import RECURSIVE
from lambdad.model.version import LATEST
from lambdad.services.lambda_.lookup import find_function, named_unqualified
from lambdad.services.lambda_.refusal import function_not_found
from lambdad.services.lambda_.state import LambdaState

Request = Mapping[str, Any]


async def get_function_recursion_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    stored = await find_function(state, named_unqualified(context, request["FunctionName"]))
    return {"RecursiveLoop": stored.function.recursive_loop}


async def put_function_recursion_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """From the next invocation on, and for events that wait."""
    name, chosen = named_unqualified(context, request["FunctionName"]), request["RecursiveLoop"]
    async with state.functions.change(name.key) as change:
        if change.stored is None:
            raise function_not_found(name, qualifier=LATEST)
        function = change.stored.function
        if chosen != function.recursive_loop:
            await change.save(replace(change.stored, function=replace(function, recursive_loop=chosen)))
    return {"RecursiveLoop": chosen}


async def check_recursion(state: LambdaState, name: FunctionName) -> None:
    """Refuses an invocation that a caller waits for, of a function that the caller's chain has invoked too often."""
    stored = await state.functions.find(name.key)
    if stored is None or stored.function.recursive_loop == TERMINATE:
        state.counters.recursive_invocations_dropped += 1
        raise ServiceError("RecursiveInvocationException", RECURSIVE)
