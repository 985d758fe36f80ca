"""Groups, and who is in them: a user's record names its groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.request import RequestContext
from lambdad.services.iam.holder import check_bare
from lambdad.services.iam.model import Group, User, check_name, checked_path, new_unique_id
from lambdad.services.iam.page import page
from lambdad.services.iam.shape import group_shape, listed, user_shape
from lambdad.services.iam.state import IamState

Request = Mapping[str, Any]
Output = dict[str, Any]
_GROUPS_PER_USER = 10


async def create_group(state: IamState, context: RequestContext, request: Request) -> Output:
    name = request["GroupName"]
    check_name("GroupName", name, 128)
    async with state.records.changing:
        state.records.check_free(Group, context.account_id, name, f"Group with name {name} already exists.")
        group = Group(
            account_id=context.account_id,
            name=name,
            path=checked_path(request),
            unique_id=new_unique_id("AGPA"),
            created_at=state.clock(),
        )
        await state.records.save(group)
    return {"Group": group_shape(group)}


async def get_group(state: IamState, context: RequestContext, request: Request) -> Output:
    group = state.records.get(Group, context.account_id, request["GroupName"])
    users = page(
        "Users",
        _members(state, group),
        request,
        position=lambda user: user.name.lower(),
        shape=lambda user: listed(user_shape(user)),
    )
    return {"Group": group_shape(group), **users}


async def delete_group(state: IamState, context: RequestContext, request: Request) -> Output:
    async with state.records.changing:
        group = state.records.get(Group, context.account_id, request["GroupName"])
        check_bare(group)
        if _members(state, group):
            raise ServiceError("DeleteConflictException", "Cannot delete entity, must remove users from group first.")
        await state.records.remove(group)
    return {}


async def add_user_to_group(state: IamState, context: RequestContext, request: Request) -> Output:
    async with state.records.changing:
        group = state.records.get(Group, context.account_id, request["GroupName"])
        user = state.records.get(User, context.account_id, request["UserName"])
        key = group.name.lower()
        if key not in user.groups:
            if len(user.groups) >= _GROUPS_PER_USER:
                raise ServiceError("LimitExceededException", f"Cannot exceed quota for GroupsPerUser: {_GROUPS_PER_USER}")
            await state.records.save(msgspec.structs.replace(user, groups=(*user.groups, key)))
    return {}


async def remove_user_from_group(state: IamState, context: RequestContext, request: Request) -> Output:
    async with state.records.changing:
        group = state.records.get(Group, context.account_id, request["GroupName"])
        user = state.records.get(User, context.account_id, request["UserName"])
        key = group.name.lower()
        if key not in user.groups:
            message = f"User {user.name} is not in group {group.name}"
            raise ServiceError("NoSuchEntityException", message)
        await state.records.save(msgspec.structs.replace(user, groups=tuple(name for name in user.groups if name != key)))
    return {}


def _members(state: IamState, group: Group) -> list[User]:
    return [user for user in state.records.all(User, group.account_id) if group.name.lower() in user.groups]
