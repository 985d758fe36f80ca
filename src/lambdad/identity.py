"""Who may sign requests: access keys, kept on the store, and the credentials minted for functions, kept in memory."""

from __future__ import annotations

import re
import secrets
import string
import time
from collections.abc import Callable, Sequence

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.credential import Credential
from lambdad.store.base import Delete, Put, Records

COLLECTION = "access-key"
_KEY_ID_ALPHABET = string.ascii_uppercase + "234567"
_SECRET_ALPHABET = string.ascii_letters + string.digits + "+/"
_PAGE = 1000


class AccessKey(msgspec.Struct, frozen=True):
    """A long-lived key as it is kept. Its owner has all rights of the account; `name` only says what it is for."""

    access_key_id: str
    secret: str
    account_id: str
    name: str
    created_at: float  #: seconds since the epoch

    def __repr__(self) -> str:  # the secret stays out of logs and tracebacks
        return f"AccessKey({self.access_key_id!r}, account_id={self.account_id!r}, name={self.name!r})"


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

    async def open(self) -> None:
        """Loads the access keys; call once, before `lookup`."""
        after = ""
        while page := await self._records.list(COLLECTION, after=after, limit=_PAGE):
            for record in page:
                self._remember(msgspec.json.decode(record.value, type=AccessKey))
            after = page[-1].key

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

    def mint(self, account_id: str, role_arn: str, session_name: str) -> Credential:
        """A credential for a function's execution environment, valid until `revoke` or the server's end."""
        role_name = role_arn.rpartition("/")[2] or "lambdad"
        credential = Credential(
            access_key_id=self._key_id("ASIA"),
            secret=self._text(_SECRET_ALPHABET, 40),
            account_id=account_id,
            principal_arn=f"arn:aws:sts::{account_id}:assumed-role/{role_name}/{session_name}",
            session_token=self._text(_SECRET_ALPHABET, 120),
        )
        self._credentials[credential.access_key_id] = credential
        return credential

    def revoke(self, access_key_id: str) -> None:
        """Ends a minted credential. Harmless a second time, and for access keys, which only `delete` ends."""
        if access_key_id not in self._access_keys:
            self._credentials.pop(access_key_id, None)

    def _remember(self, key: AccessKey) -> None:
        self._access_keys[key.access_key_id] = key
        self._credentials[key.access_key_id] = Credential(
            access_key_id=key.access_key_id,
            secret=key.secret,
            account_id=key.account_id,
            principal_arn=f"arn:aws:iam::{key.account_id}:root",
        )

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
