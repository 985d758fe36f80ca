"""Whether a destination or a dead-letter queue can be told anything: checked when it is configured, with AWS's errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.delivery import Sender, service_of
from lambdad.errors import ServiceError
from lambdad.model.arn import FunctionName
from lambdad.services.lambda_.receiver import function_of
from lambdad.services.lambda_.refusal import invalid_parameter
from lambdad.services.lambda_.state import LambdaState

SERVICE_PRINCIPAL = "lambda.amazonaws.com"

#: Services that may be told of an event's success, of its failure, and that may be dead-letter queues.
ON_SUCCESS = frozenset({"sqs", "sns", "events", "lambda"})
ON_FAILURE = ON_SUCCESS | {"s3"}
_DEAD_LETTER: Mapping[str, str] = {"sqs": "SQS queue", "sns": "SNS topic"}
#: What the execution role must be allowed to call, by the target's service.
_CALLS: Mapping[str, str] = {
    "sqs": "SendMessage",
    "sns": "Publish",
    "events": "PutEvents",
    "lambda": "Invoke",
    "s3": "PutObject",
}
_NAMES: Mapping[str, str] = {"sqs": "SQS", "sns": "SNS", "events": "EventBridge"}


async def check_destination(state: LambdaState, name: FunctionName, target_arn: str, role: str) -> None:
    """`target_arn` is of a service that may be told."""
    if service_of(target_arn) == "lambda" and _is_function(target_arn, name):
        raise invalid_parameter("You can't specify the function as a destination for itself.")
    if service_of(target_arn) == "sns" and target_arn.endswith(".fifo"):
        raise invalid_parameter("FIFO-type Amazon SNS topics aren't supported as a destination.")
    if target_arn.endswith(".fifo"):
        raise invalid_parameter(f"The destination ARN {target_arn} is invalid.")
    no_right = (
        f"The function's execution role does not have permissions to call {_CALLS[service_of(target_arn)]} on {target_arn}"
    )
    await _check_reach(state, name, target_arn, role, f"The destination ARN {target_arn} is invalid", no_right)


async def check_dead_letter(state: LambdaState, name: FunctionName, settings: Mapping[str, Any]) -> None:
    """Of the settings that are to become a configuration, their dead-letter queue, if they name one."""
    target_arn = settings.get("dead_letter")
    if target_arn is None:
        return
    kind = _DEAD_LETTER.get(service_of(target_arn))
    if kind is None:
        raise invalid_parameter(f"Invalid dead letter queue ARN: {target_arn} is neither an SQS queue nor an SNS topic")
    if target_arn.endswith(".fifo"):
        raise invalid_parameter(f"Invalid dead letter queue ARN: FIFO {kind} is not supported for dead letter configuration")
    service = service_of(target_arn)
    no_right = f"The provided execution role does not have permissions to call {_CALLS[service]} on {_NAMES[service]}"
    await _check_reach(state, name, target_arn, settings["role"], f"Invalid dead letter queue ARN: {target_arn}", no_right)


async def _check_reach(state: LambdaState, name: FunctionName, target_arn: str, role: str, refusal: str, no_right: str) -> None:
    """`no_right` is said where policies do not let the role send there."""
    service = service_of(target_arn)
    if not state.delivery.has(service):
        raise invalid_parameter(
            f"{refusal}: there is no {_NAMES[service]} here. Name an endpoint of it in the setting endpoint_{service}."
        )
    try:
        await state.delivery.check(target_arn, Sender(SERVICE_PRINCIPAL, name.arn, name.account_id, role))
    except ServiceError as error:
        if error.code == "AccessDeniedException":
            raise invalid_parameter(no_right) from error
        is_missing_function = service == "lambda" and error.code == "ResourceNotFoundException"
        raise invalid_parameter(f"{refusal}." if is_missing_function else f"{refusal}: {error.message}") from error


def _is_function(target_arn: str, name: FunctionName) -> bool:
    return function_of(target_arn).key == name.key
