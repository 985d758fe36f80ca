"""What has happened to asynchronous events since the server started."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class EventCounters:
    received: int = 0  #: AWS/Lambda AsyncEventsReceived
    succeeded: int = 0
    retried: int = 0  #: failures of a function that has attempts left
    put_back: int = 0  #: throttles, and failures of ours
    failed: int = 0  #: given up
    dropped: int = 0  #: AsyncEventsDropped: given up with no destination and no dead-letter queue to tell
    recursive_invocations_dropped: int = 0  #: RecursiveInvocationsDropped: those that a caller waited for as well
    delivered: int = 0  #: records and events taken by a destination or dead-letter queue
    destination_delivery_failures: int = 0  #: DestinationDeliveryFailures: each try that failed
    dead_letter_errors: int = 0  #: DeadLetterErrors: each try that failed
    deliveries_abandoned: int = 0  #: never taken, in all the time that there was

    def shown(self) -> dict[str, int]:
        return asdict(self)
