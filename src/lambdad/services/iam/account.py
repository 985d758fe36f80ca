"""What clients ask about an account on their way: there are no aliases and no instance profiles here, and it says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.model.request import RequestContext
from lambdad.services.iam.model import Role
from lambdad.services.iam.state import IamState

Request = Mapping[str, Any]
Output = dict[str, Any]


async def list_account_aliases(state: IamState, context: RequestContext, request: Request) -> Output:
    return {"AccountAliases": [], "IsTruncated": False}


async def list_instance_profiles(state: IamState, context: RequestContext, request: Request) -> Output:
    return {"InstanceProfiles": [], "IsTruncated": False}


async def list_instance_profiles_for_role(state: IamState, context: RequestContext, request: Request) -> Output:
    state.records.get(Role, context.account_id, request["RoleName"])
    return {"InstanceProfiles": [], "IsTruncated": False}
