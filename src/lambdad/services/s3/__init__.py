"""Amazon S3: buckets, objects, multipart uploads, and notifications to Lambda functions."""

from __future__ import annotations

from lambdad.model.service import Service
from lambdad.services.s3.operations import OPERATIONS
from lambdad.services.s3.permissions import PERMISSIONS
from lambdad.services.s3.support import NOT_YET, REFUSED

SERVICE = Service(name="s3", operations=OPERATIONS, not_yet=NOT_YET, refused=REFUSED, permissions=PERMISSIONS)
