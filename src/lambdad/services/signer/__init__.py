"""AWS Signer for Lambda: signing profiles, and jobs that sign packages."""

from __future__ import annotations

from lambdad.model.service import Service
from lambdad.services.signer.operations import OPERATIONS
from lambdad.services.signer.permissions import PERMISSIONS, resource_tags
from lambdad.services.signer.support import LIMITED, NOT_YET, REFUSED

SERVICE = Service(
    name="signer",
    operations=OPERATIONS,
    not_yet=NOT_YET,
    refused=REFUSED,
    limited=LIMITED,
    permissions=PERMISSIONS,
    resource_tags=resource_tags,
    refusal_code="ValidationException",
    refusal_status=400,
)
