"""Aliases: names for versions, with weights where two versions share the invocations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.model.alias import Alias
from lambdad.model.arn import FunctionName
from lambdad.model.request import RequestContext
from lambdad.model.version import LATEST
from lambdad.services.lambda_.lookup import find_function, named_unqualified
from lambdad.services.lambda_.page import page_of
from lambdad.services.lambda_.provisioned_rules import check_provisioned_alias
from lambdad.services.lambda_.reclaiming import woken_for_provisioned
from lambdad.services.lambda_.refusal import conflict, function_not_found, invalid_parameter, not_found, stale_revision
from lambdad.services.lambda_.shape import alias_shape
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.stored_function import StoredFunction

Request = Mapping[str, Any]


async def create_alias(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = named_unqualified(context, request["FunctionName"])
    async with state.functions.change(name.key) as change:
        stored = _existing(change.stored, name)
        alias = Alias(
            name=request["Name"],
            function_version=request["FunctionVersion"],
            revision_id=state.new_id(),
            description=request.get("Description", ""),
            weights=_weights(request),
        )
        _check_versions(stored, name, alias)
        if alias.name in stored.aliases:
            raise conflict(f"Alias already exists: {name.arn}:{alias.name}")
        await change.save(_with_alias(stored, alias))
    return alias_shape(alias, name.arn)


async def get_alias(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = named_unqualified(context, request["FunctionName"])
    stored = await find_function(state, name)
    alias = stored.aliases.get(request["Name"])
    if alias is None:
        raise not_found(f"Cannot find alias arn: {name.arn}:{request['Name']}")
    return alias_shape(alias, name.arn)


async def update_alias(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """`RoutingConfig` without weights ends the sharing; an absent member keeps what was. Provisioned concurrency that is taken
    to an idle version has it made ready again."""
    name = named_unqualified(context, request["FunctionName"])
    async with state.settler.after(name.key), state.functions.change(name.key) as change:
        stored = _existing(change.stored, name)
        old = stored.aliases.get(request["Name"])
        if old is None:
            raise not_found(f"Alias not found: {name.arn}:{request['Name']}")
        if request.get("RevisionId", old.revision_id) != old.revision_id:
            raise stale_revision()
        alias = replace(
            old,
            revision_id=state.new_id(),
            function_version=request.get("FunctionVersion", old.function_version),
            description=request.get("Description", old.description),
            weights=_weights(request) if "RoutingConfig" in request else old.weights,
        )
        _check_versions(stored, name, alias)
        check_provisioned_alias(stored, alias)
        await change.save(woken_for_provisioned(_with_alias(stored, alias)))
    return alias_shape(alias, name.arn)


async def delete_alias(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """Takes all that is the alias's with it: policy, event settings, URL, provisioned concurrency. One that is not there is as
    good as deleted."""
    name = named_unqualified(context, request["FunctionName"])
    async with state.functions.change(name.key) as change:
        stored = _existing(change.stored, name)
        gone = request["Name"]
        if gone in stored.aliases:
            aliases = {each: alias for each, alias in stored.aliases.items() if each != gone}
            policies = {each: policy for each, policy in stored.policies.items() if each != gone}
            event_configs = {each: config for each, config in stored.event_configs.items() if each != gone}
            urls = {each: url for each, url in stored.urls.items() if each != gone}
            provisioned = {each: config for each, config in stored.provisioned.items() if each != gone}
            await change.save(
                replace(
                    stored,
                    aliases=aliases,
                    policies=policies,
                    event_configs=event_configs,
                    urls=urls,
                    provisioned=provisioned,
                )
            )
    return {}


async def list_aliases(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = named_unqualified(context, request["FunctionName"])
    stored = await find_function(state, name)
    wanted = request.get("FunctionVersion")
    aliases = [stored.aliases[each] for each in sorted(stored.aliases)]
    shown = [alias for alias in aliases if wanted is None or wanted in alias.versions()]
    return page_of("Aliases", shown, request, lambda alias: alias.name, lambda alias: alias_shape(alias, name.arn))


def _existing(stored: StoredFunction | None, name: FunctionName) -> StoredFunction:
    if stored is None:
        raise function_not_found(name)
    return stored


def _with_alias(stored: StoredFunction, alias: Alias) -> StoredFunction:
    return replace(stored, aliases={**stored.aliases, alias.name: alias})


def _weights(request: Request) -> dict[str, float]:
    weights = dict(request.get("RoutingConfig", {}).get("AdditionalVersionWeights", {}))
    if len(weights) > 1:
        raise invalid_parameter("Number of items in AdditionalVersionWeights cannot be greater than 1")
    for weight in weights.values():
        if not 0.0 <= weight <= 1.0:
            raise invalid_parameter("A weight in AdditionalVersionWeights must be from 0.0 to 1.0")
    return weights


def _check_versions(stored: StoredFunction, name: FunctionName, alias: Alias) -> None:
    """Both versions exist; two that share invocations are published, distinct, of one role and one dead-letter queue."""
    main = alias.function_version
    if alias.weights and main == LATEST:
        raise invalid_parameter("$LATEST is not supported for an alias pointing to more than 1 version")
    for version in alias.weights:
        if version == main:
            raise invalid_parameter(
                f"Invalid function version {version}. Function version {version} is already included in routing configuration."
            )
    for version in (main, *alias.weights):
        if version != LATEST and version not in stored.versions:
            raise not_found(f"Function not found: {name.arn}:{version}")
    sharing = [stored.versions[version].configuration for version in (main, *alias.weights) if version != LATEST]
    if len({configuration.role for configuration in sharing}) > 1:
        raise invalid_parameter("The versions of an alias that share its invocations must have the same execution role.")
    if len({configuration.dead_letter for configuration in sharing}) > 1:
        raise invalid_parameter(
            "The versions of an alias that share its invocations must have the same dead-letter queue configuration, or none."
        )
