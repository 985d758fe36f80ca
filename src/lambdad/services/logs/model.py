"""Log groups, log streams and log events: nouns and pure rules of CloudWatch Logs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from lambdad.errors import ServiceError
from lambdad.model.invocation import LogEvent

DAY_MS = 86_400_000

RETENTION_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)

# PutLogEvents, as its documentation gives them.
BATCH_BYTES = 1_048_576
EVENT_BYTES = 1_048_576  #: 262,144 until April 2025
EVENT_OVERHEAD_BYTES = 26  #: counted for each event beside its UTF-8 text
BATCH_SPAN_MS = DAY_MS
TOO_NEW_MS = 2 * 3_600_000
TOO_OLD_MS = 14 * DAY_MS

#: A page of GetLogEvents or FilterLogEvents ends at this many bytes or events.
PAGE_BYTES = 1_048_576
PAGE_EVENTS = 10_000

TAG_LIMIT = 50

_LARGEST_INDEX = 10**15


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose log groups: names are unique in an account and region."""

    account_id: str
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGroup:
    group_id: str  #: new with each creation, so that a group made again starts empty
    name: str
    created_ms: int
    retention_days: int | None = None
    stored_bytes: int = 0
    tags: dict[str, str] = field(default_factory=dict)

    def oldest_kept_ms(self, now_ms: int) -> int:
        """Events before this time have expired."""
        return 0 if self.retention_days is None else max(0, now_ms - self.retention_days * DAY_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogStream:
    stream_id: str  #: new with each creation
    name: str
    created_ms: int
    first_event_ms: int | None = None
    last_event_ms: int | None = None
    last_ingestion_ms: int | None = None


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where an event stands: by time, then by the order in which chunks and their events came. A total order."""

    timestamp_ms: int
    sequence: int = 0  #: of the chunk
    index: int = 0  #: within the chunk

    def __str__(self) -> str:
        return f"{self.timestamp_ms:020d}{self.sequence:020d}{self.index:016d}"

    def before(self) -> Position:
        """The greatest position less than this one, as far as events go."""
        if self.index:
            return Position(self.timestamp_ms, self.sequence, self.index - 1)
        return Position(self.timestamp_ms, self.sequence - 1, _LARGEST_INDEX) if self.sequence else self

    def after(self) -> Position:
        return Position(self.timestamp_ms, self.sequence, self.index + 1)

    @classmethod
    def parse(cls, text: str) -> Position:
        """ValueError when it is no position."""
        if len(text) != 56 or not (text.isascii() and text.isdigit()):
            raise ValueError(f"{text!r} is no position")
        return cls(int(text[:20]), int(text[20:40]), int(text[40:]))


@dataclass(frozen=True, slots=True)
class StoredEvent:
    position: Position
    stream: str
    ingested_ms: int
    message: str

    @property
    def size(self) -> int:
        return event_bytes(self.message)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What of a PutLogEvents batch is kept, and the bounds of what is not (ends are exclusive, as AWS gives them)."""

    events: tuple[LogEvent, ...]
    too_old_end: int | None = None
    expired_end: int | None = None
    too_new_start: int | None = None


def event_bytes(message: str) -> int:
    size = len(message) if message.isascii() else len(message.encode("utf-8", "surrogatepass"))
    return size + EVENT_OVERHEAD_BYTES


def storable(message: str) -> str:
    """The message without lone surrogates, which JSON can carry and UTF-8 cannot."""
    return message if message.isascii() else message.encode("utf-8", "replace").decode()


def check_batch(events: Sequence[LogEvent]) -> None:
    """The rules that a whole batch must keep."""
    sizes = [event_bytes(event.message) for event in events]
    if sum(sizes) > BATCH_BYTES:
        raise invalid(f"Upload too large: {sum(sizes)} bytes exceeds limit of {BATCH_BYTES}")
    if max(sizes, default=0) > EVENT_BYTES:
        raise invalid(f"Log event too large: {max(sizes)} bytes exceeds limit of {EVENT_BYTES}")
    for before, event in itertools.pairwise(events):
        if event.timestamp_ms < before.timestamp_ms:
            raise invalid("Log events in a single PutLogEvents request must be in chronological order.")


def accept_batch(events: Sequence[LogEvent], group: LogGroup, now_ms: int) -> Accepted:
    """Leaves out what is too old, expired or too new; the events are in order of time. What is kept spans a day at most."""
    too_old = sum(event.timestamp_ms < now_ms - TOO_OLD_MS for event in events)
    expired = sum(event.timestamp_ms < group.oldest_kept_ms(now_ms) for event in events)
    end = sum(event.timestamp_ms <= now_ms + TOO_NEW_MS for event in events)
    kept = tuple(events[max(too_old, expired) : end])
    if kept and kept[-1].timestamp_ms - kept[0].timestamp_ms > BATCH_SPAN_MS:
        raise invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
    return Accepted(
        events=kept,
        too_old_end=too_old or None,
        expired_end=expired or None,
        too_new_start=end if end < len(events) else None,
    )


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)


def no_group() -> ServiceError:
    return ServiceError("ResourceNotFoundException", "The specified log group does not exist.")


def no_stream() -> ServiceError:
    return ServiceError("ResourceNotFoundException", "The specified log stream does not exist.")


def group_arn(scope: Scope, name: str) -> str:
    return f"arn:aws:logs:{scope.region}:{scope.account_id}:log-group:{name}"


def group_name_in(scope: Scope, identifier: str) -> str:
    """The name in a log group identifier: a name, or an ARN of this account and region with or without ":*"."""
    if not identifier.startswith("arn:"):
        return identifier
    parts = identifier.split(":", 6)
    if len(parts) != 7 or parts[2] != "logs" or parts[5] != "log-group":
        raise invalid(f"The identifier {identifier!r} is not the ARN of a log group.")
    if (parts[4], parts[3]) != (scope.account_id, scope.region):
        raise no_group()
    return parts[6].removesuffix(":*")
