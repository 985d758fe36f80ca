"""Images as the API gives them back."""

from __future__ import annotations

from pathlib import Path

from lambdad.images.document import OCI_INDEX, OCI_MANIFEST
from lambdad.services.ecr.image import batch_delete_image, batch_get_image
from lambdad.services.ecr.model import Repository, RepositoryName, StoredManifest
from lambdad.services.ecr.records import EcrRecords
from lambdad.services.ecr.state import EcrState
from lambdad.services.ecr.token import Tokens
from lambdad.store.files import FileBlobs
from lambdad.store.memory import MemoryStore
from support.lambda_service import ACCOUNT, REGION, context, refused


async def test_an_answer_has_so_many_bytes_of_manifests_and_no_more(tmp_path: Path) -> None:
    """One that is as large as may be, asked for a hundred times, would be made in memory as often."""
    store = MemoryStore()
    blobs = FileBlobs(tmp_path / "blobs", store)
    await blobs.open()
    records, name = EcrRecords(store, blobs), RepositoryName(ACCOUNT, REGION, "images")
    state = EcrState(records, blobs, Tokens(b"x"), ACCOUNT, REGION, 4566)
    await records.save_repository(Repository(*name, created_at=0.0))
    async with blobs.receive() as writer:
        await writer.write(b" " * (4 << 20))
        digest = (await writer.finish()).digest
        await records.save_manifest(name, StoredManifest(digest, OCI_MANIFEST, 4 << 20, 0.0, ()), "large")
    request = {"repositoryName": "images", "imageIds": [{"imageTag": "large"}] * 4}
    answer = await batch_get_image(state, context("BatchGetImage"), request)
    assert len(answer["images"]) == 4
    request["imageIds"] = [{"imageTag": "large"}] * 100
    error = await refused(batch_get_image(state, context("BatchGetImage"), request))
    assert (error.code, "ask for fewer" in error.message) == ("InvalidParameterException", True)
    await blobs.close()


async def test_images_that_are_deleted_at_once_go_one_after_the_other(tmp_path: Path) -> None:
    """What one of them takes away the next does not find; of what stays, nothing goes."""
    store = MemoryStore()
    blobs = FileBlobs(tmp_path / "blobs", store)
    await blobs.open()
    records, name = EcrRecords(store, blobs), RepositoryName(ACCOUNT, REGION, "images")
    state = EcrState(records, blobs, Tokens(b"x"), ACCOUNT, REGION, 4566)
    await records.save_repository(Repository(*name, created_at=0.0))
    twice, held, index, kept = (letter * 64 for letter in "abcd")
    await records.save_manifest(name, StoredManifest(twice, OCI_MANIFEST, 1, 0.0, ()), "one")
    await records.save_manifest(name, StoredManifest(twice, OCI_MANIFEST, 1, 0.0, ()), "two")
    await records.save_manifest(name, StoredManifest(held, OCI_MANIFEST, 1, 0.0, ()), None)
    await records.save_manifest(name, StoredManifest(index, OCI_INDEX, 1, 0.0, (), (held,)), "all")
    for tag in ("kept", "spare"):
        await records.save_manifest(name, StoredManifest(kept, OCI_MANIFEST, 1, 0.0, ()), tag)
    images: list[dict[str, str]] = [
        {"imageTag": "one"},
        {"imageTag": "one"},
        {"imageTag": "two"},
        {"imageDigest": f"sha256:{twice}"},
        {"imageDigest": f"sha256:{held}"},
        {"imageTag": "all"},
        {"imageDigest": f"sha256:{held}"},
        {"imageDigest": f"sha256:{kept}", "imageTag": "all"},
        {"imageDigest": "kept"},
        {"imageTag": f"sha256:{kept}"},
        {"imageTag": "spare"},
    ]
    answer = await batch_delete_image(state, context("BatchDeleteImage"), {"repositoryName": "images", "imageIds": images})
    assert answer["imageIds"] == [
        {"imageDigest": f"sha256:{twice}", "imageTag": "one"},
        {"imageDigest": f"sha256:{twice}", "imageTag": "two"},
        {"imageDigest": f"sha256:{index}", "imageTag": "all"},
        {"imageDigest": f"sha256:{held}"},
        {"imageDigest": f"sha256:{kept}", "imageTag": "spare"},
    ]
    missed = [(each["imageId"], each["failureCode"]) for each in answer["failures"]]
    numbers = [
        (1, "ImageNotFound"),
        (3, "ImageNotFound"),
        (4, "ImageReferencedByManifestList"),
        *((each, "ImageNotFound") for each in (7, 8, 9)),
    ]
    assert missed == [(images[number], code) for number, code in numbers]
    assert (await records.tags(name), len(await records.manifests(name))) == ({"kept": kept}, 1)
    request = {"repositoryName": "images", "imageIds": [{"imageTag": "kept"}, {}]}
    assert (await refused(batch_delete_image(state, context("BatchDeleteImage"), request))).code == "InvalidParameterException"
    assert await records.tags(name) == {"kept": kept}
    await blobs.close()
