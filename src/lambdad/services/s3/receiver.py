"""Objects that other services put into buckets in the name of a function's role: records of failed events."""

from __future__ import annotations

from lambdad.delivery import PLAIN, Envelope, Sender
from lambdad.model.request import Principal, RequestContext
from lambdad.services.s3.access import bucket_of_account
from lambdad.services.s3.errors import invalid_argument
from lambdad.services.s3.object_write import put_object
from lambdad.services.s3.state import S3State

_PREFIX = "arn:aws:s3:::"


class S3Receiver:
    """`delivery.Receiver` for ARNs of buckets, to be checked, and of objects, to be made."""

    def __init__(self, state: S3State) -> None:
        self._state = state

    async def check(self, target_arn: str, sender: Sender) -> None:
        bucket, _ = _bucket_and_key(target_arn)
        await bucket_of_account(self._state, sender.source_account, bucket)

    async def accept(
        self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str, envelope: Envelope = PLAIN
    ) -> None:
        bucket, key = _bucket_and_key(target_arn)
        role = (sender.role_arn or "").rpartition("/")[2] or "lambdad"
        function_name = sender.source_arn.split(":")[6]
        session = f"arn:aws:sts::{sender.source_account}:assumed-role/{role}/{function_name}"
        context = RequestContext(
            request_id=request_id,
            service="s3",
            operation="PutObject",
            account_id=sender.source_account,
            region=sender.source_arn.split(":")[3],
            principal=Principal(sender.source_account, session),
            source_ip=sender.service_principal,
            endpoint="",
            headers={"x-amzn-trace-id": envelope.trace_header},
        )
        await put_object(
            self._state, context, {"Bucket": bucket, "Key": key, "Body": payload, "ContentType": "application/json"}
        )


def _bucket_and_key(target_arn: str) -> tuple[str, str]:
    if not target_arn.startswith(_PREFIX):
        raise invalid_argument("The ARN is not well formed", "Destination", target_arn)
    bucket, _, key = target_arn.removeprefix(_PREFIX).partition("/")
    return bucket, key
