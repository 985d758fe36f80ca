"""Which operation asks for which right on what."""

from __future__ import annotations

from collections.abc import Mapping

from lambdad.model.permission import Parameters, Permission, permissions_for
from lambdad.model.request import RequestContext


def _group(context: RequestContext, parameters: Parameters) -> str:
    """As the reference spells it, with a star behind, so that policies written for `:*` match."""
    name = parameters.get("logGroupName") or _name_in(parameters.get("logGroupIdentifier", ""))
    return _arn(context, f"{name}:*")


def _any_group(context: RequestContext, parameters: Parameters) -> str:
    return _arn(context, "*")


def _stream(context: RequestContext, parameters: Parameters) -> str:
    name = parameters.get("logGroupName") or _name_in(parameters.get("logGroupIdentifier", ""))
    return _arn(context, f"{name}:log-stream:{parameters.get('logStreamName', '')}")


def _resource(context: RequestContext, parameters: Parameters) -> str:
    return str(parameters["resourceArn"])


def _arn(context: RequestContext, rest: str) -> str:
    return f"arn:aws:logs:{context.region}:{context.account_id}:log-group:{rest}"


def _name_in(identifier: str) -> str:
    """Of a group's name or ARN."""
    return identifier.partition(":log-group:")[2].removesuffix(":*") or identifier


def _names(text: str) -> list[str]:
    return text.split()


PERMISSIONS: Mapping[str, tuple[Permission, ...]] = {
    **permissions_for(
        "logs",
        _names(
            "CreateLogGroup CreateLogStream DeleteLogGroup DeleteMetricFilter DeleteRetentionPolicy "
            "DeleteSubscriptionFilter DescribeLogStreams DescribeMetricFilters DescribeSubscriptionFilters "
            "FilterLogEvents ListTagsLogGroup PutMetricFilter PutRetentionPolicy PutSubscriptionFilter TagLogGroup "
            "UntagLogGroup"
        ),
        _group,
    ),
    **permissions_for("logs", _names("DescribeLogGroups"), _any_group),
    **permissions_for("logs", _names("DeleteLogStream GetLogEvents PutLogEvents"), _stream),
    **permissions_for("logs", _names("ListTagsForResource TagResource UntagResource"), _resource),
}
