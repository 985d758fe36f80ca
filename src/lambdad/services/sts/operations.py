"""The operations of STS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.errors import ServiceError
from lambdad.identity import IssuedSession
from lambdad.model.credential import Credential, Session
from lambdad.model.policy_document import Kind, MalformedPolicy, read_policy
from lambdad.model.policy_evaluation import Question, Subject, decide_trust, refusal_text
from lambdad.model.request import RequestContext
from lambdad.model.request_keys import RequestKeys
from lambdad.model.role import TrustedRole
from lambdad.services.sts.shape import credentials_shape
from lambdad.services.sts.state import StsState

Request = Mapping[str, Any]
Output = dict[str, Any]

_USUAL_ROLE_SECONDS = 3600
_USUAL_TOKEN_SECONDS = 12 * 3600
_ROOT_TOKEN_SECONDS = 3600  #: at most, for the root of an account
_CHAINED_SECONDS = 3600  #: at most, for a role that is assumed by a role
_POLICY_ARNS = 10
_TAGS = 50
_POLICY_BYTES = 2048  #: of all session policies together


async def get_caller_identity(state: StsState, context: RequestContext, request: Request) -> Output:
    credential = state.identities.lookup(context.principal.access_key_id or "")
    user_id = _user_id(state, credential) if credential is not None else context.account_id
    return {"UserId": user_id, "Account": context.account_id, "Arn": context.principal.arn}


async def get_access_key_info(state: StsState, context: RequestContext, request: Request) -> Output:
    caller = state.identities.lookup(context.principal.access_key_id or "")
    if caller is not None and caller.session is not None and caller.session.role_arn is None:
        raise _with_session_credentials(context)
    credential = state.identities.lookup(request["AccessKeyId"])
    if credential is None:
        raise ServiceError("ValidationError", "Access key not found.", status=400)
    return {"Account": credential.account_id}


async def get_session_token(state: StsState, context: RequestContext, request: Request) -> Output:
    caller = state.identities.lookup(context.principal.access_key_id or "")
    if caller is not None and caller.session is not None:
        raise _with_session_credentials(context)
    seconds = request.get("DurationSeconds", _USUAL_TOKEN_SECONDS)
    user_name = caller.user_name if caller is not None else None
    if user_name is None:
        seconds = min(seconds, _ROOT_TOKEN_SECONDS)
    owner_id = state.directory.user_id(context.account_id, user_name) if user_name is not None else None
    session = Session(issued_at=state.clock(), owner_id=owner_id)
    issued = await state.identities.issue(context.account_id, context.principal.arn, user_name, session, seconds)
    return {"Credentials": credentials_shape(issued)}


def _with_session_credentials(context: RequestContext) -> ServiceError:
    return ServiceError("AccessDenied", f"Cannot call {context.operation} with session credentials", status=403)


async def assume_role(state: StsState, context: RequestContext, request: Request) -> Output:
    role = state.directory.role(request["RoleArn"])
    subject = state.directory.subject_of(context.principal)
    if role is None:
        raise _denied(subject, request["RoleArn"])
    policies = _session_policies(state, role, request)
    caller = state.identities.lookup(context.principal.access_key_id or "")
    calling = caller.session if caller is not None else None
    inherited = _inherited_tags(calling)
    transitive = _transitive_tag_keys(request, inherited)
    source_identity = _source_identity(calling, subject, request)
    if state.is_enforced:
        _check_trust(state, subject, context, request, role, source_identity, has_tags=bool(inherited))
    session = Session(
        issued_at=state.clock(),
        role_arn=role.arn,
        owner_id=role.unique_id,
        name=request["RoleSessionName"],
        policies=policies,
        tags=_session_tags(request, inherited),
        transitive_tag_keys=(*inherited, *transitive),
        source_identity=source_identity,
        external_id=request.get("ExternalId"),
    )
    arn = f"arn:aws:sts::{role.account_id}:assumed-role/{role.name}/{session.name}"
    seconds = _seconds(state, context, request, role)
    issued = await state.identities.issue(role.account_id, arn, None, session, seconds)
    return _assumed_shape(issued, role, session)


def _assumed_shape(issued: IssuedSession, role: TrustedRole, session: Session) -> Output:
    output: Output = {
        "Credentials": credentials_shape(issued),
        "AssumedRoleUser": {"AssumedRoleId": f"{role.unique_id}:{session.name}", "Arn": issued.principal_arn},
    }
    if session.policies is not None or session.tags:
        size = sum(map(len, session.policies or ())) + sum(len(key) + len(value) for key, value in session.tags.items())
        output["PackedPolicySize"] = max(1, size * 100 // (_POLICY_BYTES + _TAGS * 384))
    if session.source_identity is not None:
        output["SourceIdentity"] = session.source_identity
    return output


def _inherited_tags(calling: Session | None) -> dict[str, str]:
    """Those of the calling session that are transitive."""
    return {} if calling is None else {key: calling.tags[key] for key in calling.transitive_tag_keys}


def _transitive_tag_keys(request: Request, inherited: Mapping[str, str]) -> list[str]:
    """As the tags spell them. What a session passes on stays as it is all along the chain."""
    tags = {key.lower(): key for key in _tags(request)}
    wanted = [key.lower() for key in request.get("TransitiveTagKeys", ())]
    if not set(wanted) <= set(tags):
        message = "The specified transitive tag key must be included in the requested tags."
        raise ServiceError("InvalidParameterValue", message, status=400)
    if not {key.lower() for key in inherited}.isdisjoint(tags):
        message = (
            "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from the "
            "calling session."
        )
        raise ServiceError("InvalidParameterValue", message, status=400)
    return [tags[key] for key in dict.fromkeys(wanted)]


def _session_tags(request: Request, inherited: Mapping[str, str]) -> dict[str, str]:
    """However long the chain is, a session has no more than one request may give."""
    tags = {**inherited, **_tags(request)}
    if len(tags) > _TAGS:
        message = f"Packed size of session tags consumes more than is allotted: a session has at most {_TAGS} tags."
        raise ServiceError("PackedPolicyTooLarge", message, status=400)
    return tags


def _source_identity(calling: Session | None, subject: Subject, request: Request) -> str | None:
    """Once it is set, every session of the chain has it, and no role on the way can give another one."""
    inherited = calling.source_identity if calling is not None else None
    wanted: str | None = request.get("SourceIdentity", inherited)
    if inherited is not None and wanted != inherited:
        raise _denied(subject, request["RoleArn"], "sts:SetSourceIdentity")
    return wanted


def _check_trust(
    state: StsState,
    subject: Subject,
    context: RequestContext,
    request: Request,
    role: TrustedRole,
    source_identity: str | None,
    *,
    has_tags: bool,
) -> None:
    """`has_tags`: the calling session passes some on, which the role must let in as it does those of the request."""
    wanted: dict[str, tuple[str, ...]] = {"sts:rolesessionname": (request["RoleSessionName"],)}
    if "ExternalId" in request:
        wanted["sts:externalid"] = (request["ExternalId"],)
    if source_identity is not None:
        wanted["sts:sourceidentity"] = (source_identity,)
    tags = _tags(request)
    if tags:
        wanted["aws:tagkeys"] = tuple(tags)
        wanted |= {f"aws:requesttag/{key.lower()}": (value,) for key, value in tags.items()}
    transitive = {key.lower() for key in request.get("TransitiveTagKeys", ())}
    if transitive:
        wanted["sts:transitivetagkeys"] = tuple(key for key in tags if key.lower() in transitive)
    keys = RequestKeys(subject, context, role.account_id, wanted, clock=state.clock)
    actions = ["sts:AssumeRole"]
    actions += ["sts:TagSession"] if tags or has_tags else []
    actions += ["sts:SetSourceIdentity"] if source_identity is not None else []
    for action in actions:
        question = Question(action, role.arn, keys.get)
        if subject.account_id == role.account_id and subject.is_root and action == "sts:AssumeRole":
            raise ServiceError("AccessDenied", "Roles may not be assumed by root accounts.", status=403)
        if not decide_trust(subject, question, role.trust, resource_account=role.account_id).is_allowed:
            raise _denied(subject, role.arn, action)


def _denied(subject: Subject, role_arn: str, action: str = "sts:AssumeRole") -> ServiceError:
    """Whether there is such a role is not for strangers to learn, so AWS gives no reason here."""
    return ServiceError("AccessDenied", refusal_text(subject.arn, action, role_arn), status=403)


def _seconds(state: StsState, context: RequestContext, request: Request, role: TrustedRole) -> int:
    seconds: int = request.get("DurationSeconds", _USUAL_ROLE_SECONDS)
    caller = state.identities.lookup(context.principal.access_key_id or "")
    if caller is not None and caller.session is not None and caller.session.role_arn and seconds > _CHAINED_SECONDS:
        message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining"
        raise ServiceError("ValidationError", message, status=400)
    if seconds > role.max_session_seconds:
        message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        raise ServiceError("ValidationError", message, status=400)
    return seconds


def _session_policies(state: StsState, role: TrustedRole, request: Request) -> tuple[str, ...] | None:
    texts = [request["Policy"]] if "Policy" in request else []
    arns = request.get("PolicyArns", ())
    if len(arns) > _POLICY_ARNS:
        message = (
            f"1 validation error detected: Value at 'policyArns' failed to satisfy constraint: "
            f"Member must have length less than or equal to {_POLICY_ARNS}"
        )
        raise ServiceError("ValidationError", message, status=400)
    for wanted in arns:
        arn = wanted.get("arn", "")
        document = state.directory.managed_policy(role.account_id, arn)
        if document is None:
            raise ServiceError("MalformedPolicyDocument", f"Policy {arn} was not found.", status=400)
        texts.append(document)
    if not texts:
        return None
    for text in texts:
        try:
            read_policy(text, Kind.IDENTITY)
        except MalformedPolicy as error:
            raise ServiceError("MalformedPolicyDocument", str(error), status=400) from error
    if len(request.get("Policy", "")) > _POLICY_BYTES:
        message = (
            f"1 validation error detected: Value at 'policy' failed to satisfy constraint: at most {_POLICY_BYTES} characters"
        )
        raise ServiceError("PackedPolicyTooLarge", message, status=400)
    return tuple(texts)


def _tags(request: Request) -> dict[str, str]:
    given = request.get("Tags", ())
    tags = {tag["Key"]: tag["Value"] for tag in given}
    if len({key.lower() for key in tags}) != len(given):
        message = "Duplicate tag keys found. Please note that Tag keys are case insensitive."
        raise ServiceError("InvalidParameterValue", message, status=400)
    return tags


def _user_id(state: StsState, credential: Credential) -> str:
    session = credential.session
    if session is not None and session.role_arn is not None:
        role = state.directory.role(session.role_arn)
        role_id = session.owner_id or (role.unique_id if role is not None else credential.access_key_id)
        return f"{role_id}:{session.name}"
    if credential.user_name is not None:
        return state.directory.user_id(credential.account_id, credential.user_name) or credential.access_key_id
    return credential.account_id
