"""Functions: made, looked at, listed and deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.model.arn import FunctionName
from lambdad.model.function import Configuration, Function, FunctionVersion
from lambdad.model.image import IMAGE_RUNTIME
from lambdad.model.managed import LATEST_PUBLISHED
from lambdad.model.request import RequestContext, Response
from lambdad.model.version import LATEST
from lambdad.runtimes.catalog import Change
from lambdad.services.lambda_.account import code_room
from lambdad.services.lambda_.archive import too_big
from lambdad.services.lambda_.code_signing import config_of_function, using_config
from lambdad.services.lambda_.code_trust import check_signatures
from lambdad.services.lambda_.event_target import check_dead_letter
from lambdad.services.lambda_.file_system import chosen_file_system
from lambdad.services.lambda_.image import IMAGE, chosen_overrides, package_type
from lambdad.services.lambda_.intake import taken_code
from lambdad.services.lambda_.layer_use import using_layers
from lambdad.services.lambda_.logging_config import chosen_logging, logging_before
from lambdad.services.lambda_.lookup import find_function, named, named_unqualified, reading_of
from lambdad.services.lambda_.managed_rules import check_managed, check_room_for, chosen_capacity, using_provider
from lambdad.services.lambda_.page import bad_marker, make_marker, page_size, read_marker
from lambdad.services.lambda_.publication import publication, published
from lambdad.services.lambda_.refusal import conflict, function_not_found, invalid_parameter
from lambdad.services.lambda_.role import check_role
from lambdad.services.lambda_.runtime import check_runtime, look_for
from lambdad.services.lambda_.settings import check_tags, chosen_settings
from lambdad.services.lambda_.shape import configuration_shape, listed_shape
from lambdad.services.lambda_.snap_start import check_snap_start
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.stored_function import StoredFunction

Request = Mapping[str, Any]


async def create_function(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = named_unqualified(context, request["FunctionName"], "A function's name must not carry a qualifier.")
    await look_for(state, request)
    settings = _new_settings(state, request)
    check_role(state, settings["role"])
    tags = check_tags(request.get("Tags", {}), state.quotas, network_can_be_withheld=state.network_can_be_withheld)
    await check_dead_letter(state, name, settings)
    overrides = chosen_overrides(request) if settings["runtime"] == IMAGE_RUNTIME else None
    taken = taken_code(state, context, name.arn, request["Code"], "CreateFunction", overrides, settings["architecture"])
    if await state.functions.find(name.key) is not None:
        raise conflict(f"Function already exist: {name.name}")
    signing_config_arn = request.get("CodeSigningConfigArn") or None
    await config_of_function(state, context, signing_config_arn)
    async with (
        using_layers(state, context, request.get("Layers", [])) as layers,
        taken as (code, image),
        using_config(state, context, signing_config_arn) as signing_config,
    ):
        configuration = Configuration(code=code, image=image, layers=layers, **settings)
        check_unpacked_size(state, configuration)
        check_snap_start(state, configuration)
        await check_signatures(state.signature_trust, signing_config, name.arn, configuration, state.clock())
        check_managed(state, configuration)
        publish = publication(configuration, request)
        async with using_provider(state, name.key[:2], configuration.capacity):
            return await _keep_new(state, context, name, configuration, tags, signing_config_arn, publish=publish)


async def get_function(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = named(context, request["FunctionName"], request.get("Qualifier"))
    stored = await find_function(state, name)
    reading = reading_of(stored, name)
    output: dict[str, Any] = {
        "Configuration": configuration_shape(reading, state.runtimes.version, name.qualifier),
        "Code": _code_location(state, context, reading.configuration),
    }
    if name.qualifier is None:
        output |= _tags_shape(context, stored.function)
    if stored.function.reserved_concurrency is not None:
        output["Concurrency"] = {"ReservedConcurrentExecutions": stored.function.reserved_concurrency}
    return output


async def delete_function(state: LambdaState, context: RequestContext, request: Request) -> Response:
    name = named(context, request["FunctionName"], request.get("Qualifier"))
    if name.qualifier == LATEST:
        raise invalid_parameter("$LATEST version cannot be deleted without deleting the function.")
    async with state.functions.change(name.key) as change:
        if change.stored is None:
            raise function_not_found(FunctionName(name.account_id, name.region, name.name))
        if name.qualifier is None:
            await change.delete()
        else:
            await change.save(_without_version(change.stored, name.qualifier))
    await state.settler.retire(name.key, name.qualifier)
    return Response({"StatusCode": 204}, status=204)


async def list_functions(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """In the order of their names; `FunctionVersion=ALL` puts the published versions behind their `$LATEST`."""
    every_version = request.get("FunctionVersion") == "ALL"
    if "MasterRegion" in request and not every_version:
        raise invalid_parameter("MasterRegion needs FunctionVersion to be ALL.")
    if request.get("MasterRegion", "ALL") not in ("ALL", context.region):
        return {"Functions": []}  # only replicas of other Regions' functions would be listed, and there are none
    size = page_size(request)
    found = await _readings(state, context, read_marker(request, "Functions"), size + 1, every_version=every_version)
    shapes = [listed_shape(each, each.version if every_version else None) for each in found[:size]]
    output: dict[str, Any] = {"Functions": shapes}
    if len(found) > size:
        output["NextMarker"] = make_marker("Functions", _position(found[size - 1]))
    return output


def check_unpacked_size(state: LambdaState, configuration: Configuration) -> None:
    """Package and layers together; each by itself was checked when it was unpacked."""
    if configuration.unpacked_size() > state.quotas.unzipped_bytes:
        raise too_big(state.quotas.unzipped_bytes)


def _tags_shape(context: RequestContext, function: Function) -> dict[str, Any]:
    """Of those who may read the function, some may not read its tags."""
    denied = context.withheld.get("lambda:ListTags")
    if denied is not None:
        return {"TagsError": {"ErrorCode": "AccessDeniedException", "Message": denied}}
    return {"Tags": dict(function.tags)} if function.tags else {}


def _code_location(state: LambdaState, context: RequestContext, configuration: Configuration) -> dict[str, Any]:
    image = configuration.image
    if image is not None:
        return {"RepositoryType": "ECR", "ImageUri": image.uri, "ResolvedImageUri": image.resolved_uri}
    location = state.code_locations.sign(context.endpoint, configuration.code.digest)
    return {"RepositoryType": "S3", "Location": location}


def _new_settings(state: LambdaState, request: Request) -> dict[str, Any]:
    is_managed = "CapacityProviderConfig" in request
    settings = chosen_settings(request, state.quotas, state.architecture, is_managed=is_managed)
    settings |= chosen_logging(request, logging_before(is_managed=is_managed))
    settings |= chosen_capacity(request)
    if is_managed:
        settings.setdefault("memory_mb", state.quotas.managed_memory_min_mb)
    settings.setdefault("architecture", state.architecture)
    settings |= chosen_file_system(state, request)
    if package_type(request) == IMAGE:
        return {**settings, "runtime": IMAGE_RUNTIME, "handler": ""}
    if "Runtime" not in request or "Handler" not in request:
        raise invalid_parameter("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
    settings["runtime"] = check_runtime(state, request["Runtime"], Change.CREATE)
    return settings


async def _keep_new(
    state: LambdaState,
    context: RequestContext,
    name: FunctionName,
    configuration: Configuration,
    tags: dict[str, str],
    signing_config_arn: str | None,
    *,
    publish: str | None,
) -> dict[str, Any]:
    latest = FunctionVersion(
        account_id=name.account_id,
        region=name.region,
        function_name=name.name,
        version=LATEST,
        configuration=configuration,
        revision_id=state.new_id(),
        last_modified=state.clock(),
    )
    function, versions, shown = Function(latest, tags=tags, code_signing_config_arn=signing_config_arn), {}, latest
    if publish is not None:
        function, shown = published(state, function, {}, publish, None)
        await check_room_for(state, shown)
        versions = {shown.version: shown}
    async with state.settler.after(name.key), state.functions.change(name.key) as change:
        if change.stored is not None:
            raise conflict(f"Function already exist: {name.name}")
        new = StoredFunction(function, versions)
        async with code_room(state, context, new.code_size()):
            await change.save(new)
    return configuration_shape(shown, state.runtimes.version)  # AWS names the version that was published, but not in the ARN


def _without_version(stored: StoredFunction, qualifier: str) -> StoredFunction:
    """The function without one published version; a number that is not there is as good as deleted."""
    if not qualifier.isdecimal() and qualifier != LATEST_PUBLISHED:
        raise invalid_parameter("Deletion of aliases is not currently supported.")
    for alias in stored.aliases.values():
        if qualifier in alias.versions():
            raise conflict(f"Version {qualifier} is referenced by the alias {alias.name} and cannot be deleted.")
    versions = {number: version for number, version in stored.versions.items() if number != qualifier}
    policies = {owner: policy for owner, policy in stored.policies.items() if owner != qualifier}
    event_configs = {owner: config for owner, config in stored.event_configs.items() if owner != qualifier}
    provisioned = {owner: config for owner, config in stored.provisioned.items() if owner != qualifier}
    scaling = {owner: config for owner, config in stored.scaling.items() if owner != qualifier}
    function = stored.function if qualifier != LATEST_PUBLISHED else replace(stored.function, republished_from=None)
    return replace(
        stored,
        function=function,
        versions=versions,
        policies=policies,
        event_configs=event_configs,
        provisioned=provisioned,
        scaling=scaling,
    )


async def _readings(
    state: LambdaState, context: RequestContext, after: str, wanted: int, *, every_version: bool
) -> list[FunctionVersion]:
    """The next readings behind a position."""
    last_name, _, last_version = after.partition(":")
    if after and not (last_name and last_version.isascii() and last_version.isdecimal()):
        raise bad_marker(make_marker("Functions", after))
    found: list[FunctionVersion] = []
    if every_version and last_name:
        key = (context.account_id, context.region, last_name)
        behind = await state.records.versions(key)
        found += [version for version in behind if _rank(version.version) > int(last_version)]
    while len(found) < wanted:
        page = await state.records.functions(context.account_id, context.region, after=last_name, limit=wanted)
        for function in page:
            found.append(function.latest)
            last_name = function.latest.function_name
            if every_version and len(found) < wanted:
                found += await state.records.versions((context.account_id, context.region, last_name))
        if len(page) < wanted:
            break
    return found


def _position(reading: FunctionVersion) -> str:
    return f"{reading.function_name}:{_rank(reading.version)}"


def _rank(version: str) -> int:
    """`$LATEST`, `$LATEST.PUBLISHED`, and then the numbers."""
    return int(version) + 1 if version.isdecimal() else int(version == LATEST_PUBLISHED)
