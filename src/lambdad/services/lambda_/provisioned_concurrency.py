"""Provisioned concurrency: how many environments a published version or an alias has ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.arn import FunctionName
from lambdad.model.function import is_latest
from lambdad.model.provisioned_concurrency import ProvisionedConfig, ProvisionedStatus
from lambdad.model.request import RequestContext, Response
from lambdad.services.lambda_.lookup import find_function, named
from lambdad.services.lambda_.page import page_of
from lambdad.services.lambda_.provisioned_rules import UNPUBLISHED, check_exists, check_put
from lambdad.services.lambda_.refusal import invalid_parameter
from lambdad.services.lambda_.shape import timestamp
from lambdad.services.lambda_.state import LambdaState

Request = Mapping[str, Any]

_NEEDS_QUALIFIER = "The function resource provided must be an alias or a published version."


async def put_provisioned_concurrency_config(state: LambdaState, context: RequestContext, request: Request) -> Response:
    """Environments are started in the background; what is said of them now is IN_PROGRESS, as on AWS, whatever is there."""
    name = _named(context, request, UNPUBLISHED)
    requested = request["ProvisionedConcurrentExecutions"]
    async with state.reserve_locks.hold((name.account_id, name.region)), state.functions.change(name.key) as change:
        stored = check_exists(change.stored, name)
        check_put(state, stored, name, requested)
        config = ProvisionedConfig(requested, state.clock())
        assert name.qualifier is not None
        await change.save(replace(stored, provisioned={**stored.provisioned, name.qualifier: config}))
    status = replace(_status(state, name), status="IN_PROGRESS", reason=None)
    return Response(_shape(config, status), status=202)


async def get_provisioned_concurrency_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = _named(context, request, _NEEDS_QUALIFIER)
    stored = check_exists(await state.functions.find(name.key), name)
    assert name.qualifier is not None
    config = stored.provisioned.get(name.qualifier)
    if config is None:
        raise ServiceError(
            "ProvisionedConcurrencyConfigNotFoundException", "No Provisioned Concurrency Config found for this function"
        )
    return _shape(config, _status(state, name))


async def delete_provisioned_concurrency_config(state: LambdaState, context: RequestContext, request: Request) -> Response:
    """Its environments end, busy ones after their invocation. What is not there is as good as deleted."""
    name = _named(context, request, _NEEDS_QUALIFIER)
    async with state.functions.change(name.key) as change:
        stored = check_exists(change.stored, name)
        if name.qualifier in stored.provisioned:
            kept = {qualifier: config for qualifier, config in stored.provisioned.items() if qualifier != name.qualifier}
            await change.save(replace(stored, provisioned=kept))
    return Response({}, status=204)


async def list_provisioned_concurrency_configs(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = named(context, request["FunctionName"])
    stored = await find_function(state, FunctionName(*name.key))

    def shape(qualifier: str) -> dict[str, Any]:
        qualified = FunctionName(*name.key, qualifier)
        listed = _shape(stored.provisioned[qualifier], _status(state, qualified))
        return {"FunctionArn": qualified.qualified_arn, **listed}

    return page_of("ProvisionedConcurrencyConfigs", sorted(stored.provisioned), request, str, shape)


def _named(context: RequestContext, request: Request, unqualified: str) -> FunctionName:
    name = named(context, request["FunctionName"], request["Qualifier"])
    if is_latest(name.qualifier):
        raise invalid_parameter(unqualified)
    return name


def _status(state: LambdaState, name: FunctionName) -> ProvisionedStatus:
    assert name.qualifier is not None
    return state.provisioner.status((*name.key, name.qualifier))


def _shape(config: ProvisionedConfig, status: ProvisionedStatus) -> dict[str, Any]:
    shape = {
        "RequestedProvisionedConcurrentExecutions": config.requested,
        "AvailableProvisionedConcurrentExecutions": status.available,
        "AllocatedProvisionedConcurrentExecutions": status.allocated,
        "Status": status.status,
        "LastModified": timestamp(config.last_modified),
    }
    return shape if status.reason is None else {**shape, "StatusReason": status.reason}
