"""What Lambda asks about a signature when a package is deployed."""

from __future__ import annotations

import hashlib

from lambdad.model.code_signature import CodeSignature, Standing
from lambdad.services.signer.records import SignerRecords


class SignatureTrust:
    def __init__(self, records: SignerRecords) -> None:
        self._records = records

    async def standing(self, signature: CodeSignature) -> Standing:
        """Of an intact signature: whose it is, and whether it was revoked."""
        fields = signature.profile_version_arn.split(":", 5)
        path = fields[-1].split("/")
        if len(fields) != 6 or fields[:3] != ["arn", "aws", "signer"] or len(path) != 4 or path[1] != "signing-profiles":
            return Standing(is_known=False)
        _, _, _, region, account_id, _ = fields
        profile = await self._records.profile(account_id, region, path[2])
        version = profile.version(path[3]) if profile is not None else None
        if version is None:
            return Standing(is_known=False)
        is_genuine = hashlib.sha256(version.certificate).hexdigest() == signature.certificate_digest
        revocation = version.revocation
        by_profile = revocation is not None and signature.signed_at >= revocation.effective_from
        job = await self._records.job(account_id, region, signature.job_arn.rpartition("/")[2])
        by_itself = job is not None and job.arn == signature.job_arn and job.revocation is not None
        return Standing(is_known=True, is_genuine=is_genuine, is_revoked=by_profile or by_itself)
