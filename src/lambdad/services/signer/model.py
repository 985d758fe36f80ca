"""Signing profiles and jobs: the nouns, and how long a signature counts."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from lambdad.errors import ServiceError

PLATFORM = "AWSLambda-SHA384-ECDSA"
PLATFORM_NAME = "AWS Lambda"
MAX_MONTHS = 135  #: AWS's longest validity of a signature for Lambda, which is also the usual one

MAX_TAGS = 50

ACTIVE, CANCELED, REVOKED = "Active", "Canceled", "Revoked"
IN_PROGRESS, SUCCEEDED, FAILED = "InProgress", "Succeeded", "Failed"


@dataclass(frozen=True, slots=True)
class Validity:
    """How long signatures count from when they are made."""

    value: int = MAX_MONTHS
    type: str = "MONTHS"

    def end(self, start: float) -> float:
        if self.type == "DAYS":
            return start + timedelta(days=self.value).total_seconds()
        months = self.value * (12 if self.type == "YEARS" else 1)
        begun = datetime.fromtimestamp(start, UTC)
        years, month = divmod(begun.month - 1 + months, 12)
        year = begun.year + years
        day = min(begun.day, calendar.monthrange(year, month + 1)[1])
        return begun.replace(year=year, month=month + 1, day=day).timestamp()


@dataclass(frozen=True, slots=True)
class ProfileRevocation:
    effective_from: float  #: signatures made from then on no longer count
    revoked_at: float
    revoked_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class ProfileVersion:
    version: str  #: ten letters and digits
    validity: Validity
    private_key: bytes
    certificate: bytes
    revocation: ProfileRevocation | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """A name with its versions: each has a key of its own, and the last one signs."""

    account_id: str
    region: str
    name: str
    versions: tuple[ProfileVersion, ...]
    is_canceled: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def current(self) -> ProfileVersion:
        return self.versions[-1]

    @property
    def arn(self) -> str:
        return f"arn:aws:signer:{self.region}:{self.account_id}:/signing-profiles/{self.name}"

    def version_arn(self, version: ProfileVersion) -> str:
        return f"{self.arn}/{version.version}"

    @property
    def status(self) -> str:
        if self.is_canceled:
            return CANCELED
        return REVOKED if self.current.revocation is not None else ACTIVE

    def version(self, number: str) -> ProfileVersion | None:
        return next((version for version in self.versions if version.version == number), None)

    def with_version(self, changed: ProfileVersion) -> Profile:
        kept = [changed if each.version == changed.version else each for each in self.versions]
        return replace(self, versions=tuple(kept) if changed in kept else (*kept, changed))


@dataclass(frozen=True, slots=True)
class SignatureRevocation:
    reason: str
    revoked_at: float
    revoked_by: str


@dataclass(frozen=True, slots=True)
class Job:
    """One package signed, or to be signed."""

    account_id: str
    region: str
    job_id: str
    profile_name: str
    profile_version: str
    source: tuple[str, str, str]  #: bucket, key, version
    destination: tuple[str, str]  #: bucket, key
    created_at: float
    signature_expires_at: float
    requested_by: str
    token: str
    status: str = IN_PROGRESS
    status_reason: str | None = None
    completed_at: float | None = None
    revocation: SignatureRevocation | None = None

    @property
    def arn(self) -> str:
        return job_arn(self.account_id, self.region, self.job_id)


def job_arn(account_id: str, region: str, job_id: str) -> str:
    return f"arn:aws:signer:{region}:{account_id}:/signing-jobs/{job_id}"


def validation_error(message: str) -> ServiceError:
    return ServiceError("ValidationException", message)


def not_found(message: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", message)
