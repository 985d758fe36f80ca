"""Carrying events to functions."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from lambdad.errors import ServiceError
from lambdad.services.s3 import records
from lambdad.services.s3.notifier import Notifier

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:resize"


@pytest.fixture
async def notifying(s3: Any) -> AsyncIterator[Any]:
    configuration = {"Id": "id", "LambdaFunctionArn": FUNCTION, "Events": ["s3:ObjectCreated:*"]}
    await s3(
        "PutBucketNotificationConfiguration",
        Bucket="bucket",
        NotificationConfiguration={"LambdaFunctionConfigurations": [configuration]},
    )
    notifier = Notifier(s3.state)
    await notifier.start()
    yield s3
    await notifier.stop()


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def emptied(s3: Any) -> None:
    async with asyncio.timeout(60):
        while await s3.store.count(records.NOTIFICATIONS):
            await asyncio.sleep(0.001)


async def test_an_event_reaches_the_function_once(notifying: Any) -> None:
    """Each put is accepted by the function's service, in the bucket's name, and then leaves the queue."""
    for number in range(50):
        await notifying.put(f"k{number}")
    await emptied(notifying)
    taken = notifying.receiver.taken
    keys = sorted(json.loads(payload)["Records"][0]["s3"]["object"]["key"] for _, _, payload, _ in taken)
    assert keys == sorted(f"k{number}" for number in range(50))
    arn, sender, _, _ = taken[0]
    assert (arn, sender.service_principal, sender.source_arn) == (FUNCTION, "s3.amazonaws.com", "arn:aws:s3:::bucket")
    assert len({request_id for *_, request_id in taken}) == 50


async def test_the_trace_of_the_request_goes_along(notifying: Any) -> None:
    """With its lineage as SDKs quote it, whatever was done to the object; what is no trace header does not."""
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=a87bd80c:1|68fd508a:5"
    await notifying.put("k", headers={"x-amzn-trace-id": trace.replace("|", "%7C")})
    copy = {"Bucket": "bucket", "Key": "copy", "CopySource": "bucket/k"}
    await notifying("CopyObject", **copy, headers={"x-amzn-trace-id": trace})
    await notifying.put("other", headers={"x-amzn-trace-id": "Lineage=" + "x" * 100_000})
    await emptied(notifying)
    assert sorted(notifying.receiver.trace_headers) == ["", trace, trace]


@pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
async def test_events_that_nobody_may_take_are_dropped(notifying: Any, code: str, caplog: Any) -> None:
    """When the permission or the function has gone the event ends with a line in the log."""
    notifying.receiver.error = ServiceError(code, "gone")
    with caplog.at_level(logging.WARNING):
        await notifying.put("k")
        await emptied(notifying)
    assert "dropped" in caplog.text


@pytest.mark.parametrize("error", [ServiceError("ServiceException", "busy"), RuntimeError("broken")])
async def test_other_failures_are_tried_again_with_the_same_id(notifying: Any, error: Exception, caplog: Any) -> None:
    """Trouble puts the event back, later and later, and it arrives with the id that it had."""
    notifying.receiver.error = error
    await notifying.put("k")
    await until(lambda: "will be tried again" in caplog.text)
    assert await notifying.store.count(records.NOTIFICATIONS) == 1
    notifying.receiver.error = None
    notifying.clock.now += 2
    await notifying.put("other")  # wakes the notifier, whose clock has been set forward
    await until(lambda: len(notifying.receiver.taken) == 2)
    await emptied(notifying)


async def test_an_event_outlives_its_notifier(s3: Any) -> None:
    """Events committed while no notifier runs are carried by the next one."""
    configuration = {"LambdaFunctionArn": FUNCTION, "Events": ["s3:ObjectCreated:Put"]}
    await s3(
        "PutBucketNotificationConfiguration",
        Bucket="bucket",
        NotificationConfiguration={"LambdaFunctionConfigurations": [configuration]},
    )
    await s3.put("k")
    assert await s3.store.count(records.NOTIFICATIONS) == 1
    notifier = Notifier(s3.state)
    await notifier.start()
    await emptied(s3)
    await notifier.stop()
    await notifier.stop()
    assert len(s3.receiver.taken) == 1


async def test_without_notifications_there_is_no_queue_work(s3: Any) -> None:
    """A bucket that tells nobody sends nothing."""
    await s3.put("k")
    assert await s3.store.count(records.NOTIFICATIONS) == 0
