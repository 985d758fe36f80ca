"""Published versions of a function."""

from __future__ import annotations

import base64
import hashlib

from support.lambda_service import CODE, OTHER_CODE, World, refused

SHA256 = base64.b64encode(hashlib.sha256(CODE).digest()).decode()


async def test_publish_and_publish_again(world: World) -> None:
    """A version is Active at once; without a change the same version comes back; numbers are never used twice."""
    await world.create()
    first = await world.call("PublishVersion", FunctionName="f", Description="first")
    assert (first["Version"], first["State"], first["LastUpdateStatus"]) == ("1", "Active", "Successful")
    assert first["FunctionArn"].endswith(":function:f:1")
    assert first["Description"] == "first"
    again = await world.call("PublishVersion", FunctionName="f", Description="other")
    assert again == first
    await world.call("DeleteFunction", FunctionName="f", Qualifier="1")
    second = await world.call("PublishVersion", FunctionName="f")
    assert second["Version"] == "2"


async def test_version_keeps_what_it_was_made_from(world: World) -> None:
    """An update of $LATEST changes neither a version's answer nor what its invocations run."""
    await world.create(Environment={"Variables": {"STAGE": "old"}})
    await world.call("PublishVersion", FunctionName="f")
    await world.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_CODE)
    await world.settled()
    shown = await world.call("GetFunctionConfiguration", FunctionName="f", Qualifier="1")
    assert shown["CodeSha256"] == SHA256
    await world.call("Invoke", FunctionName="f", Qualifier="1")
    assert world.invoker.invocations[-1].version.version == "1"
    assert world.invoker.invocations[-1].version.environment == {"STAGE": "old"}


async def test_checks(world: World) -> None:
    """CodeSha256 and RevisionId must be those of $LATEST."""
    await world.create()
    error = await refused(world.call("PublishVersion", FunctionName="f", CodeSha256="other"))
    assert error.message == (
        f"CodeSHA256 (other) is different from current CodeSHA256 in $LATEST ({SHA256}). "
        "Please try again with the CodeSHA256 in $LATEST."
    )
    error = await refused(world.call("PublishVersion", FunctionName="f", RevisionId="stale"))
    assert error.code == "PreconditionFailedException"
    assert (await world.call("PublishVersion", FunctionName="f", CodeSha256=SHA256))["Version"] == "1"


async def test_list_in_the_order_of_numbers(world: World) -> None:
    """$LATEST comes first, then versions by number, page by page."""
    await world.create()
    for number in range(11):
        await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=number + 1)
        await world.settled()
        await world.call("PublishVersion", FunctionName="f")
    first = await world.call("ListVersionsByFunction", FunctionName="f", MaxItems=7)
    second = await world.call("ListVersionsByFunction", FunctionName="f", Marker=first["NextMarker"])
    versions = [each["Version"] for each in first["Versions"] + second["Versions"]]
    assert versions == ["$LATEST", *(str(number) for number in range(1, 12))]
    assert first["Versions"][0]["FunctionArn"].endswith(":$LATEST")
    reloaded = world.restarted()
    world.state = reloaded
    assert (await world.call("ListVersionsByFunction", FunctionName="f"))["Versions"][11]["Version"] == "11"


async def test_publishing_gives_latest_another_revision(world: World) -> None:
    """As on AWS; to publish again what is published already changes nothing, and no environment is made anew."""
    await world.create()
    await world.call("Invoke", FunctionName="f", Payload=b"1")
    before = (await world.call("GetFunctionConfiguration", FunctionName="f"))["RevisionId"]
    version = await world.call("PublishVersion", FunctionName="f", RevisionId=before)
    after = (await world.call("GetFunctionConfiguration", FunctionName="f"))["RevisionId"]
    assert len({before, after, version["RevisionId"]}) == 3
    error = await refused(world.call("PublishVersion", FunctionName="f", RevisionId=before))
    assert error.code == "PreconditionFailedException"
    again = await world.call("PublishVersion", FunctionName="f", RevisionId=after)
    assert (again["Version"], again["RevisionId"]) == (version["Version"], version["RevisionId"])
    assert (await world.call("GetFunctionConfiguration", FunctionName="f"))["RevisionId"] == after
    await world.call("Invoke", FunctionName="f", Payload=b"1")
    first, second = [invocation.version.revision_id for invocation in world.invoker.invocations]
    assert first == second
