"""Resource policies as whole documents: the same policies that `permission.py` builds a statement at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.arn import FunctionName
from lambdad.model.policy_document import MalformedPolicy
from lambdad.model.request import RequestContext
from lambdad.model.resource_policy import PublicPolicy, read_resource_policy
from lambdad.services.lambda_.lookup import find_function, named
from lambdad.services.lambda_.permission import (
    check_policy_revision,
    check_size,
    existing,
    policy_shape,
    with_policy_of_its_own,
)
from lambdad.services.lambda_.refusal import invalid_parameter, not_found
from lambdad.services.lambda_.state import LambdaState

Request = Mapping[str, Any]

_LOOK_UP = "GetResourcePolicy"


async def put_resource_policy(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """Replaces whatever policy there is, statements of AddPermission too."""
    name = with_policy_of_its_own(_resource(context, request))
    try:
        policy = read_resource_policy(request["Policy"], name.qualified_arn, state.new_id())
    except MalformedPolicy as error:
        raise invalid_parameter(f"The policy document is malformed: {error}") from error
    except PublicPolicy as error:
        message = f"The policy would grant public access to {error}, which isn't allowed. Name principals, or add a condition."
        raise ServiceError("PublicPolicyException", message) from error
    check_size(policy, state.quotas.policy_bytes)
    async with state.functions.change(name.key) as change:
        stored = existing(change.stored, name)
        check_policy_revision(stored.policies.get(name.qualifier or ""), request, _LOOK_UP)
        await change.save(replace(stored, policies={**stored.policies, name.qualifier or "": policy}))
    return policy_shape(policy)


async def get_resource_policy(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = _resource(context, request)
    stored = existing(await find_function(state, name), name)
    return policy_shape(stored.policies.get(name.qualifier or ""))


async def delete_resource_policy(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = with_policy_of_its_own(_resource(context, request))
    async with state.functions.change(name.key) as change:
        stored = existing(change.stored, name)
        policy = stored.policies.get(name.qualifier or "")
        if policy is None:
            raise not_found("No policy is associated with the given resource.")
        check_policy_revision(policy, request, _LOOK_UP)
        kept = {qualifier: each for qualifier, each in stored.policies.items() if qualifier != (name.qualifier or "")}
        await change.save(replace(stored, policies=kept))
    return {}


def _resource(context: RequestContext, request: Request) -> FunctionName:
    """What the ARN names. Only functions have such policies here."""
    arn: str = request["ResourceArn"]
    if ":function:" not in arn:
        raise invalid_parameter(f"Only functions, their versions and aliases have resource policies here; got {arn}")
    return named(context, arn)
