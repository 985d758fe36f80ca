"""Carries events to an ARN. `app.py` fills in the receivers; services never import each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lambdad.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: checked against the target's resource policy."""

    service_principal: str  #: "s3.amazonaws.com"
    source_arn: str  #: "arn:aws:s3:::bucket"
    source_account: str


class Receiver(Protocol):
    async def check(self, target_arn: str, sender: Sender) -> None:
        """ServiceError when the target does not exist or its policy does not let the sender in."""
        ...

    async def accept(self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str) -> None:
        """Takes the event durably. Checks first, as `check`. The same request id twice is taken once while it is queued."""
        ...


class Delivery:
    """A table from the service in an ARN ("lambda") to its receiver."""

    def __init__(self) -> None:
        self._receivers: dict[str, Receiver] = {}

    def register(self, service: str, receiver: Receiver) -> None:
        self._receivers[service] = receiver

    async def check(self, target_arn: str, sender: Sender) -> None:
        await self._receiver_of(target_arn).check(target_arn, sender)

    async def accept(self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str) -> None:
        await self._receiver_of(target_arn).accept(target_arn, sender, payload, request_id=request_id)

    def _receiver_of(self, target_arn: str) -> Receiver:
        parts = target_arn.split(":", 5)
        receiver = self._receivers.get(parts[2]) if len(parts) == 6 and parts[0] == "arn" else None
        if receiver is None:
            raise ServiceError("InvalidArgument", f"No receiver for events at {target_arn!r}.", status=400)
        return receiver
