"""Archives stay while something refers to them or is about to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lambdad.model.image import Image, ImageCommand, ImageLayer, ImageUse
from lambdad.sandbox.base import UnpackLimits, UnpackReport
from lambdad.services.lambda_.archive import Archives, refused_zip
from support.image_layers import Entry
from support.images import image, write_layout
from support.lambda_service import ACCOUNT, CODE, REGION, ROLE, World, digest_of, function_request, zip_of

BAD_ZIP = "Could not unzip uploaded file. Please check your file, then try to upload again."
LAYER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:1"


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


@pytest.mark.parametrize(
    ("report", "message"),
    [
        (
            UnpackReport(0, "not-a-zip", "no end record"),
            BAD_ZIP,
        ),
        (
            UnpackReport(0, "slip", "../x"),
            f"{BAD_ZIP} (slip: ../x)",
        ),
        (UnpackReport(0, "empty"), "Uploaded file must be a non-empty zip"),
        (UnpackReport(0, "too-big"), "Unzipped size must be smaller than 7 bytes"),
    ],
)
def test_words_for_bad_zips(report: UnpackReport, message: str) -> None:
    """AWS's sentences, and behind them what exactly is wrong."""
    error = refused_zip(report, 7)
    assert (error.code, error.message) == ("InvalidParameterValueException", message)


async def test_what_nobody_commits_goes(world: World) -> None:
    """A received archive that gets no reference leaves neither blob nor unpacked files."""
    async with world.state.archives.receive(pieces(CODE[:10], CODE[10:])) as code:
        assert code.digest == digest_of(CODE)
        assert world.code_store.path((code.digest,)).is_dir()
    assert not world.code_store.path((code.digest,)).exists()
    with pytest.raises(KeyError):
        world.blobs.path(code.digest)


async def test_layer_deleted_while_a_function_takes_it(world: World) -> None:
    """A layer version that is deleted between a function's check and its commit stays for the function."""
    content = zip_of({"python/x.py": ""})
    await world.call("PublishLayerVersion", LayerName="l", Content={"ZipFile": content})
    fetching, go_on = asyncio.Event(), asyncio.Event()

    async def slow(account: str, bucket: str, key: str, version: str | None) -> AsyncIterator[bytes]:
        fetching.set()
        await go_on.wait()
        yield CODE

    world.state.fetch_object = slow
    request = {**function_request(), "Layers": [LAYER], "Code": {"S3Bucket": "bucket", "S3Key": "key"}}
    creating = asyncio.create_task(world.call("CreateFunction", **request))
    await fetching.wait()
    await world.call("DeleteLayerVersion", LayerName="l", VersionNumber=1)
    assert world.blobs.path(digest_of(content)).is_file()
    go_on.set()
    await creating
    await world.settled()
    assert world.blobs.path(digest_of(content)).is_file()
    assert (await world.call("GetFunctionConfiguration", FunctionName="f"))["State"] == "Active"


async def test_cancelled_creation_leaves_nothing(world: World) -> None:
    """A client that goes away during an upload leaves nothing behind."""
    fetching = asyncio.Event()

    async def endless(account: str, bucket: str, key: str, version: str | None) -> AsyncIterator[bytes]:
        yield CODE
        fetching.set()
        await asyncio.Event().wait()

    world.state.fetch_object = endless
    request = {**function_request(), "Code": {"S3Bucket": "bucket", "S3Key": "key"}}
    creating = asyncio.create_task(world.call("CreateFunction", **request))
    await fetching.wait()
    creating.cancel()
    await asyncio.wait([creating])
    assert not list((world.blobs._directory).glob("*/*/*"))
    assert not list((world.blobs._directory / "tmp").iterdir())


@asynccontextmanager
async def two_layers(world: World) -> AsyncIterator[ImageUse]:
    """An image of the same layer twice, in the store during the block."""
    async with world.blobs.receive() as writer:
        await writer.write(b"layer")
        digest = (await writer.finish()).digest
        layers = (ImageLayer(digest, digest, 5), ImageLayer(digest, digest, 5))
        yield ImageUse("uri", "resolved", Image("0" * 64, "0" * 64, layers, ImageCommand(), "x86_64"))


async def test_an_image_that_nothing_refers_to_leaves_no_trees(world: World) -> None:
    """Its function was deleted while the image was unpacked."""
    async with two_layers(world) as use:
        assert await world.state.archives.unpack_image(use) is None
    assert not any(world.code_store.path(stack).exists() for stack in use.stacks())


async def test_an_image_has_so_long_to_be_unpacked(world: World) -> None:
    """Then its function has failed, and nobody waits for it any more."""
    archives = Archives(
        world.state.records, world.blobs, world.code_store, world.state.signature_trust, 1000, image_seconds=0.01
    )  # fmt: skip
    world.sandboxes.gate.clear()
    async with two_layers(world) as use:
        failure = await archives.unpack_image(use)
        assert failure is not None
        assert (failure.code, "within 0 seconds" in failure.reason) == ("InvalidImage", True)
        world.sandboxes.gate.set()
        await world.code_store.close()


@pytest.mark.parametrize(
    ("report", "code"),
    [(UnpackReport(0, "no-room", "full"), "InsufficientCapacity"), (UnpackReport(0, "link", "x"), "InvalidImage")],
)
async def test_an_image_that_fails_leaves_no_trees(world: World, report: UnpackReport, code: str) -> None:
    """Not of the layers either that were fine; and the reason says whose fault it is."""
    async with two_layers(world) as use:
        world.sandboxes.reports = [UnpackReport(0, diff_id=use.image.layers[0].diff_id), report, report]
        failure = await world.state.archives.unpack_image(use)
        assert failure is not None
        assert failure.code == code
    assert not any(world.code_store.has(stack) for stack in use.stacks())


@pytest.mark.parametrize("others_layers", [[], ["more"]])
async def test_a_layer_that_another_image_needs_stays_when_one_fails(
    world: World, monkeypatch: pytest.MonkeyPatch, others_layers: list[str]
) -> None:
    """It was unpacked for the one that fails, later. When the other fails as well, it goes."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    unpack_layer = world.sandboxes.unpack_layer

    async def failing(layer: Path, below: Path | None, destination: Path, limits: UnpackLimits) -> UnpackReport:
        if below is None:
            return await unpack_layer(layer, below, destination, limits)
        begun.set()
        await go_on.wait()
        return UnpackReport(0, "link", "x")

    monkeypatch.setattr(world.sandboxes, "unpack_layer", failing)
    for name, layers in (("f", ["fails"]), ("g", others_layers)):
        made = image([Entry("base")], *([Entry(layer)] for layer in layers))
        uri = f"oci:{write_layout(world.image_folder / name, {'v': made})}:v"
        await world.call("CreateFunction", FunctionName=name, Role=ROLE, PackageType="Image", Code={"ImageUri": uri})
        await begun.wait()
    if not others_layers:
        await world.settled("g")
    go_on.set()
    for name in ("f", "g"):
        await world.settled(name)
    stored = await world.state.functions.find((ACCOUNT, REGION, "g"))
    assert stored is not None
    latest = stored.function.latest
    assert latest.configuration.image is not None
    is_there = world.code_store.has(latest.configuration.image.stacks()[0])
    assert (latest.state, is_there) == (("Failed", False) if others_layers else ("Active", True))
