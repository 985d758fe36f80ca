"""From the name in a request to the function, and to the reading of it that a qualifier means."""

from __future__ import annotations

from lambdad.errors import ServiceError
from lambdad.model.arn import FunctionName, parse_function_name
from lambdad.model.function import FunctionVersion, is_latest
from lambdad.model.request import RequestContext
from lambdad.services.lambda_.refusal import access_denied, conflict, function_not_found, invalid_parameter
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.stored_function import StoredFunction

SNAPSHOT_NOT_READY = "Lambda is initializing your function. It will be ready to invoke once your function state becomes ACTIVE."
IMAGE_NOT_READY = "Lambda is initializing your function. It will be ready to invoke shortly."
QUALIFIED = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
    "Please specify either a function name or an unqualified function ARN."
)


def named(context: RequestContext, text: str, qualifier: str | None = None) -> FunctionName:
    """The function of the caller's own account that a request names."""
    name = parse_function_name(text, context.account_id, context.region, qualifier)
    check_own(context, name.account_id, name.qualified_arn)
    return name


def check_own(context: RequestContext, account_id: str, arn: str) -> None:
    """Only functions and layers have policies that let other accounts in."""
    if account_id != context.account_id:
        raise access_denied(context.principal.arn, f"lambda:{context.operation}", arn)


def named_unqualified(context: RequestContext, text: str, message: str = QUALIFIED) -> FunctionName:
    """As `named`, for operations on functions only; `$LATEST` is the function itself."""
    name = named(context, text)
    if not is_latest(name.qualifier):
        raise invalid_parameter(message)
    return FunctionName(name.account_id, name.region, name.name)


async def find_function(state: LambdaState, name: FunctionName) -> StoredFunction:
    stored = await state.functions.find(name.key)
    if stored is None:
        raise function_not_found(name)
    return stored


def reading_of(stored: StoredFunction, name: FunctionName) -> FunctionVersion:
    """The version that the qualifier means; of a weighted alias, its main one."""
    if is_latest(name.qualifier):
        return stored.function.latest
    assert name.qualifier is not None
    alias = stored.aliases.get(name.qualifier)
    version = stored.versions.get(alias.function_version if alias else name.qualifier)
    if alias is not None and is_latest(alias.function_version):
        return stored.function.latest
    if version is None:
        raise function_not_found(name)
    return version


def check_ready_for_change(stored: StoredFunction, arn: str) -> None:
    """One change of code or configuration at a time, and none before the function is there."""
    latest = stored.function.latest
    if latest.state not in ("Active", "Inactive", "ActiveNonInvocable"):
        raise not_now(latest.state)
    if latest.update_status == "InProgress":
        raise conflict(f"The operation cannot be performed at this time. An update is in progress for resource: {arn}")


def not_invocable(reading: FunctionVersion) -> ServiceError:
    """What is said to invocations of a version that has no code to run now: AWS has words of its own for each kind."""
    if reading.has_snapshot and reading.state in ("Pending", "Inactive"):
        return ServiceError("SnapStartNotReadyException", SNAPSHOT_NOT_READY)
    if reading.configuration.image is not None and (reading.is_being_restored or reading.state == "Inactive"):
        # With the status, since not every operation that invokes lists it.
        return ServiceError("CodeArtifactUserPendingException", IMAGE_NOT_READY, status=409)
    return not_now(reading.state)


def not_now(state: str) -> ServiceError:
    return conflict(
        f"The operation cannot be performed at this time. The function is currently in the following state: {state}"
    )
