"""Roles and their trust policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lambdad.model.policy_document import Kind
from lambdad.model.request import RequestContext
from lambdad.services.iam.holder import check_bare, checked_boundary
from lambdad.services.iam.model import (
    Role,
    bounded_document,
    check_name,
    checked_path,
    merged_tags,
    new_unique_id,
)
from lambdad.services.iam.shape import role_shape
from lambdad.services.iam.state import IamState

Request = Mapping[str, Any]
Output = dict[str, Any]
_TRUST_BYTES = 2048


async def create_role(state: IamState, context: RequestContext, request: Request) -> Output:
    name = request["RoleName"]
    check_name("RoleName", name, 64)
    trust = _checked_trust(request["AssumeRolePolicyDocument"])
    async with state.records.changing:
        state.records.check_free(Role, context.account_id, name, f"Role with name {name} already exists.")
        role = Role(
            account_id=context.account_id,
            name=name,
            path=checked_path(request),
            unique_id=new_unique_id("AROA"),
            created_at=state.clock(),
            tags=merged_tags({}, request),
            boundary=checked_boundary(state.records, context, request),
            trust=trust,
            description=request.get("Description"),
            max_session_seconds=request.get("MaxSessionDuration", 3600),
        )
        await state.records.save(role)
    return {"Role": role_shape(role)}


async def get_role(state: IamState, context: RequestContext, request: Request) -> Output:
    return {"Role": role_shape(state.records.get(Role, context.account_id, request["RoleName"]))}


async def update_role(state: IamState, context: RequestContext, request: Request) -> Output:
    changes: dict[str, Any] = {}
    if "Description" in request:
        changes["description"] = request["Description"]
    if "MaxSessionDuration" in request:
        changes["max_session_seconds"] = request["MaxSessionDuration"]
    await _change(state, context, request, **changes)
    return {}


async def update_role_description(state: IamState, context: RequestContext, request: Request) -> Output:
    role = await _change(state, context, request, description=request["Description"])
    return {"Role": role_shape(role)}


async def update_assume_role_policy(state: IamState, context: RequestContext, request: Request) -> Output:
    await _change(state, context, request, trust=_checked_trust(request["PolicyDocument"]))
    return {}


async def delete_role(state: IamState, context: RequestContext, request: Request) -> Output:
    async with state.records.changing:
        role = state.records.get(Role, context.account_id, request["RoleName"])
        check_bare(role)
        await state.records.remove(role)
    return {}


async def _change(state: IamState, context: RequestContext, request: Request, **changes: Any) -> Role:
    async with state.records.changing:
        role = state.records.get(Role, context.account_id, request["RoleName"])
        changed: Role = msgspec.structs.replace(role, **changes)
        await state.records.save(changed)
    return changed


def _checked_trust(text: str) -> str:
    return bounded_document(text, "ACLSizePerRole", _TRUST_BYTES, Kind.TRUST)
