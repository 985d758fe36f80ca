"""Operations on the images in a repository."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from lambdad.errors import ServiceError
from lambdad.images.account_share import NoShareLeft
from lambdad.images.document import ACCEPTED, Index, MalformedImage, Manifest, read_document
from lambdad.images.reference import DIGEST, TAG
from lambdad.model.request import RequestContext
from lambdad.services.ecr.model import (
    IMMUTABLE,
    Repository,
    RepositoryName,
    StoredManifest,
    beyond_limit,
    invalid,
    no_image,
)
from lambdad.services.ecr.repository import existing, named
from lambdad.services.ecr.state import EcrState

Request = Mapping[str, Any]
Output = dict[str, Any]

_PAGE = 100
_MOST_ANSWERED_BYTES = 16 << 20  #: of manifests in one answer, which is made in memory


async def put_image(state: EcrState, context: RequestContext, request: Request) -> Output:
    name, tag = named(context, request), request.get("imageTag")
    data = request["imageManifest"].encode()
    wanted = request.get("imageDigest")
    if wanted is not None and wanted != f"sha256:{hashlib.sha256(data).hexdigest()}":
        raise ServiceError("ImageDigestDoesNotMatchException", "The specified image digest does not match the manifest.")
    stored = await keep_manifest(state, name, data, request.get("imageManifestMediaType", ""), tag, is_new=True)
    return {"image": {**_image(name, stored, tag), "imageManifest": request["imageManifest"]}}


async def keep_manifest(
    state: EcrState, name: RepositoryName, data: bytes, media_type: str, tag: str | None, *, is_new: bool = False
) -> StoredManifest:
    """Checks a manifest and puts it into the repository, durably, under the tag if there is one. With `is_new` it must change
    something. ServiceError in ECR's words."""
    if tag is not None and not TAG.fullmatch(tag):
        raise invalid(f"Invalid parameter at 'imageTag' failed to satisfy constraint: '{tag[:300]}'")
    try:
        document = read_document(data, media_type)
    except MalformedImage as error:
        raise invalid(f"Invalid parameter at 'ImageManifest' failed to satisfy constraint: {error}") from error
    digest = hashlib.sha256(data).hexdigest()
    async with _arriving(state, name, digest, len(data)), state.blobs.receive() as writer:
        await writer.write(data)
        await writer.finish()  # before others have to wait: it takes as long as the disk
        async with state.records.changing(name):
            repository = await existing(state, name)
            await _check_tag(state, repository, tag, digest, is_new=is_new)
            await _check_quotas(state, name, tag, digest)
            stored = await _described(state, name, document, digest, len(data))
            await state.records.save_manifest(name, stored, tag)
    return stored


@asynccontextmanager
async def _arriving(state: EcrState, name: RepositoryName, digest: str, size: int) -> AsyncIterator[None]:
    """Who has it already needs no further room, for one more tag say."""
    arriving = state.records.shares.arriving(name.account_id)
    try:
        arriving.add(0 if state.records.shares.has(name.account_id, digest) else size)
        yield
    except NoShareLeft as error:
        raise beyond_limit(str(error)) from error
    finally:
        arriving.end()


async def _check_quotas(state: EcrState, name: RepositoryName, tag: str | None, digest: str) -> None:
    records, quotas = state.records, state.quotas
    if records.counts.images(name) >= quotas.images_per_repository and await records.manifest(name, digest) is None:
        raise beyond_limit(
            f"The repository with name '{name.name}' already has the maximum number of images, {quotas.images_per_repository}"
        )
    has_room = tag is None or records.counts.tags(name, digest) < quotas.tags_per_image
    if not has_room and await records.tagged(name, tag or "") != digest:
        raise beyond_limit(f"The image 'sha256:{digest}' already has the maximum number of tags, {quotas.tags_per_image}")


async def _check_tag(state: EcrState, repository: Repository, tag: str | None, digest: str, *, is_new: bool) -> None:
    name = repository.named
    has_tag = await state.records.tagged(name, tag) if tag is not None else None
    if has_tag is not None and has_tag != digest and repository.mutability == IMMUTABLE:
        raise ServiceError(
            "ImageTagAlreadyExistsException",
            f"The image tag '{tag}' already exists in the '{name.name}' repository and cannot be overwritten because the"
            " repository is immutable.",
        )
    if is_new and await state.records.manifest(name, digest) is not None and (tag is None or has_tag == digest):
        said = f"imageDigest 'sha256:{digest}'" + (f" and tag '{tag}'" if tag else "")
        raise ServiceError(
            "ImageAlreadyExistsException", f"Image with {said} already exists in the repository with name '{name.name}'"
        )


async def _described(
    state: EcrState, name: RepositoryName, document: Manifest | Index, digest: str, size: int
) -> StoredManifest:
    if isinstance(document, Index):
        named = tuple(each.hex_digest for each in document.manifests)
        missing = [each for each in named if await state.records.manifest(name, each) is None]
        if missing:
            said = ", ".join(f"sha256:{each}" for each in missing)
            raise ServiceError(
                "ReferencedImagesNotFoundException", f"Images with digest '{said}' required for pushing not found."
            )
        return StoredManifest(digest, document.media_type, size, state.clock(), (), named)
    parts = {part.hex_digest: part.size for part in (document.config, *document.layers)}
    missing = [part for part in parts if not await state.records.has_part(name, part)]
    if missing:
        said = ", ".join(f"sha256:{part}" for part in missing)
        raise ServiceError(
            "LayersNotFoundException",
            f"Layers with digests '{said}' required for pushing image into repository with name '{name.name}' not found.",
        )
    return StoredManifest(digest, document.media_type, size + sum(parts.values()), state.clock(), tuple(parts))


async def find(state: EcrState, name: RepositoryName, image: str) -> StoredManifest | None:
    """By tag or digest ("sha256:...")."""
    matched = DIGEST.fullmatch(image)
    digest = matched[1] if matched else await state.records.tagged(name, image)
    return None if digest is None else await state.records.manifest(name, digest)


async def document_of(state: EcrState, manifest: StoredManifest) -> bytes:
    """KeyError where it has gone meanwhile."""
    return b"".join([piece async for piece in state.blobs.read(manifest.digest)])


async def list_images(state: EcrState, context: RequestContext, request: Request) -> Output:
    name = named(context, request)
    await existing(state, name)
    wanted = (request.get("filter") or {}).get("tagStatus", "ANY")
    identifiers = []
    for manifest, tags in await _images(state, name):
        digest = f"sha256:{manifest.digest}"
        if tags and wanted != "UNTAGGED":
            identifiers += [{"imageDigest": digest, "imageTag": tag} for tag in tags]
        if not tags and wanted != "TAGGED":
            identifiers.append({"imageDigest": digest})
    return _page("imageIds", identifiers, request)


async def describe_images(state: EcrState, context: RequestContext, request: Request) -> Output:
    name = named(context, request)
    await existing(state, name)
    images = await _images(state, name)
    if "imageIds" in request:
        wanted = []
        for each in request["imageIds"]:
            found = await _identified(state, name, each)
            if found is None:
                raise no_image(name, _said(each))
            wanted += [image for image in images if image[0].digest == found.digest and image not in wanted]
        images = wanted
    status = (request.get("filter") or {}).get("tagStatus", "ANY")
    details = [
        _detail(name, manifest, tags) for manifest, tags in images if status == "ANY" or (status == "TAGGED") == bool(tags)
    ]
    return _page("imageDetails", details, request)


async def batch_get_image(state: EcrState, context: RequestContext, request: Request) -> Output:
    name = named(context, request)
    await existing(state, name)
    images, failures, left = [], [], _MOST_ANSWERED_BYTES
    for each in request["imageIds"]:
        manifest = await _identified(state, name, each)
        if manifest is None:
            failures.append(_failure(each))
            continue
        accepted = request.get("acceptedMediaTypes", ACCEPTED)
        if manifest.media_type not in accepted:
            raise invalid(f"The image is of the type {manifest.media_type}, which the request does not accept.")
        try:
            data = await document_of(state, manifest)
        except KeyError:
            failures.append(_failure(each))
            continue
        left -= len(data)
        if left < 0:
            raise invalid(f"The images' manifests have more than {_MOST_ANSWERED_BYTES} bytes: ask for fewer at a time.")
        images.append({**_image(name, manifest, each.get("imageTag")), "imageManifest": data.decode()})
    return {"images": images, "failures": failures}


async def batch_delete_image(state: EcrState, context: RequestContext, request: Request) -> Output:
    """A tag alone is taken from its image, which goes with its last one."""
    name = named(context, request)
    deleted: list[Output] = []
    failures: list[Output] = []
    untagged, gone = [], []
    async with state.records.changing(name):
        await existing(state, name)
        tags = await state.records.tags(name)
        manifests = {manifest.digest: manifest for manifest in await state.records.manifests(name)}
        for each in request["imageIds"]:
            digest = _digest_among(tags, each)
            holder = next((holder for holder, manifest in manifests.items() if digest in manifest.manifests), None)
            if digest not in manifests or holder is not None:
                failures.append(_failure(each, holder))
                continue
            own = [tag for tag, tagged in tags.items() if tagged == digest]
            if not each.get("imageDigest") and len(own) > 1:
                own = [each["imageTag"]]
                untagged += own
            else:
                gone.append(digest)
                del manifests[digest]
            for tag in own:
                del tags[tag]
            shown = {"imageDigest": f"sha256:{digest}"}
            deleted += [{**shown, "imageTag": tag} for tag in own] or [shown]
        await state.records.untag(name, untagged)
        await state.records.delete_manifests(name, gone)
    return {"imageIds": deleted, "failures": failures}


async def batch_check_layer_availability(state: EcrState, context: RequestContext, request: Request) -> Output:
    name = named(context, request)
    await existing(state, name)
    layers, failures = [], []
    for digest in request["layerDigests"]:
        matched = DIGEST.fullmatch(digest)
        if not matched:
            failures.append({"layerDigest": digest, "failureCode": "InvalidLayerDigest", "failureReason": "No digest."})
        elif await state.records.has_part_for_push(name, matched[1], state.clock()):
            size = state.blobs.path(matched[1]).stat().st_size
            layers.append({"layerDigest": digest, "layerAvailability": "AVAILABLE", "layerSize": size})
        else:
            layers.append({"layerDigest": digest, "layerAvailability": "UNAVAILABLE"})
    return {"layers": layers, "failures": failures}


async def _identified(state: EcrState, name: RepositoryName, image: Mapping[str, str]) -> StoredManifest | None:
    """The image that both its digest and its tag name, where it has both."""
    _check_named(image)
    found = await find(state, name, image.get("imageDigest") or image["imageTag"])
    if found is not None and "imageDigest" in image and "imageTag" in image:
        tagged = await state.records.tagged(name, image["imageTag"])
        return found if tagged == found.digest else None
    return found


def _digest_among(tags: Mapping[str, str], image: Mapping[str, str]) -> str | None:
    """As `_identified`, where the repository's tags have been read; there may be no image with the digest."""
    _check_named(image)
    tagged = tags.get(image.get("imageTag", ""))
    if not image.get("imageDigest"):
        return tagged
    matched = DIGEST.fullmatch(image["imageDigest"])
    digest = matched[1] if matched else None
    return digest if not image.get("imageTag") or tagged == digest else None


def _check_named(image: Mapping[str, str]) -> None:
    if not image.get("imageDigest") and not image.get("imageTag"):
        raise invalid("Invalid parameter at 'imageIds' failed to satisfy constraint: 'an image is named by digest or tag'")


async def _images(state: EcrState, name: RepositoryName) -> list[tuple[StoredManifest, list[str]]]:
    tags: dict[str, list[str]] = {}
    for tag, digest in (await state.records.tags(name)).items():
        tags.setdefault(digest, []).append(tag)
    return [(manifest, tags.get(manifest.digest, [])) for manifest in await state.records.manifests(name)]


def _image(name: RepositoryName, manifest: StoredManifest, tag: str | None) -> Output:
    identifier = {"imageDigest": f"sha256:{manifest.digest}", **({"imageTag": tag} if tag else {})}
    return {
        "registryId": name.account_id,
        "repositoryName": name.name,
        "imageId": identifier,
        "imageManifestMediaType": manifest.media_type,
    }


def _detail(name: RepositoryName, manifest: StoredManifest, tags: Sequence[str]) -> Output:
    return {
        "registryId": name.account_id,
        "repositoryName": name.name,
        "imageDigest": f"sha256:{manifest.digest}",
        **({"imageTags": list(tags)} if tags else {}),
        "imageSizeInBytes": manifest.size,
        "imagePushedAt": datetime.fromtimestamp(manifest.pushed_at, UTC),
        "imageManifestMediaType": manifest.media_type,
    }


def _failure(image: Mapping[str, str], holder: str | None = None) -> Output:
    if holder is not None:
        code, reason = "ImageReferencedByManifestList", f"Requested image referenced by manifest list: [sha256:{holder}]"
    else:
        code, reason = "ImageNotFound", "Requested image not found"
    return {"imageId": dict(image), "failureCode": code, "failureReason": reason}


def _said(image: Mapping[str, str]) -> str:
    return ", ".join(f"{member}:'{value}'" for member, value in image.items())


def _page(member: str, items: Sequence[Output], request: Request) -> Output:
    """`nextToken` is the number of what was shown already: images come in the order of their digests."""
    token, size = request.get("nextToken", "0"), request.get("maxResults", _PAGE)
    if not token.isdecimal() or len(token) > 9:
        raise invalid("Invalid parameter at 'nextToken' failed to satisfy constraint: 'it was not given by lambdad'")
    start = int(token)
    output: Output = {member: list(items[start : start + size])}
    if len(items) > start + size:
        output["nextToken"] = str(start + size)
    return output
