"""Access keys of users. The keys themselves are `identity.py`'s, since every signature is checked against them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.errors import ServiceError
from lambdad.identity import AccessKey
from lambdad.model.request import RequestContext
from lambdad.services.iam.model import User
from lambdad.services.iam.page import page
from lambdad.services.iam.shape import time_shape
from lambdad.services.iam.state import IamState
from lambdad.services.iam.user import caller_name

Request = Mapping[str, Any]
Output = dict[str, Any]
_KEYS_PER_USER = 2


async def create_access_key(state: IamState, context: RequestContext, request: Request) -> Output:
    async with state.records.changing:  # so that no user is deleted meanwhile
        user = _user(state, context, request)
        key = await state.identities.create_for_user(user.account_id, user.name, user.path, _KEYS_PER_USER)
    if key is None:
        raise ServiceError("LimitExceededException", f"Cannot exceed quota for AccessKeysPerUser: {_KEYS_PER_USER}")
    return {"AccessKey": {**_shape(key), "SecretAccessKey": key.secret}}


async def list_access_keys(state: IamState, context: RequestContext, request: Request) -> Output:
    user = _user(state, context, request)
    keys = sorted(state.identities.keys_of_user(user.account_id, user.name), key=lambda key: key.access_key_id)
    return page("AccessKeyMetadata", keys, request, position=lambda key: key.access_key_id, shape=_shape)


async def update_access_key(state: IamState, context: RequestContext, request: Request) -> Output:
    key = _key(state, context, request)
    if request["Status"] not in ("Active", "Inactive"):
        raise ServiceError("ValidationError", "Status must be Active or Inactive.", status=400)
    await state.identities.set_active(key.access_key_id, request["Status"] == "Active")
    return {}


async def delete_access_key(state: IamState, context: RequestContext, request: Request) -> Output:
    await state.identities.delete(_key(state, context, request).access_key_id)
    return {}


def _user(state: IamState, context: RequestContext, request: Request) -> User:
    name = request.get("UserName") or caller_name(state, context)
    if name is None:
        message = "Access keys of the root are made and ended by `lambdad credentials`; name a user."
        raise ServiceError("InvalidInputException", message, status=400)
    return state.records.get(User, context.account_id, name)


def _key(state: IamState, context: RequestContext, request: Request) -> AccessKey:
    user = _user(state, context, request)
    for key in state.identities.keys_of_user(user.account_id, user.name):
        if key.access_key_id == request["AccessKeyId"]:
            return key
    message = f"The Access Key with id {request['AccessKeyId']} cannot be found."
    raise ServiceError("NoSuchEntityException", message)


def _shape(key: AccessKey) -> Output:
    return {
        "UserName": key.user_name,
        "AccessKeyId": key.access_key_id,
        "Status": "Active" if key.is_active else "Inactive",
        "CreateDate": time_shape(key.created_at),
    }
