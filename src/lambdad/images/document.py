"""The documents of an image: indexes, manifests and configurations, of OCI and of Docker, read and checked.

OCI image specification 1.1; Docker's schema 2, which differs in the names of its media types only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from lambdad.images.reference import DIGEST
from lambdad.model.image import PLATFORMS, ImageCommand

MOST_BYTES = 4 << 20  #: of one document, the distribution API's own limit
MOST_LAYERS = 127  #: of an image that is to run
_MOST_PARTS = 4200  #: of a manifest, as in ECR, and of an index
_MOST_COMMAND_BYTES = 64 << 10  #: what starts an image, with its variables: more than AWS's own 16 KB for a function's
T = TypeVar("T")

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
ACCEPTED = (OCI_MANIFEST, DOCKER_MANIFEST, OCI_INDEX, DOCKER_LIST)

_CONFIGS = frozenset({"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"})
_OCI_LAYER, _DOCKER_LAYER = "application/vnd.oci.image.layer", "application/vnd.docker.image.rootfs"
#: Those of tars. How one is compressed its bytes say. "nondistributable" and "foreign" are of old: not to be passed on.
_LAYERS = frozenset(
    {
        *(f"{_OCI_LAYER}.{kind}tar{how}" for kind in ("v1.", "nondistributable.v1.") for how in ("", "+gzip", "+zstd")),
        *(f"{_DOCKER_LAYER}.diff.tar{how}" for how in ("", ".gzip", ".zstd")),
        f"{_DOCKER_LAYER}.foreign.diff.tar.gzip",
    }
)


class MalformedImage(Exception):
    """A document that is no image's, or of an image that cannot be run here; the text says why."""


class Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    """What a document says of another one."""

    digest: str
    size: int
    media_type: str = ""
    platform: Mapping[str, Any] = msgspec.field(default_factory=dict)
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)

    @property
    def hex_digest(self) -> str:
        return self.digest.removeprefix("sha256:")


class _Document(msgspec.Struct, frozen=True, rename="camel"):
    schema_version: int = 0
    media_type: str = ""
    config: Descriptor | None = None
    layers: Sequence[Descriptor] | None = None
    manifests: Sequence[Descriptor] | None = None


class _ConfigCommand(msgspec.Struct, frozen=True):
    Entrypoint: Sequence[str] | None = None
    Cmd: Sequence[str] | None = None
    WorkingDir: str | None = None
    Env: Sequence[str] | None = None


class _RootFiles(msgspec.Struct, frozen=True):
    diff_ids: Sequence[str] | None = None


class _Config(msgspec.Struct, frozen=True):
    architecture: str = ""
    os: str = ""
    config: _ConfigCommand | None = None
    rootfs: _RootFiles | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """Names of manifests, one for each platform."""

    media_type: str
    manifests: Sequence[Descriptor]

    def chosen(self, architecture: str) -> Descriptor:
        """The manifest for Linux on this architecture ("x86_64"). MalformedImage where there is none."""
        wanted = PLATFORMS[architecture]
        for descriptor in self.manifests:
            platform = descriptor.platform
            if platform.get("os", "linux") == "linux" and platform.get("architecture") in (wanted, None):
                return descriptor
        found = sorted({str(each.platform.get("architecture")) for each in self.manifests})
        raise MalformedImage(f"the image is for {', '.join(found) or 'no platform'}, and not for {wanted}")


@dataclass(frozen=True, slots=True)
class Manifest:
    media_type: str
    config: Descriptor
    layers: Sequence[Descriptor] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class ImageConfig:
    architecture: str  #: "x86_64" or "arm64"
    command: ImageCommand
    diff_ids: tuple[str, ...]  #: hex, in the order of the layers


def read_document(data: bytes, media_type: str = "") -> Manifest | Index:
    """`media_type` is what came with it, if anything did. What is read need not be an image, but attestations of one, say."""
    document = _decoded(data, _Document)
    came_as = media_type.partition(";")[0].strip()
    if document.media_type and came_as in ACCEPTED and came_as != document.media_type:
        raise MalformedImage(f"its manifest came as {came_as}, and says that it is {document.media_type[:120]}")
    kind = document.media_type or came_as
    if document.schema_version != 2:
        raise MalformedImage("its manifest is of an old schema: only the second is read")
    if document.manifests is not None and (document.layers is not None or document.config is not None):
        raise MalformedImage("its manifest is two in one: an index and one of layers")  # each reader would take its own
    if document.manifests is not None and len(document.manifests) > _MOST_PARTS:
        raise MalformedImage(f"its index names {len(document.manifests)} manifests; {_MOST_PARTS} are possible")
    if document.manifests is not None and kind not in MANIFESTS:
        return Index(kind or OCI_INDEX, _checked(document.manifests))
    if document.config is None or document.layers is None or kind in INDEXES:
        raise MalformedImage("its manifest names no configuration and layers")
    if len(document.layers) > _MOST_PARTS:
        raise MalformedImage(f"its manifest names {len(document.layers)} layers; {_MOST_PARTS} are possible")
    (config,) = _checked([document.config])
    return Manifest(kind or OCI_MANIFEST, config, _checked(document.layers))


def check_image(manifest: Manifest) -> None:
    """MalformedImage unless it is of an image whose layers can be unpacked."""
    if manifest.config.media_type not in _CONFIGS:
        raise MalformedImage(f"its configuration is of the type {manifest.config.media_type[:120]!r}: not an image's")
    if not manifest.layers:
        raise MalformedImage("it has no layers")
    if len(manifest.layers) > MOST_LAYERS:
        raise MalformedImage(f"it has {len(manifest.layers)} layers; {MOST_LAYERS} are possible")
    for layer in manifest.layers:
        if layer.media_type not in _LAYERS:
            raise MalformedImage(f"a layer is of the type {layer.media_type[:120]!r}; tar, tar+gzip and tar+zstd are read")


def read_config(data: bytes) -> ImageConfig:
    config = _decoded(data, _Config)
    if config.os != "linux":
        raise MalformedImage(f"it is for {config.os or 'no operating system'}, and not for linux")
    names = {platform: name for name, platform in PLATFORMS.items()}
    if config.architecture not in names:
        raise MalformedImage(f"it is for {config.architecture or 'no architecture'}; {' and '.join(names)} are known")
    diff_ids = config.rootfs.diff_ids if config.rootfs is not None else None
    if diff_ids is None or not all(DIGEST.fullmatch(each) for each in diff_ids):
        raise MalformedImage("its configuration does not say what its layers are")
    return ImageConfig(
        names[config.architecture],
        _command(config.config or _ConfigCommand()),
        tuple(each.removeprefix("sha256:") for each in diff_ids),
    )


def _command(config: _ConfigCommand) -> ImageCommand:
    environment: dict[str, str] = {}
    for line in config.Env or ():
        name, equals, value = line.partition("=")
        if not equals or not name or "\0" in line:
            raise MalformedImage(f"its configuration sets {line[:40]!r}, which is no environment variable")
        environment[name] = value
    words = (*(config.Entrypoint or ()), *(config.Cmd or ()), config.WorkingDir or "")
    if any("\0" in word for word in words):
        raise MalformedImage("its configuration has a word with a zero byte in it")
    command = ImageCommand(
        tuple(config.Entrypoint or ()), tuple(config.Cmd or ()), config.WorkingDir or "", environment
    )  # fmt: skip
    if len(msgspec.json.encode(command)) > _MOST_COMMAND_BYTES:  # as it is handed on to the sandbox
        raise MalformedImage(f"its command and its variables have more than {_MOST_COMMAND_BYTES} bytes")
    return command


def _checked(descriptors: Sequence[Descriptor]) -> tuple[Descriptor, ...]:
    for descriptor in descriptors:
        if not DIGEST.fullmatch(descriptor.digest):
            raise MalformedImage(f"it names a part by {descriptor.digest[:80]!r}: only sha256 digests are read")
        if descriptor.size < 0:
            raise MalformedImage("it names a part of less than no bytes")
    return tuple(descriptors)


def _decoded(data: bytes, kind: type[T]) -> T:
    if len(data) > MOST_BYTES:
        raise MalformedImage(f"one of its documents has more than {MOST_BYTES} bytes")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedImage(f"one of its documents cannot be read: {error}") from error
