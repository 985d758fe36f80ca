"""The events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lambdad.model.request import Principal
from lambdad.services.s3 import records
from lambdad.services.s3.events import customer_id, principal_id

FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:resize"
SHARED = Path(__file__).parents[5] / "shared"


async def configure(s3: Any, *events: str, **rules: str) -> None:
    listed = [{"Name": name, "Value": value} for name, value in rules.items()]
    configuration = {"Id": "id", "LambdaFunctionArn": FUNCTION, "Events": list(events)}
    configuration["Filter"] = {"Key": {"FilterRules": listed}}
    await s3(
        "PutBucketNotificationConfiguration",
        Bucket="bucket",
        NotificationConfiguration={"LambdaFunctionConfigurations": [configuration]},
    )


async def sent(s3: Any) -> list[dict[str, Any]]:
    """The records of the events that wait in the queue, which is emptied."""
    messages = await s3.store.receive(records.NOTIFICATIONS, limit=1000, lease_seconds=60)
    await s3.store.delete(records.NOTIFICATIONS, [message.receipt for message in messages])
    events = [json.loads(bytes(records.decode_event(message.body).payload)) for message in messages]
    assert all(list(event) == ["Records"] and len(event["Records"]) == 1 for event in events)
    return [event["Records"][0] for event in events]


def shape(value: Any) -> Any:
    """The keys in their order, and the kinds of values."""
    if isinstance(value, dict):
        return [(key, shape(entry)) for key, entry in value.items()]
    return [shape(entry) for entry in value] if isinstance(value, list) else type(value).__name__


async def test_the_event_of_a_put(s3: Any) -> None:
    """The event tells what was put where, by whom, in the words and the order of AWS's."""
    await configure(s3, "s3:ObjectCreated:*")
    await s3.put("a b/ü+1", b"hello")
    (record,) = await sent(s3)
    assert record == {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2023-11-14T22:13:20.250Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": customer_id("123456789012")},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "0F1E2D3C4B5A6978", "x-amz-id-2": "lambdad/0F1E2D3C4B5A6978="},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "id",
            "bucket": {
                "name": "bucket",
                "ownerIdentity": {"principalId": customer_id("123456789012")},
                "arn": "arn:aws:s3:::bucket",
            },
            "object": {
                "key": "a+b/%C3%BC%2B1",
                "size": 5,
                "eTag": "5d41402abc4b2a76b9719d911017c592",
                "sequencer": record["s3"]["object"]["sequencer"],
            },
        },
    }


@pytest.mark.parametrize("sample", ["seed/event.json", "spec/events/s3-put-powertools.json"])
async def test_the_event_has_the_form_of_real_ones(s3: Any, sample: str) -> None:
    """Keys, their order and the kinds of values are those of events that AWS sent."""
    if not (SHARED / sample).exists():
        pytest.skip("the samples are not there")
    await configure(s3, "s3:ObjectCreated:Put")
    await s3.put("k")
    assert shape({"Records": await sent(s3)}) == shape(json.loads((SHARED / sample).read_text()))


async def test_each_happening_has_its_name(s3: Any) -> None:
    """Put, copy, completion, deletion and tagging are told apart; a deletion tells neither size nor ETag."""
    await configure(s3, "s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*")
    await s3.put("k")
    await s3("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/k")
    upload_id, parts = await s3.upload("parts", b"content")
    await s3.complete("parts", upload_id, parts)
    await s3("PutObjectTagging", Bucket="bucket", Key="k", Tagging={"TagSet": []})
    await s3("DeleteObjectTagging", Bucket="bucket", Key="k")
    await s3("DeleteObject", Bucket="bucket", Key="k")
    await s3("DeleteObjects", Bucket="bucket", Delete={"Objects": [{"Key": "copy"}, {"Key": "unknown"}]})
    seen = await sent(s3)
    assert [(record["eventName"], record["s3"]["object"]["key"]) for record in seen] == [
        ("ObjectCreated:Put", "k"),
        ("ObjectCreated:Copy", "copy"),
        ("ObjectCreated:CompleteMultipartUpload", "parts"),
        ("ObjectTagging:Put", "k"),
        ("ObjectTagging:Delete", "k"),
        ("ObjectRemoved:Delete", "k"),
        ("ObjectRemoved:Delete", "copy"),
    ]
    assert list(seen[-1]["s3"]["object"]) == ["key", "sequencer"]


@pytest.mark.parametrize(
    ("events", "rules", "keys"),
    [
        (["s3:ObjectCreated:Put"], {}, ["in/a.xls", "in/a.csv", "out/a.xls"]),
        (["s3:ObjectCreated:*"], {"prefix": "in/"}, ["in/a.xls", "in/a.csv"]),
        (["s3:ObjectCreated:*"], {"prefix": "in/", "suffix": ".xls"}, ["in/a.xls"]),
        (["s3:ObjectCreated:Copy"], {}, []),
        (["s3:ObjectRemoved:*"], {}, []),
    ],
)
async def test_filters_choose_the_objects(s3: Any, events: list[str], rules: dict[str, str], keys: list[str]) -> None:
    """Only the events, prefixes and suffixes of the configuration are told."""
    await configure(s3, *events, **rules)
    for key in ("in/a.xls", "in/a.csv", "out/a.xls"):
        await s3.put(key)
    assert [record["s3"]["object"]["key"] for record in await sent(s3)] == keys


async def test_what_failed_is_not_told(s3: Any, refused: Any) -> None:
    """A put that was refused, and a deletion of nothing, make no event."""
    await configure(s3, "s3:ObjectCreated:*", "s3:ObjectRemoved:*")
    with refused("BadDigest"):
        await s3.put("k", ChecksumCRC32="AAAAAA==")
    await s3("DeleteObject", Bucket="bucket", Key="k")
    assert await sent(s3) == []


async def test_sequencers_rise(s3: Any) -> None:
    """Whatever happens to a key, later events have greater sequencers, also when the clock stands or goes back."""
    await configure(s3, "s3:ObjectCreated:*", "s3:ObjectRemoved:*")
    for step in range(5):
        await s3.put("k", b"%d" % step)
        await s3("DeleteObject", Bucket="bucket", Key="k")
        s3.clock.now -= 100
    sequencers = [record["s3"]["object"]["sequencer"] for record in await sent(s3)]
    assert len(sequencers) == 10
    assert all(len(sequencer) == 18 and int(sequencer, 16) for sequencer in sequencers)
    assert sorted(set(sequencers)) == sequencers


@pytest.mark.parametrize(
    ("arn", "start", "end"),
    [
        ("arn:aws:iam::123456789012:root", "A", ""),
        ("arn:aws:iam::123456789012:user/path/ann", "AWS:AIDA", ""),
        ("arn:aws:sts::123456789012:assumed-role/role/session", "AWS:AROA", ":session"),
    ],
)
def test_who_did_it(arn: str, start: str, end: str) -> None:
    """Root, users and role sessions are named as IAM's unique ids name them, always the same."""
    found = principal_id(Principal("123456789012", arn))
    assert found.startswith(start)
    assert found.endswith(end)
    assert found == principal_id(Principal("123456789012", arn, "AKIA"))
