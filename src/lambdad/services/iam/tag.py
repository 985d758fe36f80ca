"""Tags of users, roles and managed policies. Each function here makes one operation of the way in which those are found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from lambdad.model.request import RequestContext
from lambdad.model.service import Operation
from lambdad.services.iam.model import merged_tags, without_tags
from lambdad.services.iam.page import page
from lambdad.services.iam.shape import tags_shape
from lambdad.services.iam.state import IamState

Request = Mapping[str, Any]
Output = dict[str, Any]
Find = Callable[[IamState, RequestContext, Request], Any]  #: what a request names


def tag(find: Find) -> Operation:
    async def add(state: IamState, context: RequestContext, request: Request) -> Output:
        async with state.records.changing:
            tagged = find(state, context, request)
            await state.records.save(msgspec.structs.replace(tagged, tags=merged_tags(tagged.tags, request)))
        return {}

    return add


def untag(find: Find) -> Operation:
    async def remove(state: IamState, context: RequestContext, request: Request) -> Output:
        async with state.records.changing:
            tagged = find(state, context, request)
            await state.records.save(msgspec.structs.replace(tagged, tags=without_tags(tagged.tags, request["TagKeys"])))
        return {}

    return remove


def list_tags(find: Find) -> Operation:
    async def list_(state: IamState, context: RequestContext, request: Request) -> Output:
        tags = tags_shape(dict(sorted(find(state, context, request).tags.items())))
        return page("Tags", tags, request, position=lambda each: str(each["Key"]), shape=dict)

    return list_
