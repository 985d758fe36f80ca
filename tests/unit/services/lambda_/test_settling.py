"""From Pending to Active and from InProgress to Successful, through failures, restarts and concurrent changes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lambdad.model.image import ImageUse
from lambdad.sandbox.base import UnpackLimits, UnpackReport
from lambdad.services.lambda_.record_keys import UNSETTLED
from lambdad.services.lambda_.settling import IMAGES_OF_ACCOUNT
from lambdad.store.base import Change, Put
from support.image_layers import Entry
from support.images import image, write_layout
from support.lambda_service import ACCOUNT, OTHER_CODE, REGION, ROLE, World, digest_of, function_request, refused

KEY = (ACCOUNT, REGION, "f")


async def test_pending_function_is_not_invoked_or_changed(world: World) -> None:
    """While a function is Pending, invocations, updates and publications are conflicts."""
    world.runtimes.gate = asyncio.Event()
    await world.call("CreateFunction", **function_request())
    message = "The operation cannot be performed at this time. The function is currently in the following state: Pending"
    for operation, request in (
        ("Invoke", {}),
        ("UpdateFunctionCode", {"ZipFile": OTHER_CODE}),
        ("UpdateFunctionConfiguration", {"Timeout": 4}),
        ("PublishVersion", {}),
    ):
        error = await refused(world.call(operation, FunctionName="f", **request))
        assert (error.code, error.message) == ("ResourceConflictException", message)
    world.runtimes.gate.set()
    await world.settled()
    assert (await world.call("Invoke", FunctionName="f"))["StatusCode"] == 200


async def test_update_in_progress(world: World) -> None:
    """During an update invocations run the old reading, other updates are conflicts; afterwards the new one runs."""
    await world.create()
    world.runtimes.gate = asyncio.Event()
    updated = await world.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_CODE)
    assert (updated["State"], updated["LastUpdateStatus"]) == ("Active", "InProgress")
    assert updated["LastUpdateStatusReason"] == "The function is being created."
    error = await refused(world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=4))
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    assert error.message == f"The operation cannot be performed at this time. An update is in progress for resource: {arn}"
    await world.call("Invoke", FunctionName="f")
    world.runtimes.gate.set()
    await world.settled()
    await world.call("Invoke", FunctionName="f")
    before, after = world.invoker.invocations
    assert before.version.code.digest != digest_of(OTHER_CODE)
    assert after.version.code.digest == digest_of(OTHER_CODE)
    assert world.invoker.retired[-1] == (*KEY, "$LATEST")
    shown = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert shown["LastUpdateStatus"] == "Successful"
    assert shown["RevisionId"] != updated["RevisionId"]
    assert world.invoker.newest_revisions[-1] == shown["RevisionId"] == after.version.revision_id


async def test_failed_creation(world: World) -> None:
    """A runtime that cannot be prepared makes the function Failed, with the reason; it can only be deleted."""
    world.runtimes.failure = "There is no room for the SDK."
    await world.create()
    shown = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["State"], shown["StateReasonCode"]) == ("Failed", "InvalidRuntime")
    assert shown["StateReason"] == "There is no room for the SDK."
    assert (await refused(world.call("Invoke", FunctionName="f"))).code == "ResourceConflictException"
    assert (await refused(world.call("UpdateFunctionConfiguration", FunctionName="f"))).code == "ResourceConflictException"
    await world.call("DeleteFunction", FunctionName="f")


async def test_failed_update_keeps_the_old_reading(world: World) -> None:
    """After a failed update the function stays Active on its old code, and the next update can succeed."""
    await world.create()
    world.runtimes.failure = "broken"
    await world.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_CODE)
    await world.settled()
    shown = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["State"], shown["LastUpdateStatus"], shown["LastUpdateStatusReason"]) == ("Active", "Failed", "broken")
    await world.call("Invoke", FunctionName="f")
    assert world.invoker.invocations[-1].version.code.digest != digest_of(OTHER_CODE)
    world.runtimes.failure = None
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=7)
    await world.settled()
    await world.call("Invoke", FunctionName="f")
    assert world.invoker.invocations[-1].version.code.digest == digest_of(OTHER_CODE)


async def test_restart_takes_up_unsettled_functions(world: World) -> None:
    """What was Pending when the server ended is made ready by the next one."""
    world.runtimes.gate = asyncio.Event()
    await world.call("CreateFunction", **function_request())
    await world.state.settler.stop()
    assert await world.store.list(UNSETTLED)
    world.runtimes.gate.set()
    world.state = world.restarted()
    await world.state.settler.start()
    await world.settled()
    assert (await world.call("GetFunctionConfiguration", FunctionName="f"))["State"] == "Active"
    assert not await world.store.list(UNSETTLED)


async def test_function_deleted_while_pending(world: World) -> None:
    """A function deleted while it was made ready stays deleted."""
    world.runtimes.gate = asyncio.Event()
    await world.call("CreateFunction", **function_request())
    await world.call("DeleteFunction", FunctionName="f")
    world.runtimes.gate.set()
    await world.settled()
    assert (await refused(world.call("GetFunction", FunctionName="f"))).code == "ResourceNotFoundException"


async def test_a_function_made_anew_waits_for_nothing_of_the_one_before(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers that are being fetched for one that is deleted are not fetched to the end."""
    begun, ended = asyncio.Event(), asyncio.Event()

    async def fetch(account_id: str, use: ImageUse) -> None:
        if begun.is_set():
            return
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    monkeypatch.setattr(world.state.settler._images, "fetch", fetch)  # type: ignore[attr-defined]
    folder = write_layout(world.image_folder / "one", {"v": image([Entry("one")])})
    request = {"FunctionName": "f", "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": f"oci:{folder}:v"}}
    await world.call("CreateFunction", **request)
    await begun.wait()
    await world.call("DeleteFunction", FunctionName="f")
    await world.call("CreateFunction", **request)
    await ended.wait()
    await world.settled()
    assert (await world.call("GetFunctionConfiguration", FunctionName="f"))["State"] == "Active"


async def test_an_image_is_not_unpacked_to_the_end_for_a_function_that_is_gone(world: World) -> None:
    """One that is made anew of the same image has it unpacked anew, and waits for nothing."""
    begun, has_begun, is_ended = world.sandboxes.begun, asyncio.Condition(), asyncio.Event()
    unpack_layer = world.sandboxes.unpack_layer

    async def noted(layer: Path, below: Path | None, destination: Path, limits: UnpackLimits) -> UnpackReport:
        try:
            async with has_begun:
                has_begun.notify_all()
            return await unpack_layer(layer, below, destination, limits)
        except asyncio.CancelledError:
            is_ended.set()
            raise

    world.sandboxes.unpack_layer = noted  # type: ignore[method-assign]
    folder = write_layout(world.image_folder / "one", {"v": image([Entry("one")])})
    request = {"FunctionName": "f", "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": f"oci:{folder}:v"}}
    world.sandboxes.gate.clear()
    async with has_begun:
        await world.call("CreateFunction", **request)
        await has_begun.wait()
    await world.call("DeleteFunction", FunctionName="f")
    await is_ended.wait()
    world.sandboxes.gate.set()
    await world.call("CreateFunction", **request)
    await world.settled()
    assert (await world.call("GetFunctionConfiguration", FunctionName="f"))["State"] == "Active"
    assert len(begun) == 2
    await world.code_store.close()
    assert not [path for path in world.code_store._directory.iterdir() if path.name.startswith("partial")]


async def test_tags_may_change_meanwhile(world: World) -> None:
    """A change of tags while a function is made ready does not hold it up, and is kept."""
    world.runtimes.gate = asyncio.Event()
    await world.call("CreateFunction", **function_request())
    arn = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
    await world.call("TagResource", Resource=arn, Tags={"a": "b"})
    world.runtimes.gate.set()
    await world.settled()
    shown = await world.call("GetFunction", FunctionName="f")
    assert (shown["Configuration"]["State"], shown["Tags"]) == ("Active", {"a": "b"})


async def test_store_trouble_is_tried_again(world: World) -> None:
    """A commit that fails while settling is repeated after a pause."""
    commit = world.store.commit
    fails = [True]

    async def failing(changes: list[Change]) -> None:
        if fails and len(await world.store.list(UNSETTLED)) == 1 and any(isinstance(each, Put) for each in changes):
            fails.pop()
            raise OSError("no space left on device")
        await commit(changes)

    world.store.commit = failing  # type: ignore[method-assign,assignment]
    await world.create()
    assert (await world.call("GetFunctionConfiguration", FunctionName="f"))["State"] == "Active"
    assert world.pauses == [1.0]


async def test_unpacked_code_that_was_lost_comes_back(world: World) -> None:
    """Settling unpacks again what a killed server had unpacked and lost."""
    await world.create()
    digest = digest_of(function_request()["Code"]["ZipFile"])
    await world.code_store.discard((digest,))
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=5)
    await world.settled()
    assert world.code_store.path((digest,)).is_dir()


async def test_update_while_the_last_one_ends(world: World) -> None:
    """An update that comes when the one before has just been settled is settled too."""
    await world.create()
    retire, retiring, go_on = world.invoker.retire, asyncio.Event(), asyncio.Event()

    async def slow(*key: str | None) -> None:
        retiring.set()
        await go_on.wait()
        await retire(*key)  # type: ignore[arg-type]

    world.invoker.retire = slow  # type: ignore[method-assign,assignment]
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=4)
    await retiring.wait()
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=5)
    go_on.set()
    await world.settled()
    shown = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["LastUpdateStatus"], shown["Timeout"]) == ("Successful", 5)


async def test_code_that_cannot_be_unpacked_any_more(world: World) -> None:
    """A package that the store has lost makes the function Failed as our fault."""
    world.runtimes.gate = asyncio.Event()
    await world.call("CreateFunction", **function_request())
    await world.state.settler.stop()
    digest = digest_of(function_request()["Code"]["ZipFile"])
    await world.code_store.discard((digest,))
    world.blobs.path(digest).unlink()
    world.state = world.restarted()
    await world.state.settler.start()
    await world.settled()
    shown = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["State"], shown["StateReasonCode"]) == ("Failed", "InternalError")


def _held(
    commit: Callable[[Sequence[Change]], Awaitable[None]], committing: asyncio.Event, go_on: asyncio.Event
) -> Callable[[Sequence[Change]], Awaitable[None]]:
    """A commit that says when it has begun and waits for a word."""

    async def held(changes: Sequence[Change]) -> None:
        committing.set()
        await go_on.wait()
        await commit(changes)

    return held


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("CreateFunction", function_request()),
        ("UpdateFunctionCode", {"FunctionName": "f", "ZipFile": OTHER_CODE}),
        ("UpdateFunctionConfiguration", {"FunctionName": "f", "Timeout": 9}),
    ],
)
async def test_settles_without_its_caller(world: World, operation: str, request_: dict[str, Any]) -> None:
    """What was committed becomes ready though its caller went away during the commit."""
    if operation != "CreateFunction":
        await world.create()
    commit, committing, go_on = world.store.commit, asyncio.Event(), asyncio.Event()
    world.store.commit = _held(commit, committing, go_on)  # type: ignore[method-assign]
    calling = asyncio.create_task(world.call(operation, **request_))
    await committing.wait()
    calling.cancel()
    go_on.set()
    await asyncio.wait([calling])
    assert calling.cancelled()
    await world.settled()
    shown = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")


async def test_nobody_waits_for_the_images_of_another_account(world: World) -> None:
    """Nor does a function made of a zip for any: unpacking one may take half an hour."""
    world.sandboxes.gate.clear()

    async def create(account: str, number: int) -> None:
        made = image([Entry(f"{account}-{number}")])
        folder = write_layout(world.image_folder / f"{account}-{number}", {"v": made})
        request = {"FunctionName": f"f{number}", "Role": f"arn:aws:iam::{account}:role/test", "PackageType": "Image"}
        await world.call("CreateFunction", account=account, **request, Code={"ImageUri": f"oci:{folder}:v"})

    other = "222222222222"
    for number in range(20):
        await create(ACCOUNT, number)
    await create(other, 0)
    await world.create("of-zip")
    assert (await world.call("GetFunctionConfiguration", FunctionName="of-zip"))["State"] == "Active"
    await create(other, 1)
    async with asyncio.timeout(60):
        while len(world.sandboxes.begun) < IMAGES_OF_ACCOUNT + 2:
            await asyncio.sleep(0)
    world.sandboxes.gate.set()
    for number in range(20):
        await world.settled(f"f{number}")
    for number in range(2):
        await world.state.settler.settled((other, REGION, f"f{number}"))
        shown = await world.call("GetFunctionConfiguration", account=other, FunctionName=f"f{number}")
        assert shown["State"] == "Active"
    assert len(world.sandboxes.begun) == 22
