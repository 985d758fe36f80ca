"""Resource policies of layer versions: which other accounts may use them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from lambdad.model.layer import LayerVersion
from lambdad.model.policy import principal_element, statement
from lambdad.model.request import RequestContext
from lambdad.services.lambda_.layer import existing_layer_version, own_layer
from lambdad.services.lambda_.permission import check_policy_revision, extend, json_text, policy_shape, reduce
from lambdad.services.lambda_.refusal import invalid_parameter, not_found
from lambdad.services.lambda_.state import LambdaState

Request = Mapping[str, Any]


async def add_layer_version_permission(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    principal = principal_element(request["Principal"])
    if principal is None or request["Action"] != "lambda:GetLayerVersion":
        raise invalid_parameter("A layer's policy gives lambda:GetLayerVersion to an account, an account's root, or *.")
    if "OrganizationId" in request and principal != "*":
        raise invalid_parameter("OrganizationId needs the principal to be *.")
    parameters = {"PrincipalOrgID": request["OrganizationId"]} if "OrganizationId" in request else {}
    async with _held_layer_version(state, context, request) as layer:
        added = statement(request["StatementId"], principal, request["Action"], layer.version_arn, parameters)
        policy = await state.records.layer_policy(layer)
        check_policy_revision(policy, request, "GetLayerPolicy")
        extended = extend(policy, added, state.new_id(), state.quotas.policy_bytes)
        await state.records.save_layer_policy(layer, extended)
    return {"Statement": json_text(added), "RevisionId": extended.revision_id}


async def remove_layer_version_permission(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    async with _held_layer_version(state, context, request) as layer:
        policy = await state.records.layer_policy(layer)
        if policy is None:
            raise not_found("No policy is associated with the given resource.")
        check_policy_revision(policy, request, "GetLayerPolicy")
        await state.records.save_layer_policy(layer, reduce(policy, request["StatementId"], state.new_id()))
    return {}


async def get_layer_version_policy(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    layer = await _own_layer_version(state, context, request)
    return policy_shape(await state.records.layer_policy(layer))


@asynccontextmanager
async def _held_layer_version(state: LambdaState, context: RequestContext, request: Request) -> AsyncIterator[LayerVersion]:
    """Under the lock that a deletion of the version takes too, so that no policy outlives its layer version."""
    name = own_layer(context, request["LayerName"])
    async with state.layer_locks.hold((name.account_id, name.region, name.name)):
        yield await existing_layer_version(state, context, name.at(request["VersionNumber"]))


async def _own_layer_version(state: LambdaState, context: RequestContext, request: Request) -> LayerVersion:
    name = own_layer(context, request["LayerName"])
    return await existing_layer_version(state, context, name.at(request["VersionNumber"]))
