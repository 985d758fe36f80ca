"""admin.py: the routes of the admin socket."""

from __future__ import annotations

import json

import pytest

from lambdad.admin import answer
from lambdad.identity import Identities
from lambdad.store.memory import MemoryStore

PATH = "/_lambdad/credentials"
ACCOUNT = "123456789012"


@pytest.fixture
def identities() -> Identities:
    return Identities(MemoryStore(), clock=lambda: 1000.0)


async def test_a_key_is_made_listed_and_deleted(identities: Identities) -> None:
    """The secret is in the answer that makes it and in no other."""
    status, made = await answer(identities, "POST", PATH, json.dumps({"account_id": ACCOUNT, "name": "ci"}).encode())
    assert status == 200
    assert (made["AccountId"], made["Name"], made["CreatedAt"], len(made["SecretAccessKey"])) == (ACCOUNT, "ci", 1000.0, 40)
    del made["SecretAccessKey"]
    assert await answer(identities, "GET", PATH, b"") == (200, [made])
    assert await answer(identities, "DELETE", f"{PATH}/{made['AccessKeyId']}", b"") == (200, {})
    assert await answer(identities, "GET", PATH, b"") == (200, [])


async def test_deleting_what_is_not_there_is_a_404(identities: Identities) -> None:
    """The message names the id as it was meant."""
    status, document = await answer(identities, "DELETE", f"{PATH}/a%2Fb", b"")
    assert (status, document) == (404, {"message": "There is no access key 'a/b'."})


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b"\xff", b'{"account_id": 1}', b'{"account_id": "12"}', b"[" * 100_000]
)
async def test_a_bad_body_is_a_400_and_makes_nothing(identities: Identities, body: bytes) -> None:
    """The message says what was wanted."""
    status, document = await answer(identities, "POST", PATH, body)
    assert status == 400
    assert document["message"]
    assert await answer(identities, "GET", PATH, b"") == (200, [])


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", PATH), ("GET", "/"), ("DELETE", PATH), ("GET", f"{PATH}/x"), ("POST", "/x")]
)
async def test_anything_else_is_a_404(identities: Identities, method: str, path: str) -> None:
    """No route but the three."""
    assert (await answer(identities, method, path, b"{}"))[0] == 404
