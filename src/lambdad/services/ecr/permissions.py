"""Which operation asks for which right on what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lambdad.model.permission import Parameters, Permission, permissions_for
from lambdad.model.request import RequestContext


def _repository(context: RequestContext, parameters: Parameters) -> str | Sequence[str]:
    if "resourceArn" in parameters:
        return str(parameters["resourceArn"])
    account_id = parameters.get("registryId", context.account_id)
    names = parameters.get("repositoryNames") or [parameters.get("repositoryName", "*")]
    return [f"arn:aws:ecr:{context.region}:{account_id}:repository/{name}" for name in names]


PERMISSIONS: Mapping[str, tuple[Permission, ...]] = {
    **permissions_for("ecr", ("GetAuthorizationToken",)),
    **permissions_for(
        "ecr",
        (
            "BatchCheckLayerAvailability",
            "BatchDeleteImage",
            "BatchGetImage",
            "CreateRepository",
            "DeleteLifecyclePolicy",
            "DeleteRepository",
            "DeleteRepositoryPolicy",
            "DescribeImages",
            "DescribeRepositories",
            "GetLifecyclePolicy",
            "GetRepositoryPolicy",
            "ListImages",
            "ListTagsForResource",
            "PutImage",
            "PutImageTagMutability",
            "PutLifecyclePolicy",
            "SetRepositoryPolicy",
            "TagResource",
            "UntagResource",
        ),
        _repository,
    ),
}
