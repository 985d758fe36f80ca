"""Layer versions: published, looked at, listed and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.arn import LayerName, parse_layer_name
from lambdad.model.layer import LayerVersion
from lambdad.model.request import RequestContext
from lambdad.services.lambda_.account import code_room
from lambdad.services.lambda_.layer_use import is_admitted
from lambdad.services.lambda_.package import package_bytes
from lambdad.services.lambda_.page import page_of
from lambdad.services.lambda_.refusal import access_denied, invalid_parameter, not_found
from lambdad.services.lambda_.runtime import check_known_runtimes
from lambdad.services.lambda_.shape import code_sha256, layer_version_shape, signature_members
from lambdad.services.lambda_.state import LambdaState
from lambdad.store.base import Conflict
from lambdad.store.to_the_end import to_the_end

Request = Mapping[str, Any]


async def publish_layer_version(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """Always a new version, even of the same content."""
    name = own_layer(context, request["LayerName"])
    check_known_runtimes(request.get("CompatibleRuntimes", ()))
    content = package_bytes(request["Content"], context.account_id, state.quotas, state.fetch_object, "PublishLayerVersion")
    async with (
        state.archives.receive(content) as code,
        state.layer_locks.hold((name.account_id, name.region, name.name)),
        code_room(state, context, code.size),
    ):
        layer = LayerVersion(
            account_id=name.account_id,
            region=name.region,
            name=name.name,
            version=await state.records.last_layer_version((name.account_id, name.region, name.name)) + 1,
            code=code,
            created_at=state.clock(),
            description=request.get("Description", ""),
            compatible_runtimes=_tuple(request.get("CompatibleRuntimes")),
            compatible_architectures=_tuple(request.get("CompatibleArchitectures")),
            license_info=request.get("LicenseInfo"),
        )
        try:
            await to_the_end(state.records.add_layer_version(layer))
        except Conflict as error:
            raise ServiceError("TooManyRequestsException", "Rate Exceeded.") from error
    return _whole_shape(state, context, layer)


async def get_layer_version(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = parse_layer_name(request["LayerName"], context.account_id, context.region, request["VersionNumber"])
    return _whole_shape(state, context, await existing_layer_version(state, context, name))


async def get_layer_version_by_arn(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = parse_layer_name(request["Arn"], context.account_id, context.region)
    return _whole_shape(state, context, await existing_layer_version(state, context, name))


async def list_layer_versions(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """Newest first."""
    name = own_layer(context, request["LayerName"])
    layers = await state.records.layer_versions(name.account_id, name.region, name.name)
    shown = [layer for layer in reversed(layers) if _suits(layer, request)]
    return page_of("LayerVersions", shown, request, lambda layer: f"{-layer.version + 10**10:011d}", layer_version_shape)


async def list_layers(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """Each layer by its newest version that suits."""
    layers = await state.records.layer_versions(context.account_id, context.region)
    suiting = [layer for layer in layers if _suits(layer, request)]
    newest = [list(versions)[-1] for _, versions in groupby(suiting, key=lambda layer: layer.name)]
    newest.sort(key=lambda layer: layer.name)  # as their keys stand in the records, "a-b" comes before "a"
    return page_of("Layers", newest, request, lambda layer: layer.name, _listed_shape)


async def delete_layer_version(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """Functions that use the version keep their copy; one that is not there is as good as deleted."""
    name = own_layer(context, request["LayerName"])
    _check_number(request["VersionNumber"])
    async with state.layer_locks.hold((name.account_id, name.region, name.name)):
        layer = await state.records.layer_version((name.account_id, name.region, name.name), request["VersionNumber"])
        if layer is not None:
            await to_the_end(_delete(state, layer))
    return {}


async def _delete(state: LambdaState, layer: LayerVersion) -> None:
    await state.records.delete_layer_version(layer)
    await state.archives.release([(layer.code.digest,)])


def own_layer(context: RequestContext, text: str) -> LayerName:
    """A layer of the caller's own account and region."""
    name = parse_layer_name(text, context.account_id, context.region)
    if name.account_id != context.account_id:
        raise access_denied(context.principal.arn, f"lambda:{context.operation}", name.arn)
    if name.region != context.region:
        raise not_found(f"Layers from '{name.region}' are not reachable in this region ('{context.region}')")
    return name


async def existing_layer_version(state: LambdaState, context: RequestContext, name: LayerName) -> LayerVersion:
    """The caller's own layer version, or another account's whose policy lets the caller in."""
    _check_number(name.version or 0)
    layer = await state.records.layer_version((name.account_id, name.region, name.name), name.version or 0)
    if name.account_id != context.account_id and (layer is None or not await is_admitted(state, context, layer)):
        raise access_denied(context.principal.arn, "lambda:GetLayerVersion", name.version_arn)
    if layer is None or name.region != context.region:
        raise not_found("The resource you requested does not exist.")
    return layer


def _check_number(version: int) -> None:
    if version < 1:
        raise invalid_parameter("Layer Version Cannot be less than 1")


def _whole_shape(state: LambdaState, context: RequestContext, layer: LayerVersion) -> dict[str, Any]:
    content = {
        "Location": state.code_locations.sign(context.endpoint, layer.code.digest),
        "CodeSha256": code_sha256(layer.code.digest),
        "CodeSize": layer.code.size,
        **signature_members(layer.code),
    }
    return {"Content": content, "LayerArn": layer.layer_arn, **layer_version_shape(layer)}


def _listed_shape(layer: LayerVersion) -> dict[str, Any]:
    return {"LayerName": layer.name, "LayerArn": layer.layer_arn, "LatestMatchingVersion": layer_version_shape(layer)}


def _suits(layer: LayerVersion, request: Request) -> bool:
    return layer.suits(request.get("CompatibleRuntime"), request.get("CompatibleArchitecture"))


def _tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
