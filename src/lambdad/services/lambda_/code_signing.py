"""Code signing configurations, and which functions use them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.arn import function_arn
from lambdad.model.code_signing import WARN, CodeSigningConfig, is_profile_version
from lambdad.model.request import RequestContext, Response
from lambdad.services.lambda_.lookup import find_function, named_unqualified
from lambdad.services.lambda_.page import page_of
from lambdad.services.lambda_.refusal import conflict, function_not_found, invalid_parameter, not_found
from lambdad.services.lambda_.settings import check_tag_names
from lambdad.services.lambda_.shape import timestamp
from lambdad.services.lambda_.state import LambdaState

Request = Mapping[str, Any]

_CAP = 10_000  #: of a page


async def create_code_signing_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    tags = request.get("Tags", {})
    check_tag_names(tags, state.quotas)
    config = CodeSigningConfig(
        account_id=context.account_id,
        region=context.region,
        id=f"csc-{state.new_id().replace('-', '')[-17:]}",
        publishers=_publishers(request["AllowedPublishers"]),
        last_modified=state.clock(),
        policy=request.get("CodeSigningPolicies", {}).get("UntrustedArtifactOnDeployment", WARN),
        description=request.get("Description"),
        tags=dict(tags),
    )
    await state.records.save_code_signing_config(config)
    return {"CodeSigningConfig": _shape(config)}


async def get_code_signing_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    return {"CodeSigningConfig": _shape(await existing_config(state, context, request["CodeSigningConfigArn"]))}


async def update_code_signing_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """What is not given stays. It counts from the next deployment on."""
    arn = request["CodeSigningConfigArn"]
    async with state.signing_locks.hold(arn):
        config = await existing_config(state, context, arn)
        changed = replace(
            config,
            last_modified=state.clock(),
            description=request.get("Description", config.description),
            policy=request.get("CodeSigningPolicies", {}).get("UntrustedArtifactOnDeployment", config.policy),
            publishers=_publishers(request["AllowedPublishers"]) if "AllowedPublishers" in request else config.publishers,
        )
        await state.records.save_code_signing_config(changed)
    return {"CodeSigningConfig": _shape(changed)}


async def delete_code_signing_config(state: LambdaState, context: RequestContext, request: Request) -> Response:
    arn = request["CodeSigningConfigArn"]
    async with state.signing_locks.hold(arn):
        config = await existing_config(state, context, arn)
        users = await state.records.code_signing_users(config, limit=1)
        if users:
            raise conflict(
                f"Cannot delete the code signing configuration {arn}: it is used by function {users[0]}. "
                "Remove it from its functions first."
            )
        await state.records.delete_code_signing_config(config)
    return Response({}, status=204)


async def list_code_signing_configs(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    configs = await state.records.code_signing_configs(context.account_id, context.region)
    return page_of("CodeSigningConfigs", configs, request, lambda config: config.id, _shape, cap=_CAP)


async def list_functions_by_code_signing_config(
    state: LambdaState, context: RequestContext, request: Request
) -> dict[str, Any]:
    config = await existing_config(state, context, request["CodeSigningConfigArn"])
    names = sorted(await state.records.code_signing_users(config))

    def shape(name: str) -> str:
        return function_arn(config.account_id, config.region, name)

    return page_of("FunctionArns", names, request, str, shape, cap=_CAP)


async def put_function_code_signing_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """Looks at nothing that is deployed: it counts from the next deployment on."""
    name = named_unqualified(context, request["FunctionName"])
    arn = request["CodeSigningConfigArn"]
    async with using_config(state, context, arn), state.functions.change(name.key) as change:
        if change.stored is None:
            raise function_not_found(name)
        if change.stored.function.latest.configuration.image is not None:
            raise invalid_parameter("Code signing is not supported for functions created with container images.")
        function = replace(change.stored.function, code_signing_config_arn=arn)
        await change.save(replace(change.stored, function=function))
    return {"CodeSigningConfigArn": arn, "FunctionName": name.name}


async def get_function_code_signing_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """A function without one is answered for as well: Terraform and SAM ask about each."""
    name = named_unqualified(context, request["FunctionName"])
    stored = await find_function(state, name)
    return {"CodeSigningConfigArn": stored.function.code_signing_config_arn or "", "FunctionName": name.name}


async def delete_function_code_signing_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """A function without one is as good as rid of it."""
    name = named_unqualified(context, request["FunctionName"])
    async with state.functions.change(name.key) as change:
        if change.stored is None:
            raise function_not_found(name)
        if change.stored.function.code_signing_config_arn is not None:
            function = replace(change.stored.function, code_signing_config_arn=None)
            await change.save(replace(change.stored, function=function))
    return {}


async def change_tags(
    state: LambdaState, context: RequestContext, arn: str, added: Mapping[str, str], gone: frozenset[str] = frozenset()
) -> None:
    async with state.signing_locks.hold(arn):
        config = await existing_config(state, context, arn)
        tags = {key: value for key, value in {**config.tags, **added}.items() if key not in gone}
        check_tag_names(tags, state.quotas)
        await state.records.save_code_signing_config(replace(config, tags=tags))


@asynccontextmanager
async def using_config(state: LambdaState, context: RequestContext, arn: str | None) -> AsyncIterator[CodeSigningConfig | None]:
    """The configuration that a function is to have. Commit what refers to it inside the block: it cannot be deleted there."""
    if arn is None:
        yield None
        return
    async with state.signing_locks.hold(arn):
        yield await config_of_function(state, context, arn)


async def config_of_function(state: LambdaState, context: RequestContext, arn: str | None) -> CodeSigningConfig | None:
    if arn is None:
        return None
    config = await _find(state, context, arn)
    if config is None:
        raise ServiceError(
            "CodeSigningConfigNotFoundException",
            f"The code signing configuration cannot be found. Check that the provided configuration is not deleted: {arn}.",
        )
    return config


async def existing_config(state: LambdaState, context: RequestContext, arn: str) -> CodeSigningConfig:
    config = await _find(state, context, arn)
    if config is None:
        raise not_found(f"The Lambda code signing configuration {arn} can not be found.")
    return config


async def _find(state: LambdaState, context: RequestContext, arn: str) -> CodeSigningConfig | None:
    """Of the caller's own account and region."""
    prefix, _, config_id = arn.rpartition(":")
    if prefix != f"arn:aws:lambda:{context.region}:{context.account_id}:code-signing-config":
        return None
    return await state.records.code_signing_config(context.account_id, context.region, config_id)


def _publishers(given: Mapping[str, Any]) -> tuple[str, ...]:
    arns: list[str] = given["SigningProfileVersionArns"]
    for arn in arns:
        if not is_profile_version(arn):
            raise invalid_parameter(
                f"An allowed publisher is named by the ARN of a version of a signing profile, "
                f"arn:aws:signer:REGION:ACCOUNT:/signing-profiles/NAME/VERSION; got {arn}"
            )
    return tuple(dict.fromkeys(arns))


def _shape(config: CodeSigningConfig) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "CodeSigningConfigId": config.id,
        "CodeSigningConfigArn": config.arn,
        "AllowedPublishers": {"SigningProfileVersionArns": list(config.publishers)},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": config.policy},
        "LastModified": timestamp(config.last_modified),
    }
    return {**shape, "Description": config.description} if config.description is not None else shape
