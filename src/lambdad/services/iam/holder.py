"""What users, groups and roles have in common: inline and managed policies, a permissions boundary, a place in listings.

Each function here makes one operation for one of the kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.request import RequestContext
from lambdad.model.service import Operation
from lambdad.services.iam.model import (
    ATTACHED_LIMIT,
    KINDS,
    Holder,
    check_name,
    checked_document,
    size_of,
)
from lambdad.services.iam.page import page
from lambdad.services.iam.records import IamRecords
from lambdad.services.iam.shape import encoded, listed
from lambdad.services.iam.state import IamState

Request = Mapping[str, Any]
Output = dict[str, Any]
Kind = type[Any]  #: User, Group or Role


def named(kind: Kind) -> Callable[[IamState, RequestContext, Request], Any]:
    """Finds what a request names."""

    return partial(_held, kind=kind)


def list_all(kind: Kind, shape: Callable[[Any], Output]) -> Operation:
    async def list_(state: IamState, context: RequestContext, request: Request) -> Output:
        prefix = request.get("PathPrefix", "/")
        found = (holder for holder in state.records.all(kind, context.account_id) if holder.path.startswith(prefix))
        member = f"{KINDS[kind].word.title()}s"
        return page(
            member, found, request, position=lambda each: str(each.name.lower()), shape=lambda each: listed(shape(each))
        )

    return list_


def put_policy(kind: Kind) -> Operation:
    async def put(state: IamState, context: RequestContext, request: Request) -> Output:
        check_name("PolicyName", request["PolicyName"], 128)
        checked_document(request["PolicyDocument"])
        async with state.records.changing:
            holder = _held(state, context, request, kind)
            inline = {**holder.inline, request["PolicyName"]: request["PolicyDocument"]}
            limit = KINDS[kind].policy_bytes
            if sum(map(size_of, inline.values())) > limit:
                message = f"Maximum policy size of {limit} bytes exceeded for {KINDS[kind].word} {holder.name}"
                raise ServiceError("LimitExceededException", message)
            await _save(state, holder, inline=inline)
        return {}

    return put


def get_policy(kind: Kind) -> Operation:
    async def get(state: IamState, context: RequestContext, request: Request) -> Output:
        holder = _held(state, context, request, kind)
        document = _inline(holder, kind, request["PolicyName"])
        member = KINDS[kind].member
        return {member: holder.name, "PolicyName": request["PolicyName"], "PolicyDocument": encoded(document)}

    return get


def delete_policy(kind: Kind) -> Operation:
    async def delete(state: IamState, context: RequestContext, request: Request) -> Output:
        async with state.records.changing:
            holder = _held(state, context, request, kind)
            _inline(holder, kind, request["PolicyName"])
            rest = {name: text for name, text in holder.inline.items() if name != request["PolicyName"]}
            await _save(state, holder, inline=rest)
        return {}

    return delete


def list_policies(kind: Kind) -> Operation:
    async def list_(state: IamState, context: RequestContext, request: Request) -> Output:
        holder = _held(state, context, request, kind)
        return page("PolicyNames", sorted(holder.inline), request, position=str, shape=str)

    return list_


def attach_policy(kind: Kind) -> Operation:
    async def attach(state: IamState, context: RequestContext, request: Request) -> Output:
        arn = request["PolicyArn"]
        async with state.records.changing:
            holder = _held(state, context, request, kind)
            check_attachable(state.records, context, arn)
            if arn in holder.attached:
                return {}
            if len(holder.attached) >= ATTACHED_LIMIT:
                quota = f"PoliciesPer{KINDS[kind].word.title()}: {ATTACHED_LIMIT}"
                raise ServiceError("LimitExceededException", f"Cannot exceed quota for {quota}")
            await _save(state, holder, attached=(*holder.attached, arn))
        return {}

    return attach


def detach_policy(kind: Kind) -> Operation:
    async def detach(state: IamState, context: RequestContext, request: Request) -> Output:
        arn = request["PolicyArn"]
        async with state.records.changing:
            holder = _held(state, context, request, kind)
            if arn not in holder.attached:
                raise ServiceError("NoSuchEntityException", f"Policy {arn} was not found.")
            await _save(state, holder, attached=tuple(each for each in holder.attached if each != arn))
        return {}

    return detach


def list_attached_policies(kind: Kind) -> Operation:
    async def list_(state: IamState, context: RequestContext, request: Request) -> Output:
        holder = _held(state, context, request, kind)
        prefix = request.get("PathPrefix", "/")
        policies = [state.records.policy(context.account_id, arn) for arn in sorted(holder.attached)]
        return page(
            "AttachedPolicies",
            [policy for policy in policies if policy.path.startswith(prefix)],
            request,
            position=lambda policy: policy.arn,
            shape=lambda policy: {"PolicyName": policy.name, "PolicyArn": policy.arn},
        )

    return list_


def put_boundary(kind: Kind) -> Operation:
    async def put(state: IamState, context: RequestContext, request: Request) -> Output:
        async with state.records.changing:
            holder = _held(state, context, request, kind)
            boundary = checked_boundary(state.records, context, request)
            await _save(state, holder, boundary=boundary)
        return {}

    return put


def delete_boundary(kind: Kind) -> Operation:
    async def delete(state: IamState, context: RequestContext, request: Request) -> Output:
        async with state.records.changing:
            holder = _held(state, context, request, kind)
            if holder.boundary is None:
                message = f"There is no permissions boundary set for {KINDS[kind].word} {holder.name}."
                raise ServiceError("NoSuchEntityException", message)
            await _save(state, holder, boundary=None)
        return {}

    return delete


def check_attachable(records: IamRecords, context: RequestContext, arn: str) -> None:
    if records.find_policy(context.account_id, arn) is None:
        raise ServiceError("NoSuchEntityException", f"Policy {arn} does not exist or is not attachable.")


def checked_boundary(records: IamRecords, context: RequestContext, request: Request) -> str | None:
    arn: str | None = request.get("PermissionsBoundary")
    if arn is not None:
        check_attachable(records, context, arn)
    return arn


def check_bare(holder: Holder) -> None:
    """Before it is deleted, its owner takes off what was put on it."""
    if holder.attached:
        raise ServiceError("DeleteConflictException", "Cannot delete entity, must detach all policies first.")
    if holder.inline:
        raise ServiceError("DeleteConflictException", "Cannot delete entity, must delete policies first.")


def _held(state: IamState, context: RequestContext, request: Request, kind: Kind) -> Any:
    return state.records.get(kind, context.account_id, request[KINDS[kind].member])


async def _save(state: IamState, holder: Holder, **changes: Any) -> None:
    await state.records.save(msgspec.structs.replace(holder, **changes))


def _inline(holder: Holder, kind: Kind, name: str) -> str:
    document = holder.inline.get(name)
    if document is None:
        raise ServiceError("NoSuchEntityException", f"The {KINDS[kind].word} policy with name {name} cannot be found.")
    return document
