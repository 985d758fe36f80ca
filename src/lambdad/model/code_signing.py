"""Code signing configurations: from which signing profiles a function's code and layers may come."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

ENFORCE, WARN = "Enforce", "Warn"

_PROFILE_VERSION = re.compile(r"arn:aws[a-zA-Z-]*:signer:[a-z0-9-]+:\d{12}:/signing-profiles/[a-zA-Z0-9_]+/[a-zA-Z0-9]{10}")


@dataclass(frozen=True, slots=True)
class CodeSigningConfig:
    account_id: str
    region: str
    id: str  #: "csc-" and 17 letters and digits
    publishers: tuple[str, ...]  #: ARNs of versions of signing profiles
    last_modified: float
    policy: str = WARN
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account_id}:code-signing-config:{self.id}"


def is_profile_version(arn: str) -> bool:
    return _PROFILE_VERSION.fullmatch(arn) is not None
