"""Whether a caller may do what it asks for: the operation's permissions, put to the policies. Only with `--auth on`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lambdad.errors import ServiceError
from lambdad.model.permission import Parameters, Permission
from lambdad.model.policy_document import PolicyDocument
from lambdad.model.policy_evaluation import Question, Subject, asks_for_resource_tags, decide, refusal_text
from lambdad.model.request import Principal, RequestContext
from lambdad.model.request_keys import RequestKeys, resource_tag_keys
from lambdad.model.service import BoundService
from lambdad.wire.auth_error import AuthError, AuthFailure
from lambdad.wire.dialect import Dialect

SubjectOf = Callable[[Principal], Subject]


class Permits:
    """Asks in the order in which the operation's permissions stand; the first refusal is the answer."""

    def __init__(self, services: Sequence[BoundService], subject_of: SubjectOf, clock: Callable[[], float]) -> None:
        self._services: Mapping[str, BoundService] = {bound.service.name: bound for bound in services}
        self._subject_of = subject_of
        self._clock = clock

    def unique_id_of(self, principal: Principal) -> str | None:
        """As policies see it in `aws:userid`."""
        values = (self._subject_of(principal).keys or {}).get("aws:userid")
        return values[0] if values else None

    async def check(
        self, dialect: Dialect, permissions: tuple[Permission, ...] | None, context: RequestContext, parameters: Parameters
    ) -> Mapping[str, str]:
        """What is withheld: why an optional permission is refused, by its action. ServiceError where another one is."""
        subject = self._subject_of(context.principal)
        bound = self._services.get(context.service)
        if subject.is_own_session and bound is not None and bound.service.refuses_own_sessions:
            raise AuthFailure(AuthError.UNKNOWN_KEY)
        if permissions is None:
            action = f"{context.service}:{context.operation}"
            raise refusal(dialect, refusal_text(subject.arn, action, None, "because no right is known that would allow it"))
        withheld: dict[str, str] = {}
        for permission in permissions:
            if permission.applies is None or permission.applies(parameters):
                resource = permission.resource(context, parameters)
                for arn in (resource,) if isinstance(resource, str) else resource:
                    refused = await self._refused(subject, dialect, permission, arn, context, parameters)
                    if refused is not None and not permission.is_optional:
                        raise refusal(dialect, refused)
                    if refused is not None:
                        withheld[permission.action] = refused
        return withheld

    async def _refused(
        self,
        subject: Subject,
        dialect: Dialect,
        permission: Permission,
        arn: str,
        context: RequestContext,
        parameters: Parameters,
    ) -> str | None:
        """Why, in AWS's words; None where it is allowed."""
        bound = self._services.get(permission.action.partition(":")[0])
        policy: PolicyDocument | None = None
        if bound is not None:
            if bound.service.whole_arn is not None:
                arn = bound.service.whole_arn(bound.state, arn)
            if bound.service.resource_policy is not None:
                policy = await bound.service.resource_policy(bound.state, arn)
        tags: dict[str, tuple[str, ...]] = {}
        if bound is not None and asks_for_resource_tags(subject, permission.action, policy):
            tags = await _resource_tags(bound, arn)
        owner = _owner_of(arn)
        keys = RequestKeys(
            subject, context, owner, tags, readers=permission.keys, parameters=parameters, clock=self._clock
        )  # fmt: skip
        decision = decide(
            subject, Question(permission.action, arn, keys.get), resource_policy=policy, resource_account=owner
        )  # fmt: skip
        if decision.is_allowed:
            return None
        shown = _s3_resource(arn) if dialect.is_s3 else arn
        return refusal_text(subject.arn, permission.action, shown, decision.because)


def _s3_resource(arn: str) -> str | None:
    """S3 puts resources in quotes, and names none where it is about all buckets."""
    return f'"{arn}"' if arn != "*" else None


async def _resource_tags(bound: BoundService, arn: str) -> dict[str, tuple[str, ...]]:
    """As condition keys; a resource that is not there yet has none."""
    if bound.service.resource_tags is None:
        return {}
    return resource_tag_keys(bound.service.name, await bound.service.resource_tags(bound.state, arn))


def refusal(dialect: Dialect, message: str) -> ServiceError:
    return ServiceError(dialect.denied_code, message, status=dialect.auth_status)


def _owner_of(arn: str) -> str | None:
    """The account in an ARN. Those of S3 have none: S3 itself keeps buckets to their owners."""
    fields = arn.split(":", 5)
    return fields[4] if len(fields) == 6 and len(fields[4]) == 12 and fields[4].isdecimal() else None
