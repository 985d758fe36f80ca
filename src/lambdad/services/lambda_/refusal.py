"""The service's errors in the shapes that AWS gives them."""

from __future__ import annotations

from lambdad.errors import ServiceError
from lambdad.model.arn import FunctionName
from lambdad.model.policy_evaluation import refusal_text


def invalid_parameter(message: str) -> ServiceError:
    return ServiceError("InvalidParameterValueException", message)


def not_found(message: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", message)


def conflict(message: str) -> ServiceError:
    return ServiceError("ResourceConflictException", message)


def too_large(message: str) -> ServiceError:
    """AWS sends this name on the wire, whatever the model calls it."""
    return ServiceError("RequestEntityTooLargeException", message, status=413)


def access_denied(principal_arn: str, action: str, resource: str) -> ServiceError:
    because = f"because no resource-based policy allows the {action} action"
    return ServiceError("AccessDeniedException", refusal_text(principal_arn, action, resource, because), status=403)


def explicitly_denied(principal_arn: str, action: str, resource: str) -> ServiceError:
    because = "with an explicit deny in a resource-based policy"
    return ServiceError("AccessDeniedException", refusal_text(principal_arn, action, resource, because), status=403)


def stale_revision(look_up: str = "GetFunction/GetAlias") -> ServiceError:
    return ServiceError(
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id. "
        f"Call the {look_up} API to retrieve the latest Revision Id",
    )


def function_not_found(name: FunctionName, *, qualifier: str | None = None) -> ServiceError:
    """`qualifier` is printed where the caller gave none: Invoke says `$LATEST`."""
    suffix = "" if name.qualifier or not qualifier else f":{qualifier}"
    return not_found(f"Function not found: {name.qualified_arn}{suffix}")
