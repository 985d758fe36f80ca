"""New packages for existing functions."""

from __future__ import annotations

import pytest

from support.lambda_service import CODE, OTHER_CODE, World, digest_of, refused


async def test_update_replaces_the_package(world: World) -> None:
    """The old package is removed once nothing needs it."""
    await world.create()
    updated = await world.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_CODE)
    assert updated["CodeSize"] == len(OTHER_CODE)
    assert world.blobs.path(digest_of(CODE)).is_file()  # invocations still run on it
    await world.settled()
    with pytest.raises(KeyError):
        world.blobs.path(digest_of(CODE))


async def test_dry_run_changes_nothing(world: World) -> None:
    """DryRun checks the package and answers as if, but keeps nothing."""
    await world.create()
    before = await world.call("GetFunctionConfiguration", FunctionName="f")
    answered = await world.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_CODE, DryRun=True)
    assert answered["CodeSize"] == len(OTHER_CODE)
    assert await world.call("GetFunctionConfiguration", FunctionName="f") == before
    with pytest.raises(KeyError):
        world.blobs.path(digest_of(OTHER_CODE))
    error = await refused(world.call("UpdateFunctionCode", FunctionName="f", ZipFile=b"junk", DryRun=True))
    assert error.message.startswith("Could not unzip uploaded file.")


async def test_publish_with_update(world: World) -> None:
    """Publish answers with the new version, Pending until $LATEST is ready, under a revision id that stays."""
    await world.create()
    updated = await world.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_CODE, Publish=True)
    assert (updated["Version"], updated["State"]) == ("1", "Pending")
    assert "LastUpdateStatus" not in updated
    await world.settled()
    version = await world.call("GetFunctionConfiguration", FunctionName="f", Qualifier="1")
    assert (version["State"], version["RevisionId"]) == ("Active", updated["RevisionId"])
    again = await world.call("PublishVersion", FunctionName="f")
    assert again["Version"] == "1"


async def test_missing_source_and_function(world: World) -> None:
    """An update without a package, or of no function, is refused."""
    error = await refused(world.call("UpdateFunctionCode", FunctionName="f", ZipFile=CODE))
    assert error.code == "ResourceNotFoundException"
    await world.create()
    error = await refused(world.call("UpdateFunctionCode", FunctionName="f"))
    assert error.message == "Please provide a source for function code."
    error = await refused(world.call("UpdateFunctionCode", FunctionName="f", ZipFile=CODE, RevisionId="stale"))
    assert error.code == "PreconditionFailedException"
