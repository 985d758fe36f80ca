"""What the signature in a package says, and what makes of a package one that a code signing configuration trusts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class CodeSignature:
    """A signature as it was found in a package. It says nothing of itself that can be believed while it has a `problem`."""

    profile_version_arn: str = ""
    job_arn: str = ""
    signed_at: float = 0.0
    expires_at: float = 0.0
    certificate_digest: str = ""  #: hex SHA-256 of the signer's certificate
    problem: str | None = None  #: why it is no signature of this package
    is_vouched_for: bool = False  #: its certificate was the profile's when the package came

    @property
    def is_intact(self) -> bool:
        return self.problem is None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the keeper of the signing profiles knows of a signature."""

    is_known: bool  #: there is a profile of that version
    is_genuine: bool = False  #: the certificate is that profile's
    is_revoked: bool = False  #: the signature by itself, or all that the profile signed at that time


class Verdict(Enum):
    """What comes of the checks of a deployment."""

    TRUSTED = "trusted"
    BROKEN = "broken"  #: fails the integrity check: refused whatever the policy
    UNTRUSTED = "untrusted"  #: refused where the policy is to enforce


def judge(
    signature: CodeSignature | None, standing: Standing | None, allowed: Collection[str], now: float
) -> tuple[Verdict, str]:
    """The verdict with its reason. An intact signature has a standing. `allowed` are ARNs of versions of signing profiles."""
    if signature is None:
        return Verdict.UNTRUSTED, "it is not signed"
    if signature.problem is not None:
        return Verdict.BROKEN, signature.problem
    assert standing is not None
    if standing.is_known and not standing.is_genuine:
        return Verdict.BROKEN, f"it was not signed with the certificate of {signature.profile_version_arn}"
    if signature.profile_version_arn not in allowed:
        return Verdict.UNTRUSTED, f"its signing profile is not an allowed publisher: {signature.profile_version_arn}"
    if not standing.is_known:
        return Verdict.UNTRUSTED, f"its signing profile is not known here: {signature.profile_version_arn}"
    if standing.is_revoked:
        return Verdict.UNTRUSTED, "its signature is revoked"
    if now >= signature.expires_at:
        return Verdict.UNTRUSTED, "its signature has expired"
    return Verdict.TRUSTED, ""
