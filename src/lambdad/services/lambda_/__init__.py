"""AWS Lambda's control plane, and the way in for invocations."""

from lambdad.model.service import Service
from lambdad.services.lambda_.operations import OPERATIONS
from lambdad.services.lambda_.permissions import PERMISSIONS, resource_policy, resource_tags
from lambdad.services.lambda_.unsupported import LIMITED, NOT_YET, REFUSED

SERVICE = Service(
    name="lambda",
    operations=OPERATIONS,
    not_yet=NOT_YET,
    refused=REFUSED,
    limited=LIMITED,
    permissions=PERMISSIONS,
    resource_policy=resource_policy,
    resource_tags=resource_tags,
    refusal_code="InvalidParameterValueException",
    refusal_status=400,
)
