"""A bucket's notification configuration: which events go to which function."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import msgspec

from lambdad.delivery import Sender
from lambdad.errors import ServiceError
from lambdad.model.request import RequestContext
from lambdad.services.s3 import records
from lambdad.services.s3.access import own_bucket, own_bucket_and_revision
from lambdad.services.s3.errors import invalid_argument, s3_error
from lambdad.services.s3.model import MAX_KEY_BYTES, Bucket, Notification
from lambdad.services.s3.object_commit import commit
from lambdad.services.s3.state import S3State

SERVICE_PRINCIPAL = "s3.amazonaws.com"

_FAMILIES = {
    "s3:ObjectCreated:*": {"Put", "Post", "Copy", "CompleteMultipartUpload"},
    "s3:ObjectRemoved:*": {"Delete", "DeleteMarkerCreated"},
    "s3:ObjectTagging:*": {"Put", "Delete"},
}
#: every event that may be asked for -> the single events it stands for
_EVENTS = {family: {family[:-1] + name for name in names} for family, names in _FAMILIES.items()}
_EVENTS |= {event: {event} for events in list(_EVENTS.values()) for event in events}
#: events of features that are refused here; a subscription to them would wait for ever
_EVENTS_WITHOUT_FEATURE = (
    "s3:ReducedRedundancyLostObject",
    "s3:ObjectRestore:",
    "s3:Replication:",
    "s3:LifecycleTransition",
    "s3:LifecycleExpiration:",
    "s3:IntelligentTiering",
    "s3:ObjectAcl:",
    "s3:ObjectAnnotation:",
    "s3:ObjectRetention:",
)
_FUNCTION_ARN = re.compile(r"arn:aws[a-z-]*:lambda:([a-z0-9-]+):\d{12}:function:[A-Za-z0-9-_]{1,64}(:[A-Za-z0-9-_$]{1,128})?")
_MAX_CONFIGURATIONS = 100
_MAX_ID_LENGTH = 255


async def put_bucket_notification_configuration(
    state: S3State, context: RequestContext, request: Mapping[str, Any]
) -> Mapping[str, Any]:
    bucket, _ = await own_bucket_and_revision(state, context, request)
    _refuse_event_bridge(request["NotificationConfiguration"])
    listed = request["NotificationConfiguration"].get("LambdaFunctionConfigurations") or []
    notifications = tuple(_notification(state, bucket, configuration) for configuration in listed)
    _check_together(notifications)
    if not request.get("SkipDestinationValidation"):
        await _check_destinations(state, bucket, notifications)
    async with state.locks.writing(bucket.name):
        bucket, revision = await own_bucket_and_revision(state, context, request)
        changed = msgspec.structs.replace(bucket, notifications=notifications)
        await commit(state, records.put_bucket(changed, revision))
    return {}


async def get_bucket_notification_configuration(
    state: S3State, context: RequestContext, request: Mapping[str, Any]
) -> Mapping[str, Any]:
    bucket = await own_bucket(state, context, request)
    if not bucket.notifications:
        return {}
    return {"LambdaFunctionConfigurations": [_shown(notification) for notification in bucket.notifications]}


def _refuse_event_bridge(configuration: Mapping[str, Any]) -> None:
    """It is asked for by an element that is empty, so that it is there is all it says."""
    if "EventBridgeConfiguration" in configuration:
        reason = "events go to Lambda functions only"
        raise s3_error("NotImplemented", f"NotificationConfiguration.EventBridgeConfiguration is not supported: {reason}", 501)


def _notification(state: S3State, bucket: Bucket, configuration: Mapping[str, Any]) -> Notification:
    identifier = configuration.get("Id") or state.ids()
    if len(identifier) > _MAX_ID_LENGTH:
        raise invalid_argument(f"Id must not be longer than {_MAX_ID_LENGTH} characters", "Id", identifier)
    arn = configuration["LambdaFunctionArn"]
    match = _FUNCTION_ARN.fullmatch(arn)
    if match is None:
        raise invalid_argument("The ARN is not well formed", "CloudFunction", arn)
    if match[1] != bucket.region:
        message = "The notification destination service region is not valid for the bucket location constraint"
        raise invalid_argument(message, "CloudFunction", arn)
    rules = ((configuration.get("Filter") or {}).get("Key") or {}).get("FilterRules") or []
    return Notification(identifier, arn, _events(configuration["Events"]), _rules(rules))


def _events(events: Sequence[str]) -> tuple[str, ...]:
    for event in events:
        if event.startswith(_EVENTS_WITHOUT_FEATURE):
            raise s3_error("NotImplemented", f"The feature that {event} tells about is not there, so it never happens.", 501)
        if event not in _EVENTS:
            raise invalid_argument("The event is not supported for notifications", "Event", event)
    if not events:
        raise invalid_argument("The event is not supported for notifications", "Event", "")
    return tuple(events)


def _rules(rules: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    read: dict[str, str] = {}
    for rule in rules:
        name, value = rule.get("Name") or "", rule.get("Value") or ""
        if name.lower() not in ("prefix", "suffix"):
            raise invalid_argument("filter rule name must be either prefix or suffix", "FilterRule.Name", name)
        if name.capitalize() in read:
            raise invalid_argument(f"Cannot specify more than one {name.lower()} rule in a filter.", "FilterRule.Name", name)
        if len(value.encode()) > MAX_KEY_BYTES:
            raise invalid_argument(
                "Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation", "FilterRule.Value", value
            )
        read[name.capitalize()] = value
    return tuple(read.items())


def _check_together(notifications: Sequence[Notification]) -> None:
    if len(notifications) > _MAX_CONFIGURATIONS:
        message = "You are attempting to create a new configuration but have already reached the 100-configuration limit."
        raise s3_error("TooManyConfigurations", message, 400)
    if len({notification.id for notification in notifications}) < len(notifications):
        raise invalid_argument("Same ID used for multiple configurations. IDs must be unique", "Id", "")
    for one, other in combinations(notifications, 2):
        _check_pair(one, other)


def _check_pair(one: Notification, other: Notification) -> None:
    """No object may lead to two notifications of one event."""
    shared = _single_events(one) & _single_events(other)
    if not shared or not _overlap(one, other):
        return
    if not one.rules and not other.rules:
        message = "Configurations overlap. Configurations on the same bucket cannot share a common event type."
    else:
        message = (
            "Configuration is ambiguously defined. "
            "Cannot have overlapping suffixes in two rules if the prefixes are overlapping for the same event type."
        )
    raise invalid_argument(message, "Event", ", ".join([*one.events, *other.events]))


def _single_events(notification: Notification) -> set[str]:
    return set().union(*(_EVENTS[event] for event in notification.events))


def _overlap(one: Notification, other: Notification) -> bool:
    prefixes = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
    return prefixes and (one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix))


async def _check_destinations(state: S3State, bucket: Bucket, notifications: Sequence[Notification]) -> None:
    """S3 refuses a destination that it may not invoke or that is not there, naming each."""
    sender = Sender(SERVICE_PRINCIPAL, bucket.arn, bucket.account_id)
    failures: list[tuple[str, str]] = []
    for arn in dict.fromkeys(notification.function_arn for notification in notifications):
        try:
            await state.delivery.check(arn, sender)
        except ServiceError as error:
            is_missing = error.code == "ResourceNotFoundException"
            failures.append(
                (arn, "The destination Lambda does not exist" if is_missing else f"Not authorized to invoke function [{arn}]")
            )
    if failures:
        members = {}
        for number, (arn, reason) in enumerate(failures, 1):
            members[f"ArgumentName{number}"], members[f"ArgumentValue{number}"] = arn, reason
        raise s3_error("InvalidArgument", "Unable to validate the following destination configurations", 400, **members)


def _shown(notification: Notification) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "Id": notification.id,
        "LambdaFunctionArn": notification.function_arn,
        "Events": list(notification.events),
    }
    if notification.rules:
        shown["Filter"] = {"Key": {"FilterRules": [{"Name": name, "Value": value} for name, value in notification.rules]}}
    return shown
