"""S3 over a memory store and real blob files, called as the wire calls it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lambdad.delivery import PLAIN, Delivery, Envelope, Sender
from lambdad.errors import ServiceError
from lambdad.model.request import Principal, RequestContext, Response
from lambdad.services.s3 import SERVICE
from lambdad.services.s3.state import S3State
from lambdad.store.base import REFERENCES
from lambdad.store.files import FileBlobs
from lambdad.store.memory import MemoryStore

ACCOUNT = "123456789012"
FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:resize"


class Clock:
    def __init__(self, now: float = 1_700_000_000.25) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Body:
    """A body stream of the given pieces, as the wire hands it to an operation."""

    def __init__(self, *pieces: bytes, length: int | None = -1, trailers: Mapping[str, str] | None = None) -> None:
        self.pieces = pieces
        self.content_length = sum(map(len, pieces)) if length == -1 else length
        self.trailers: Mapping[str, str] = trailers or {}
        self.error: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece
        if self.error:
            raise self.error

    async def read(self, limit: int) -> bytes:
        return b"".join(self.pieces)


class Receiver:
    """A Lambda service that takes events, or refuses them with `error`."""

    def __init__(self) -> None:
        self.checked: list[tuple[str, Sender]] = []
        self.taken: list[tuple[str, Sender, bytes, str]] = []
        self.trace_headers: list[str] = []
        self.error: Exception | None = None

    async def check(self, target_arn: str, sender: Sender) -> None:
        self.checked.append((target_arn, sender))
        if self.error:
            raise self.error

    async def accept(
        self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str, envelope: Envelope = PLAIN
    ) -> None:
        if self.error:
            raise self.error
        self.taken.append((target_arn, sender, payload, request_id))
        self.trace_headers.append(envelope.trace_header)


class S3:
    """`await s3("PutObject", Bucket=..., Key=..., Body=b"...")`; `status` and `headers` are of the last Response."""

    def __init__(self, state: S3State, store: MemoryStore, blob_folder: Path, clock: Clock, receiver: Receiver) -> None:
        self.state = state
        self.store = store
        self.blob_folder = blob_folder
        self.clock = clock
        self.receiver = receiver
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}

    async def __call__(
        self,
        operation: str,
        *,
        account_id: str = ACCOUNT,
        region: str = "us-east-1",
        headers: Mapping[str, str] | None = None,
        principal: str | None = None,
        **request: Any,
    ) -> dict[str, Any]:
        context = RequestContext(
            request_id="0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
            service="s3",
            operation=operation,
            account_id=account_id,
            region=region,
            principal=Principal(account_id, principal or f"arn:aws:iam::{account_id}:root"),
            source_ip="127.0.0.1",
            endpoint="http://127.0.0.1:4566",
            headers=headers or {},
        )
        if isinstance(request.get("Body"), bytes):
            request["Body"] = Body(request["Body"])
        output = await SERVICE.operations[operation](self.state, context, request)
        self.status, self.headers = None, {}
        if isinstance(output, Response):
            self.status, self.headers, output = output.status, output.headers, output.output
        return dict(output)

    async def put(self, key: str, body: bytes = b"content", **request: Any) -> dict[str, Any]:
        return await self("PutObject", Bucket="bucket", Key=key, Body=body, **request)

    async def get(self, key: str, **request: Any) -> tuple[dict[str, Any], bytes]:
        answer = await self("GetObject", Bucket="bucket", Key=key, **request)
        return answer, await drain(answer["Body"])

    async def upload(self, key: str, *parts: bytes, **request: Any) -> tuple[str, list[dict[str, Any]]]:
        """A multipart upload with these parts, to be completed: its id and the list for the completion."""
        upload_id = (await self("CreateMultipartUpload", Bucket="bucket", Key=key, **request))["UploadId"]
        listed = []
        for number, part in enumerate(parts, 1):
            answer = await self("UploadPart", Bucket="bucket", Key=key, UploadId=upload_id, PartNumber=number, Body=part)
            listed.append({**answer, "PartNumber": number})
        return upload_id, listed

    async def complete(self, key: str, upload_id: str, parts: list[dict[str, Any]], **request: Any) -> dict[str, Any]:
        return await self(
            "CompleteMultipartUpload",
            Bucket="bucket",
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": parts},
            **request,
        )

    def blobs(self) -> set[str]:
        """The digests that lie in the folder, finished or not."""
        return {path.name for path in self.blob_folder.rglob("*") if path.is_file()}

    async def references(self) -> set[str]:
        return {record.key.partition("/")[0] for record in await self.store.list(REFERENCES, limit=100_000)}


async def drain(body: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in body])


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3]:
    """S3 with one bucket, "bucket"."""
    clock, receiver, delivery = Clock(), Receiver(), Delivery()
    delivery.register("lambda", receiver)
    store = MemoryStore(clock=clock)
    blobs = FileBlobs(tmp_path / "blobs", store)
    await blobs.open()
    numbers = itertools.count(1)
    state = S3State(store, blobs, store, delivery, clock=clock, ids=lambda: f"id{next(numbers):08d}")
    caller = S3(state, store, tmp_path / "blobs", clock, receiver)
    await caller("CreateBucket", Bucket="bucket")
    yield caller
    await blobs.close()


@pytest.fixture
def body() -> type[Body]:
    return Body


class _Raises:
    """`with refused("NoSuchKey", 404) as error:` expects that ServiceError."""

    def __init__(self, code: str, status: int | None = None) -> None:
        self.code, self.status = code, status
        self.value: ServiceError

    def __enter__(self) -> _Raises:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        assert isinstance(error, ServiceError), f"expected {self.code}, got {error!r}"
        assert error.code == self.code, error
        assert self.status in (None, error.status), error.status
        self.value = error
        return True


@pytest.fixture
def refused() -> type[_Raises]:
    return _Raises
