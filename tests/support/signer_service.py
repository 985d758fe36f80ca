"""Calls the operations of Signer on a store in memory, as the wire does; S3 is a dict."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.request import BodyStream, Principal, RequestContext
from lambdad.services.signer import SERVICE
from lambdad.services.signer.model import PLATFORM
from lambdad.services.signer.records import SignerRecords
from lambdad.services.signer.state import SignerState
from lambdad.services.signer.trust import SignatureTrust
from lambdad.store.memory import MemoryStore

ACCOUNT = "111111111111"
OTHER = "222222222222"
REGION = "us-east-1"
PROFILES = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles"


class Signer:
    def __init__(self, scratch: Path, store: MemoryStore | None = None) -> None:
        self.now = 1_800_000_000.0
        self.store = store or MemoryStore()
        self.scratch = scratch
        self.objects: dict[tuple[str, str], bytes] = {}
        ids = itertools.count(1)

        async def fetch_object(account: str, bucket: str, key: str, version: str | None) -> AsyncIterator[bytes]:
            if (bucket, key) not in self.objects:
                raise ServiceError("NoSuchKey", "The specified key does not exist.", status=404)
            yield self.objects[bucket, key]

        async def store_object(context: RequestContext, bucket: str, key: str, content: BodyStream) -> None:
            if bucket != "b":
                raise ServiceError("NoSuchBucket", "The specified bucket does not exist", status=404)
            self.objects[bucket, key] = b"".join([piece async for piece in content])
            assert len(self.objects[bucket, key]) == content.content_length

        records = SignerRecords(self.store)
        self.trust = SignatureTrust(records)
        self.state = SignerState(
            records,
            fetch_object,
            store_object,
            scratch,
            max_package_bytes=100_000,
            max_unpacked_bytes=1_000_000,
            clock=lambda: self.now,
            new_id=lambda: f"00000000-0000-4000-8000-{next(ids):012d}",
        )

    def restarted(self) -> Signer:
        """A second one over the same store, as after a restart."""
        again = Signer(self.scratch, self.store)
        again.now, again.objects = self.now, self.objects
        return again

    async def call(self, operation: str, /, *, account: str = ACCOUNT, **request: Any) -> Any:
        principal = Principal(account, f"arn:aws:iam::{account}:root")
        context = RequestContext("r", "signer", operation, account, REGION, principal, "127.0.0.1", "http://localhost")
        return await SERVICE.operations[operation](self.state, context, request)

    async def profile(self, name: str = "p", **request: Any) -> str:
        """A new version of a profile: its ARN."""
        made = await self.call("PutSigningProfile", profileName=name, platformId=PLATFORM, **request)
        return str(made["profileVersionArn"])

    async def sign(self, package: bytes, name: str = "p", token: str = "t", **request: Any) -> dict[str, Any]:
        """The job, as it is described."""
        self.objects["b", "source.zip"] = package
        job = await self.call("StartSigningJob", **job_request(name, token), **request)
        described: dict[str, Any] = await self.call("DescribeSigningJob", jobId=job["jobId"])
        return described

    async def refused(self, operation: str, /, **request: Any) -> ServiceError:
        try:
            await self.call(operation, **request)
        except ServiceError as error:
            return error
        raise AssertionError("nothing was refused")


def job_request(name: str = "p", token: str = "t") -> dict[str, Any]:
    return {
        "source": {"s3": {"bucketName": "b", "key": "source.zip", "version": "null"}},
        "destination": {"s3": {"bucketName": "b", "prefix": "signed/"}},
        "profileName": name,
        "clientRequestToken": token,
    }
