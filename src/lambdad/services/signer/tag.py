"""Tags of signing profiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.request import RequestContext
from lambdad.services.signer.model import MAX_TAGS, Profile
from lambdad.services.signer.state import SignerState

Request = Mapping[str, Any]


async def tag_resource(state: SignerState, context: RequestContext, request: Request) -> dict[str, Any]:
    async with state.changing:
        profile = await _tagged(state, context, request)
        tags = {**profile.tags, **request["tags"]}
        if len(tags) > MAX_TAGS:
            raise ServiceError("BadRequestException", f"A signing profile has at most {MAX_TAGS} tags.")
        await state.records.save_profile(replace(profile, tags=tags))
    return {}


async def untag_resource(state: SignerState, context: RequestContext, request: Request) -> dict[str, Any]:
    gone = set(request["tagKeys"])
    async with state.changing:
        profile = await _tagged(state, context, request)
        kept = {key: value for key, value in profile.tags.items() if key not in gone}
        await state.records.save_profile(replace(profile, tags=kept))
    return {}


async def list_tags_for_resource(state: SignerState, context: RequestContext, request: Request) -> dict[str, Any]:
    return {"tags": dict((await _tagged(state, context, request)).tags)}


async def _tagged(state: SignerState, context: RequestContext, request: Request) -> Profile:
    arn: str = request["resourceArn"]
    prefix = f"arn:aws:signer:{context.region}:{context.account_id}:/signing-profiles/"
    name = arn.removeprefix(prefix)
    if name == arn or "/" in name:
        raise ServiceError("BadRequestException", f"Only the account's signing profiles in this region have tags; got {arn}")
    profile = await state.records.profile(context.account_id, context.region, name)
    if profile is None:
        raise ServiceError("NotFoundException", f"Signing profile {name} not found.")
    return profile
