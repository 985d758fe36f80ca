"""What of AWS Signer is refused, and why."""

from __future__ import annotations

from collections.abc import Mapping

_OWN = "profiles are used by their own account only"
_PLATFORM = "there is one platform, AWSLambda-SHA384-ECDSA"
_REASONS: Mapping[str, str] = {
    _OWN: "AddProfilePermission ListProfilePermissions RemoveProfilePermission",
    _PLATFORM: "GetSigningPlatform ListSigningPlatforms",
    "revocations are looked up by Lambda itself, at a deployment": "GetRevocationStatus",
    "only zips for Lambda are signed": "SignPayload",
}

NOT_YET: Mapping[str, str] = {operation: reason for reason, names in _REASONS.items() for operation in names.split()}

REFUSED: Mapping[str, Mapping[str, str]] = {
    "PutSigningProfile": {
        "signingMaterial": "Lambda's platform makes its own certificates",
        "overrides": "Lambda's platform has one algorithm and format",
        "signingParameters": "Lambda's platform has no parameters",
    },
}

LIMITED: Mapping[str, Mapping[str, str]] = {
    "PutSigningProfile": {"platformId": _PLATFORM},
    "GetSigningProfile": {"profileOwner": _OWN},
    "StartSigningJob": {
        "profileOwner": _OWN,
        "source.s3.key": "packages of at most 250 MB, which is the quota unzipped_bytes, as of those that Lambda takes from S3",
        "source.s3.version": "only null: the objects of S3 have no versions here",
    },
    "RevokeSignature": {"jobOwner": _OWN},
}
