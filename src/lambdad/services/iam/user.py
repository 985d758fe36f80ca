"""Users."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.request import RequestContext
from lambdad.services.iam.holder import check_bare, checked_boundary
from lambdad.services.iam.model import Group, User, check_name, checked_path, merged_tags, new_unique_id
from lambdad.services.iam.page import page
from lambdad.services.iam.shape import group_shape, time_shape, user_shape
from lambdad.services.iam.state import IamState

Request = Mapping[str, Any]
Output = dict[str, Any]


async def create_user(state: IamState, context: RequestContext, request: Request) -> Output:
    name = request["UserName"]
    check_name("UserName", name, 64)
    async with state.records.changing:
        state.records.check_free(User, context.account_id, name, f"User with name {name} already exists.")
        user = User(
            account_id=context.account_id,
            name=name,
            path=checked_path(request),
            unique_id=new_unique_id("AIDA"),
            created_at=state.clock(),
            tags=merged_tags({}, request),
            boundary=checked_boundary(state.records, context, request),
        )
        await state.records.save(user)
    return {"User": user_shape(user)}


async def get_user(state: IamState, context: RequestContext, request: Request) -> Output:
    name = request.get("UserName") or caller_name(state, context)
    if name is None:
        return {"User": _root_shape(context)}
    return {"User": user_shape(state.records.get(User, context.account_id, name))}


async def delete_user(state: IamState, context: RequestContext, request: Request) -> Output:
    async with state.records.changing:
        user = state.records.get(User, context.account_id, request["UserName"])
        check_bare(user)
        if state.identities.keys_of_user(user.account_id, user.name):
            raise ServiceError("DeleteConflictException", "Cannot delete entity, must delete access keys first.")
        if user.groups:
            raise ServiceError("DeleteConflictException", "Cannot delete entity, must remove user from group first.")
        await state.records.remove(user)
    return {}


async def list_groups_for_user(state: IamState, context: RequestContext, request: Request) -> Output:
    user = state.records.get(User, context.account_id, request["UserName"])
    groups = [state.records.get(Group, context.account_id, name) for name in sorted(user.groups)]
    return page("Groups", groups, request, position=lambda group: group.name.lower(), shape=group_shape)


def caller_name(state: IamState, context: RequestContext) -> str | None:
    """The user who asks, for operations that are about oneself; None is the root of the account."""
    credential = state.identities.lookup(context.principal.access_key_id or "")
    if credential is None or credential.user_name is None:
        if context.principal.arn.endswith(":root"):
            return None
        message = "Must specify userName when calling with non-User credentials"
        raise ServiceError("ValidationError", message, status=400)
    return credential.user_name


def _root_shape(context: RequestContext) -> Output:
    arn = f"arn:aws:iam::{context.account_id}:root"
    return {"Path": "/", "UserName": "root", "UserId": context.account_id, "Arn": arn, "CreateDate": time_shape(0)}
