"""Policies of repositories: who else may pull from them and push to them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.policy_document import Kind, MalformedPolicy, PolicyDocument, read_policy
from lambdad.model.request import RequestContext
from lambdad.services.ecr.model import Repository, RepositoryName, invalid
from lambdad.services.ecr.repository import existing, named
from lambdad.services.ecr.right import may
from lambdad.services.ecr.state import EcrState

Request = Mapping[str, Any]
Output = dict[str, Any]

#: Of the statement that Lambda adds where a caller who may do so makes a function of an image.
LAMBDAS_OWN = "LambdaECRImageRetrievalPolicy"
MOST_CHARACTERS = 10240  #: of a policy
_ALL_FUNCTIONS = re.compile(r"arn:aws:lambda:[a-z0-9-]+:[0-9]{12}:function:\*")
PULLING = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


async def set_repository_policy(state: EcrState, context: RequestContext, request: Request) -> Output:
    name, text = named(context, request), request["policyText"]
    document = _read(text)
    async with state.records.changing(name):
        repository = await existing(state, name)
        if not request.get("force") and not may(state, context, repository, document, ("ecr:SetRepositoryPolicy",)):
            raise invalid("The policy would keep its setter from setting another one: say so with the parameter force.")
        await state.records.save_repository(msgspec.structs.replace(repository, policy=text))
    return _shape(name, text)


async def get_repository_policy(state: EcrState, context: RequestContext, request: Request) -> Output:
    name = named(context, request)
    return _shape(name, _existing_policy(await existing(state, name)))


async def delete_repository_policy(state: EcrState, context: RequestContext, request: Request) -> Output:
    name = named(context, request)
    async with state.records.changing(name):
        repository = await existing(state, name)
        text = _existing_policy(repository)
        await state.records.save_repository(msgspec.structs.replace(repository, policy=""))
    return _shape(name, text)


async def resource_policy(state: EcrState, arn: str) -> PolicyDocument | None:
    """Of a repository."""
    name = RepositoryName.of_arn(arn)
    repository = await state.records.repository(name) if name is not None else None
    return policy_of(repository) if repository is not None else None


def policy_of(repository: Repository) -> PolicyDocument | None:
    return _read(repository.policy) if repository.policy else None


def admitting_lambda(repository: Repository) -> Repository:
    """With the functions of its account let in to pull from it, as Lambda sees to it in the name of its caller. What its owner
    has stated stays. ServiceError where the policy would be longer than SetRepositoryPolicy takes it."""
    document: dict[str, Any] = {"Version": "2008-10-17", "Statement": []}
    if repository.policy:
        document = json.loads(repository.policy)
    stated = document["Statement"]
    statements: list[dict[str, Any]] = list(stated) if isinstance(stated, list) else [stated]
    functions = f"arn:aws:lambda:{repository.region}:{repository.account_id}:function:*"
    for number, statement in enumerate(statements):
        others = _let_in_before(statement)
        if others:
            statements[number] = _own(statement["Sid"], [*others, functions])
            break
    else:
        statements.append(_own(_free_sid(statements), functions))
    text = json.dumps({**document, "Statement": statements}, separators=(",", ":"))
    if len(text) > MOST_CHARACTERS:
        raise ServiceError(
            "InvalidParameterValueException",
            f"Lambda cannot add its permissions to the policy of the repository {repository.name}: it would have {len(text)}"
            f" characters, and {MOST_CHARACTERS} is the most.",
            status=400,
        )
    return msgspec.structs.replace(repository, policy=text)


def _own(sid: str, functions: str | list[str]) -> dict[str, Any]:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
        "Action": list(PULLING),
        "Condition": {"StringLike": {"aws:sourceArn": functions}},
    }


def _let_in_before(statement: Mapping[str, Any]) -> list[str]:
    """All functions of which accounts and Regions it lets in, if Lambda has added it; else none."""
    sid = statement.get("Sid")
    try:
        functions = statement["Condition"]["StringLike"]["aws:sourceArn"]
    except (KeyError, TypeError):
        return []
    if not isinstance(sid, str) or not sid.startswith(LAMBDAS_OWN) or statement != _own(sid, functions):
        return []
    listed = [functions] if isinstance(functions, str) else functions
    if not isinstance(listed, list):
        return []
    return listed if all(isinstance(each, str) and _ALL_FUNCTIONS.fullmatch(each) for each in listed) else []


def _free_sid(statements: Sequence[Mapping[str, Any]]) -> str:
    taken = {statement.get("Sid") for statement in statements}
    numbered = (f"{LAMBDAS_OWN}{number}" for number in itertools.count(2))
    return next(sid for sid in itertools.chain((LAMBDAS_OWN,), numbered) if sid not in taken)


def _read(text: str) -> PolicyDocument:
    try:
        return read_policy(text, Kind.REPOSITORY, lenient=True)
    except MalformedPolicy as error:
        message = "Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'"
        raise invalid(f"{message} ({error})") from error


def _existing_policy(repository: Repository) -> str:
    if not repository.policy:
        name = repository.named
        raise ServiceError(
            "RepositoryPolicyNotFoundException",
            f"Repository policy does not exist for the repository with name '{name.name}' in the registry with id"
            f" '{name.account_id}'",
        )
    return repository.policy


def _shape(name: RepositoryName, text: str) -> Output:
    return {"registryId": name.account_id, "repositoryName": name.name, "policyText": text}
