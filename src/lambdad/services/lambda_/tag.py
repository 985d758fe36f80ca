"""Tags of functions, of code signing configurations and of capacity providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.model.arn import FunctionName
from lambdad.model.managed import ProviderKey
from lambdad.model.request import RequestContext
from lambdad.services.lambda_.capacity_provider import change_provider_tags, provider_key, provider_tags
from lambdad.services.lambda_.code_signing import change_tags, existing_config
from lambdad.services.lambda_.event_source_mapping import NO_MAPPING
from lambdad.services.lambda_.function_table import FunctionChange
from lambdad.services.lambda_.lookup import find_function, named
from lambdad.services.lambda_.refusal import function_not_found, invalid_parameter, not_found
from lambdad.services.lambda_.settings import check_tags
from lambdad.services.lambda_.state import LambdaState

Request = Mapping[str, Any]

_SIGNING_CONFIG = ":code-signing-config:"


async def tag_resource(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    if not request["Tags"]:
        raise invalid_parameter("An error occurred and the request cannot be processed.")
    if _SIGNING_CONFIG in request["Resource"]:
        await change_tags(state, context, request["Resource"], request["Tags"])
        return {}
    provider = _tagged_provider(context, request["Resource"])
    if provider is not None:
        await change_provider_tags(state, provider, request["Tags"])
        return {}
    name = _tagged_function(context, request["Resource"])
    async with state.functions.change(name.key) as change:
        if change.stored is None:
            raise function_not_found(name)
        tags = {**change.stored.function.tags, **request["Tags"]}
        check_tags(tags, state.quotas, network_can_be_withheld=state.network_can_be_withheld)
        await _keep(state, change, tags)
    return {}


async def untag_resource(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """Keys that the resource does not have are passed over."""
    gone = frozenset(request["TagKeys"])
    if _SIGNING_CONFIG in request["Resource"]:
        await change_tags(state, context, request["Resource"], {}, gone)
        return {}
    provider = _tagged_provider(context, request["Resource"])
    if provider is not None:
        await change_provider_tags(state, provider, {}, gone)
        return {}
    name = _tagged_function(context, request["Resource"])
    async with state.functions.change(name.key) as change:
        if change.stored is None:
            raise function_not_found(name)
        await _keep(state, change, {key: value for key, value in change.stored.function.tags.items() if key not in gone})
    return {}


async def list_tags(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    if _SIGNING_CONFIG in request["Resource"]:
        return {"Tags": dict((await existing_config(state, context, request["Resource"])).tags)}
    provider = _tagged_provider(context, request["Resource"])
    if provider is not None:
        return {"Tags": dict(await provider_tags(state, provider))}
    stored = await find_function(state, _tagged_function(context, request["Resource"]))
    return {"Tags": dict(stored.function.tags)}


async def _keep(state: LambdaState, change: FunctionChange, tags: Mapping[str, str]) -> None:
    """No call that begins later is served by an environment with the network of before."""
    assert change.stored is not None
    before = change.stored.function
    after = replace(before, tags=tags)
    await change.save(replace(change.stored, function=after))
    if before.has_network != after.has_network:
        await state.settler.retire(change.key, None)


def _tagged_provider(context: RequestContext, arn: str) -> ProviderKey | None:
    return provider_key(context, arn) if ":capacity-provider:" in arn else None


def _tagged_function(context: RequestContext, arn: str) -> FunctionName:
    if ":event-source-mapping:" in arn:
        raise not_found(NO_MAPPING)
    if not arn.startswith("arn:") or ":function:" not in arn:
        raise invalid_parameter(f"Only functions, code signing configurations and capacity providers have tags here; got {arn}")
    name = named(context, arn)
    if name.qualifier is not None:
        raise invalid_parameter("Tags on function aliases and versions are not supported. Please specify a function ARN.")
    return name
