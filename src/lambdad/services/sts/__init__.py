"""AWS STS: who one is, and temporary credentials."""

from __future__ import annotations

from lambdad.model.service import Service
from lambdad.services.sts.operations import assume_role, get_access_key_info, get_caller_identity, get_session_token
from lambdad.services.sts.permissions import PERMISSIONS

_FEDERATION = "identities come from IAM here, and not from other providers"

SERVICE = Service(
    name="sts",
    operations={
        "AssumeRole": assume_role,
        "GetAccessKeyInfo": get_access_key_info,
        "GetCallerIdentity": get_caller_identity,
        "GetSessionToken": get_session_token,
    },
    not_yet={
        "AssumeRoleWithSAML": _FEDERATION,
        "AssumeRoleWithWebIdentity": _FEDERATION,
        "AssumeRoot": "there are no organizations",
        "DecodeAuthorizationMessage": "refusals are not encoded: they say what was missing",
        "GetDelegatedAccessToken": "there is no delegation",
        "GetFederationToken": _FEDERATION,
        "GetWebIdentityToken": _FEDERATION,
    },
    refused={
        "AssumeRole": {
            "SerialNumber": "there are no MFA devices",
            "TokenCode": "there are no MFA devices",
            "ProvidedContexts": _FEDERATION,
            "MinimumSessionTokenSize": "tokens have one size",
        },
        "GetSessionToken": {
            "SerialNumber": "there are no MFA devices",
            "TokenCode": "there are no MFA devices",
            "MinimumSessionTokenSize": "tokens have one size",
        },
    },
    permissions=PERMISSIONS,
)
