"""Where images may be taken from: lambdad's own repositories, and what the settings name besides. Nothing else is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lambdad.images.archive import DockerArchive
from lambdad.images.layout import Layout
from lambdad.images.reference import LocalImage, OwnImage, Reference
from lambdad.images.registry import PULL_SECONDS, RegistryRepository
from lambdad.images.source import ImageSource, MissingImage
from lambdad.model.image import Registry

#: `own(account_id, region, repository)`: a repository of lambdad's own.
Own = Callable[[str, str, str], ImageSource]


class ImagePlaces:
    """With `keeps_accounts_apart` nobody takes an image from another account's repository, since those have no policies."""

    def __init__(
        self,
        own: Own,
        folders: Sequence[Path],
        registries: Sequence[Registry],
        *,
        keeps_accounts_apart: bool,
        pull_seconds: float = PULL_SECONDS,
    ) -> None:
        self._own = own
        self._folders = folders
        self._registries = {registry.host: registry for registry in registries}
        self._keeps_accounts_apart = keeps_accounts_apart
        self._pull_seconds = pull_seconds

    def open(self, reference: Reference, account_id: str, region: str) -> ImageSource:
        """For a function of this account and Region. MissingImage where images may not be taken from there."""
        registry = None if isinstance(reference, LocalImage) else self._registries.get(reference.host)
        if registry is not None and not isinstance(reference, LocalImage):
            return RegistryRepository(registry, reference.repository, seconds=self._pull_seconds)
        if isinstance(reference, OwnImage):
            owner = reference.account_id or account_id
            if self._keeps_accounts_apart and owner != account_id:
                raise MissingImage("Lambda does not have permission to access the ECR image: it is another account's")
            return self._own(owner, reference.region or region, reference.repository)
        if isinstance(reference, LocalImage):
            return self._local(reference)
        raise MissingImage(f"images are not taken from {reference.host}: the setting registries does not name it")

    def _local(self, reference: LocalImage) -> ImageSource:
        path = Path(reference.path)
        real = path.resolve()  # a link in a folder that is open to images must not lead out of it
        if not any(real.is_relative_to(folder.resolve()) for folder in self._folders):
            raise MissingImage(f"images are not taken from {path}: the setting image_folders does not name it")
        return Layout(real) if reference.kind == "oci" else DockerArchive(real)
