"""How IAM shows what it has. Policies are percent-encoded in answers, as AWS sends them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from lambdad.services.iam.model import Group, Holder, ManagedPolicy, Role, User, kind_of

Shape = dict[str, Any]


def user_shape(user: User) -> Shape:
    return _with_extras(_holder_shape(user, "User"), user)


def group_shape(group: Group) -> Shape:
    return _holder_shape(group, "Group")


def role_shape(role: Role) -> Shape:
    shape = _with_extras(_holder_shape(role, "Role"), role)
    shape["AssumeRolePolicyDocument"] = encoded(role.trust)
    shape["MaxSessionDuration"] = role.max_session_seconds
    if role.description is not None:
        shape["Description"] = role.description
    return shape


def listed(shape: Shape) -> Shape:
    """Listings leave out what takes a look at each item, as AWS's do."""
    return {name: value for name, value in shape.items() if name not in ("Tags", "PermissionsBoundary")}


def policy_shape(policy: ManagedPolicy, attachments: int, boundaries: int) -> Shape:
    shape: Shape = {
        "PolicyName": policy.name,
        "PolicyId": policy.unique_id,
        "Arn": policy.arn,
        "Path": policy.path,
        "DefaultVersionId": policy.default,
        "AttachmentCount": attachments,
        "PermissionsBoundaryUsageCount": boundaries,
        "IsAttachable": True,
        "CreateDate": time_shape(policy.created_at),
        "UpdateDate": time_shape(policy.updated_at),
        "Tags": tags_shape(policy.tags),
    }
    if policy.description is not None:
        shape["Description"] = policy.description
    return shape


def version_shape(policy: ManagedPolicy, version_id: str, *, with_document: bool) -> Shape:
    version = policy.versions[version_id]
    shape: Shape = {
        "VersionId": version_id,
        "IsDefaultVersion": version_id == policy.default,
        "CreateDate": time_shape(version.created_at),
    }
    return {"Document": encoded(version.document), **shape} if with_document else shape


def tags_shape(tags: Mapping[str, str]) -> list[Shape]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def encoded(document: str) -> str:
    return quote(document, safe="")


def time_shape(seconds: float) -> datetime:
    return datetime.fromtimestamp(int(seconds), UTC)


def _holder_shape(holder: Holder, prefix: str) -> Shape:
    return {
        "Path": holder.path,
        kind_of(holder).member: holder.name,
        f"{prefix}Id": holder.unique_id,
        "Arn": holder.arn,
        "CreateDate": time_shape(holder.created_at),
    }


def _with_extras(shape: Shape, holder: Holder) -> Shape:
    if holder.tags:
        shape["Tags"] = tags_shape(holder.tags)
    if holder.boundary is not None:
        shape["PermissionsBoundary"] = {
            "PermissionsBoundaryType": "Policy",
            "PermissionsBoundaryArn": holder.boundary,
        }
    return shape
