"""Which operation asks for which right on what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.model.permission import KeyReader, Parameters, Permission, member_key, permissions_for
from lambdad.model.request import RequestContext
from lambdad.services.signer.model import job_arn
from lambdad.services.signer.state import SignerState


def _profile(context: RequestContext, parameters: Parameters) -> str:
    return f"arn:aws:signer:{context.region}:{context.account_id}:/signing-profiles/{parameters['profileName']}"


def _job(context: RequestContext, parameters: Parameters) -> str:
    return job_arn(context.account_id, context.region, parameters["jobId"])


def _given(context: RequestContext, parameters: Parameters) -> str:
    return str(parameters["resourceArn"])


def _source(context: RequestContext, parameters: Parameters) -> str:
    source: Mapping[str, Any] = parameters["source"].get("s3", {})
    return f"arn:aws:s3:::{source.get('bucketName', '')}/{source.get('key', '')}"


def _destination(context: RequestContext, parameters: Parameters) -> str:
    """The name is completed by the job's id."""
    destination: Mapping[str, Any] = parameters["destination"].get("s3", {})
    return f"arn:aws:s3:::{destination.get('bucketName', '')}/{destination.get('prefix', '')}*"


_VERSION: Mapping[str, KeyReader] = {"signer:profileversion": member_key("profileVersion")}

PERMISSIONS: Mapping[str, tuple[Permission, ...]] = {
    **permissions_for("signer", ("ListSigningJobs", "ListSigningProfiles", "PutSigningProfile")),
    **permissions_for("signer", ("CancelSigningProfile", "GetSigningProfile"), _profile),
    "RevokeSigningProfile": (Permission("signer:RevokeSigningProfile", _profile, _VERSION),),
    **permissions_for("signer", ("DescribeSigningJob", "RevokeSignature"), _job),
    **permissions_for("signer", ("ListTagsForResource", "TagResource", "UntagResource"), _given),
    "StartSigningJob": (
        Permission("signer:StartSigningJob", _profile),
        Permission("s3:GetObject", _source),
        Permission("s3:PutObject", _destination),
    ),
}


async def resource_tags(state: SignerState, arn: str) -> Mapping[str, str]:
    """Of a signing profile; jobs have none."""
    fields = arn.split(":", 5)
    path = fields[-1].split("/")
    if len(fields) != 6 or len(path) < 3 or path[1] != "signing-profiles":
        return {}
    profile = await state.records.profile(fields[4], fields[3], path[2])
    return profile.tags if profile is not None else {}
