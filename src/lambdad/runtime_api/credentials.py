"""Credentials by HTTP, as functions with SnapStart get them: a snapshot must not hold any, but for the token to ask with."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from lambdad.runtime_api import answers

PATH = b"/2021-04-23/credentials"
HEADER = b"authorization"
_VALID_SECONDS = 6 * 3600.0  #: said at each answer: they are valid as long as the environment is, and SDKs ask again
_UNKNOWN = answers.text(404, "cannot find credentials for the provided token")


@dataclass(frozen=True, slots=True)
class ContainerCredentials:
    """Those of one environment, for whoever has the token."""

    token: str
    access_key_id: str
    secret_access_key: str
    session_token: str
    clock: Callable[[], float]

    def answer(self, token: bytes) -> bytes:
        if not hmac.compare_digest(token, self.token.encode()):
            return _UNKNOWN
        document = {
            "AccessKeyId": self.access_key_id,
            "SecretAccessKey": self.secret_access_key,
            "Token": self.session_token,
            "Expiration": datetime.fromtimestamp(self.clock() + _VALID_SECONDS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return answers.ok(json.dumps(document).encode(), "application/json")
