"""Where images may be taken from: lambdad's own repositories, and what the settings name besides. Nothing else is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from lambdad.images.archive import DockerArchive
from lambdad.images.layout import Layout
from lambdad.images.reference import LocalImage, OwnImage, Reference
from lambdad.images.registry import DOCUMENT_SECONDS, PULL_SECONDS, RegistryRepository
from lambdad.images.registry_turns import RegistryTurns
from lambdad.images.source import ImageSource, MissingImage
from lambdad.model.image import Registry
from lambdad.model.request import RequestContext

#: What is in one registry is asked by so many at a time, and for one account by so many of these; others wait as long as one of
#: them may take.
ASKING, ASKING_OF_ACCOUNT = 8, 4

#: `own(account_id, region, repository)`: a repository of lambdad's own.
Own = Callable[[str, str, str], ImageSource]
#: `check_pull(context, account_id, region, repository, function_arn)`
CheckPull = Callable[[RequestContext, str, str, str, str], Awaitable[None]]


class ImagePlaces:
    """`check_pull` is asked before an image is taken from a repository of lambdad's own; None where nobody's rights are."""

    def __init__(
        self,
        own: Own,
        folders: Sequence[Path],
        registries: Sequence[Registry],
        *,
        check_pull: CheckPull | None = None,
        pull_seconds: float = PULL_SECONDS,
        patience_seconds: float = DOCUMENT_SECONDS,
    ) -> None:
        self._own = own
        self._folders = folders
        self._registries = {registry.host: registry for registry in registries}
        self._check_pull = check_pull
        self._pull_seconds = pull_seconds
        self._turns = RegistryTurns(ASKING, ASKING_OF_ACCOUNT, patience_seconds=patience_seconds)

    async def open(self, reference: Reference, context: RequestContext, function_arn: str) -> ImageSource:
        """For a function of the caller's. MissingImage where images may not be taken from there, and ServiceError where the
        caller may not have them; BusyRegistry where too many ask."""
        registry = None if isinstance(reference, LocalImage) else self._registries.get(reference.host)
        if registry is not None and not isinstance(reference, LocalImage):
            give_back = await self._turns.take(registry.host, context.account_id)
            seconds = min(DOCUMENT_SECONDS, self._pull_seconds)
            return RegistryRepository(registry, reference.repository, seconds=seconds, ended=give_back)
        if isinstance(reference, OwnImage):
            place = (reference.account_id or context.account_id, reference.region or context.region, reference.repository)
            if self._check_pull is not None:
                await self._check_pull(context, *place, function_arn)
            return self._own(*place)
        if isinstance(reference, LocalImage):
            return self._local(reference)
        raise MissingImage(f"images are not taken from {reference.host}: the setting registries does not name it")

    def open_remote(self, reference: Reference) -> ImageSource:
        """The registry elsewhere in which an image is. MissingImage where the settings do not name it any more."""
        registry = None if isinstance(reference, LocalImage) else self._registries.get(reference.host)
        if registry is None or isinstance(reference, LocalImage):
            raise MissingImage("the setting registries does not name its registry any more")
        return RegistryRepository(registry, reference.repository, seconds=self._pull_seconds)

    def _local(self, reference: LocalImage) -> ImageSource:
        path = Path(reference.path)
        real = path.resolve()  # a link in a folder that is open to images must not lead out of it
        if not any(real.is_relative_to(folder.resolve()) for folder in self._folders):
            raise MissingImage(f"images are not taken from {path}: the setting image_folders does not name it")
        return Layout(real) if reference.kind == "oci" else DockerArchive(real)
