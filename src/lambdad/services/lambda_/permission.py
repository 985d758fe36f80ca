"""Resource policies of functions, versions and aliases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.arn import FunctionName
from lambdad.model.policy import Policy, principal_element, statement
from lambdad.model.request import RequestContext
from lambdad.model.version import LATEST
from lambdad.services.lambda_.lookup import find_function, named
from lambdad.services.lambda_.refusal import conflict, function_not_found, invalid_parameter, not_found, stale_revision
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.stored_function import StoredFunction

Request = Mapping[str, Any]

_ALIAS = re.compile(r"(?![0-9]+$)[a-zA-Z0-9-_]+")
_INVOKE_URL, _INVOKE = "lambda:InvokeFunctionUrl", "lambda:InvokeFunction"


async def add_permission(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = _permitted_name(context, request)
    principal = principal_element(request["Principal"])
    if principal is None:
        raise invalid_parameter("The provided principal was invalid. Please check the principal and try again.")
    _check_url_conditions(request)
    added = statement(request["StatementId"], principal, request["Action"], name.qualified_arn, request)
    async with state.functions.change(name.key) as change:
        stored = existing(change.stored, name)
        check_revision(stored, name, request)
        revision_id = state.new_id()
        extended = extend(stored.policies.get(name.qualifier or ""), added, revision_id, state.quotas.policy_bytes)
        await change.save(stored.with_policy(name.qualifier, extended, revision_id))
    return {"Statement": json_text(added)}


async def remove_permission(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = _permitted_name(context, request)
    async with state.functions.change(name.key) as change:
        stored = existing(change.stored, name)
        policy = stored.policies.get(name.qualifier or "")
        if policy is None:
            raise not_found("No policy is associated with the given resource.")
        check_revision(stored, name, request)
        revision_id = state.new_id()
        reduced = reduce(policy, request["StatementId"], revision_id)
        await change.save(stored.with_policy(name.qualifier, reduced if reduced.statements else None, revision_id))
    return {}


async def get_policy(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = named(context, request["FunctionName"], request.get("Qualifier"))
    stored = await find_function(state, FunctionName(name.account_id, name.region, name.name))
    return function_policy_shape(stored, name)


def function_policy_shape(stored: StoredFunction, name: FunctionName) -> dict[str, Any]:
    """The revision is the function's, version's or alias's own, which a change of the policy makes another."""
    shape = policy_shape(stored.policies.get(name.qualifier or ""))
    return {**shape, "RevisionId": stored.revision_of(name.qualifier)}


def check_revision(stored: StoredFunction, name: FunctionName, request: Request, look_up: str = "GetPolicy") -> None:
    current = stored.revision_of(name.qualifier)
    if request.get("RevisionId", current) != current:
        raise stale_revision(look_up)


def check_policy_revision(policy: Policy | None, request: Request, look_up: str) -> None:
    """Of what has no revision but its policy's: layer versions."""
    if "RevisionId" in request and (policy is None or request["RevisionId"] != policy.revision_id):
        raise stale_revision(look_up)


def extend(policy: Policy | None, added: Mapping[str, Any], revision_id: str, limit: int) -> Policy:
    """The policy with one more statement."""
    if policy is not None and policy.has(added["Sid"]):
        raise conflict(
            f"The statement id ({added['Sid']}) provided already exists. "
            "Please provide a new statement id, or remove the existing statement."
        )
    extended = (policy or Policy(revision_id)).extended(added, revision_id)
    check_size(extended, limit)
    return extended


def check_size(policy: Policy, limit: int) -> None:
    size = len(json_text(policy.document()).encode())
    if size > limit:
        message = f"The final policy size ({size}) is bigger than the limit ({limit})."
        raise ServiceError("PolicyLengthExceededException", message)


def reduce(policy: Policy, statement_id: str, revision_id: str) -> Policy:
    """The policy without one statement."""
    if not policy.has(statement_id):
        raise not_found(f"Statement {statement_id} is not found in resource policy.")
    return policy.reduced(statement_id, revision_id)


def policy_shape(policy: Policy | None) -> dict[str, Any]:
    if policy is None:
        raise not_found("The resource you requested does not exist.")
    return {"Policy": json_text(policy.document()), "RevisionId": policy.revision_id}


def json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _check_url_conditions(request: Request) -> None:
    """Each of the two conditions on function URLs goes with one action, and would never hold on another."""
    for member, action in (("FunctionUrlAuthType", _INVOKE_URL), ("InvokedViaFunctionUrl", _INVOKE)):
        if member in request and request["Action"] != action:
            raise invalid_parameter(f"{member} is only supported for {action} action")


def _permitted_name(context: RequestContext, request: Request) -> FunctionName:
    return with_policy_of_its_own(named(context, request["FunctionName"], request.get("Qualifier")))


def with_policy_of_its_own(name: FunctionName) -> FunctionName:
    if name.qualifier == LATEST:
        raise invalid_parameter("We currently do not support adding policies for $LATEST.")
    return name


def existing(stored: StoredFunction | None, name: FunctionName) -> StoredFunction:
    """The function, if it has the version or alias that the policy is for."""
    if stored is None:
        raise function_not_found(FunctionName(name.account_id, name.region, name.name))
    if name.qualifier is None or name.qualifier in stored.versions or name.qualifier in stored.aliases:
        return stored
    if _ALIAS.fullmatch(name.qualifier) is None:
        raise function_not_found(name)
    raise not_found(f"Cannot find alias arn: {name.qualified_arn}")
