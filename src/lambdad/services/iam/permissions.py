"""Which operation asks for which right on what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.model.permission import KeyReader, Parameters, Permission, Resource, member_key, permissions_for
from lambdad.model.request import RequestContext
from lambdad.services.iam.model import Group, ManagedPolicy, Role, User
from lambdad.services.iam.state import IamState

_KINDS: Mapping[str, type[Any]] = {"user": User, "group": Group, "role": Role}


def whole_arn(state: IamState, arn: str) -> str:
    """With the path, which requests do not say. What is not there is asked for as it was named."""
    account_id, _, resource = arn.removeprefix("arn:aws:iam::").partition(":")
    word, _, name = resource.partition("/")
    kind = _KINDS.get(word)
    if kind is None or "/" in name:
        return arn
    found: Any = state.records.find(kind, account_id, name)
    return arn if found is None else str(found.arn)


async def resource_tags(state: IamState, arn: str) -> Mapping[str, str]:
    """Of a user, role or policy; groups have none."""
    fields = arn.split(":", 5)
    word, _, rest = fields[-1].partition("/")
    kinds: Mapping[str, type[Any]] = {**_KINDS, "policy": ManagedPolicy}
    kind = kinds.get(word)
    if len(fields) != 6 or kind is None:
        return {}
    found: Any = state.records.find(kind, fields[4], rest.rpartition("/")[2])
    tags: Mapping[str, str] = found.tags if found is not None else {}
    return tags


def _named(word: str, member: str) -> Resource:
    def resource(context: RequestContext, parameters: Parameters) -> str:
        return f"arn:aws:iam::{context.account_id}:{word}/{parameters[member]}"

    return resource


def _new(word: str, member: str) -> Resource:
    def resource(context: RequestContext, parameters: Parameters) -> str:
        return f"arn:aws:iam::{context.account_id}:{word}{parameters.get('Path', '/')}{parameters[member]}"

    return resource


def _user_or_self(context: RequestContext, parameters: Parameters) -> str:
    if "UserName" not in parameters:
        return context.principal.arn
    return f"arn:aws:iam::{context.account_id}:user/{parameters['UserName']}"


def _source(context: RequestContext, parameters: Parameters) -> str:
    return str(parameters["PolicySourceArn"])


def _policy(context: RequestContext, parameters: Parameters) -> str:
    return str(parameters["PolicyArn"])


_KEYS: Mapping[str, KeyReader] = {
    "iam:policyarn": member_key("PolicyArn"),
    "iam:permissionsboundary": member_key("PermissionsBoundary"),
}


def _on(word: str, member: str, names: str) -> dict[str, tuple[Permission, ...]]:
    return {name: (Permission(f"iam:{name}", _named(word, member), _KEYS),) for name in names.split()}


def _making(word: str, member: str, name: str) -> dict[str, tuple[Permission, ...]]:
    return {name: (Permission(f"iam:{name}", _new(word, member), _KEYS),)}


def _names(text: str) -> list[str]:
    return text.split()


PERMISSIONS: Mapping[str, tuple[Permission, ...]] = {
    **permissions_for("iam", ("GetContextKeysForPrincipalPolicy", "SimulatePrincipalPolicy"), _source),
    **permissions_for("iam", ("GetContextKeysForCustomPolicy", "SimulateCustomPolicy")),
    **permissions_for(
        "iam",
        [
            "ListAccountAliases",
            "ListGroups",
            "ListInstanceProfiles",
            "ListPolicies",
            "ListRoles",
            "ListServerCertificates",
            "ListUsers",
            "ListVirtualMFADevices",
        ],
    ),
    **_making("user", "UserName", "CreateUser"),
    **_making("group", "GroupName", "CreateGroup"),
    **_making("role", "RoleName", "CreateRole"),
    **_making("policy", "PolicyName", "CreatePolicy"),
    **permissions_for(
        "iam",
        [
            "CreateAccessKey",
            "DeleteAccessKey",
            "DeleteLoginProfile",
            "GetLoginProfile",
            "GetUser",
            "ListAccessKeys",
            "ListMFADevices",
            "ListSSHPublicKeys",
            "ListServiceSpecificCredentials",
            "ListSigningCertificates",
            "UpdateAccessKey",
        ],
        _user_or_self,
    ),
    **_on(
        "user",
        "UserName",
        "AttachUserPolicy DeleteUser DeleteUserPermissionsBoundary DeleteUserPolicy DetachUserPolicy GetUserPolicy "
        "ListAttachedUserPolicies ListGroupsForUser ListUserPolicies ListUserTags PutUserPermissionsBoundary PutUserPolicy "
        "TagUser UntagUser",
    ),
    **_on(
        "group",
        "GroupName",
        "AddUserToGroup AttachGroupPolicy DeleteGroup DeleteGroupPolicy DetachGroupPolicy GetGroup GetGroupPolicy "
        "ListAttachedGroupPolicies ListGroupPolicies PutGroupPolicy RemoveUserFromGroup",
    ),
    **_on(
        "role",
        "RoleName",
        "AttachRolePolicy DeleteRole DeleteRolePermissionsBoundary DeleteRolePolicy DetachRolePolicy GetRole GetRolePolicy "
        "ListAttachedRolePolicies ListInstanceProfilesForRole ListRolePolicies ListRoleTags PutRolePermissionsBoundary "
        "PutRolePolicy TagRole UntagRole UpdateAssumeRolePolicy UpdateRole UpdateRoleDescription",
    ),
    **permissions_for(
        "iam",
        (
            "CreatePolicyVersion",
            "DeletePolicy",
            "DeletePolicyVersion",
            "GetPolicy",
            "GetPolicyVersion",
            "ListEntitiesForPolicy",
            "ListPolicyTags",
            "ListPolicyVersions",
            "SetDefaultPolicyVersion",
            "TagPolicy",
            "UntagPolicy",
        ),
        _policy,
    ),
}
