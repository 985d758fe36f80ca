"""The policy simulator: what given policies, or those of a user, group or role, would answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.policy_condition import VALUE_CHECKS, BadValue
from lambdad.model.policy_document import Kind, MalformedPolicy, PolicyDocument, read_policy
from lambdad.model.policy_evaluation import Question, Subject
from lambdad.model.policy_principal import Names
from lambdad.model.policy_simulation import Outcome, Source, context_keys, simulate, source_of, strictest
from lambdad.model.request import RequestContext
from lambdad.services.iam.model import KINDS, Group, Holder, Role, User
from lambdad.services.iam.page import page
from lambdad.services.iam.simulated_policies import policies_of
from lambdad.services.iam.state import IamState

Request = Mapping[str, Any]
Output = dict[str, Any]

_CALLER = re.compile(r"arn:aws[a-zA-Z-]*:iam::([0-9]{12}):(user|group|role)/.+")
_ACTION = re.compile(r"[a-zA-Z0-9-]+:[a-zA-Z0-9]+")
_AT_ONCE = 500  #: evaluations of one page, and resources of one request: a bound for what a request costs


@dataclass(frozen=True, slots=True)
class _Simulation:
    """One request's policies and what is asked of them."""

    subject: Subject
    sources: Sequence[Source]
    boundary: Source | None
    resource_policy: Source | None
    resource_owner: str | None
    resources: Sequence[str]
    given: Mapping[str, tuple[str, ...]]

    def outcome(self, action: str, resource: str) -> Outcome:
        own = self.subject.keys or {}

        def keys(key: str) -> tuple[str, ...] | None:
            return self.given.get(key, own.get(key))

        return simulate(
            self.subject,
            self.sources,
            Question(action, resource, keys),
            boundary=self.boundary,
            resource_policy=self.resource_policy,
            resource_account=(_account_in(resource) or self.resource_owner) if self.resource_policy is not None else None,
        )


async def simulate_custom_policy(state: IamState, context: RequestContext, request: Request) -> Output:
    sources, boundary = await _given(request)
    caller = request.get("CallerArn")
    if caller is None and "ResourcePolicy" in request:
        raise _invalid("CallerArn is required with a ResourcePolicy, whose principals it is compared with.")
    subject = _caller(caller or f"arn:aws:iam::{context.account_id}:user/simulated", sources, boundary, {})
    return await _results(subject, sources, boundary, request)


async def simulate_principal_policy(state: IamState, context: RequestContext, request: Request) -> Output:
    holder = _holder(state, context, request["PolicySourceArn"])
    attached = policies_of(state.records, holder, request.get("PolicyExclusionList", []))
    given, given_boundary = await _given(request)
    sources, boundary = [*attached.identity, *given], given_boundary or attached.boundary
    caller = request.get("CallerArn", holder.arn)
    keys = _keys_of(holder) if caller == holder.arn else {}
    return await _results(_caller(caller, sources, boundary, keys), sources, boundary, request)


async def get_context_keys_for_custom_policy(state: IamState, context: RequestContext, request: Request) -> Output:
    given, _ = await _given(request)
    return {"ContextKeyNames": context_keys(given)}


async def get_context_keys_for_principal_policy(state: IamState, context: RequestContext, request: Request) -> Output:
    """Those of its boundary too, without which nothing is allowed."""
    attached = policies_of(state.records, _holder(state, context, request["PolicySourceArn"]), [])
    given, _ = await _given(request)
    boundary = [attached.boundary] if attached.boundary is not None else []
    return {"ContextKeyNames": context_keys([*attached.identity, *boundary, *given])}


async def _results(subject: Subject, sources: Sequence[Source], boundary: Source | None, request: Request) -> Output:
    actions, resources = request["ActionNames"], request.get("ResourceArns") or ["*"]
    for action in actions:
        if not _ACTION.fullmatch(action):
            raise _invalid(f"An action is named by its service and its name, without wildcards; got {action}")
    for resource in resources:
        if resource != "*" and not resource.startswith("arn:"):
            raise _invalid(f"A resource is named by its ARN, or *; got {resource}")
    if len(resources) > _AT_ONCE:
        raise _invalid(f"At most {_AT_ONCE} resources are simulated at once.")
    simulation = _Simulation(
        subject,
        sources,
        boundary,
        await asyncio.to_thread(_resource_policy, request),
        _account_in(request["ResourceOwner"]) if "ResourceOwner" in request else subject.account_id,
        resources,
        _context_entries(request.get("ContextEntries", [])),
    )
    most = min(request.get("MaxItems", 100), max(1, _AT_ONCE // len(resources)))
    numbered = [(f"{number:06d}", action) for number, action in enumerate(actions)]
    return await asyncio.to_thread(
        page,
        "EvaluationResults",
        numbered,
        {**request, "MaxItems": most},
        position=lambda each: each[0],
        shape=lambda each: _result(simulation, each[1]),
    )


def _result(simulation: _Simulation, action: str) -> Output:
    """Of one action, over all resources; each resource's own stands below where resources were named."""
    outcomes = [simulation.outcome(action, resource) for resource in simulation.resources]
    decision = strictest(outcome.decision for outcome in outcomes)
    deciding = [outcome for outcome in outcomes if outcome.decision == decision]
    is_of_all = list(simulation.resources) == ["*"]
    result: Output = {
        "EvalActionName": action,
        "EvalResourceName": "*",
        "EvalDecision": decision,
        "MatchedStatements": _matched(source for outcome in deciding for source in outcome.matched),
        "MissingContextValues": list(outcomes[0].missing) if is_of_all else [],
    }
    if simulation.boundary is not None:
        result["PermissionsBoundaryDecisionDetail"] = _of_boundary(all(each.allowed_by_boundary for each in outcomes))
    if not is_of_all:
        named = zip(simulation.resources, outcomes, strict=True)
        result["ResourceSpecificResults"] = [_of_resource(resource, outcome) for resource, outcome in named]
    return result


def _of_resource(resource: str, outcome: Outcome) -> Output:
    shape: Output = {
        "EvalResourceName": resource,
        "EvalResourceDecision": outcome.decision,
        "MatchedStatements": _matched(outcome.matched),
        "MissingContextValues": list(outcome.missing),
    }
    if outcome.allowed_by_boundary is not None:
        shape["PermissionsBoundaryDecisionDetail"] = _of_boundary(outcome.allowed_by_boundary)
    return shape


def _of_boundary(is_allowed: bool) -> Output:
    return {"AllowedByPermissionsBoundary": is_allowed}


def _matched(sources: Any) -> list[Output]:
    distinct = {(source.policy_id, source.kind) for source in sources}
    return [{"SourcePolicyId": policy_id, "SourcePolicyType": kind} for policy_id, kind in sorted(distinct)]


async def _given(request: Request) -> tuple[list[Source], Source | None]:
    """The policies of the request and its boundary. Reading them may take a while, which nobody else waits for."""
    given = await asyncio.to_thread(_given_policies, request.get("PolicyInputList", []), "PolicyInputList")
    return given, await asyncio.to_thread(_given_boundary, request)


def _given_policies(texts: Sequence[str], member: str) -> list[Source]:
    return [source_of(f"{member}.{number}", "none", text, _read(text, member)) for number, text in enumerate(texts, 1)]


def _given_boundary(request: Request) -> Source | None:
    member = "PermissionsBoundaryPolicyInputList"
    given = _given_policies(request.get(member, []), member)
    if len(given) > 1:
        raise _invalid("There is one permissions boundary at most.")
    return given[0] if given else None


def _resource_policy(request: Request) -> Source | None:
    text = request.get("ResourcePolicy")
    if text is None:
        return None
    return source_of("ResourcePolicy", "resource", text, _read(text, "ResourcePolicy", Kind.RESOURCE))


def _read(text: str, member: str, kind: Kind = Kind.IDENTITY) -> PolicyDocument:
    try:
        return read_policy(text, kind, lenient=kind is Kind.RESOURCE)
    except MalformedPolicy as error:
        raise _invalid(f"{member} has a policy that cannot be read: {error}") from error


def _caller(arn: str, sources: Sequence[Source], boundary: Source | None, keys: Mapping[str, tuple[str, ...]]) -> Subject:
    named = _CALLER.fullmatch(arn)
    if named is None:
        raise _invalid(f"The caller of a simulation is a user, group or role, by its ARN; got {arn}")
    as_role = (arn,) if named[2] == "role" else ()
    return Subject(
        arn=arn,
        account_id=named[1],
        names=Names(named[1], exact=() if as_role else (arn,), role=as_role),
        identity=tuple(source.document for source in sources),
        boundary=None if boundary is None else (boundary.document,),
        keys={"aws:principalarn": (arn,), "aws:principalaccount": (named[1],), **keys},
    )


def _keys_of(holder: Holder) -> dict[str, tuple[str, ...]]:
    """What a request of its would say of it."""
    keys: dict[str, tuple[str, ...]] = {f"aws:principaltag/{key.lower()}": (value,) for key, value in holder.tags.items()}
    if isinstance(holder, User):
        keys |= {"aws:username": (holder.name,), "aws:userid": (holder.unique_id,), "aws:principaltype": ("User",)}
    return keys


def _holder(state: IamState, context: RequestContext, arn: str) -> Holder:
    fields = arn.split(":", 5)
    word, _, name = fields[-1].partition("/")
    kinds: dict[str, type[Any]] = {KINDS[kind].word: kind for kind in (User, Group, Role)}
    if len(fields) != 6 or fields[2] != "iam" or word not in kinds:
        raise _invalid(f"The policies of a user, group or role are simulated, by its ARN; got {arn}")
    holder: Holder | None = state.records.find(kinds[word], context.account_id, name.rpartition("/")[2])
    if holder is None or holder.arn != arn:
        raise ServiceError("NoSuchEntityException", f"The {word} with ARN {arn} cannot be found.")
    return holder


def _context_entries(entries: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    given: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        name, values = entry.get("ContextKeyName"), entry.get("ContextKeyValues", [])
        kind = entry.get("ContextKeyType", "string")
        if name is None or ":" not in name or not values:
            raise _invalid("A context entry has the name of a condition key, and values.")
        if not kind.endswith("List") and len(values) > 1:
            raise _invalid(f"{name} has several values, and its type is {kind}: say {kind}List.")
        check = VALUE_CHECKS.get(kind.removesuffix("List"), str)
        try:
            for value in values:
                check(value)
        except BadValue as error:
            raise _invalid(f"A value of {name} is not of type {kind}: {error}") from error
        given[name.lower()] = tuple(values)
    return given


def _account_in(arn: str) -> str | None:
    fields = arn.split(":", 5)
    account = fields[4] if len(fields) == 6 else arn
    return account if len(account) == 12 and account.isdecimal() else None


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidInputException", message)
