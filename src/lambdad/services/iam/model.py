"""The nouns of IAM, and the rules that look at one of them alone. Names are unique whatever their case."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.policy_document import Kind, MalformedPolicy, PolicyDocument, read_policy

_ID_ALPHABET = string.ascii_uppercase + string.digits
_NAME = re.compile(r"[\w+=,.@-]+", re.ASCII)
_PATH = re.compile(r"/|/[\x21-\x7e]+/")
TAG_LIMIT = 50
VERSION_LIMIT = 5
ATTACHED_LIMIT = 10


class _Entity(msgspec.Struct, frozen=True, kw_only=True):
    account_id: str
    name: str
    path: str
    unique_id: str
    created_at: float
    tags: dict[str, str] = {}
    inline: dict[str, str] = {}  #: name -> policy, as it was given
    attached: tuple[str, ...] = ()  #: ARNs of managed policies
    boundary: str | None = None  #: ARN of a managed policy

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:{KINDS[type(self)].word}{self.path}{self.name}"


class User(_Entity, frozen=True, kw_only=True):
    groups: tuple[str, ...] = ()  #: by their names in lower case


class Group(_Entity, frozen=True, kw_only=True):
    pass


class Role(_Entity, frozen=True, kw_only=True):
    trust: str
    description: str | None = None
    max_session_seconds: int = 3600


class PolicyVersion(msgspec.Struct, frozen=True):
    document: str
    created_at: float


class ManagedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    account_id: str  #: "aws" of AWS's own
    name: str
    path: str
    unique_id: str
    created_at: float
    updated_at: float
    versions: dict[str, PolicyVersion]  #: "v1"
    default: str = "v1"
    latest: int = 1  #: number of the newest version; numbers are not given again
    description: str | None = None
    tags: dict[str, str] = {}

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:policy{self.path}{self.name}"

    @property
    def document(self) -> str:
        return self.versions[self.default].document


Holder: TypeAlias = User | Group | Role  #: of policies


@dataclass(frozen=True, slots=True)
class HolderKind:
    """What differs between users, groups and roles."""

    word: str  #: "user", in ARNs and messages
    member: str  #: of requests: "UserName"
    prefix: str  #: of unique ids
    policy_bytes: int  #: of all inline policies together


KINDS: Mapping[type[Any], HolderKind] = {
    User: HolderKind("user", "UserName", "AIDA", 2048),
    Group: HolderKind("group", "GroupName", "AGPA", 5120),
    Role: HolderKind("role", "RoleName", "AROA", 10240),
}


def kind_of(holder: Holder) -> HolderKind:
    return KINDS[type(holder)]


def new_unique_id(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_ID_ALPHABET) for _ in range(17))


def check_name(member: str, name: str, longest: int) -> None:
    """The model lets through more than the service does, such as a name's letters beyond ASCII."""
    if not _NAME.fullmatch(name) or len(name) > longest:
        shown = member[0].lower() + member[1:]
        raise ServiceError(
            "ValidationError",
            f"The specified value for {shown} is invalid. It must contain only alphanumeric characters and/or the "
            f"following: +=,.@_- and at most {longest} of them",
            status=400,
        )


def checked_path(request: Mapping[str, Any]) -> str:
    path: str = request.get("Path", "/")
    if not _PATH.fullmatch(path):
        message = (
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters."
        )
        raise ServiceError("ValidationError", message, status=400)
    return path


def checked_document(text: str, kind: Kind = Kind.IDENTITY) -> PolicyDocument:
    try:
        return read_policy(text, kind)
    except MalformedPolicy as error:
        raise ServiceError("MalformedPolicyDocumentException", str(error)) from error


def bounded_document(text: str, quota: str, limit: int, kind: Kind = Kind.IDENTITY) -> str:
    """As it came, if it is sound and has not more than `limit` bytes, for which AWS has a quota's name."""
    checked_document(text, kind)
    if size_of(text) > limit:
        raise ServiceError("LimitExceededException", f"Cannot exceed quota for {quota}: {limit}")
    return text


@lru_cache(4096)
def stored_document(text: str, kind: Kind = Kind.IDENTITY) -> PolicyDocument:
    """Of a text that was checked when it was stored."""
    return read_policy(text, kind)


def size_of(document: str) -> int:
    """White space does not count."""
    return len(document) - sum(map(str.isspace, document))


def merged_tags(tags: Mapping[str, str], request: Mapping[str, Any]) -> dict[str, str]:
    """Keys are the same whatever their case; the newer spelling stays."""
    added = {tag["Key"]: tag.get("Value", "") for tag in request.get("Tags", ())}
    if len({key.lower() for key in added}) != len(request.get("Tags", ())):
        raise ServiceError("InvalidInputException", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
    if any(key.lower().startswith("aws:") for key in added):
        raise ServiceError("InvalidInputException", "Tag keys that begin with aws: are reserved for AWS.")
    new = {key.lower() for key in added}
    together = {**{key: value for key, value in tags.items() if key.lower() not in new}, **added}
    if len(together) > TAG_LIMIT:
        message = f"The number of tags has reached the maximum limit of {TAG_LIMIT}."
        raise ServiceError("LimitExceededException", message)
    return together


def without_tags(tags: Mapping[str, str], keys: list[str]) -> dict[str, str]:
    gone = {key.lower() for key in keys}
    return {key: value for key, value in tags.items() if key.lower() not in gone}


def no_such(kind: str, name: str) -> ServiceError:
    return ServiceError("NoSuchEntityException", f"The {kind} with name {name} cannot be found.")


def no_policy(arn: str) -> ServiceError:
    return ServiceError("NoSuchEntityException", f"Policy {arn} was not found.")
