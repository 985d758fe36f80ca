"""identity.py: access keys on the store and the credentials of functions."""

from __future__ import annotations

import asyncio
import itertools
import re

import pytest

from lambdad.errors import ServiceError
from lambdad.identity import SESSIONS, Identities
from lambdad.model.credential import Session
from lambdad.store.memory import MemoryStore

ACCOUNT = "123456789012"


async def opened(store: MemoryStore) -> Identities:
    clock = itertools.count(1000).__next__
    identities = Identities(store, clock=clock)
    await identities.open()
    return identities


async def test_an_access_key_is_found_and_outlives_the_process() -> None:
    """A key made before is there after the store was opened again, with the rights of its account."""
    store = MemoryStore()
    key = await (await opened(store)).create(ACCOUNT, "ci")
    assert re.fullmatch(r"AKIA[A-Z2-7]{16}", key.access_key_id)
    assert re.fullmatch(r"[A-Za-z0-9+/]{40}", key.secret)
    found = (await opened(store)).lookup(key.access_key_id)
    assert found is not None
    assert (found.secret, found.account_id, found.session_token) == (key.secret, ACCOUNT, None)
    assert found.principal_arn == f"arn:aws:iam::{ACCOUNT}:root"


async def test_more_keys_than_a_page_are_all_loaded() -> None:
    """Loading goes through every page of the store."""
    store = MemoryStore()
    identities = await opened(store)
    made = [await identities.create(ACCOUNT) for _ in range(1001)]
    again = await opened(store)
    assert {key.access_key_id for key in again.access_keys()} == {key.access_key_id for key in made}


async def test_access_keys_are_listed_oldest_first() -> None:
    """Order of making, not of ids."""
    identities = await opened(MemoryStore())
    for name in ("one", "two", "three"):
        await identities.create(ACCOUNT, name)
    assert [key.name for key in identities.access_keys()] == ["one", "two", "three"]


async def test_a_deleted_key_is_gone_at_once_and_for_good() -> None:
    """Deleting again says that there is none."""
    store = MemoryStore()
    identities = await opened(store)
    key = await identities.create(ACCOUNT)
    assert await identities.delete(key.access_key_id) is True
    assert identities.lookup(key.access_key_id) is None
    assert await identities.delete(key.access_key_id) is False
    assert (await opened(store)).access_keys() == []


async def test_a_minted_credential_is_valid_until_revoked() -> None:
    """It acts as its role's session, needs its token, is not listed, and is never written down."""
    store = MemoryStore()
    identities = await opened(store)
    minted = identities.mint(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:role/service-role/reader", "hello")
    assert re.fullmatch(r"ASIA[A-Z2-7]{16}", minted.access_key_id)
    assert minted.principal_arn == f"arn:aws:sts::{ACCOUNT}:assumed-role/reader/hello"
    assert minted.session_token
    assert identities.lookup(minted.access_key_id) == minted
    assert list(identities.access_keys()) == []
    assert (await opened(store)).lookup(minted.access_key_id) is None
    identities.revoke(minted.access_key_id)
    identities.revoke(minted.access_key_id)
    assert identities.lookup(minted.access_key_id) is None


async def test_each_door_ends_only_its_own_kind() -> None:
    """`delete` does not end a function's credential, `revoke` does not end an access key."""
    identities = await opened(MemoryStore())
    key, minted = await identities.create(ACCOUNT), identities.mint(ACCOUNT, "arn:aws:iam::1:role/r", "s")
    assert await identities.delete(minted.access_key_id) is False
    identities.revoke(key.access_key_id)
    assert identities.lookup(key.access_key_id) is not None
    assert identities.lookup(minted.access_key_id) is not None


@pytest.mark.parametrize(
    ("account_id", "name"),
    [("1234", ""), ("12345678901a", ""), ("", ""), (ACCOUNT, "a b"), (ACCOUNT, "x" * 65), (ACCOUNT, "a\n")],
)
async def test_bad_accounts_and_names_are_refused(account_id: str, name: str) -> None:
    """Nothing is stored of a key that is refused."""
    store = MemoryStore()
    with pytest.raises(ServiceError) as refusal:
        await (await opened(store)).create(account_id, name)
    assert refusal.value.code == "ValidationError"
    assert (await opened(store)).access_keys() == []


async def test_secrets_stay_out_of_representations() -> None:
    """A key or credential in a log line or traceback does not show its secret."""
    identities = await opened(MemoryStore())
    key, minted = await identities.create(ACCOUNT), identities.mint(ACCOUNT, "arn:aws:iam::1:role/r", "s")
    credential = identities.lookup(key.access_key_id)
    assert key.secret not in repr(key) + str(key) + repr(credential)
    assert minted.secret not in repr(minted)
    assert str(minted.session_token) not in repr(minted)


async def test_a_users_key_acts_as_the_user() -> None:
    """With its path in the ARN; made inactive it is unknown, and stays so after a restart."""
    store = MemoryStore()
    identities = await opened(store)
    key = await identities.create_for_user(ACCOUNT, "ann", "/team/", 2)
    assert key is not None
    found = (await opened(store)).lookup(key.access_key_id)
    assert found is not None
    assert (found.principal_arn, found.user_name) == (f"arn:aws:iam::{ACCOUNT}:user/team/ann", "ann")
    await identities.set_active(key.access_key_id, False)
    assert identities.lookup(key.access_key_id) is None
    assert (await opened(store)).lookup(key.access_key_id) is None
    await identities.set_active(key.access_key_id, True)
    assert identities.lookup(key.access_key_id) == found
    with pytest.raises(KeyError):
        await identities.set_active("AKIAABSENT", True)


async def test_a_user_has_no_more_keys_than_it_may() -> None:
    """Also when it asks for several at once."""
    identities = await opened(MemoryStore())
    made = await asyncio.gather(*(identities.create_for_user(ACCOUNT, "ann", "/", 2) for _ in range(5)))
    assert sum(key is not None for key in made) == 2
    assert len(identities.keys_of_user(ACCOUNT, "ann")) == 2
    assert not identities.keys_of_user("999999999999", "ann")


async def test_a_session_outlives_a_restart_and_is_cleared_away_a_day_after_its_end() -> None:
    """Until then it is known as expired; what is over is gone from the store when it is opened."""
    store = MemoryStore()
    now = 1000.0
    identities = Identities(store, clock=lambda: now)
    session = Session(issued_at=now, role_arn="arn:aws:iam::1:role/r", name="s", policies=("{}",), tags={"a": "b"})
    issued = await identities.issue(ACCOUNT, "arn:aws:sts::1:assumed-role/r/s", None, session, 900)
    again = Identities(store, clock=lambda: now)
    await again.open()
    found = again.lookup(issued.access_key_id)
    assert found == identities.lookup(issued.access_key_id)
    assert found is not None
    assert (found.session, found.expires_at) == (session, 1900.0)
    assert issued.secret not in repr(issued) + repr(found)
    again.revoke(issued.access_key_id)
    assert again.lookup(issued.access_key_id) == found
    now = 1900.0 + 86_401
    late = Identities(store, clock=lambda: now)
    await late.open()
    assert late.lookup(issued.access_key_id) is None
    assert not await store.list(SESSIONS)


async def test_sessions_that_are_over_do_not_pile_up() -> None:
    """Every hundredth new one clears away the old."""
    now = 1000.0
    store = MemoryStore()
    identities = Identities(store, clock=lambda: now)
    for _ in range(200):
        now += 1000.0
        await identities.issue(ACCOUNT, "arn", None, Session(issued_at=now), 900)
    assert len(await store.list(SESSIONS)) < 100
