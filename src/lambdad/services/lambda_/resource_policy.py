"""Resource policies as whole documents: the same policies that `permission.py` builds a statement at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.arn import FunctionName
from lambdad.model.policy_document import MalformedPolicy
from lambdad.model.request import RequestContext
from lambdad.model.resource_policy import PublicPolicy, read_resource_policy
from lambdad.services.lambda_.lookup import find_function, named
from lambdad.services.lambda_.permission import (
    check_revision,
    check_size,
    existing,
    function_policy_shape,
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
        check_revision(stored, name, request, _LOOK_UP)
        changed = stored.with_policy(name.qualifier, policy, policy.revision_id)
        await change.save(changed)
    return function_policy_shape(changed, name)


async def get_resource_policy(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = _resource(context, request)
    stored = existing(await find_function(state, name), name)
    return function_policy_shape(stored, name)


async def delete_resource_policy(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = with_policy_of_its_own(_resource(context, request))
    async with state.functions.change(name.key) as change:
        stored = existing(change.stored, name)
        if (name.qualifier or "") not in stored.policies:
            raise not_found("No policy is associated with the given resource.")
        check_revision(stored, name, request, _LOOK_UP)
        await change.save(stored.with_policy(name.qualifier, None, state.new_id()))
    return {}


def _resource(context: RequestContext, request: Request) -> FunctionName:
    """What the ARN names. Only functions have such policies here."""
    arn: str = request["ResourceArn"]
    if ":function:" not in arn:
        raise invalid_parameter(f"Only functions, their versions and aliases have resource policies here; got {arn}")
    return named(context, arn)
