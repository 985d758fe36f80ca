"""What S3's front checks of the model: that the required is there and enumerated values are known, in S3's own errors.

Names of buckets, lengths and the rest are rules of the service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lambdad.errors import ServiceError

MALFORMED_XML = "The XML you provided was not well-formed or did not validate against our published schema"

#: Enumerations whose refusal has a name of its own.
_ENUM_ERRORS = {
    "StorageClass": ("InvalidStorageClass", "The storage class you specified is not valid"),
    "BucketLocationConstraint": ("InvalidLocationConstraint", "The specified location-constraint is not valid"),
    "ServerSideEncryption": ("InvalidEncryptionAlgorithmError", "The encryption request you specified is not valid."),
    "ChecksumAlgorithm": ("InvalidRequest", "Checksum algorithm provided is unsupported."),
    "EncodingType": ("InvalidArgument", "Invalid Encoding Method specified in Request"),
    "Event": ("InvalidArgument", "A specified event is not supported for notifications."),
    "FilterRuleName": ("InvalidArgument", "filter rule name must be either prefix or suffix"),
}

#: Enumerations that S3 takes in any case: it writes Prefix and Suffix itself, and the SDK for C++ says "enabled".
_ANY_CASE = frozenset({"FilterRuleName", "ChecksumMode"})

Check = Callable[[Any], None]


class S3Validator:
    def __init__(self) -> None:
        self._checks: dict[str, Check | None] = {}

    def check_of(self, operation: Any) -> Callable[[Mapping[str, Any]], None] | None:
        shape = operation.input_shape
        if shape is None:
            return None
        required = {
            member: shape.members[member]
            for member in shape.required_members
            if shape.members[member].serialization.get("location") != "uri"
        }
        checks = self._member_checks(shape)

        def refuse(parameters: Mapping[str, Any]) -> None:
            for member, member_shape in required.items():
                if member not in parameters:
                    raise _missing(member, member_shape)
            for member, value in parameters.items():
                if member in checks:
                    checks[member](value)

        return refuse

    def _member_checks(self, shape: Any) -> dict[str, Check]:
        found = {member: self._check(member_shape) for member, member_shape in shape.members.items()}
        return {member: check for member, check in found.items() if check is not None}

    def _check(self, shape: Any) -> Check | None:
        kind = shape.type_name
        if kind == "string":
            return _enum_check(shape) if shape.enum else None
        if kind == "list":
            element_check = self._check(shape.member)
            return _each(element_check) if element_check else None
        if kind == "structure":
            if shape.name not in self._checks:
                self._checks[shape.name] = None  # a shape inside itself is not checked twice
                self._checks[shape.name] = self._structure_check(shape)
            return self._checks[shape.name]
        return None

    def _structure_check(self, shape: Any) -> Check | None:
        required = tuple(shape.required_members)
        checks = self._member_checks(shape)
        if not required and not checks:
            return None

        def check_structure(value: Any) -> None:
            if any(member not in value for member in required):
                raise ServiceError("MalformedXML", MALFORMED_XML, status=400)
            for member, entry in value.items():
                if member in checks:
                    checks[member](entry)

        return check_structure


def _each(check: Check) -> Check:
    def check_each(value: Any) -> None:
        for element in value:
            check(element)

    return check_each


def _enum_check(shape: Any) -> Check:
    is_any_case = shape.name in _ANY_CASE
    allowed = frozenset(each.lower() if is_any_case else each for each in shape.enum)
    name = shape.serialization.get("name", shape.name)
    is_in_body = "location" not in shape.serialization

    def check_enum(value: Any) -> None:
        if (value.lower() if is_any_case else value) in allowed:
            return
        if shape.name in _ENUM_ERRORS:
            code, message = _ENUM_ERRORS[shape.name]
            members = {"ArgumentName": name, "ArgumentValue": value} if code == "InvalidArgument" else {}
            raise ServiceError(code, message, status=400, members=members)
        if is_in_body:
            raise ServiceError("MalformedXML", MALFORMED_XML, status=400)
        message = f"The value of {name} must be one of {', '.join(shape.enum)}."
        raise ServiceError("InvalidArgument", message, status=400, members={"ArgumentName": name, "ArgumentValue": value})

    return check_enum


def _missing(member: str, shape: Any) -> ServiceError:
    location = shape.serialization.get("location")
    name = shape.serialization.get("name", member)
    if location == "header":
        return ServiceError("InvalidRequest", f"Missing required header for this request: {name}", status=400)
    if location == "querystring":
        message = f"Missing required parameter for this request: {name}"
        return ServiceError("InvalidArgument", message, status=400, members={"ArgumentName": name})
    return ServiceError("MissingRequestBodyError", "Request Body is empty", status=400)
