"""The operations that are served, by name."""

from __future__ import annotations

from lambdad.model.service import Operation
from lambdad.services.signer.job import describe_signing_job, list_signing_jobs, revoke_signature, start_signing_job
from lambdad.services.signer.profile import (
    cancel_signing_profile,
    get_signing_profile,
    list_signing_profiles,
    put_signing_profile,
    revoke_signing_profile,
)
from lambdad.services.signer.tag import list_tags_for_resource, tag_resource, untag_resource

OPERATIONS: dict[str, Operation] = {
    "CancelSigningProfile": cancel_signing_profile,
    "DescribeSigningJob": describe_signing_job,
    "GetSigningProfile": get_signing_profile,
    "ListSigningJobs": list_signing_jobs,
    "ListSigningProfiles": list_signing_profiles,
    "ListTagsForResource": list_tags_for_resource,
    "PutSigningProfile": put_signing_profile,
    "RevokeSignature": revoke_signature,
    "RevokeSigningProfile": revoke_signing_profile,
    "StartSigningJob": start_signing_job,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
}
