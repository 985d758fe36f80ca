"""Images as the API gives them back."""

from __future__ import annotations

from pathlib import Path

from lambdad.images.document import OCI_MANIFEST
from lambdad.services.ecr.image import batch_get_image
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
