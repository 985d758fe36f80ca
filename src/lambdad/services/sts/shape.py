"""How STS shows credentials."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lambdad.identity import IssuedSession


def credentials_shape(issued: IssuedSession) -> dict[str, Any]:
    return {
        "AccessKeyId": issued.access_key_id,
        "SecretAccessKey": issued.secret,
        "SessionToken": issued.session_token,
        "Expiration": datetime.fromtimestamp(int(issued.expires_at), UTC),
    }
