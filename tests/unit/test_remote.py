"""SQS, SNS and EventBridge at endpoints: real requests over a real socket, signed, and their refusals."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from lambdad.client_settings import AwsCredentials
from lambdad.delivery import Delivery, Envelope, Sender
from lambdad.errors import ServiceError
from lambdad.model.destination import Attribute
from lambdad.remote import RemoteServices
from support.aws_elsewhere import ACCESS_KEY, SECRET, AwsElsewhere, aws_elsewhere

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:q"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:t"
BUS = "arn:aws:events:eu-west-1:123456789012:event-bus/b"
SENDER = Sender("lambda.amazonaws.com", "arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST", "123456789012")
ENVELOPE = Envelope(
    {"RequestID": Attribute("String", "r"), "ErrorCode": Attribute("Number", "200")}, "Result - Failure", (BUS, "f")
)


@pytest.fixture
def elsewhere() -> Iterator[AwsElsewhere]:
    with aws_elsewhere() as server:
        yield server


async def delivery_to(url: str, secret: str = SECRET) -> AsyncIterator[Delivery]:
    delivery = Delivery()
    remote = RemoteServices(dict.fromkeys(("sqs", "sns", "events"), url), AwsCredentials(ACCESS_KEY, secret))
    remote.register_with(delivery)
    yield delivery
    await remote.close()


@pytest.fixture
async def delivery(elsewhere: AwsElsewhere) -> AsyncIterator[Delivery]:
    async for each in delivery_to(elsewhere.url):
        yield each


async def test_sqs(delivery: Delivery, elsewhere: AwsElsewhere) -> None:
    """The payload is the body, letter by letter, with the attributes; the Region and the account are those of the ARN."""
    await delivery.check(QUEUE, SENDER)
    await delivery.accept(QUEUE, SENDER, '{"é" : 1}'.encode(), request_id="i", envelope=ENVELOPE)
    assert {(service, region) for service, region, _, _ in elsewhere.requests} == {("sqs", "eu-west-1")}
    assert elsewhere.sent("GetQueueUrl")[0] == {"QueueName": "q", "QueueOwnerAWSAccountId": "123456789012"}
    (message,) = elsewhere.sent("SendMessage")
    assert message["MessageBody"] == '{"é" : 1}'
    assert message["QueueUrl"].endswith("/123456789012/q")
    assert message["MessageAttributes"] == {
        "RequestID": {"DataType": "String", "StringValue": "r"},
        "ErrorCode": {"DataType": "Number", "StringValue": "200"},
    }


async def test_the_trace_goes_along(delivery: Delivery, elsewhere: AwsElsewhere) -> None:
    """As a header of the request that sends, where there is one, and of no other."""
    for trace in ("Root=1-0-0;Lineage=a87bd80c:1|68fd508a:5", ""):
        for target in (QUEUE, TOPIC, BUS):
            await delivery.accept(target, SENDER, b"{}", request_id="i", envelope=Envelope(trace_header=trace))
        sent = {name: elsewhere.trace_headers[name] for name in ("SendMessage", "Publish", "PutEvents")}
        assert sent == dict.fromkeys(sent, trace or None)
        assert elsewhere.trace_headers["GetQueueUrl"] is None


async def test_sns(delivery: Delivery, elsewhere: AwsElsewhere) -> None:
    """As with SQS, in the query protocol."""
    await delivery.check(TOPIC, SENDER)
    await delivery.accept(TOPIC, SENDER, b'{"a" : 1}', request_id="i", envelope=ENVELOPE)
    (message,) = elsewhere.sent("Publish")
    assert (message["TopicArn"], message["Message"]) == (TOPIC, '{"a" : 1}')
    assert message["MessageAttributes.entry.2.Name"] == "ErrorCode"
    assert message["MessageAttributes.entry.2.Value.DataType"] == "Number"


async def test_event_bridge(delivery: Delivery, elsewhere: AwsElsewhere) -> None:
    """The record is the detail; source, detail type and resources are as AWS's."""
    await delivery.check(BUS, SENDER)
    await delivery.accept(BUS, SENDER, b'{"a":1}', request_id="i", envelope=ENVELOPE)
    assert elsewhere.sent("PutEvents") == [
        {
            "Entries": [
                {
                    "Source": "lambda",
                    "Resources": [BUS, "f"],
                    "DetailType": "Result - Failure",
                    "Detail": '{"a":1}',
                    "EventBusName": BUS,
                }
            ]
        }
    ]


@pytest.mark.parametrize(
    ("target_arn", "asked", "told"),
    [
        (QUEUE, "GetQueueUrl", "SendMessage"),
        (TOPIC, "GetTopicAttributes", "Publish"),
        (BUS, "DescribeEventBus", "PutEvents"),
    ],
)
async def test_refusals(delivery: Delivery, elsewhere: AwsElsewhere, target_arn: str, asked: str, told: str) -> None:
    """What the service elsewhere says is what is said here, and a refused message counts as not taken; each is asked once."""
    elsewhere.refuse[told] = (500, "InternalError")
    with pytest.raises(ServiceError) as caught:
        await delivery.accept(target_arn, SENDER, b"{}", request_id="i")
    assert caught.value.status == 500
    assert len(elsewhere.sent(told)) == 1
    elsewhere.refuse[asked] = (400, "NotThere")
    with pytest.raises(ServiceError, match="There is no such thing") as caught:
        await delivery.check(target_arn, SENDER)
    assert caught.value.code == "NotThere"


async def test_an_entry_that_fails(delivery: Delivery, elsewhere: AwsElsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """EventBridge answers 200 and says in the body that it did not take the event."""
    handler = elsewhere.RequestHandlerClass
    answer = handler._answer
    failed = {"FailedEntryCount": 1, "Entries": [{"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"}]}
    monkeypatch.setattr(handler, "_answer", lambda self, status, content: answer(self, status, failed))
    with pytest.raises(ServiceError, match="slow down"):
        await delivery.accept(BUS, SENDER, b"{}", request_id="i")


async def test_a_wrong_secret(elsewhere: AwsElsewhere) -> None:
    """The server of these tests does look at signatures."""
    async for delivery in delivery_to(elsewhere.url, secret="another"):
        with pytest.raises(ServiceError, match="signature is wrong"):
            await delivery.check(QUEUE, SENDER)
    assert elsewhere.bad_signatures == 1


async def test_nobody_there() -> None:
    """An endpoint at which nothing listens is an error that says so."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    async for delivery in delivery_to(url):
        with pytest.raises(ServiceError, match="Could not connect to the endpoint URL"):
            await delivery.check(QUEUE, SENDER)


async def test_only_those_with_an_endpoint_are_there() -> None:
    """A service without one is not known to delivery."""
    delivery = Delivery()
    remote = RemoteServices({"sns": "http://127.0.0.1:1"}, AwsCredentials())
    remote.register_with(delivery)
    assert [delivery.has(service) for service in ("sqs", "sns", "events")] == [False, True, False]
    await remote.close()
