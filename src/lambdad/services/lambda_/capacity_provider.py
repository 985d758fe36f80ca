"""Capacity providers: what functions on managed instances share. Here the instances are this machine's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model import network_choice
from lambdad.model.arn import function_arn, parse_provider_name
from lambdad.model.managed import MAX_VCPUS, CapacityProvider, ProviderKey
from lambdad.model.request import RequestContext, Response
from lambdad.services.lambda_.lookup import check_own
from lambdad.services.lambda_.page import page_of
from lambdad.services.lambda_.refusal import conflict, invalid_parameter, not_found
from lambdad.services.lambda_.settings import check_tags
from lambdad.services.lambda_.shape import timestamp
from lambdad.services.lambda_.state import LambdaState

Request = Mapping[str, Any]

SUBNET = "subnet-local"  #: this machine, which is where every instance is
NETWORKS = f"{SUBNET} is this machine, and the only one"
GROUPS = "there are none: the list must be empty, and functions have the network that lambdad gives to all"


async def create_capacity_provider(state: LambdaState, context: RequestContext, request: Request) -> Response:
    """What it says of its state is AWS's, where instances have to come first; it can be used at once."""
    key = _new_key(context, request["CapacityProviderName"])
    _check_network(request["VpcConfig"])
    role = request["PermissionsConfig"]["CapacityProviderOperatorRoleArn"]
    if state.can_assume is not None and not state.can_assume(role):
        raise invalid_parameter("The role defined for the capacity provider cannot be assumed by Lambda.")
    tags = _checked_tags(state, request.get("Tags", {}))
    architectures = tuple(request.get("InstanceRequirements", {}).get("Architectures", ()))
    if architectures not in ((), (state.architecture,)):
        raise invalid_parameter(
            f"Architecture {architectures[0]} is not supported by lambdad: this machine runs {state.architecture}."
        )
    scaling = _scaling(request)
    provider = CapacityProvider(
        *key,
        operator_role=role,
        last_modified=state.clock(),
        subnets=tuple(request["VpcConfig"]["SubnetIds"]),
        architectures=architectures,
        max_vcpus=scaling.get("max_vcpus", MAX_VCPUS),
        tags=tags,
    )
    async with state.provider_locks.hold(key[:2]), state.provider_locks.hold(key):
        if await state.records.capacity_provider(key) is not None:
            raise conflict(f"Capacity provider already exists: {provider.arn}")
        if len(await state.records.capacity_providers(*key[:2])) >= state.quotas.capacity_providers:
            raise ServiceError(
                "CapacityProviderLimitExceededException",
                f"An account can have at most {state.quotas.capacity_providers} capacity providers.",
            )
        await state.records.save_capacity_provider(provider)
        state.managed.limit(provider)
    return Response({"CapacityProvider": _shape(provider, "Pending")}, status=202)


async def get_capacity_provider(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    return {"CapacityProvider": _shape(await _find(state, provider_key(context, request["CapacityProviderName"])))}


async def update_capacity_provider(state: LambdaState, context: RequestContext, request: Request) -> Response:
    """Fewer vCPUs than are in use end nothing: they bound what is started from then on."""
    key = provider_key(context, request["CapacityProviderName"])
    scaling = _scaling(request)
    async with state.provider_locks.hold(key):
        provider = replace(await _find(state, key), last_modified=state.clock(), **scaling)
        await state.records.save_capacity_provider(provider)
        state.managed.limit(provider)
    return Response({"CapacityProvider": _shape(provider)}, status=202)


async def delete_capacity_provider(state: LambdaState, context: RequestContext, request: Request) -> Response:
    key = provider_key(context, request["CapacityProviderName"])
    async with state.provider_locks.hold(key):
        provider = await _find(state, key)
        uses = await state.records.provider_uses(key)
        if uses:
            used_by = function_arn(*uses[0][0], uses[0][1])
            raise conflict(
                f"The capacity provider {provider.arn} is in use by {len(uses)} function versions, among them {used_by}"
            )
        await state.records.delete_capacity_provider(key)
    return Response({"CapacityProvider": _shape(provider, "Deleting")}, status=202)


async def list_capacity_providers(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    providers = await state.records.capacity_providers(context.account_id, context.region)
    shown = [provider for provider in providers if request.get("State", "Active") == "Active"]
    return page_of("CapacityProviders", shown, request, lambda provider: provider.name, _shape)


async def list_function_versions_by_capacity_provider(
    state: LambdaState, context: RequestContext, request: Request
) -> dict[str, Any]:
    """`$LATEST` too: as long as it names the provider, this cannot be deleted."""
    key = provider_key(context, request["CapacityProviderName"])
    provider = await _find(state, key)
    found: list[tuple[str, dict[str, Any]]] = []
    for function, number in await state.records.provider_uses(key):
        stored = await state.functions.find(function)
        reading = None if stored is None else stored.versions.get(number, stored.function.latest)
        if reading is not None and reading.version == number:
            position = f"{function[2]}/{number.zfill(10) if number.isdecimal() else number}"
            found.append((position, {"FunctionArn": function_arn(*function, number), "State": reading.state}))
    page = page_of(
        "FunctionVersions", sorted(found, key=lambda each: each[0]), request, lambda each: each[0], lambda each: each[1]
    )
    return {"CapacityProviderArn": provider.arn, **page}


async def change_provider_tags(
    state: LambdaState, key: ProviderKey, added: Mapping[str, str], gone: frozenset[str] = frozenset()
) -> None:
    async with state.provider_locks.hold(key):
        provider = await _find(state, key)
        tags = {name: value for name, value in {**provider.tags, **added}.items() if name not in gone}
        await state.records.save_capacity_provider(replace(provider, tags=_checked_tags(state, tags)))


async def provider_tags(state: LambdaState, key: ProviderKey) -> Mapping[str, str]:
    return (await _find(state, key)).tags


def _checked_tags(state: LambdaState, tags: Mapping[str, str]) -> dict[str, str]:
    if network_choice.NETWORK_TAG in tags:
        raise invalid_parameter(f"The tag {network_choice.NETWORK_TAG} has a meaning for functions only.")
    return check_tags(tags, state.quotas, network_can_be_withheld=True)


def provider_key(context: RequestContext, text: str) -> ProviderKey:
    key = parse_provider_name(text, context.account_id, context.region)
    check_own(context, key[0], text)
    return key


def _new_key(context: RequestContext, text: str) -> ProviderKey:
    """What is to be made cannot be missing: the operation has no error for it."""
    if text.startswith("arn:") and text.split(":")[3] != context.region:
        raise invalid_parameter(f"A capacity provider is made in the Region of the request ('{context.region}'); got {text}")
    return provider_key(context, text)


async def _find(state: LambdaState, key: ProviderKey) -> CapacityProvider:
    provider = await state.records.capacity_provider(key)
    if provider is None:
        raise not_found(f"Capacity provider not found: {key[2]}")
    return provider


def _check_network(vpc: Mapping[str, Any]) -> None:
    for subnet in vpc["SubnetIds"]:
        if subnet != SUBNET:
            raise invalid_parameter(f"The subnet ID '{subnet}' does not exist: {NETWORKS}.")
    if vpc["SecurityGroupIds"]:
        raise invalid_parameter(f"The security group '{vpc['SecurityGroupIds'][0]}' does not exist: {GROUPS}.")


def _scaling(request: Request) -> dict[str, Any]:
    """CapacityProviderScalingConfig as fields of a provider; an absent member gives an absent field."""
    given = request.get("CapacityProviderScalingConfig", {})
    if given.get("ScalingMode", "Auto") != "Auto":
        raise invalid_parameter("ScalingMode Manual is not supported by lambdad: environments follow their load, use Auto.")
    if request.get("PropagateTags", {}).get("Mode", "None") != "None":
        raise invalid_parameter(
            "PropagateTags is not supported by lambdad: there are no resources to have them, use Mode None."
        )
    return {"max_vcpus": given["MaxVCpuCount"]} if "MaxVCpuCount" in given else {}


def _shape(provider: CapacityProvider, provider_state: str = "Active") -> dict[str, Any]:
    shape: dict[str, Any] = {
        "CapacityProviderArn": provider.arn,
        "State": provider_state,
        "VpcConfig": {"SubnetIds": list(provider.subnets), "SecurityGroupIds": []},
        "PermissionsConfig": {"CapacityProviderOperatorRoleArn": provider.operator_role},
        "CapacityProviderScalingConfig": {"MaxVCpuCount": provider.max_vcpus, "ScalingMode": "Auto"},
        "LastModified": timestamp(provider.last_modified),
    }
    if provider.architectures:
        shape["InstanceRequirements"] = {"Architectures": list(provider.architectures)}
    return shape
