"""How many there are of what has a quota, counted in memory: looking it up with every push would take ever longer."""

from __future__ import annotations

from collections import Counter
from typing import TypeVar

from lambdad.services.ecr.model import RepositoryName

_Key = TypeVar("_Key")


class Counts:
    def __init__(self) -> None:
        self._repositories: Counter[tuple[str, str]] = Counter()  #: by account and Region
        self._images: Counter[str] = Counter()  #: by repository
        self._tags: Counter[str] = Counter()  #: by repository and image

    def repositories(self, account_id: str, region: str) -> int:
        return self._repositories[account_id, region]

    def images(self, name: RepositoryName) -> int:
        return self._images[name.key]

    def tags(self, name: RepositoryName, digest: str) -> int:
        return self._tags[f"{name.key}:{digest}"]

    def add_repository(self, name: RepositoryName, change: int = 1) -> None:
        _add(self._repositories, (name.account_id, name.region), change)

    def add_image(self, name_key: str, change: int = 1) -> None:
        _add(self._images, name_key, change)

    def add_tag(self, name_key: str, digest: str, change: int = 1) -> None:
        _add(self._tags, f"{name_key}:{digest}", change)


def _add(counter: Counter[_Key], key: _Key, change: int) -> None:
    counter[key] += change
    if not counter[key]:
        del counter[key]
