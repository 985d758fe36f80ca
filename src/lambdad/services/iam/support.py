"""What of IAM is not served, and why."""

from __future__ import annotations

from collections.abc import Mapping

_REASONS = {
    "there is no delegation": (
        "AcceptDelegationRequest AcquireRole AssociateDelegationRequest CreateDelegationRequest "
        "GetDelegationRequest GetHumanReadableSummary GetRoleTemplateVersion ListDelegationRequests "
        "RejectDelegationRequest SendDelegationToken UpdateDelegationRequest"
    ),
    "identities come from IAM here, and not from other providers": (
        "AddClientIDToOpenIDConnectProvider CreateOpenIDConnectProvider CreateSAMLProvider "
        "DeleteOpenIDConnectProvider DeleteSAMLProvider DisableOutboundWebIdentityFederation "
        "EnableOutboundWebIdentityFederation GetOpenIDConnectProvider GetOutboundWebIdentityFederationInfo "
        "GetSAMLProvider ListOpenIDConnectProviderTags ListOpenIDConnectProviders ListSAMLProviderTags "
        "ListSAMLProviders RemoveClientIDFromOpenIDConnectProvider TagOpenIDConnectProvider TagSAMLProvider "
        "UntagOpenIDConnectProvider UntagSAMLProvider UpdateOpenIDConnectProviderThumbprint UpdateSAMLProvider"
    ),
    "nothing runs on EC2 here": (
        "AddRoleToInstanceProfile CreateInstanceProfile DeleteInstanceProfile GetInstanceProfile "
        "ListInstanceProfileTags RemoveRoleFromInstanceProfile TagInstanceProfile UntagInstanceProfile"
    ),
    "nobody signs in with a password": (
        "ChangePassword CreateLoginProfile DeleteAccountPasswordPolicy "
        "GetAccountPasswordPolicy UpdateAccountPasswordPolicy UpdateLoginProfile"
    ),
    "accounts have no settings of their own": (
        "CreateAccountAlias DeleteAccountAlias GetAccountProperties PutAccountProperties SetSecurityTokenServicePreferences"
    ),
    "no service here needs a role of its own": (
        "CreateServiceLinkedRole DeleteServiceLinkedRole GetServiceLinkedRoleDeletionStatus"
    ),
    "services here take signatures only": (
        "CreateServiceSpecificCredential DeleteServiceSpecificCredential "
        "ResetServiceSpecificCredential UpdateServiceSpecificCredential"
    ),
    "there are no MFA devices": (
        "CreateVirtualMFADevice DeactivateMFADevice DeleteVirtualMFADevice EnableMFADevice GetMFADevice "
        "ListMFADeviceTags ResyncMFADevice TagMFADevice UntagMFADevice"
    ),
    "certificates and keys of other kinds are not kept": (
        "DeleteSSHPublicKey DeleteServerCertificate DeleteSigningCertificate GetSSHPublicKey GetServerCertificate "
        "ListServerCertificateTags "
        "TagServerCertificate UntagServerCertificate UpdateSSHPublicKey UpdateServerCertificate "
        "UpdateSigningCertificate UploadSSHPublicKey UploadServerCertificate UploadSigningCertificate"
    ),
    "there are no organizations": (
        "DisableOrganizationsRootCredentialsManagement DisableOrganizationsRootSessions "
        "EnableOrganizationsRootCredentialsManagement EnableOrganizationsRootSessions "
        "GenerateOrganizationsAccessReport GetOrganizationsAccessReport ListOrganizationsFeatures"
    ),
    "use of rights is not recorded": (
        "GenerateCredentialReport GenerateServiceLastAccessedDetails GetAccessKeyLastUsed GetAccountSummary "
        "GetCredentialReport GetServiceLastAccessedDetails GetServiceLastAccessedDetailsWithEntities "
        "ListPoliciesGrantingServiceAccess"
    ),
    "ask for users, groups, roles and policies one by one": "GetAccountAuthorizationDetails",
    "users and groups keep their names and paths": "UpdateGroup UpdateUser",
}

NOT_YET: dict[str, str] = {operation: reason for reason, operations in _REASONS.items() for operation in operations.split()}

_EC2 = "scenarios of EC2 are not simulated"
REFUSED: Mapping[str, Mapping[str, str]] = {
    "SimulateCustomPolicy": {
        "OrderedOrganizationPolicyInputList": "there are no organizations",
        "ResourceHandlingOption": _EC2,
    },
    "SimulatePrincipalPolicy": {"ResourceHandlingOption": _EC2},
}
