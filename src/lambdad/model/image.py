"""A container image as lambdad keeps it: layers one over the other, and what its maker says is to be run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

#: Of the machine a layer's program is for, as images call it; AWS's names are the keys.
PLATFORMS: Mapping[str, str] = {"x86_64": "amd64", "arm64": "arm64"}

#: Stands before the digests of layers that are unpacked one over the other, to tell them from those of zips.
IMAGE_STACK = "image"
IMAGE_RUNTIME = "image"  #: in the place of a runtime's identifier, for functions that have none


@dataclass(frozen=True, slots=True)
class Registry:
    """A registry elsewhere that images may be taken from."""

    host: str  #: with the port, if it has one
    user: str = ""
    password: str = field(default="", repr=False)
    is_insecure: bool = False  #: plain HTTP


@dataclass(frozen=True, slots=True)
class ImageLayer:
    """One tar of an image, a blob."""

    digest: str  #: hex SHA-256 of the bytes as they are kept
    diff_id: str  #: hex SHA-256 of the tar inside: what makes two layers the same
    size: int  #: bytes as they are kept


@dataclass(frozen=True, slots=True)
class ImageCommand:
    """What starts the runtime of an image: ENTRYPOINT, CMD, WORKDIR and ENV. Other settings have no effect on AWS."""

    entry_point: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = ""  #: "" for the root folder
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Image:
    """An image for one platform, with everything in place that is needed to run it."""

    digest: str  #: hex SHA-256 of its manifest
    config_digest: str  #: hex SHA-256 of its configuration, a blob too
    layers: tuple[ImageLayer, ...]
    command: ImageCommand
    architecture: str  #: "x86_64" or "arm64"

    @property
    def size(self) -> int:
        """Bytes of its layers as they are kept."""
        return sum(layer.size for layer in self.layers)

    @property
    def chain(self) -> tuple[str, ...]:
        """What names the files that its layers make together."""
        return tuple(layer.diff_id for layer in self.layers)

    def blobs(self) -> tuple[str, ...]:
        """Digests of all that has to be kept for it."""
        return (self.digest, self.config_digest, *(layer.digest for layer in self.layers))


@dataclass(frozen=True, slots=True)
class ImageOverrides:
    """A function's ImageConfig; None leaves the image's own."""

    entry_point: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    working_directory: str | None = None

    def of(self, command: ImageCommand) -> ImageCommand:
        """The image's command with these in place of its parts."""
        return ImageCommand(
            command.entry_point if self.entry_point is None else self.entry_point,
            command.command if self.command is None else self.command,
            command.working_directory if self.working_directory is None else self.working_directory,
            command.environment,
        )


@dataclass(frozen=True, slots=True)
class ImageUse:
    """The image of a function, as it was when the function was given it: a tag that moves later changes nothing."""

    uri: str  #: as the caller wrote it
    resolved_uri: str  #: with the digest
    image: Image
    overrides: ImageOverrides = ImageOverrides()
    #: Its layers are still to be fetched from where it is, or shown to be there: a registry elsewhere, which takes its time.
    awaits_layers: bool = False

    @property
    def command(self) -> ImageCommand:
        return self.overrides.of(self.image.command)

    def stacks(self) -> list[tuple[str, ...]]:
        """What is unpacked for it: each layer over those below it, each of which other images may share."""
        layers = tuple(layer.digest for layer in self.image.layers)
        return [(IMAGE_STACK, *layers[: count + 1]) for count in range(len(layers))]
