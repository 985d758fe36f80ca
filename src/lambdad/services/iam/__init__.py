"""AWS IAM: users, groups, roles, access keys and policies, for the whole account whatever the region."""

from __future__ import annotations

from lambdad.model.service import Service
from lambdad.services.iam.operations import OPERATIONS
from lambdad.services.iam.permissions import PERMISSIONS, resource_tags, whole_arn
from lambdad.services.iam.support import NOT_YET, REFUSED

SERVICE = Service(
    name="iam",
    operations=OPERATIONS,
    not_yet=NOT_YET,
    refused=REFUSED,
    permissions=PERMISSIONS,
    resource_tags=resource_tags,
    whole_arn=whole_arn,
    refuses_own_sessions=True,
)
