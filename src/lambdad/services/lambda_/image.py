"""Functions made from container images (PackageType Image): where the image comes from, and what such a function lacks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from lambdad.errors import ServiceError
from lambdad.images.document import MalformedImage
from lambdad.images.proven_parts import ProvenParts
from lambdad.images.pull import pulled
from lambdad.images.reference import LocalImage, MalformedReference, OwnImage, Reference, RemoteImage, read_reference
from lambdad.images.source import BusyRegistry, ImageSource, MissingImage
from lambdad.model.image import Image, ImageOverrides, ImageUse
from lambdad.model.request import RequestContext
from lambdad.model.version import CodeArchive
from lambdad.services.lambda_.refusal import invalid_parameter
from lambdad.store.base import Blobs

ZIP, IMAGE = "Zip", "Image"
IMAGE_CONFIG_BYTES = 16 * 1024  #: of entry point, command and working directory together


class ImageSources(Protocol):
    async def open(self, reference: Reference, context: RequestContext, function_arn: str) -> ImageSource:
        """Where an image is. MissingImage with the reason where nobody may take images from there, ServiceError where the
        caller may not for this function, BusyRegistry where too many ask."""
        ...


@dataclass(frozen=True, slots=True)
class ImageIntake:
    """What taking in an image needs."""

    sources: ImageSources
    blobs: Blobs
    proven: ProvenParts
    problem: str | None = None  #: why no images can be run here, as a sentence


def package_type(request: Mapping[str, Any]) -> str:
    """Of a function to be created, whose members must be those of its kind."""
    chosen: str = request.get("PackageType", ZIP)
    code = request["Code"]
    if chosen == ZIP:
        if "ImageConfig" in request:
            raise invalid_parameter("ImageConfig is not supported for functions created with Zip package type.")
        return chosen
    if "ImageUri" not in code:
        raise invalid_parameter("Please provide ImageUri when creating a function with packageType Image.")
    if set(code) & {"ZipFile", "S3Bucket", "S3Key", "S3ObjectVersion"}:
        raise invalid_parameter("Please do not provide other FunctionCode parameters when providing an ImageUri.")
    for member in ("Runtime", "Handler", "Layers", "CodeSigningConfigArn"):
        if request.get(member):
            raise invalid_parameter(f"{member} is not supported for functions created with container images.")
    return chosen


def check_image_settings(request: Mapping[str, Any]) -> None:
    """What an update of a function made from an image must not set."""
    for member in ("Runtime", "Handler", "Layers"):
        if request.get(member):
            raise invalid_parameter(
                f"UpdateFunctionConfiguration with parameter {member} is not supported for functions created with"
                " container images."
            )


def chosen_overrides(request: Mapping[str, Any]) -> ImageOverrides:
    config = request.get("ImageConfig") or {}
    entry_point, command, folder = config.get("EntryPoint"), config.get("Command"), config.get("WorkingDirectory")
    words = [*(entry_point or ()), *(command or ()), folder or ""]
    if sum(len(word.encode()) for word in words) > IMAGE_CONFIG_BYTES:
        raise invalid_parameter(f"ImageConfig must be smaller than {IMAGE_CONFIG_BYTES} bytes.")
    if any("\0" in word for word in words):
        raise invalid_parameter("ImageConfig contains a null character.")
    return ImageOverrides(
        tuple(entry_point) if entry_point else None, tuple(command) if command else None, folder or None
    )  # fmt: skip


@asynccontextmanager
async def taken_image(
    intake: ImageIntake,
    context: RequestContext,
    function_arn: str,
    uri: str,
    architecture: str,
    overrides: ImageOverrides,
    most_bytes: int,
) -> AsyncIterator[tuple[ImageUse, CodeArchive]]:
    """The image, kept if the block commits references to its parts. What is wrong with it is said in AWS's words."""
    if intake.problem is not None:
        raise invalid_parameter(f"PackageType Image is not supported here: {intake.problem}.")
    try:
        reference = read_reference(uri)
    except MalformedReference as error:
        raise invalid_parameter(f"Source image {uri[:1024]} is not valid. Provide a valid source image. ({error})") from error
    _check_region(reference, context)
    source: ImageSource | None = None
    try:
        source = await intake.sources.open(reference, context, function_arn)
        proven = intake.proven.of(context.account_id)
        async with pulled(source, reference.name, architecture, intake.blobs, proven, most_bytes) as image:
            use = ImageUse(uri, _resolved(uri, reference, image), image, overrides, awaits_layers=source.is_remote)
            yield use, CodeArchive(image.digest, 0, 0)
    except MissingImage as error:
        raise _missing(uri, error) from error
    except BusyRegistry as error:
        raise ServiceError("TooManyRequestsException", f"Rate exceeded: {error}.", status=429) from error
    except MalformedImage as error:
        raise invalid_parameter(
            f"The image manifest, config or layer media type for the source image {uri} is not supported. ({error})"
        ) from error
    finally:
        if source is not None:
            await source.close()


def _check_region(reference: Reference, context: RequestContext) -> None:
    if isinstance(reference, OwnImage) and reference.region not in (None, context.region):
        raise invalid_parameter(
            f"Source image region {reference.region} does not match the region {context.region} of the function."
        )


def _resolved(uri: str, reference: Reference, image: Image) -> str:
    """The address with the digest in the place of a tag."""
    if isinstance(reference, OwnImage | RemoteImage):
        return f"{uri.partition('/')[0]}/{reference.repository}@sha256:{image.digest}"
    assert isinstance(reference, LocalImage)
    return f"{reference.kind}:{reference.path}@sha256:{image.digest}"


def _missing(uri: str, error: MissingImage) -> ServiceError:
    return invalid_parameter(f"Source image {uri} does not exist. Provide a valid source image. ({error})")
