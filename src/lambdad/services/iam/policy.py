"""Managed policies and their versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.request import RequestContext
from lambdad.services.iam.aws_managed import AWS_MANAGED
from lambdad.services.iam.model import (
    VERSION_LIMIT,
    Group,
    Holder,
    ManagedPolicy,
    PolicyVersion,
    Role,
    User,
    bounded_document,
    check_name,
    checked_path,
    kind_of,
    merged_tags,
    new_unique_id,
)
from lambdad.services.iam.page import page
from lambdad.services.iam.shape import policy_shape, version_shape
from lambdad.services.iam.state import IamState

Request = Mapping[str, Any]
Output = dict[str, Any]
_POLICY_BYTES = 6144


def named(state: IamState, context: RequestContext, request: Request) -> ManagedPolicy:
    """The policy that a request names: the account's, or one that AWS manages."""
    return state.records.policy(context.account_id, request["PolicyArn"])


def own(state: IamState, context: RequestContext, request: Request) -> ManagedPolicy:
    """Only what the account made can be changed."""
    policy = named(state, context, request)
    if policy.account_id != context.account_id:
        message = f"Policy {policy.arn} is managed by AWS and cannot be changed."
        raise ServiceError("AccessDenied", message, status=403)
    return policy


async def create_policy(state: IamState, context: RequestContext, request: Request) -> Output:
    name = request["PolicyName"]
    check_name("PolicyName", name, 128)
    document = _checked(request)
    async with state.records.changing:
        message = f"A policy called {name} already exists. Duplicate names are not allowed."
        state.records.check_free(ManagedPolicy, context.account_id, name, message)
        now = state.clock()
        policy = ManagedPolicy(
            account_id=context.account_id,
            name=name,
            path=checked_path(request),
            unique_id=new_unique_id("ANPA"),
            created_at=now,
            updated_at=now,
            versions={"v1": PolicyVersion(document, now)},
            description=request.get("Description"),
            tags=merged_tags({}, request),
        )
        await state.records.save(policy)
    return {"Policy": policy_shape(policy, 0, 0)}


async def get_policy(state: IamState, context: RequestContext, request: Request) -> Output:
    return {"Policy": _shape(state, context, named(state, context, request))}


async def list_policies(state: IamState, context: RequestContext, request: Request) -> Output:
    prefix = request.get("PathPrefix", "/")
    wanted = {"PermissionsPolicy": "attached", "PermissionsBoundary": "boundary"}.get(request.get("PolicyUsageFilter", ""))
    found = [
        policy
        for policy in _in_scope(state, context, request.get("Scope", "All"))
        if policy.path.startswith(prefix) and _is_used(state, context, policy, wanted, bool(request.get("OnlyAttached")))
    ]

    def shape(policy: ManagedPolicy) -> Output:
        full = _shape(state, context, policy)
        return {name: value for name, value in full.items() if name not in ("Tags", "Description")}

    found.sort(key=lambda policy: policy.arn)
    return page("Policies", found, request, position=lambda policy: policy.arn, shape=shape)


async def delete_policy(state: IamState, context: RequestContext, request: Request) -> Output:
    async with state.records.changing:
        policy = own(state, context, request)
        if any(_holders(state, context, policy.arn, "attached")) or any(_holders(state, context, policy.arn, "boundary")):
            raise ServiceError("DeleteConflictException", "Cannot delete a policy attached to entities.")
        if len(policy.versions) > 1:
            message = (
                "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. "
                "The default version is deleted with the policy."
            )
            raise ServiceError("DeleteConflictException", message)
        await state.records.remove(policy)
    return {}


async def create_policy_version(state: IamState, context: RequestContext, request: Request) -> Output:
    document = _checked(request)
    async with state.records.changing:
        policy = own(state, context, request)
        if len(policy.versions) >= VERSION_LIMIT:
            message = (
                f"A managed policy can have up to {VERSION_LIMIT} versions. "
                "Before you create a new version, you must delete an existing version."
            )
            raise ServiceError("LimitExceededException", message)
        number = policy.latest + 1
        version_id = f"v{number}"
        now = state.clock()
        changed = msgspec.structs.replace(
            policy,
            versions={**policy.versions, version_id: PolicyVersion(document, now)},
            latest=number,
            updated_at=now,
            default=version_id if request.get("SetAsDefault") else policy.default,
        )
        await state.records.save(changed)
    return {"PolicyVersion": version_shape(changed, version_id, with_document=False)}


async def get_policy_version(state: IamState, context: RequestContext, request: Request) -> Output:
    policy = named(state, context, request)
    _check_version(policy, request["VersionId"])
    return {"PolicyVersion": version_shape(policy, request["VersionId"], with_document=True)}


async def list_policy_versions(state: IamState, context: RequestContext, request: Request) -> Output:
    policy = named(state, context, request)
    return page(
        "Versions",
        sorted(policy.versions, key=_age),
        request,
        position=_age,
        shape=lambda version_id: version_shape(policy, version_id, with_document=False),
    )


async def delete_policy_version(state: IamState, context: RequestContext, request: Request) -> Output:
    version_id = request["VersionId"]
    async with state.records.changing:
        policy = own(state, context, request)
        _check_version(policy, version_id)
        if version_id == policy.default:
            raise ServiceError("DeleteConflictException", "Cannot delete the default version of a policy.")
        rest = {number: version for number, version in policy.versions.items() if number != version_id}
        await state.records.save(msgspec.structs.replace(policy, versions=rest))
    return {}


async def set_default_policy_version(state: IamState, context: RequestContext, request: Request) -> Output:
    async with state.records.changing:
        policy = own(state, context, request)
        _check_version(policy, request["VersionId"])
        changed = msgspec.structs.replace(policy, default=request["VersionId"], updated_at=state.clock())
        await state.records.save(changed)
    return {}


async def list_entities_for_policy(state: IamState, context: RequestContext, request: Request) -> Output:
    """All at once: an account has few that share a policy."""
    arn = named(state, context, request).arn
    usage = "boundary" if request.get("PolicyUsageFilter") == "PermissionsBoundary" else "attached"
    wanted = request.get("EntityFilter")
    prefix = request.get("PathPrefix", "/")
    output: Output = {"PolicyGroups": [], "PolicyUsers": [], "PolicyRoles": [], "IsTruncated": False}
    for holder in _holders(state, context, arn, usage):
        word = kind_of(holder).word.title()
        if holder.path.startswith(prefix) and wanted in (None, word):
            output[f"Policy{word}s"].append({f"{word}Name": holder.name, f"{word}Id": holder.unique_id})
    return output


def _checked(request: Request) -> str:
    return bounded_document(request["PolicyDocument"], "PolicySize", _POLICY_BYTES)


def _check_version(policy: ManagedPolicy, version_id: str) -> None:
    if version_id not in policy.versions:
        message = f"Policy {policy.arn} version {version_id} does not exist or is not attachable."
        raise ServiceError("NoSuchEntityException", message)


def _shape(state: IamState, context: RequestContext, policy: ManagedPolicy) -> Output:
    attachments = sum(1 for _ in _holders(state, context, policy.arn, "attached"))
    boundaries = sum(1 for _ in _holders(state, context, policy.arn, "boundary"))
    return policy_shape(policy, attachments, boundaries)


def _in_scope(state: IamState, context: RequestContext, scope: str) -> Iterator[ManagedPolicy]:
    if scope in ("All", "AWS"):
        yield from AWS_MANAGED.values()
    if scope in ("All", "Local"):
        yield from state.records.all(ManagedPolicy, context.account_id)


def _is_used(state: IamState, context: RequestContext, policy: ManagedPolicy, usage: str | None, only_attached: bool) -> bool:
    usages = (usage,) if usage else ("attached", "boundary") if only_attached else ()
    return not usages or any(any(_holders(state, context, policy.arn, each)) for each in usages)


def _holders(state: IamState, context: RequestContext, arn: str, usage: str) -> Iterator[Holder]:
    kinds: tuple[type[Any], ...] = (Group, User, Role)
    for kind in kinds:
        for holder in state.records.all(kind, context.account_id):
            if (arn in holder.attached) if usage == "attached" else (arn == holder.boundary):
                yield holder


def _age(version_id: str) -> str:
    """Newest first, as a text that pages can be told by."""
    return f"{10**9 - int(version_id[1:]):09}"
