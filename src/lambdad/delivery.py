"""Carries events to an ARN. `assembly/` fills in the receivers; services never import each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lambdad.errors import ServiceError
from lambdad.model.destination import Attribute


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends. Services are checked against the target's resource policy, roles by `Delivery.permit`, if there is one."""

    service_principal: str  #: "s3.amazonaws.com"
    source_arn: str  #: "arn:aws:s3:::bucket"
    source_account: str
    role_arn: str | None = None  #: of the function in whose name Lambda sends


@dataclass(frozen=True, slots=True)
class Envelope:
    """What goes with a payload to those targets that have a place for it."""

    attributes: Mapping[str, Attribute] = field(default_factory=dict)  #: of an SQS or SNS message
    detail_type: str = ""  #: of an EventBridge event, whose source is then "lambda"
    resources: tuple[str, ...] = ()  #: of an EventBridge event
    trace_header: str = ""  #: of what has brought this about; empty where that is not known


PLAIN = Envelope()


class Receiver(Protocol):
    async def check(self, target_arn: str, sender: Sender) -> None:
        """ServiceError when the target does not exist or its policy does not let the sender in."""
        ...

    async def accept(
        self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str, envelope: Envelope = PLAIN
    ) -> None:
        """Takes the event durably. Checks first, as `check`. The same request id twice is taken once while it is queued.

        An S3 target is the ARN of an object: the payload becomes that object.
        """
        ...


def service_of(target_arn: str) -> str:
    """The service that an ARN names; empty for what is no ARN."""
    parts = target_arn.split(":", 5)
    return parts[2] if len(parts) == 6 and parts[0] == "arn" and parts[5] else ""


class Delivery:
    """A table from the service in an ARN ("lambda") to its receiver.

    `permit` raises ServiceError when a role may not send to an ARN; with `--auth off` there is none.
    """

    def __init__(self, permit: Callable[[str, str], None] | None = None) -> None:
        self._receivers: dict[str, Receiver] = {}
        self._permit = permit

    def register(self, service: str, receiver: Receiver) -> None:
        self._receivers[service] = receiver

    async def check(self, target_arn: str, sender: Sender) -> None:
        receiver = self._receiver_of(target_arn)
        self._check_role(target_arn, sender)
        await receiver.check(target_arn, sender)

    def has(self, service: str) -> bool:
        """Whether anything can be sent to that service."""
        return service in self._receivers

    async def accept(
        self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str, envelope: Envelope = PLAIN
    ) -> None:
        receiver = self._receiver_of(target_arn)
        self._check_role(target_arn, sender)
        await receiver.accept(target_arn, sender, payload, request_id=request_id, envelope=envelope)

    def _check_role(self, target_arn: str, sender: Sender) -> None:
        if self._permit is not None and sender.role_arn is not None:
            self._permit(sender.role_arn, target_arn)

    def _receiver_of(self, target_arn: str) -> Receiver:
        receiver = self._receivers.get(service_of(target_arn))
        if receiver is None:
            raise ServiceError("InvalidArgument", f"No receiver for events at {target_arn!r}.", status=400)
        return receiver
