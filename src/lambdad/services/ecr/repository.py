"""Operations on repositories, their tags, and the password for the registry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.request import RequestContext
from lambdad.services.ecr.model import (
    IMMUTABLE,
    MOST_TAGS,
    MUTABLE,
    Repository,
    RepositoryName,
    beyond_limit,
    invalid,
    no_repository,
)
from lambdad.services.ecr.state import EcrState
from lambdad.services.ecr.token import USER, basic_header

Request = Mapping[str, Any]
Output = dict[str, Any]

_PAGE = 100


def named(context: RequestContext, request: Request) -> RepositoryName:
    account_id = request.get("registryId", context.account_id)
    return RepositoryName(account_id, context.region, request["repositoryName"])


async def existing(state: EcrState, name: RepositoryName) -> Repository:
    repository = await state.records.repository(name)
    if repository is None:
        raise no_repository(name)
    return repository


async def get_authorization_token(state: EcrState, context: RequestContext, request: Request) -> Output:
    """One for each registry asked for; with `docker login --username AWS`, or by the tools that do it themselves."""
    password, ends = state.tokens.make(context.principal.access_key_id or context.account_id)
    data = {
        "authorizationToken": basic_header(USER, password),
        "expiresAt": datetime.fromtimestamp(ends, UTC),
    }
    registries = request.get("registryIds") or [context.account_id]
    return {
        "authorizationData": [
            {**data, "proxyEndpoint": f"http://{registry_host(state, account_id, context.region)}"} for account_id in registries
        ]
    }


async def create_repository(state: EcrState, context: RequestContext, request: Request) -> Output:
    name = named(context, request)
    if name.account_id != context.account_id:
        raise invalid("A repository can be created in the caller's own registry only.")
    tags = _tags(request.get("tags", ()))
    mutability = request.get("imageTagMutability", MUTABLE)
    if mutability not in (MUTABLE, IMMUTABLE):
        raise invalid(f"The mutability {mutability} is not supported by lambdad: tags have no exceptions here.")
    if request.get("imageScanningConfiguration", {}).get("scanOnPush"):
        raise invalid("Images are not scanned by lambdad: leave scanOnPush out.")
    async with state.records.creating(name), state.records.changing(name):
        if await state.records.repository(name) is not None:
            raise ServiceError(
                "RepositoryAlreadyExistsException",
                f"The repository with name '{name.name}' already exists in the registry with id '{name.account_id}'",
            )
        if state.records.counts.repositories(name.account_id, name.region) >= state.quotas.repositories:
            raise beyond_limit(
                f"The registry with id '{name.account_id}' already has the maximum number of repositories,"
                f" {state.quotas.repositories}"
            )
        repository = Repository(*name, created_at=state.clock(), mutability=mutability, tags=tags)
        await state.records.save_repository(repository)
    return {"repository": _shape(state, repository)}


async def describe_repositories(state: EcrState, context: RequestContext, request: Request) -> Output:
    account_id = request.get("registryId", context.account_id)
    if "repositoryNames" in request:
        if "maxResults" in request or "nextToken" in request:
            raise invalid("maxResults and nextToken cannot be used together with repositoryNames.")
        names = [RepositoryName(account_id, context.region, name) for name in request["repositoryNames"]]
        return {"repositories": [_shape(state, await existing(state, name)) for name in names]}
    size = request.get("maxResults", _PAGE)
    found = await state.records.repositories(account_id, context.region, request.get("nextToken", ""), size + 1)
    output: Output = {"repositories": [_shape(state, each) for each in found[:size]]}
    if len(found) > size:
        output["nextToken"] = found[size - 1].name
    return output


async def delete_repository(state: EcrState, context: RequestContext, request: Request) -> Output:
    name = named(context, request)
    async with state.records.changing(name):
        repository = await existing(state, name)
        if not request.get("force") and await state.records.manifests(name):
            raise ServiceError(
                "RepositoryNotEmptyException",
                f"The repository with name '{name.name}' in registry with id '{name.account_id}' cannot be deleted because it"
                " still contains images",
            )
        await state.records.delete_repository(name)
    return {"repository": _shape(state, repository)}


async def put_image_tag_mutability(state: EcrState, context: RequestContext, request: Request) -> Output:
    name, mutability = named(context, request), request["imageTagMutability"]
    if mutability not in (MUTABLE, IMMUTABLE):
        raise invalid(f"The mutability {mutability} is not supported by lambdad: tags have no exceptions here.")
    async with state.records.changing(name):
        repository = await existing(state, name)
        await state.records.save_repository(msgspec.structs.replace(repository, mutability=mutability))
    return {"registryId": name.account_id, "repositoryName": name.name, "imageTagMutability": mutability}


async def tag_resource(state: EcrState, context: RequestContext, request: Request) -> Output:
    name = name_of_arn(context, request["resourceArn"])
    async with state.records.changing(name):
        repository = await existing(state, name)
        tags = {**repository.tags, **_tags(request["tags"])}
        if len(tags) > MOST_TAGS:
            raise ServiceError("TooManyTagsException", f"A repository has at most {MOST_TAGS} tags.")
        await state.records.save_repository(msgspec.structs.replace(repository, tags=tags))
    return {}


async def untag_resource(state: EcrState, context: RequestContext, request: Request) -> Output:
    name = name_of_arn(context, request["resourceArn"])
    async with state.records.changing(name):
        repository = await existing(state, name)
        tags = {key: value for key, value in repository.tags.items() if key not in request["tagKeys"]}
        await state.records.save_repository(msgspec.structs.replace(repository, tags=tags))
    return {}


async def list_tags_for_resource(state: EcrState, context: RequestContext, request: Request) -> Output:
    repository = await existing(state, name_of_arn(context, request["resourceArn"]))
    return {"tags": [{"Key": key, "Value": value} for key, value in sorted(repository.tags.items())]}


def registry_host(state: EcrState, account_id: str, region: str) -> str:
    """Where the registry of an account and Region is; names below localhost lead to this machine."""
    return f"{account_id}.dkr.ecr.{region}.localhost:{state.port}"


def name_of_arn(context: RequestContext, arn: str) -> RepositoryName:
    name = RepositoryName.of_arn(arn)
    if name is None:
        raise invalid(f"Invalid parameter at 'resourceArn' failed to satisfy constraint: '{arn[:200]}' is no repository")
    if name.region != context.region:
        raise invalid(
            f"Invalid parameter at 'resourceArn' failed to satisfy constraint: it is in another Region, {name.region}"
        )
    return name


def _shape(state: EcrState, repository: Repository) -> Output:
    name = repository.named
    return {
        "repositoryArn": name.arn,
        "registryId": name.account_id,
        "repositoryName": name.name,
        "repositoryUri": f"{registry_host(state, name.account_id, name.region)}/{name.name}",
        "createdAt": datetime.fromtimestamp(repository.created_at, UTC),
        "imageTagMutability": repository.mutability,
        "imageScanningConfiguration": {"scanOnPush": False},
    }


def _tags(given: Any) -> dict[str, str]:
    tags = {tag["Key"]: tag["Value"] for tag in given}
    if len(tags) > MOST_TAGS:
        raise ServiceError("TooManyTagsException", f"A repository has at most {MOST_TAGS} tags.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise ServiceError("InvalidTagParameterException", f"{key[:128]!r} is no tag: keys have 1 to 128 characters.")
    return tags
