"""What an AWS service folder tells the wire about itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lambdad.model.permission import Permissions
from lambdad.model.policy_document import PolicyDocument
from lambdad.model.request import RequestContext, Response

#: `async def create_alias(service_state, context, request) -> output`; `request` and the output are the plain dicts of the
#: botocore model (member names, datetimes aware, blobs as bytes, a streaming blob as BodyStream).
Operation = Callable[[Any, RequestContext, Mapping[str, Any]], Awaitable[Mapping[str, Any] | Response]]
ResourceTags = Callable[[Any, str], Awaitable[Mapping[str, str]]]
ResourcePolicy = Callable[[Any, str], Awaitable[PolicyDocument | None]]


@dataclass(frozen=True, slots=True)
class Service:
    """One folder in `services/`: its model and operations. State is bound to it by `assembly/` (see BoundService)."""

    name: str  #: botocore's model name: "lambda", "s3", "logs"
    operations: Mapping[str, Operation]
    not_yet: Mapping[str, str]  #: operation -> why it is refused; with `operations` it covers the whole model
    #: operation -> member path -> why a request that sets it is refused ("VpcConfig": "functions have no VPC here").
    #: The wire refuses such a request before the operation sees it. "Tags.aws:" is not a path; rules live in operations.
    refused: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: operation -> member path -> which of its values are refused, or when. Rules in the operations refuse; this tells of them.
    limited: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: operation -> what it asks of its caller with `--auth on`; an operation that is not in it is refused then
    permissions: Permissions = field(default_factory=dict)
    #: The policy on a resource, given its ARN, for those resources that can have one. The state comes first, as for operations.
    resource_policy: ResourcePolicy | None = None
    #: The tags of a resource, given its ARN; asked only where a policy has a condition on them.
    resource_tags: ResourceTags | None = None
    #: The whole ARN of a resource, where a request says only a part of it: a role's path. The state comes first.
    whole_arn: Callable[[Any, str], str] | None = None
    #: Whether it takes no credentials of GetSessionToken: IAM wants an MFA code with those, and there is no MFA.
    refuses_own_sessions: bool = False
    refusal_code: str = "NotImplemented"  #: error code for refused members and operations not yet there
    refusal_status: int = 501


@dataclass(frozen=True, slots=True)
class BoundService:
    """A service together with the state its operations get as their first argument."""

    service: Service
    state: Any
