"""Functions that nobody invokes for days: of images, and versions with SnapStart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lambdad.services.lambda_.state import LambdaState
from support.image_layers import Entry
from support.images import image, write_layout
from support.lambda_service import ACCOUNT, REGION, ROLE, World

KEY = (ACCOUNT, REGION, "f")
DAY = 86400.0
SNAP_START = {"SnapStart": {"ApplyOn": "PublishedVersions"}}
IDLE = ("Inactive", "Idle", "The function is currently idle.")
BASE = [Entry("base")]


def written(world: World, name: str, *contents: str) -> str:
    """The address of an image of two layers, of which every image here has the first one."""
    folder = write_layout(world.image_folder / name, {"v": image(BASE, [Entry(name), *map(Entry, contents)])})
    return f"oci:{folder}:v"


async def create(world: World, uri: str, name: str = "f") -> None:
    request = {"FunctionName": name, "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": uri}}
    await world.call("CreateFunction", **request)
    await world.settled(name)


async def publish(world: World) -> None:
    """Version 1, with SnapStart."""
    await world.create(**SNAP_START)
    await world.call("PublishVersion", FunctionName="f")
    await world.settled()


async def pass_days(world: World, days: float, state: LambdaState | None = None) -> None:
    """With a sweep before, when what nothing was known of begins to be idle, and one at the end."""
    reclaimer = (state or world.state).reclaimer
    await reclaimer.sweep()
    world.now[0] += days * DAY
    await reclaimer.sweep()


async def shown(world: World, qualifier: str = "$LATEST", name: str = "f") -> dict[str, Any]:
    read: dict[str, Any] = await world.call("GetFunctionConfiguration", FunctionName=name, Qualifier=qualifier)
    return read


async def state_of(world: World, qualifier: str = "$LATEST", name: str = "f") -> tuple[Any, ...]:
    read = await shown(world, qualifier, name)
    return read["State"], read.get("StateReasonCode"), read.get("StateReason")


async def trees(world: World, name: str = "f", number: str = "$LATEST") -> list[bool]:
    """Whether the files are there, layer by layer."""
    stored = await world.state.functions.find((ACCOUNT, REGION, name))
    assert stored is not None
    reading = stored.function.latest if number == "$LATEST" else stored.versions[number]
    assert reading.configuration.image is not None
    return [world.code_store.path(stack).exists() for stack in reading.configuration.image.stacks()]


async def lose_layer(world: World) -> Path:
    """Where the bytes of the last layer of `f` were; they are beside it now."""
    stored = await world.state.functions.find(KEY)
    assert stored is not None
    assert stored.function.latest.configuration.image is not None
    path = world.blobs.path(stored.function.latest.configuration.image.image.layers[-1].digest)
    return path.rename(path.with_suffix(".lost")).with_suffix("")


async def known_uses(world: World) -> dict[str, float | None]:
    return {f"{use.key[2]}:{use.version}": use.at async for use in world.state.records.last_uses()}
