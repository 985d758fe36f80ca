"""Objects that other services put into buckets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lambdad.delivery import Envelope, Sender
from lambdad.errors import ServiceError
from lambdad.services.s3.receiver import S3Receiver

ACCOUNT = "123456789012"
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Lineage=a87bd80c:3"


def sender_of(account_id: str) -> Sender:
    return Sender(
        "lambda.amazonaws.com",
        f"arn:aws:lambda:us-east-1:{account_id}:function:f:live",
        account_id,
        f"arn:aws:iam::{account_id}:role/service-role/r",
    )


async def test_an_object_is_made(s3: Any) -> None:
    """The payload becomes the object, durably, once whatever the number of tries, and the bucket's functions hear of it."""
    sender = sender_of(ACCOUNT)
    await s3(
        "PutBucketNotificationConfiguration",
        Bucket="bucket",
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [
                {"LambdaFunctionArn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:g", "Events": ["s3:ObjectCreated:*"]}
            ]
        },
    )
    receiver = S3Receiver(s3.state)
    await receiver.check("arn:aws:s3:::bucket", sender)
    for _ in range(2):
        await receiver.accept(
            "arn:aws:s3:::bucket/aws/lambda/a b.json",
            sender,
            b'{"a": 1}',
            request_id="id",
            envelope=Envelope(trace_header=TRACE),
        )
    answer, body = await s3.get("aws/lambda/a b.json")
    assert (body, answer["ContentType"]) == (b'{"a": 1}', "application/json")
    assert len((await s3("ListObjectsV2", Bucket="bucket"))["Contents"]) == 1
    [message, *_] = await s3.store.receive("s3-notifications", limit=10, lease_seconds=1)
    record = json.loads(message.body)["payload"]["Records"][0]
    assert json.loads(message.body)["trace_header"] == TRACE
    assert record["eventName"] == "ObjectCreated:Put"
    assert record["userIdentity"]["principalId"].endswith(":f")
    assert record["requestParameters"]["sourceIPAddress"] == "lambda.amazonaws.com"


@pytest.mark.parametrize(
    ("target_arn", "account_id", "code"),
    [
        ("arn:aws:s3:::none", ACCOUNT, "NoSuchBucket"),
        ("arn:aws:s3:::bucket", "999999999999", "AccessDenied"),
        ("arn:aws:sqs:us-east-1:1:q", ACCOUNT, "InvalidArgument"),
    ],
)
async def test_refusals(s3: Any, target_arn: str, account_id: str, code: str) -> None:
    """The bucket must be there, and be of the sender's account."""
    receiver = S3Receiver(s3.state)
    sender = sender_of(account_id)
    for call in (receiver.check(target_arn, sender), receiver.accept(f"{target_arn}/k", sender, b"", request_id="id")):
        with pytest.raises(ServiceError) as caught:
            await call
        assert caught.value.code == code
