"""Calls the operations of IAM and STS on a store in memory, as the wire does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import pytest

from lambdad.errors import ServiceError
from lambdad.identity import Identities
from lambdad.model.request import Principal, RequestContext
from lambdad.services.iam import SERVICE as IAM
from lambdad.services.iam.directory import Directory
from lambdad.services.iam.records import IamRecords
from lambdad.services.iam.state import IamState
from lambdad.services.sts import SERVICE as STS
from lambdad.services.sts.state import StsState
from lambdad.store.memory import MemoryStore

ACCOUNT = "111111111111"
ROOT = Principal(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")


def document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any = "s3:GetObject", resource: Any = "*", **elements: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **elements}


def trusting(principal: Any, action: Any = "sts:AssumeRole", **elements: Any) -> str:
    return document({"Effect": "Allow", "Principal": principal, "Action": action, **elements})


TRUST = trusting({"Service": "lambda.amazonaws.com"})


def decoded(text: str) -> Any:
    return json.loads(unquote(text))


class Iam:
    """One account's IAM and STS."""

    def __init__(self, store: MemoryStore | None = None, *, is_enforced: bool = True) -> None:
        self.now = 1_800_000_000.0
        self.store = store or MemoryStore()
        self.identities = Identities(self.store, clock=lambda: self.now)
        self.records = IamRecords(self.store)
        self.directory = Directory(self.records, self.identities.lookup)
        self.state = IamState(self.records, self.identities, lambda: self.now)
        self.sts_state = StsState(self.directory, self.identities, is_enforced, lambda: self.now)
        self.caller = ROOT

    async def open(self) -> Iam:
        await self.identities.open()
        await self.records.open()
        return self

    async def call(self, operation: str, **request: Any) -> Any:
        service, state = (STS, self.sts_state) if operation in STS.operations else (IAM, self.state)
        context = RequestContext(
            "r", service.name, operation, self.caller.account_id, "us-east-1", self.caller, "127.0.0.1", "http://localhost"
        )
        return await service.operations[operation](state, context, request)

    async def refused(self, operation: str, **request: Any) -> tuple[str, str]:
        with pytest.raises(ServiceError) as refusal:
            await self.call(operation, **request)
        return refusal.value.code, refusal.value.message

    async def user(self, name: str = "ann", **request: Any) -> Principal:
        """A user with a key, as a caller."""
        await self.call("CreateUser", UserName=name, **request)
        return await self.key_of(name)

    async def key_of(self, name: str) -> Principal:
        key = (await self.call("CreateAccessKey", UserName=name))["AccessKey"]
        credential = self.identities.lookup(key["AccessKeyId"])
        assert credential is not None
        return Principal(credential.account_id, credential.principal_arn, credential.access_key_id)

    async def role(self, name: str = "r", trust: str = TRUST, **request: Any) -> str:
        made = await self.call("CreateRole", RoleName=name, AssumeRolePolicyDocument=trust, **request)
        return str(made["Role"]["Arn"])
