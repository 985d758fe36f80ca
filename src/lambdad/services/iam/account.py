"""What clients ask about an account and its users on their way, before they delete a user, say.

Of what is kept nowhere here there is none, and it says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.request import RequestContext
from lambdad.model.service import Operation
from lambdad.services.iam.model import Role, User
from lambdad.services.iam.state import IamState
from lambdad.services.iam.user import caller_name

Request = Mapping[str, Any]
Output = dict[str, Any]


async def list_account_aliases(state: IamState, context: RequestContext, request: Request) -> Output:
    return {"AccountAliases": [], "IsTruncated": False}


async def list_instance_profiles(state: IamState, context: RequestContext, request: Request) -> Output:
    return {"InstanceProfiles": [], "IsTruncated": False}


async def list_instance_profiles_for_role(state: IamState, context: RequestContext, request: Request) -> Output:
    state.records.get(Role, context.account_id, request["RoleName"])
    return {"InstanceProfiles": [], "IsTruncated": False}


def list_none(member: str) -> Operation:
    """Of the account."""

    async def operation(state: IamState, context: RequestContext, request: Request) -> Output:
        return {member: [], "IsTruncated": False}

    return operation


def list_none_of_user(member: str) -> Operation:
    """Of a user, who must be there, or of who asks."""

    async def operation(state: IamState, context: RequestContext, request: Request) -> Output:
        _check_user(state, context, request)
        return {member: [], "IsTruncated": False}

    return operation


async def no_login_profile(state: IamState, context: RequestContext, request: Request) -> Output:
    """To get or to delete one: nobody signs in with a password."""
    name = _check_user(state, context, request)
    raise ServiceError("NoSuchEntityException", f"Login Profile for User {name or 'root'} cannot be found.")


def _check_user(state: IamState, context: RequestContext, request: Request) -> str | None:
    name = request.get("UserName") or caller_name(state, context)
    return None if name is None else state.records.get(User, context.account_id, name).name
