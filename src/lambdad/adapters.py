"""What stands between parts that do not know each other: each gives one part what it asks for in terms of another.

`app.py` and `assembly/` alone put them in place.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from lambdad.identity import Identities
from lambdad.invocation.environment_variables import FunctionCredentials
from lambdad.model.arn import function_arn
from lambdad.model.quota import Quotas
from lambdad.model.request import Principal
from lambdad.model.version import Version
from lambdad.services.lambda_.code_location import PATH as CODE_PATH
from lambdad.services.lambda_.code_location import CodeLocations
from lambdad.services.lambda_.url_address import owns as is_function_url
from lambdad.services.s3.object_reader import open_object
from lambdad.services.s3.state import S3State
from lambdad.wire.body import BodyLimit, BodyLimits
from lambdad.wire.front import Front
from lambdad.wire.listener import HttpListener, Listening

#: At a time, to the endpoint inside one environment: more than any client's pool, too few to use up the server's descriptors.
_MAX_CONNECTIONS_FROM_INSIDE = 256


def principal_of(identities: Identities, clock: Callable[[], float], access_key_id: str) -> Principal | None:
    """Who has an access key whose time is not over."""
    credential = identities.lookup(access_key_id)
    if credential is None or (credential.expires_at is not None and credential.expires_at <= clock()):
        return None
    return Principal(credential.account_id, credential.principal_arn, access_key_id)


def fetch_from(s3: S3State) -> Callable[[str, str, str, str | None], AsyncIterator[bytes]]:
    async def fetch_object(account_id: str, bucket: str, key: str, version_id: str | None) -> AsyncIterator[bytes]:
        _, content = await open_object(s3, account_id, bucket, key, version_id)
        async for piece in content:
            yield piece

    return fetch_object


def mint_from(identities: Identities) -> Callable[[Version], FunctionCredentials]:
    def mint(version: Version) -> FunctionCredentials:
        arn = function_arn(version.account_id, version.region, version.function_name)
        credential = identities.mint(version.account_id, version.role, version.function_name, arn)
        return FunctionCredentials(credential.access_key_id, credential.secret, credential.session_token or "")

    return mint


class EndpointInside:
    """Serves the AWS endpoint on the sockets inside environments; they may start before the front is built."""

    listener: HttpListener | None = None

    async def serve(self, sock: socket.socket, version: Version) -> Listening:
        assert self.listener is not None  # nothing invokes functions before the front is there
        return await self.listener.listen(sock, max_connections=_MAX_CONNECTIONS_FROM_INSIDE)


def record_limits(limits: Quotas) -> dict[str, int]:
    """Bytes that a target takes of a record; S3 takes any."""
    return dict.fromkeys(("lambda", "sqs"), limits.async_payload_bytes) | dict.fromkeys(("sns", "events"), 256 * 1024)


def body_limits(limits: Quotas) -> BodyLimits:
    """Requests far over a limit are refused while they arrive; what is only slightly over gets the operation's own words."""
    invoke = BodyLimit(limits.sync_payload_bytes + 1024 * 1024, "InvokeFunction", named_size=limits.sync_payload_bytes)
    operations = ("Invoke", "InvokeAsync", "InvokeWithResponseStream")
    return BodyLimits(limits.create_request_bytes, {("lambda", operation): invoke for operation in operations})


def with_code_downloads(front: Front, code_locations: CodeLocations) -> Callable[..., Coroutine[Any, Any, None]]:
    """Code.Location URLs carry a signature of their own and stream, so they go past the front."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith(CODE_PATH) and not _is_function_url(scope):
            await code_locations(scope, receive, send)
        else:
            await front(scope, receive, send)

    return application


def _is_function_url(scope: Any) -> bool:
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    return is_function_url(host.decode("latin-1").lower(), scope["raw_path"].decode("latin-1"))
