"""Links that download code."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.lambda_service import CODE, World, digest_of


async def fetch(world: World, url: str, method: str = "GET") -> tuple[int, dict[bytes, bytes], bytes]:
    """Asks the links' ASGI application as the front would."""
    parts = urlsplit(url)
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    scope = {"type": "http", "method": method, "path": parts.path, "query_string": parts.query.encode()}
    await world.state.code_locations(scope, receive, send)
    body = b"".join(message["body"] for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body


async def test_link_downloads_the_very_bytes(world: World) -> None:
    """GetFunction's location gives the zip as it was uploaded, for ten minutes."""
    await world.create()
    location = (await world.call("GetFunction", FunctionName="f"))["Code"]["Location"]
    status, headers, body = await fetch(world, location)
    assert (status, body, headers[b"content-length"]) == (200, CODE, str(len(CODE)).encode())
    assert (await fetch(world, location, "HEAD"))[2] == b""
    world.now[0] += 600
    assert (await fetch(world, location))[0] == 200
    world.now[0] += 0.5
    assert (await fetch(world, location))[0] == 403


@pytest.mark.parametrize("change", [("signature=", "signature=0"), ("expires=1", "expires=2"), ("?", "?x="), (".zip", "0.zip")])
async def test_changed_links_are_refused(world: World, change: tuple[str, str]) -> None:
    """A link with any part changed is refused."""
    await world.create()
    location = (await world.call("GetFunction", FunctionName="f"))["Code"]["Location"]
    status, _, body = await fetch(world, location.replace(*change))
    assert status == 403
    assert b"AccessDenied" in body


async def test_hostile_links(world: World) -> None:
    """Paths, digits and signatures of other kinds are refused without a look at the disk."""
    for tail in (
        "",
        "../../etc/passwd",
        f"{digest_of(CODE)}.zip?expires=\u0663&signature=x",
        "x?expires=99999999999999&signature=",
    ):
        assert (await fetch(world, f"http://h/_lambdad/code/{tail}"))[0] == 403
    assert (await fetch(world, "http://h/_lambdad/code/x", "POST"))[0] == 405


async def test_code_that_is_gone(world: World) -> None:
    """A good link to code that has been deleted since is a 404."""
    await world.create()
    location = (await world.call("GetFunction", FunctionName="f"))["Code"]["Location"]
    await world.call("DeleteFunction", FunctionName="f")
    assert (await fetch(world, location))[0] == 404


async def test_download_outlives_the_function(world: World) -> None:
    """A download that has begun goes on to the end when the function is deleted; then the code goes too."""
    await world.create()
    location = urlsplit((await world.call("GetFunction", FunctionName="f"))["Code"]["Location"])
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        if not sent:
            await world.call("DeleteFunction", FunctionName="f")
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": location.path, "query_string": location.query.encode()}
    await world.state.code_locations(scope, receive, send)
    assert (sent[0]["status"], b"".join(message["body"] for message in sent[1:])) == (200, CODE)
    with pytest.raises(KeyError):
        world.blobs.path(digest_of(CODE))
