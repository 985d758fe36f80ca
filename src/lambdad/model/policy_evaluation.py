"""Whether a principal may do something: AWS's order of evaluation, and why not in AWS's words.

An explicit denial anywhere decides. Then, within an account, the resource's policy or the principal's own must allow it, and
the permissions boundary and the session's policies must not leave it out; across accounts both sides must allow it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lambdad.model.policy_document import PolicyDocument, Statement
from lambdad.model.policy_pattern import Keys
from lambdad.model.policy_principal import Named, Names


@dataclass(frozen=True, slots=True)
class Question:
    """One action on one resource."""

    action: str  #: "lambda:InvokeFunction"
    resource: str  #: its ARN, or "*"
    keys: Keys  #: what the request says, for conditions and variables


Statements = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class _Own:
    """A subject's statements on one action."""

    identity: Statements
    boundary: Statements | None
    session: Statements | None

    @property
    def asks_for_resource_tags(self) -> bool:
        every = (*self.identity, *(self.boundary or ()), *(self.session or ()))
        return any(statement.asks_for_resource_tags for statement in every)


@dataclass(frozen=True, slots=True)
class Subject:
    """Who asks, with all policies that are attached to it."""

    arn: str
    account_id: str
    names: Names
    is_root: bool = False
    identity: tuple[PolicyDocument, ...] = ()
    boundary: tuple[PolicyDocument, ...] | None = None  #: None: there is none
    session: tuple[PolicyDocument, ...] | None = None  #: those that were given when the session began
    keys: Mapping[str, tuple[str, ...]] | None = None  #: condition keys that hold for it whatever it asks
    is_own_session: bool = False  #: a user or the root by temporary credentials, of GetSessionToken, and in no role
    _about: dict[str, _Own] = field(default_factory=dict, compare=False, repr=False)

    def about(self, action: str) -> _Own:
        """Those of its policies' statements that are about an action, in lower case; sought once for each."""
        own = self._about.get(action)
        if own is None:
            boundary = None if self.boundary is None else _about(self.boundary, action)
            session = None if self.session is None else _about(self.session, action)
            own = self._about[action] = _Own(_about(self.identity, action), boundary, session)
        return own


_EXPLICITLY = "with an explicit deny"


@dataclass(frozen=True, slots=True)
class Decision:
    is_allowed: bool
    because: str = ""  #: of a refusal: "because no identity-based policy allows the s3:GetObject action"

    @property
    def is_explicit(self) -> bool:
        """Of a refusal: a policy denies it, and nothing could allow it."""
        return self.because.startswith(_EXPLICITLY)


ALLOWED = Decision(True)

_IDENTITY = "identity-based policy"
_RESOURCE = "resource-based policy"
_BOUNDARY = "permissions boundary"
_SESSION = "session policy"
_TRUST = "role trust policy"


def decide(
    subject: Subject,
    question: Question,
    *,
    resource_policy: PolicyDocument | None = None,
    resource_account: str | None = None,
) -> Decision:
    """`resource_account` is whose the resource is; None is the subject's own."""
    action = question.action.lower()
    own = subject.about(action)
    if _denies(own.identity, question):
        return _explicitly_denied("an", _IDENTITY)
    if own.boundary and _denies(own.boundary, question):
        return _explicitly_denied("a", _BOUNDARY)
    if own.session and _denies(own.session, question):
        return _explicitly_denied("a", _SESSION)
    named = Named.NOT
    if resource_policy is not None:
        if _resource_denies(resource_policy, subject.names, action, question):
            return _explicitly_denied("a", _RESOURCE)
        named = _admits(resource_policy, subject.names, action, question)
    if resource_account is not None and resource_account != subject.account_id:
        missing = _missing(subject, own, question, _BOUNDARY, _SESSION, _IDENTITY)
        missing = missing or (_RESOURCE if named is Named.NOT else None)
    elif named is Named.EXACTLY:
        missing = None  # neither a boundary nor a session's policies are asked, but for their denials
    elif named is Named.ANYONE:
        missing = _missing(subject, own, question, _BOUNDARY, _SESSION)
    else:
        missing = _missing(subject, own, question, _IDENTITY, _BOUNDARY, _SESSION)
    return Decision(False, f"because no {missing} allows the {question.action} action") if missing else ALLOWED


def asks_for_resource_tags(subject: Subject, action: str, resource_policy: PolicyDocument | None) -> bool:
    """Whether the answer may depend on the tags of the resource."""
    if resource_policy is not None and any(each.asks_for_resource_tags for each in resource_policy.statements):
        return True
    return subject.about(action.lower()).asks_for_resource_tags


def decide_trust(
    subject: Subject, question: Question, trust: PolicyDocument, *, resource_account: str | None = None
) -> Decision:
    """AssumeRole: the role's trust policy must admit the caller, and unless it names it, the caller's own policies too."""
    action = question.action.lower()
    if _resource_denies(trust, subject.names, action, question):
        return _explicitly_denied("the", _TRUST)
    if _admits(trust, subject.names, action, question) is Named.NOT:
        return Decision(False, f"because no {_TRUST} allows the {question.action} action")
    return decide(subject, question, resource_policy=trust, resource_account=resource_account)


def admits(policy: PolicyDocument, names: Names, question: Question) -> bool:
    """Whether a trust policy or a resource's policy by itself lets somebody in: a service, say."""
    action = question.action.lower()
    return not _resource_denies(policy, names, action, question) and _admits(policy, names, action, question) is not Named.NOT


def has_statement(policy: PolicyDocument, names: Names, question: Question, *, is_allow: bool) -> bool:
    """Whether it allows, or denies, by a statement of its own."""
    action = question.action.lower()
    return any(
        statement.is_allow is is_allow
        and (statement.principals is None or _naming(statement, names) is not Named.NOT)
        and statement.is_about(action)
        and statement.covers(question.resource, question.keys)
        for statement in policy.statements
    )


def refusal_text(subject_arn: str, action: str, resource: str | None, because: str = "") -> str:
    on_resource = f" on resource: {resource}" if resource is not None else ""
    return f"User: {subject_arn} is not authorized to perform: {action}{on_resource} {because}".rstrip()


def _missing(subject: Subject, own: _Own, question: Question, *wanted: str) -> str | None:
    """The first kind of policy that has a say and does not allow it. Root has all rights, and no policies."""
    for name in wanted:
        if name == _IDENTITY and not subject.is_root and not _allows(own.identity, question):
            return _IDENTITY
        if name == _BOUNDARY and own.boundary is not None and not _allows(own.boundary, question):
            return _BOUNDARY
        if name == _SESSION and own.session is not None and not _allows(own.session, question):
            return _SESSION
    return None


def _explicitly_denied(article: str, policy: str) -> Decision:
    return Decision(False, f"{_EXPLICITLY} in {article} {policy}")


def _about(policies: Iterable[PolicyDocument], action: str) -> Statements:
    """The plain ones first: where one of them allows, the others need not be read."""
    found = [statement for policy in policies for statement in policy.statements if statement.is_about(action)]
    return tuple(sorted(found, key=lambda statement: not statement.is_plain))


def _denies(statements: Statements, question: Question) -> bool:
    return any(not each.is_allow and each.covers(question.resource, question.keys) for each in statements)


def _allows(statements: Statements, question: Question) -> bool:
    return any(each.is_allow and each.covers(question.resource, question.keys) for each in statements)


def _resource_denies(policy: PolicyDocument, names: Names, action: str, question: Question) -> bool:
    return any(
        not statement.is_allow
        and _naming(statement, names) is not Named.NOT
        and statement.is_about(action)
        and statement.covers(question.resource, question.keys)
        for statement in policy.statements
    )


def _admits(policy: PolicyDocument, names: Names, action: str, question: Question) -> Named:
    """By which the caller is let in, most closely; Named.NOT when it is not."""
    closest = Named.NOT
    for statement in policy.statements:
        if statement.is_allow and statement.is_about(action) and statement.covers(question.resource, question.keys):
            closest = max(closest, _naming(statement, names))
    return closest


def _naming(statement: Statement, names: Names) -> Named:
    assert statement.principals is not None  # documents of resources and of trust have them
    named = statement.principals.naming(names)
    if statement.is_not_principal:
        return Named.NOT if named is not Named.NOT else Named.ANYONE
    return named
