"""The event that S3 hands to a function, and which of a bucket's notifications it belongs to."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import msgspec

from lambdad.model.request import Principal, RequestContext
from lambdad.services.s3.model import Bucket, Notification, StoredObject


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that was done to an object."""

    name: str  #: "ObjectCreated:Put"
    key: str
    at: float
    sequencer: int
    stored: StoredObject | None = None  #: None once it is removed


def concerned(bucket: Bucket, name: str, key: str) -> Iterator[Notification]:
    """The bucket's notifications which want this event."""
    wanted = {f"s3:{name}", f"s3:{name.partition(':')[0]}:*"}
    for notification in bucket.notifications:
        if wanted.intersection(notification.events) and _is_selected(notification, key):
            yield notification


def event_json(context: RequestContext, bucket: Bucket, notification: Notification, happening: Happening) -> bytes:
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": bucket.region,
        "eventTime": _event_time(happening.at),
        "eventName": happening.name,
        "userIdentity": {"principalId": principal_id(context.principal)},
        "requestParameters": {"sourceIPAddress": context.source_ip},
        "responseElements": _response_elements(context),
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": notification.id,
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": customer_id(bucket.account_id)},
                "arn": bucket.arn,
            },
            "object": _object(happening),
        },
    }
    return msgspec.json.encode({"Records": [record]})


def customer_id(account_id: str) -> str:
    """The short id by which events name an account."""
    return "A" + _letters(f"customer {account_id}", 13)


def principal_id(principal: Principal) -> str:
    """Root: the account's own id; others "AWS:" with the unique id that IAM would give the user or role session."""
    resource = principal.arn.rpartition(":")[2]
    kind, _, name = resource.partition("/")
    if kind == "assumed-role":
        role, _, session = name.partition("/")
        return f"AWS:AROA{_letters(f'{principal.account_id} role {role}', 17)}:{session}"
    if kind == "user":
        return f"AWS:AIDA{_letters(f'{principal.account_id} user {name}', 17)}"
    return customer_id(principal.account_id)


def _response_elements(context: RequestContext) -> dict[str, str]:
    """The very headers of the answer to the request that made the event, as the wire makes them from its id."""
    request_id = context.request_id.replace("-", "")[:16].upper()
    return {"x-amz-request-id": request_id, "x-amz-id-2": f"lambdad/{request_id}="}


def _object(happening: Happening) -> dict[str, Any]:
    shown: dict[str, Any] = {"key": quote_plus(happening.key, safe="/")}
    if happening.stored:
        shown["size"] = happening.stored.size
        shown["eTag"] = happening.stored.etag
    shown["sequencer"] = f"{happening.sequencer:018X}"
    return shown


def _event_time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _is_selected(notification: Notification, key: str) -> bool:
    return key.startswith(notification.prefix) and key.endswith(notification.suffix)


def _letters(text: str, length: int) -> str:
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode()[:length]
