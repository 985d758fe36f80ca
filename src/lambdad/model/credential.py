"""An access key and who it stands for."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Credential:
    """What a signature is checked against. The secret is kept out of every printed form."""

    access_key_id: str
    secret: str = field(repr=False)
    account_id: str
    principal_arn: str
    session_token: str | None = field(default=None, repr=False)  #: set for temporary credentials, which must send it
