"""Whether Lambda may take an image from a repository for a function, as AWS decides it. Only with `--auth on`.

The repository's policy must let Lambda in. Where it does not, and the repository is of the caller's own account, Lambda adds a
statement to it, in the name of the caller, who needs the rights to do that. From another account's repository the caller must
be let as well.
"""

from __future__ import annotations

from lambdad.errors import ServiceError
from lambdad.model.policy_document import PolicyDocument
from lambdad.model.policy_evaluation import Question, admits, has_statement
from lambdad.model.policy_principal import Names
from lambdad.model.request import RequestContext
from lambdad.services.ecr.model import RepositoryName
from lambdad.services.ecr.policy import PULLING, admitting_lambda, policy_of
from lambdad.services.ecr.right import may
from lambdad.services.ecr.state import EcrState

_LAMBDA = Names(service="lambda.amazonaws.com")
_CHANGING = ("ecr:GetRepositoryPolicy", "ecr:SetRepositoryPolicy")


class PullRight:
    def __init__(self, state: EcrState) -> None:
        self._state = state

    async def check(self, context: RequestContext, name: RepositoryName, function_arn: str) -> None:
        """ServiceError unless the caller may make this function of an image in there. Whoever asks for one in a repository of
        the own account that is not there hears that later."""
        is_own = name.account_id == context.account_id
        async with self._state.records.changing(name):
            repository = await self._state.records.repository(name)
            if repository is None:
                if is_own:
                    return
                raise _refused()
            policy = policy_of(repository)
            if not is_own and not may(self._state, context, repository, policy, PULLING):
                raise _refused()
            if _lets_lambda(policy, name, function_arn):
                return
            if not is_own or _forbids_lambda(policy, name, function_arn):
                raise _refused()
            if not may(self._state, context, repository, policy, _CHANGING):
                raise _refused()
            await self._state.records.save_repository(admitting_lambda(repository))


def _questions(name: RepositoryName, function_arn: str) -> list[Question]:
    account_id = function_arn.split(":")[4]
    keys = {
        "aws:sourcearn": (function_arn,),
        "aws:sourceaccount": (account_id,),
        "aws:principalisawsservice": ("true",),
        "aws:principalservicename": ("lambda.amazonaws.com",),
    }
    return [Question(action, name.arn, keys.get) for action in PULLING]


def _lets_lambda(policy: PolicyDocument | None, name: RepositoryName, function_arn: str) -> bool:
    return policy is not None and all(admits(policy, _LAMBDA, question) for question in _questions(name, function_arn))


def _forbids_lambda(policy: PolicyDocument | None, name: RepositoryName, function_arn: str) -> bool:
    """What is denied no further statement allows."""
    questions = _questions(name, function_arn)
    return policy is not None and any(has_statement(policy, _LAMBDA, question, is_allow=False) for question in questions)


def _refused() -> ServiceError:
    message = "Lambda does not have permission to access the ECR image. Check the ECR permissions."
    return ServiceError("AccessDeniedException", message, status=403)
