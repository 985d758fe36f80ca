"""Who somebody is to the evaluation of policies: the subject behind a request's principal, and the roles there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from lambdad.delivery import service_of
from lambdad.errors import ServiceError
from lambdad.model.credential import Credential, Session
from lambdad.model.policy_document import Kind, PolicyDocument
from lambdad.model.policy_evaluation import Question, Subject, admits, decide, refusal_text
from lambdad.model.policy_principal import Names
from lambdad.model.request import Principal
from lambdad.model.role import TrustedRole
from lambdad.services.iam.model import Group, Holder, Role, User, stored_document
from lambdad.services.iam.records import IamRecords

_MOST_KEPT = 10_000
#: What a role needs to be allowed for its function's dead letters and destinations, by the target's service.
_SENDING = {
    "events": "events:PutEvents",
    "lambda": "lambda:InvokeFunction",
    "s3": "s3:PutObject",
    "sns": "sns:Publish",
    "sqs": "sqs:SendMessage",
}
Keys = dict[str, tuple[str, ...]]


class Directory:
    """Subjects are kept until anything in IAM changes, so that a warm request costs one look."""

    def __init__(
        self, records: IamRecords, lookup: Callable[[str], Credential | None], clock: Callable[[], float] = time.time
    ) -> None:
        self._records = records
        self._lookup = lookup
        self._clock = clock
        self._kept: dict[str, tuple[Credential, Subject]] = {}
        self._generation = records.generation

    def subject_of(self, principal: Principal) -> Subject:
        if self._generation != self._records.generation or len(self._kept) > _MOST_KEPT:
            self._kept.clear()
            self._generation = self._records.generation
        credential = self._lookup(principal.access_key_id or "")
        if credential is None or credential.principal_arn != principal.arn:
            return _nobody(principal) if not principal.arn.endswith(":root") else _root(principal.account_id, None)
        kept = self._kept.get(credential.access_key_id)
        if kept is None or kept[0] is not credential:
            kept = self._kept[credential.access_key_id] = (credential, self._subject(credential))
        return kept[1]

    def role(self, arn: str) -> TrustedRole | None:
        role = self._role(arn)
        if role is None:
            return None
        return TrustedRole(
            arn=role.arn,
            name=role.name,
            account_id=role.account_id,
            unique_id=role.unique_id,
            trust=stored_document(role.trust, Kind.TRUST),
            max_session_seconds=role.max_session_seconds,
            tags=role.tags,
        )

    def may_be_assumed_by(self, service: str, arn: str) -> bool:
        """Whether there is such a role, and its trust policy lets the service in."""
        role = self.role(arn)
        if role is None:
            return False
        keys = {"aws:sourceaccount": (role.account_id,), "aws:principalisawsservice": ("true",)}
        return admits(role.trust, Names(service=service), Question("sts:AssumeRole", arn, keys.get))

    def permit_delivery(self, role_arn: str, target_arn: str) -> None:
        """ServiceError unless a function's execution role may send to a target, as Lambda does in its name."""
        service = service_of(target_arn)
        action = _SENDING[service]
        if service == "s3" and "/" not in target_arn:
            target_arn += "/aws/lambda/async/"  # where the objects will be
        subject = self._execution_role(role_arn)
        keys = {**(subject.keys or {}), **self._keys_of_delivery(target_arn)}
        decision = decide(subject, Question(action, target_arn, keys.get))
        if not decision.is_allowed:
            message = refusal_text(subject.arn, action, target_arn, decision.because)
            raise ServiceError("AccessDeniedException", message, status=403)

    def _keys_of_delivery(self, target_arn: str) -> Keys:
        """What conditions may ask of a request that Lambda makes to its neighbours."""
        region, now = target_arn.split(":")[3], self._clock()
        keys: Keys = {
            "aws:currenttime": (datetime.fromtimestamp(now, UTC).isoformat(),),
            "aws:epochtime": (str(int(now)),),
            "aws:securetransport": ("true",),
        }
        return {**keys, "aws:requestedregion": (region,)} if region else keys

    def _execution_role(self, arn: str) -> Subject:
        role = self._role(arn)
        fields = arn.split(":")
        session_arn = f"arn:aws:sts::{fields[4]}:assumed-role/{arn.rpartition('/')[2]}/awslambda"
        if role is None:
            return Subject(session_arn, fields[4], Names())
        return self._session_of_role(session_arn, role, Session(issued_at=role.created_at, role_arn=arn, name="awslambda"))

    def managed_policy(self, account_id: str, arn: str) -> str | None:
        """The document of a managed policy; None when the account has none of that ARN."""
        policy = self._records.find_policy(account_id, arn)
        return policy.document if policy is not None else None

    def user_id(self, account_id: str, user_name: str) -> str | None:
        user = self._records.find(User, account_id, user_name)
        return user.unique_id if user is not None else None

    def _role(self, arn: str) -> Role | None:
        fields = arn.split(":", 5)
        if len(fields) != 6:
            return None
        role = self._records.find(Role, fields[4], arn.rpartition("/")[2])
        return role if role is not None and role.arn == arn else None

    def _subject(self, credential: Credential) -> Subject:
        session = credential.session
        if session is not None and session.role_arn is not None:
            role = self._role(session.role_arn)
            if role is None or session.owner_id not in (None, role.unique_id):
                return _without_rights(credential)  # the role is gone, or another one has its name
            return self._session_of_role(credential.principal_arn, role, session)
        if credential.user_name is not None:
            user = self._records.find(User, credential.account_id, credential.user_name)
            if user is None or (session is not None and session.owner_id != user.unique_id):
                return _without_rights(credential)
            return self._user(user, credential)
        return _root(credential.account_id, session)

    def _session_of_role(self, arn: str, role: Role, session: Session) -> Subject:
        tags = {**role.tags, **session.tags}
        keys = _keys("AssumedRole", role.arn, role.account_id, f"{role.unique_id}:{session.name}", tags)
        keys |= _session_keys(session)
        return Subject(
            arn=arn,
            account_id=role.account_id,
            names=Names(role.account_id, exact=(arn,), role=(role.arn, role.unique_id)),
            identity=self._policies(role),
            boundary=self._boundary(role),
            session=_session_policies(session),
            keys=keys,
        )

    def _user(self, user: User, credential: Credential) -> Subject:
        groups = [self._records.find(Group, user.account_id, name) for name in user.groups]
        identity = [*self._policies(user)]
        for group in groups:
            identity += self._policies(group) if group is not None else ()
        keys = _keys("User", user.arn, user.account_id, user.unique_id, user.tags)
        keys["aws:username"] = (user.name,)
        if credential.session is not None:
            keys |= _session_keys(credential.session)
        return Subject(
            arn=user.arn,
            account_id=user.account_id,
            names=Names(user.account_id, exact=(user.arn, user.unique_id)),
            identity=tuple(identity),
            boundary=self._boundary(user),
            keys=keys,
            is_own_session=credential.session is not None,
        )

    def _policies(self, holder: Holder) -> tuple[PolicyDocument, ...]:
        texts = [*holder.inline.values()]
        texts += [self._records.policy(holder.account_id, arn).document for arn in holder.attached]
        return _documents(texts)

    def _boundary(self, holder: Holder) -> tuple[PolicyDocument, ...] | None:
        if holder.boundary is None:
            return None
        return _documents([self._records.policy(holder.account_id, holder.boundary).document])


def _root(account_id: str, session: Session | None) -> Subject:
    arn = f"arn:aws:iam::{account_id}:root"
    keys = _keys("Account", arn, account_id, account_id, {})
    if session is not None:
        keys |= _session_keys(session)
    return Subject(
        arn, account_id, Names(account_id, exact=(arn,)), is_root=True, keys=keys, is_own_session=session is not None
    )


def _without_rights(credential: Credential) -> Subject:
    """What a credential stood for is gone: it is nobody's, whatever a policy says of its name."""
    return Subject(credential.principal_arn, credential.account_id, Names())


def _nobody(principal: Principal) -> Subject:
    return Subject(principal.arn, principal.account_id, Names())


def _keys(kind: str, arn: str, account_id: str, user_id: str, tags: Mapping[str, str]) -> Keys:
    return {
        "aws:principalarn": (arn,),
        "aws:principalaccount": (account_id,),
        "aws:principaltype": (kind,),
        "aws:userid": (user_id,),
        "aws:principalisawsservice": ("false",),
        **{f"aws:principaltag/{key.lower()}": (value,) for key, value in tags.items()},
    }


def _session_keys(session: Session) -> Keys:
    keys: Keys = {
        "aws:tokenissuetime": (str(session.issued_at),),
        "aws:multifactorauthpresent": ("false",),
    }
    if session.source_identity is not None:
        keys["aws:sourceidentity"] = (session.source_identity,)
    if session.function_arn is not None:
        keys["lambda:sourcefunctionarn"] = (session.function_arn,)
    return keys


def _session_policies(session: Session) -> tuple[PolicyDocument, ...] | None:
    return None if session.policies is None else _documents(session.policies)


def _documents(texts: Iterable[str]) -> tuple[PolicyDocument, ...]:
    return tuple(map(stored_document, texts))
