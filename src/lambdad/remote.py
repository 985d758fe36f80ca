"""SQS, SNS and EventBridge elsewhere: at the endpoints that the settings name, with requests signed by botocore.

Each call runs in a thread of a small pool of its service, so that an endpoint that does not answer holds up no other.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from lambdad.client_settings import AwsCredentials
from lambdad.delivery import PLAIN, Delivery, Envelope, Receiver, Sender
from lambdad.errors import ServiceError
from lambdad.model.destination import Attribute

if TYPE_CHECKING:
    from botocore.client import BaseClient

_THREADS = 8
_CLIENTS = 32  #: kept at most; a client is of one service in one Region
_CONNECT_SECONDS = 5
_READ_SECONDS = 20


class RemoteServices:
    """Clients of AWS's services at given endpoints."""

    def __init__(self, endpoints: Mapping[str, str], credentials: AwsCredentials) -> None:
        self._endpoints = endpoints
        self._credentials = credentials
        self._threads: defaultdict[str, ThreadPoolExecutor] = defaultdict(lambda: ThreadPoolExecutor(_THREADS, "remote"))
        self._clients: OrderedDict[tuple[str, str], BaseClient] = OrderedDict()
        self._calling = threading.local()  #: what the call of this thread carries besides its parameters
        self._lock = threading.Lock()  #: botocore makes one client at a time

    def register_with(self, delivery: Delivery) -> None:
        """Says where SQS, SNS and EventBridge are, those that have an endpoint."""
        receivers: Mapping[str, Receiver] = {
            "sqs": SqsReceiver(self),
            "sns": SnsReceiver(self),
            "events": EventsReceiver(self),
        }
        for service in self._endpoints:
            delivery.register(service, receivers[service])

    async def call(
        self, service: str, region: str, operation: str, parameters: Mapping[str, Any], *, trace_header: str = ""
    ) -> Mapping[str, Any]:
        """The operation's output. ServiceError when it is refused, or when there is no answer."""
        call = partial(self._call, service, region, operation, parameters, trace_header)
        answer: Mapping[str, Any] = await asyncio.get_running_loop().run_in_executor(self._threads[service], call)
        return answer

    async def close(self) -> None:
        """Calls under way are waited for; each has its timeouts."""
        for threads in self._threads.values():
            await asyncio.to_thread(threads.shutdown, cancel_futures=True)
        for client in self._clients.values():
            client.close()

    def _call(
        self, service: str, region: str, operation: str, parameters: Mapping[str, Any], trace_header: str
    ) -> Mapping[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        self._calling.trace_header = trace_header
        try:
            answer: Mapping[str, Any] = getattr(self._client(service, region), operation)(**parameters)
        except ClientError as error:
            answered, said = error.response["ResponseMetadata"], error.response["Error"]
            raise ServiceError(said["Code"], said.get("Message", ""), status=answered["HTTPStatusCode"]) from error
        except BotoCoreError as error:
            raise ServiceError("ServiceUnavailable", str(error), status=503) from error
        return answer

    def _add_trace_header(self, params: Mapping[str, Any], **_: object) -> None:
        """As the SDKs of functions do it: the services pass it on with the message."""
        if self._calling.trace_header:
            params["headers"]["X-Amzn-Trace-Id"] = self._calling.trace_header

    def _client(self, service: str, region: str) -> BaseClient:
        from botocore.config import Config
        from botocore.session import Session

        with self._lock:
            client = self._clients.get((service, region))
            if client is None:
                client = Session().create_client(
                    service,
                    region_name=region,
                    endpoint_url=self._endpoints[service],
                    aws_access_key_id=self._credentials.access_key_id,
                    aws_secret_access_key=self._credentials.secret_access_key,
                    aws_session_token=self._credentials.session_token,
                    config=Config(
                        connect_timeout=_CONNECT_SECONDS,
                        read_timeout=_READ_SECONDS,
                        retries={"total_max_attempts": 1},  # who delivers tries again
                        max_pool_connections=_THREADS,
                    ),
                )
                client.meta.events.register_first("before-call", self._add_trace_header)
                self._clients[service, region] = client
                while len(self._clients) > _CLIENTS:
                    self._clients.popitem(last=False)
            self._clients.move_to_end((service, region))
            return client


class SqsReceiver:
    def __init__(self, remote: RemoteServices) -> None:
        self._remote = remote

    async def check(self, target_arn: str, sender: Sender) -> None:
        await self._queue_url(target_arn)

    async def accept(
        self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str, envelope: Envelope = PLAIN
    ) -> None:
        message = {
            "QueueUrl": await self._queue_url(target_arn),
            "MessageBody": payload.decode(),
            "MessageAttributes": _attributes(envelope.attributes),
        }
        await self._remote.call("sqs", _region_of(target_arn), "send_message", message, trace_header=envelope.trace_header)

    async def _queue_url(self, target_arn: str) -> str:
        _, _, _, region, account_id, name = target_arn.split(":", 5)
        parameters = {"QueueName": name, "QueueOwnerAWSAccountId": account_id}
        answer = await self._remote.call("sqs", region, "get_queue_url", parameters)
        return str(answer["QueueUrl"])


class SnsReceiver:
    def __init__(self, remote: RemoteServices) -> None:
        self._remote = remote

    async def check(self, target_arn: str, sender: Sender) -> None:
        await self._remote.call("sns", _region_of(target_arn), "get_topic_attributes", {"TopicArn": target_arn})

    async def accept(
        self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str, envelope: Envelope = PLAIN
    ) -> None:
        message = {
            "TopicArn": target_arn,
            "Message": payload.decode(),
            "MessageAttributes": _attributes(envelope.attributes),
        }
        await self._remote.call("sns", _region_of(target_arn), "publish", message, trace_header=envelope.trace_header)


class EventsReceiver:
    def __init__(self, remote: RemoteServices) -> None:
        self._remote = remote

    async def check(self, target_arn: str, sender: Sender) -> None:
        await self._remote.call("events", _region_of(target_arn), "describe_event_bus", {"Name": target_arn})

    async def accept(
        self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str, envelope: Envelope = PLAIN
    ) -> None:
        entry = {
            "Source": "lambda",
            "Resources": list(envelope.resources),
            "DetailType": envelope.detail_type,
            "Detail": payload.decode(),
            "EventBusName": target_arn,
        }
        answer = await self._remote.call(
            "events", _region_of(target_arn), "put_events", {"Entries": [entry]}, trace_header=envelope.trace_header
        )
        if answer.get("FailedEntryCount"):
            failed = answer["Entries"][0]
            raise ServiceError(failed.get("ErrorCode", "InternalFailure"), failed.get("ErrorMessage", ""), status=400)


def _region_of(target_arn: str) -> str:
    return target_arn.split(":", 5)[3]


def _attributes(attributes: Mapping[str, Attribute]) -> dict[str, dict[str, str]]:
    return {name: {"DataType": each.data_type, "StringValue": each.value} for name, each in attributes.items()}
