"""Everything the front needs for one operation, put together at its first request and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.permission import Permission
from lambdad.model.service import BoundService, Operation, Service
from lambdad.wire.authorize import Target
from lambdad.wire.body import BodyLimit, BodyLimits
from lambdad.wire.body_checksum import BodyChecksum, body_checksum_of
from lambdad.wire.dialect import Dialect
from lambdad.wire.protocols import codec_for
from lambdad.wire.protocols.base import Parser, Writer
from lambdad.wire.spec import ServiceSpec
from lambdad.wire.validate import Validator
from lambdad.wire.validate_s3 import S3Validator

Refusal = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class OperationPlan:
    name: str
    call: Operation
    parse: Parser
    write: Writer
    checks: tuple[Refusal, ...]  #: each raises ServiceError for parameters it does not let through
    is_streaming_input: bool
    limit: BodyLimit
    checksum: BodyChecksum
    permissions: tuple[Permission, ...] | None  #: None: nobody said what the operation asks for, so nobody may


class ServicePlan:
    """One bound service with its codec and the plans of the operations called so far."""

    def __init__(self, bound: BoundService, spec: ServiceSpec, dialect: Dialect, limits: BodyLimits) -> None:
        self.spec = spec
        self.dialect = dialect
        self.service: Service = bound.service
        self.state = bound.state
        self.codec = codec_for(spec, dialect)
        subresources = spec.subresources if dialect.is_s3 else frozenset()
        self.target = Target(spec.signing_name, dialect.is_s3, subresources)
        self._limits = limits
        self._validator = S3Validator() if dialect.is_s3 else Validator(dialect)
        self._operations: dict[str, OperationPlan] = {}

    def operation(self, name: str) -> OperationPlan:
        """ServiceError with the operation's reason when it is not served yet."""
        plan = self._operations.get(name)
        if plan is None:
            plan = self._operations[name] = self._make(name)
        return plan

    def _make(self, name: str) -> OperationPlan:
        service = self.service
        call = service.operations.get(name)
        if call is None:
            reason = service.not_yet.get(name, "it is not served")
            raise ServiceError(service.refusal_code, f"{name} is not supported: {reason}", status=service.refusal_status)
        model = self.spec.operation(name)
        checks = (self._validator.check_of(model), refusal_of(service, name))
        return OperationPlan(
            name=name,
            call=call,
            parse=self.codec.parser(name),
            write=self.codec.writer(name),
            checks=tuple(check for check in checks if check is not None),
            is_streaming_input=model.has_streaming_input,
            limit=self._limits.limit_of(service.name, name),
            checksum=body_checksum_of(model),
            permissions=service.permissions.get(name),
        )


def refusal_of(service: Service, operation: str) -> Refusal | None:
    """Refuses requests that set a member which would have no effect here."""
    refused = service.refused.get(operation)
    if not refused:
        return None
    paths = [(path.split("."), path, reason) for path, reason in refused.items()]

    def refuse(parameters: Mapping[str, Any]) -> None:
        for steps, path, reason in paths:
            if _is_set(parameters, steps):
                message = f"{path} is not supported: {reason}"
                raise ServiceError(service.refusal_code, message, status=service.refusal_status)

    return refuse


def _is_set(value: Any, steps: list[str]) -> bool:
    """Whether something stands at the path; lists on the way are looked through, and what is empty is not set."""
    if isinstance(value, list) and steps:
        return any(_is_set(element, steps) for element in value)
    if steps:
        return isinstance(value, Mapping) and steps[0] in value and _is_set(value[steps[0]], steps[1:])
    return value is not None and not (isinstance(value, (str, bytes, list, Mapping)) and not value)
