"""Repositories of images and what is in them, and the errors in ECR's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from lambdad.errors import ServiceError

MUTABLE, IMMUTABLE = "MUTABLE", "IMMUTABLE"
MOST_TAGS = 50


class RepositoryName(NamedTuple):
    account_id: str
    region: str
    name: str

    @classmethod
    def of_arn(cls, arn: str) -> RepositoryName | None:
        """None where it is no repository's."""
        fields = arn.split(":", 5)
        if len(fields) != 6 or fields[:3] != ["arn", "aws", "ecr"] or not fields[5].startswith("repository/"):
            return None
        return cls(fields[4], fields[3], fields[5].removeprefix("repository/"))

    @property
    def arn(self) -> str:
        return f"arn:aws:ecr:{self.region}:{self.account_id}:repository/{self.name}"

    @property
    def key(self) -> str:
        """No part of it has a colon in it."""
        return f"{self.account_id}/{self.region}/{self.name}"


class Repository(msgspec.Struct, frozen=True):
    account_id: str
    region: str
    name: str
    created_at: float
    mutability: str = MUTABLE  #: whether a tag may be given to another image
    tags: Mapping[str, str] = {}
    policy: str = ""  #: as it was given; "" for none
    lifecycle: str = ""  #: as `policy`: which images have had their time
    lifecycle_evaluated_at: float = 0.0  #: 0 for not yet

    @property
    def named(self) -> RepositoryName:
        return RepositoryName(self.account_id, self.region, self.name)


class StoredManifest(msgspec.Struct, frozen=True):
    """A manifest or an index in a repository; its bytes are a blob."""

    digest: str  #: hex
    media_type: str
    size: int  #: bytes of all parts, as they are kept
    pushed_at: float
    parts: tuple[str, ...]  #: hex digests of configuration and layers; of an index, none
    manifests: tuple[str, ...] = ()  #: of an index: hex digests of those that it names


def no_repository(name: RepositoryName) -> ServiceError:
    return ServiceError(
        "RepositoryNotFoundException",
        f"The repository with name '{name.name}' does not exist in the registry with id '{name.account_id}'",
    )


def no_image(name: RepositoryName, image: str) -> ServiceError:
    return ServiceError(
        "ImageNotFoundException",
        f"The image with imageId {{{image}}} does not exist within the repository with name '{name.name}' in the registry"
        f" with id '{name.account_id}'",
    )


def beyond_limit(message: str) -> ServiceError:
    return ServiceError("LimitExceededException", message)


def invalid(message: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message)
