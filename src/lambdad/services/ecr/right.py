"""Whether a caller may do something in a repository, where an operation asks that by itself: as the wire would be answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lambdad.model.policy_document import PolicyDocument
from lambdad.model.policy_evaluation import Question, decide
from lambdad.model.request import RequestContext
from lambdad.model.request_keys import RequestKeys, resource_tag_keys
from lambdad.services.ecr.model import Repository, RepositoryName
from lambdad.services.ecr.state import EcrState


def may(
    state: EcrState, context: RequestContext, repository: Repository, policy: PolicyDocument | None, actions: Iterable[str]
) -> bool:  # fmt: skip
    """All of the actions, if `policy` is the repository's. Where no policies are asked everybody may do everything."""
    if state.subject_of is None:
        return True
    subject = state.subject_of(context.principal)
    owner = repository.account_id
    keys = RequestKeys(subject, context, owner, resource_tag_keys("ecr", repository.tags), clock=state.clock)
    return all(
        decide(
            subject, Question(action, repository.named.arn, keys.get), resource_policy=policy, resource_account=owner
        ).is_allowed
        for action in actions
    )


async def resource_tags(state: EcrState, arn: str) -> Mapping[str, str]:
    """Of a repository."""
    name = RepositoryName.of_arn(arn)
    repository = await state.records.repository(name) if name is not None else None
    return repository.tags if repository is not None else {}
