"""What single services do differently on the wire. All else follows from the protocol and the model."""

from __future__ import annotations

from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Dialect:
    """The defaults are those of a plain json or rest-json service."""

    validation_code: str = "ValidationException"
    too_large_code: str = "RequestEntityTooLargeException"
    unknown_operation_code: str = "UnknownOperationException"
    unknown_operation_status: int = 404
    auth_status: int = 403  #: of refused signatures and denied access; the json services answer 400
    denied_code: str = "AccessDeniedException"
    #: "Operation.Member" the service checks itself, because AWS words the refusal differently there
    left_to_service: frozenset[str] = field(default_factory=frozenset)
    is_s3: bool = False  #: S3's names of errors, request ids, bucket hosts, and its strictness about XML and queries


_QUERY = Dialect(
    validation_code="ValidationError",
    too_large_code="RequestEntityTooLarge",
    unknown_operation_code="InvalidAction",
    denied_code="AccessDenied",
    unknown_operation_status=400,
)
_BY_PROTOCOL = {
    "rest-json": Dialect(),
    "json": Dialect(auth_status=400, unknown_operation_status=400),
    "query": _QUERY,
    "rest-xml": _QUERY,
}
_BY_SERVICE = {
    "s3": Dialect(
        validation_code="InvalidRequest",
        too_large_code="EntityTooLarge",
        unknown_operation_code="MethodNotAllowed",
        denied_code="AccessDenied",
        unknown_operation_status=405,
        is_s3=True,
    ),
    "lambda": Dialect(
        left_to_service=frozenset(
            f"{operation}.{member}"
            for operation in ("CreateFunction", "UpdateFunctionConfiguration")
            for member in ("Runtime", "Timeout", "MemorySize", "EphemeralStorage.Size")
        )
    ),
    "logs": Dialect(validation_code="InvalidParameterException", auth_status=400, unknown_operation_status=400),
}


def dialect_of(service: str, protocol: str) -> Dialect:
    return _BY_SERVICE.get(service) or replace(_BY_PROTOCOL[protocol])
