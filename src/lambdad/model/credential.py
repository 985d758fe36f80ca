"""An access key and who it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Session:
    """What was settled when temporary credentials were given."""

    issued_at: float  #: seconds since the epoch
    role_arn: str | None = None  #: None: the session is the user's or the root's own
    owner_id: str | None = None  #: unique id of the role or user: one that comes later under the same name is another
    name: str = ""
    policies: tuple[str, ...] | None = None  #: documents that narrow the session; None: it may do what the role may
    tags: Mapping[str, str] = field(default_factory=dict)
    transitive_tag_keys: tuple[str, ...] = ()  #: of the tags that go along when a role is assumed with the session
    source_identity: str | None = None
    external_id: str | None = None
    function_arn: str | None = None  #: of the function whose execution environment has it


@dataclass(frozen=True, slots=True)
class Credential:
    """What a signature is checked against. The secret is kept out of every printed form."""

    access_key_id: str
    secret: str = field(repr=False)
    account_id: str
    principal_arn: str
    session_token: str | None = field(default=None, repr=False)  #: set for temporary credentials, which must send it
    user_name: str | None = None  #: of an IAM user; root and sessions of roles have none
    expires_at: float | None = None  #: of temporary credentials, save a function's, which live as its environment does
    session: Session | None = None  #: of temporary credentials
