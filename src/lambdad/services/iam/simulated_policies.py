"""The policies that the simulator takes of a user, group or role, and what is left out of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.policy_simulation import Source, source_of
from lambdad.services.iam.model import Group, Holder, User, kind_of, stored_document
from lambdad.services.iam.records import IamRecords

Identifier = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AttachedPolicies:
    identity: Sequence[Source]
    boundary: Source | None


def policies_of(records: IamRecords, holder: Holder, excluded: Sequence[Identifier]) -> AttachedPolicies:
    """Of a user with those of its groups. An identifier that meets nothing leaves nothing out."""
    for identifier in excluded:
        if len(set(identifier) & {"PolicyType", "PolicyArn", "InlinePolicyIdentifier"}) != 1:
            raise ServiceError("InvalidInputException", "A policy is left out by its type, by its ARN, or by name and entity.")
    groups = [records.find(Group, holder.account_id, name) for name in holder.groups] if isinstance(holder, User) else []
    holders: list[Holder] = [holder, *(group for group in groups if group is not None)]
    identity = [source for each in holders for source in _policies(records, each, excluded)]
    return AttachedPolicies(identity, _boundary(records, holder, excluded))


def _policies(records: IamRecords, holder: Holder, excluded: Sequence[Identifier]) -> Iterable[Source]:
    word = kind_of(holder).word
    for name, text in holder.inline.items():
        inline = {"PolicyName": name, "AttachmentType": word, "AttachmentName": holder.name}
        if not _is_excluded(excluded, PolicyType="inline", InlinePolicyIdentifier=inline):
            yield source_of(f"{word}_{holder.name}_{name}", word, text, stored_document(text))
    for arn in holder.attached:
        kind = "aws-managed" if arn.startswith("arn:aws:iam::aws:") else "user-managed"
        if not _is_excluded(excluded, PolicyType=kind, PolicyArn=arn):
            text = records.policy(holder.account_id, arn).document
            yield source_of(arn.rpartition("/")[2], kind, text, stored_document(text))


def _boundary(records: IamRecords, holder: Holder, excluded: Sequence[Identifier]) -> Source | None:
    arn = holder.boundary
    if arn is None or _is_excluded(excluded, PolicyType="permission-boundary", PolicyArn=arn):
        return None
    text = records.policy(holder.account_id, arn).document
    kind = "aws-managed" if arn.startswith("arn:aws:iam::aws:") else "user-managed"
    return source_of(arn.rpartition("/")[2], kind, text, stored_document(text))


def _is_excluded(excluded: Sequence[Identifier], **known: Any) -> bool:
    return any(identifier.get(member) == value for identifier in excluded for member, value in known.items())
