"""Who may sign requests: access keys and temporary credentials, kept on the store, and functions' own, kept in memory."""

from __future__ import annotations

import asyncio
import re
import secrets
import string
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.credential import Credential, Session
from lambdad.store.base import Delete, Put, Records

COLLECTION = "access-key"
SESSIONS = "session"
_KEY_ID_ALPHABET = string.ascii_uppercase + "234567"
_SECRET_ALPHABET = string.ascii_letters + string.digits + "+/"
_PAGE = 1000
#: How long an ended session is still known, so that its owner reads that it has expired and not that there never was one.
_REMEMBERED_SECONDS = 86_400.0
_SESSIONS_BETWEEN_SWEEPS = 100

T = TypeVar("T")


class AccessKey(msgspec.Struct, frozen=True):
    """A long-lived key as it is kept. One without a user has all rights of the account; `name` only says what it is for."""

    access_key_id: str
    secret: str
    account_id: str
    name: str
    created_at: float  #: seconds since the epoch
    user_name: str = ""  #: of an IAM user
    user_path: str = "/"
    is_active: bool = True

    @property
    def principal_arn(self) -> str:
        user = f"user{self.user_path}{self.user_name}" if self.user_name else "root"
        return f"arn:aws:iam::{self.account_id}:{user}"

    def __repr__(self) -> str:  # the secret stays out of logs and tracebacks
        return f"AccessKey({self.access_key_id!r}, account_id={self.account_id!r}, name={self.name!r})"


@dataclass(frozen=True, slots=True)
class IssuedSession:
    """Temporary credentials as they are kept."""

    access_key_id: str
    secret: str
    session_token: str
    account_id: str
    principal_arn: str
    user_name: str | None
    expires_at: float
    session: Session

    def credential(self) -> Credential:
        return Credential(
            access_key_id=self.access_key_id,
            secret=self.secret,
            account_id=self.account_id,
            principal_arn=self.principal_arn,
            session_token=self.session_token,
            user_name=self.user_name,
            expires_at=self.expires_at,
            session=self.session,
        )

    def __repr__(self) -> str:
        return f"IssuedSession({self.access_key_id!r}, {self.principal_arn!r})"


class Identities:
    """Every credential that is valid now. `lookup` is a look into memory, since each signed request asks."""

    def __init__(
        self, records: Records, *, clock: Callable[[], float] = time.time, choice: Callable[[str], str] = secrets.choice
    ) -> None:
        self._records = records
        self._clock = clock
        self._choice = choice
        self._access_keys: dict[str, AccessKey] = {}
        self._credentials: dict[str, Credential] = {}
        self._sessions: dict[str, float] = {}  #: access key id -> when it expires
        self._issued = 0
        self._changing = asyncio.Lock()  #: of the keys of users

    async def open(self) -> None:
        """Loads the access keys and sessions; call once, before `lookup`."""
        for key in await self._load(COLLECTION, AccessKey):
            self._remember(key)
        for issued in await self._load(SESSIONS, IssuedSession):
            self._credentials[issued.access_key_id] = issued.credential()
            self._sessions[issued.access_key_id] = issued.expires_at
        await self._sweep()

    def lookup(self, access_key_id: str) -> Credential | None:
        return self._credentials.get(access_key_id)

    async def create(self, account_id: str, name: str = "") -> AccessKey:
        """A new access key, durable on return. Nothing shows its secret a second time."""
        _check(account_id, name)
        key = AccessKey(self._key_id("AKIA"), self._text(_SECRET_ALPHABET, 40), account_id, name, self._clock())
        await self._records.commit([Put(COLLECTION, key.access_key_id, msgspec.json.encode(key), if_absent=True)])
        self._remember(key)
        return key

    def access_keys(self) -> Sequence[AccessKey]:
        """Oldest first."""
        return sorted(self._access_keys.values(), key=lambda key: (key.created_at, key.access_key_id))

    async def delete(self, access_key_id: str) -> bool:
        """Ends an access key; False when there is none of that id (a function's credential is no access key)."""
        if access_key_id not in self._access_keys:
            return False
        await self._records.commit([Delete(COLLECTION, access_key_id)])
        self._credentials.pop(access_key_id, None)
        return self._access_keys.pop(access_key_id, None) is not None

    def keys_of_user(self, account_id: str, user_name: str) -> list[AccessKey]:
        return [key for key in self.access_keys() if key.account_id == account_id and key.user_name == user_name]

    async def create_for_user(self, account_id: str, user_name: str, user_path: str, limit: int) -> AccessKey | None:
        """A new key of an IAM user, durable on return; None when it has as many as it may."""
        async with self._changing:
            if len(self.keys_of_user(account_id, user_name)) >= limit:
                return None
            key = AccessKey(
                self._key_id("AKIA"), self._text(_SECRET_ALPHABET, 40), account_id, "", self._clock(), user_name, user_path
            )
            await self._records.commit([Put(COLLECTION, key.access_key_id, msgspec.json.encode(key), if_absent=True)])
            self._remember(key)
        return key

    async def set_active(self, access_key_id: str, is_active: bool) -> None:
        """KeyError when there is no such key."""
        async with self._changing:
            key = msgspec.structs.replace(self._access_keys[access_key_id], is_active=is_active)
            await self._records.commit([Put(COLLECTION, access_key_id, msgspec.json.encode(key))])
            self._remember(key)

    async def issue(
        self, account_id: str, principal_arn: str, user_name: str | None, session: Session, seconds: int
    ) -> IssuedSession:
        """Temporary credentials, durable on return: a restart does not end them, their time does."""
        issued = IssuedSession(
            access_key_id=self._key_id("ASIA"),
            secret=self._text(_SECRET_ALPHABET, 40),
            session_token=self._text(_SECRET_ALPHABET, 160),
            account_id=account_id,
            principal_arn=principal_arn,
            user_name=user_name,
            expires_at=session.issued_at + seconds,
            session=session,
        )
        await self._records.commit([Put(SESSIONS, issued.access_key_id, msgspec.json.encode(issued), if_absent=True)])
        self._credentials[issued.access_key_id] = issued.credential()
        self._sessions[issued.access_key_id] = issued.expires_at
        self._issued += 1
        if self._issued % _SESSIONS_BETWEEN_SWEEPS == 0:
            await self._sweep()
        return issued

    def mint(self, account_id: str, role_arn: str, session_name: str, function_arn: str | None = None) -> Credential:
        """A credential for a function's execution environment, valid until `revoke` or the server's end."""
        role_name = role_arn.rpartition("/")[2] or "lambdad"
        credential = Credential(
            access_key_id=self._key_id("ASIA"),
            secret=self._text(_SECRET_ALPHABET, 40),
            account_id=account_id,
            principal_arn=f"arn:aws:sts::{account_id}:assumed-role/{role_name}/{session_name}",
            session_token=self._text(_SECRET_ALPHABET, 120),
            session=Session(issued_at=self._clock(), role_arn=role_arn, name=session_name, function_arn=function_arn),
        )
        self._credentials[credential.access_key_id] = credential
        return credential

    def revoke(self, access_key_id: str) -> None:
        """Ends a minted credential. Harmless a second time, and for those that are kept."""
        if access_key_id not in self._access_keys and access_key_id not in self._sessions:
            self._credentials.pop(access_key_id, None)

    def _remember(self, key: AccessKey) -> None:
        self._access_keys[key.access_key_id] = key
        if not key.is_active:
            self._credentials.pop(key.access_key_id, None)
            return
        self._credentials[key.access_key_id] = Credential(
            access_key_id=key.access_key_id,
            secret=key.secret,
            account_id=key.account_id,
            principal_arn=key.principal_arn,
            user_name=key.user_name or None,
        )

    async def _load(self, collection: str, kind: type[T]) -> list[T]:
        found: list[T] = []
        after = ""
        while page := await self._records.list(collection, after=after, limit=_PAGE):
            found += [msgspec.json.decode(record.value, type=kind) for record in page]
            after = page[-1].key
        return found

    async def _sweep(self) -> None:
        for page in self._long_over():
            await self._records.commit([Delete(SESSIONS, access_key_id) for access_key_id in page])
            for access_key_id in page:
                self._sessions.pop(access_key_id, None)
                self._credentials.pop(access_key_id, None)

    def _long_over(self) -> Iterator[list[str]]:
        before = self._clock() - _REMEMBERED_SECONDS
        over = [access_key_id for access_key_id, expires_at in self._sessions.items() if expires_at < before]
        for start in range(0, len(over), _PAGE):
            yield over[start : start + _PAGE]

    def _key_id(self, prefix: str) -> str:
        return prefix + self._text(_KEY_ID_ALPHABET, 16)

    def _text(self, alphabet: str, length: int) -> str:
        return "".join(self._choice(alphabet) for _ in range(length))


def _check(account_id: str, name: str) -> None:
    if not re.fullmatch(r"\d{12}", account_id, re.ASCII):
        raise ServiceError("ValidationError", f"The account id must be 12 digits, not {account_id!r}.", status=400)
    if not re.fullmatch(r"[\w+=,.@-]{0,64}", name, re.ASCII):
        message = f"The name may have up to 64 letters, digits and any of +=,.@_-, not {name!r}."
        raise ServiceError("ValidationError", message, status=400)
