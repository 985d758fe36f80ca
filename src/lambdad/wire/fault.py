"""Requests that fail before or beside their operation, in the words of the service they were for."""

from __future__ import annotations

from lambdad.errors import ServiceError
from lambdad.wire.http import MalformedUri
from lambdad.wire.plan import OperationPlan, ServicePlan
from lambdad.wire.protocols.scalar import Unreadable
from lambdad.wire.validate_s3 import MALFORMED_XML


def unreadable_error(service: ServicePlan, unreadable: Unreadable) -> ServiceError:
    if service.dialect.is_s3:
        return _s3_unreadable(unreadable)
    code = "MalformedInput" if service.spec.protocol == "query" else "SerializationException"
    return ServiceError(code, unreadable.text, status=400)


def malformed_uri_error(service: ServicePlan, error: MalformedUri) -> ServiceError:
    if service.dialect.is_s3:
        return ServiceError("InvalidURI", f"Couldn't parse the specified URI. {error}", status=400)
    code = "MalformedQueryString" if service.spec.protocol == "query" else "SerializationException"
    return ServiceError(code, str(error), status=400)


def too_large_error(service: ServicePlan, plan: OperationPlan) -> ServiceError:
    if service.dialect.is_s3:
        return ServiceError("MaxMessageLengthExceeded", "Your request was too large.", status=400)
    name = plan.limit.operation or plan.name
    message = f"Request must be smaller than {plan.limit.named_size or plan.limit.size} bytes for the {name} operation"
    return ServiceError(service.dialect.too_large_code, message, status=413)


def internal_error(service: ServicePlan) -> ServiceError:
    if service.dialect.is_s3:
        return ServiceError("InternalError", "We encountered an internal error. Please try again.", status=500)
    code = "ServiceException" if service.spec.error("ServiceException") else "InternalFailure"
    return ServiceError(code, "An internal error occurred. Please retry your request.", status=500)


def disk_full_error(service: ServicePlan) -> ServiceError:
    """AWS has no word for it; clients retry these."""
    message = "The server's disk is full; nothing was changed. Please make room on it and retry your request."
    if service.dialect.is_s3:
        return ServiceError("ServiceUnavailable", message, status=503)
    codes = ("ServiceException", "ServiceUnavailableException")
    code = next((code for code in codes if service.spec.error(code)), "InternalFailure")
    return ServiceError(code, message, status=503 if code == "ServiceUnavailableException" else 500)


def _s3_unreadable(unreadable: Unreadable) -> ServiceError:
    if unreadable.location == "body":
        return ServiceError("MalformedXML", MALFORMED_XML, status=400)
    message = f"The value of {unreadable.name} is not valid."
    if "Integer" in unreadable.text:
        message = f"Provided {unreadable.name} not an integer or within integer range"
    members = {"ArgumentName": unreadable.name, "ArgumentValue": unreadable.value[:1024]}
    return ServiceError("InvalidArgument", message, status=400, members=members)
