"""A front over small services of real names, behind a real uvicorn on a free port, and botocore clients for it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from botocore.config import Config

from lambdad.errors import ServiceError
from lambdad.model.credential import Credential
from lambdad.model.request import RequestContext, Response
from lambdad.model.service import BoundService, Service
from lambdad.wire.front import Front
from lambdad.wire.spec import ServiceSpec
from support import clients

KEY = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
CREDENTIAL = Credential(KEY, SECRET, "111122223333", "arn:aws:iam::111122223333:user/alice")
TEMPORARY = Credential("ASIATEMPORARY", "temporary-secret", "111122223333", "arn:aws:sts::111122223333:role/r", "the-token")
KEYS = {credential.access_key_id: credential for credential in (CREDENTIAL, TEMPORARY)}


class Recorder:
    """The state of the small services: what was asked of them and what they are to answer."""

    def __init__(self) -> None:
        self.calls: list[tuple[RequestContext, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        self.objects: dict[str, dict[str, Any]] = {}

    async def record(self, context: RequestContext, request: Mapping[str, Any]) -> Any:
        self.calls.append((context, dict(request)))
        answer = self.answers.get(context.operation, {})
        if isinstance(answer, Exception):
            raise answer
        return await answer(context, request) if callable(answer) else answer


async def recorded(state: Recorder, context: RequestContext, request: Mapping[str, Any]) -> Any:
    return await state.record(context, request)


async def put_object(state: Recorder, context: RequestContext, request: Mapping[str, Any]) -> Any:
    body = request["Body"]
    sizes, digest, content = [], hashlib.md5(), bytearray()
    async for piece in body:
        sizes.append(len(piece))
        digest.update(piece)
        content += piece if len(content) < 1 << 20 else b""
    stored = {**request, "Body": bytes(content), "Size": sum(sizes), "Trailers": dict(body.trailers)}
    stored["Largest"] = max(sizes, default=0)
    stored["ContentLength"] = body.content_length
    state.objects[f"{request['Bucket']}/{request['Key']}"] = stored
    state.calls.append((context, stored))
    return {"ETag": f'"{digest.hexdigest()}"'}


async def get_object(state: Recorder, context: RequestContext, request: Mapping[str, Any]) -> Any:
    stored = state.objects.get(f"{request['Bucket']}/{request['Key']}")
    if stored is None:
        raise ServiceError("NoSuchKey", "The specified key does not exist.", members={"Key": request["Key"]})

    async def pieces() -> AsyncIterator[bytes]:
        yield stored["Body"][:1]
        yield stored["Body"][1:]

    return {"Body": pieces(), "ContentLength": len(stored["Body"]), "Metadata": stored.get("Metadata", {})}


async def invoke(state: Recorder, context: RequestContext, request: Mapping[str, Any]) -> Any:
    if "Invoke" in state.answers:
        return await state.record(context, request)
    state.calls.append((context, dict(request)))
    output = {"StatusCode": 200, "Payload": request["Payload"], "ExecutedVersion": "$LATEST"}
    return Response(output, headers={"Content-Type": "application/json"})


def service(name: str, special: Mapping[str, Any], **others: Any) -> Service:
    names = ServiceSpec(name).operation_names
    not_yet = {"ListEventSourceMappings": "it comes later"} if name == "lambda" else {}
    operations = {each: special.get(each, recorded) for each in names if each not in not_yet}
    return Service(name=name, operations=operations, not_yet=not_yet, **others)


SERVICES = (
    service(
        "lambda",
        {"Invoke": invoke},
        refused={"CreateFunction": {"VpcConfig": "functions have no VPC here", "Code.ImageUri": "no images"}},
        refusal_code="InvalidParameterValueException",
        refusal_status=400,
    ),
    service("s3", {"PutObject": put_object, "UploadPart": put_object, "GetObject": get_object}),
    service("logs", {}),
    service("sts", {}),
    service("sqs", {}),
)


def front_over(state: Recorder, *, auth_required: bool = False, **others: Any) -> Front:
    bound = [BoundService(each, state) for each in SERVICES]
    return Front(bound, lookup=KEYS.get, auth_required=auth_required, **others)


@asynccontextmanager
async def serving(front: Front) -> AsyncIterator[int]:
    """The port on which the front is served."""
    config = uvicorn.Config(front, port=0, log_level="error", lifespan="off", server_header=False, date_header=False)
    server = uvicorn.Server(config)
    sock = config.bind_socket()
    sock.listen()  # a client that is quicker than the server waits in the backlog
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield sock.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        sock.close()


def client_for(name: str, port: int, credential: Credential = CREDENTIAL, **config: Any) -> Any:
    options = {"retries": {"max_attempts": 0}, "parameter_validation": False, "read_timeout": 60, **config}
    return clients.client(
        name,
        region_name="eu-west-1",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=credential.access_key_id,
        aws_secret_access_key=credential.secret,
        aws_session_token=credential.session_token,
        config=Config(**options),
    )


async def call(function: Callable[..., Any], **parameters: Any) -> Any:
    return await asyncio.to_thread(lambda: function(**parameters))
