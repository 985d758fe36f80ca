"""Amazon ECR: repositories of container images, and the registry that `docker push` and its like speak to."""

from __future__ import annotations

from lambdad.model.service import Service
from lambdad.services.ecr import image, lifecycle, policy, repository
from lambdad.services.ecr.permissions import PERMISSIONS
from lambdad.services.ecr.right import resource_tags

OPERATIONS = {
    "BatchCheckLayerAvailability": image.batch_check_layer_availability,
    "BatchDeleteImage": image.batch_delete_image,
    "BatchGetImage": image.batch_get_image,
    "CreateRepository": repository.create_repository,
    "DeleteLifecyclePolicy": lifecycle.delete_lifecycle_policy,
    "DeleteRepository": repository.delete_repository,
    "DeleteRepositoryPolicy": policy.delete_repository_policy,
    "DescribeImages": image.describe_images,
    "DescribeRepositories": repository.describe_repositories,
    "GetAuthorizationToken": repository.get_authorization_token,
    "GetLifecyclePolicy": lifecycle.get_lifecycle_policy,
    "GetRepositoryPolicy": policy.get_repository_policy,
    "ListImages": image.list_images,
    "ListTagsForResource": repository.list_tags_for_resource,
    "PutImage": image.put_image,
    "PutLifecyclePolicy": lifecycle.put_lifecycle_policy,
    "PutImageTagMutability": repository.put_image_tag_mutability,
    "SetRepositoryPolicy": policy.set_repository_policy,
    "TagResource": repository.tag_resource,
    "UntagResource": repository.untag_resource,
}

#: Why an operation is not served, with the operations it holds for.
_REASONS = {
    "layers come and go by the registry's own API, as docker, podman, skopeo and crane use it": (
        "CompleteLayerUpload GetDownloadUrlForLayer InitiateLayerUpload UploadLayerPart"
    ),
    "images are not scanned": (
        "BatchGetRepositoryScanningConfiguration DescribeImageScanFindings GetRegistryScanningConfiguration "
        "PutImageScanningConfiguration PutRegistryScanningConfiguration StartImageScan"
    ),
    "what a lifecycle policy would do is not shown beforehand": "GetLifecyclePolicyPreview StartLifecyclePolicyPreview",
    "images are not archived, and pulls are not counted": (
        "DeregisterPullTimeUpdateExclusion ListPullTimeUpdateExclusions RegisterPullTimeUpdateExclusion UpdateImageStorageClass"
    ),
    "nothing is fetched from other registries on the way of a pull": (
        "CreatePullThroughCacheRule DeletePullThroughCacheRule DescribePullThroughCacheRules UpdatePullThroughCacheRule "
        "ValidatePullThroughCacheRule"
    ),
    "there is one registry, with no copies": (
        "DescribeImageReplicationStatus DescribeRegistry DescribeReplicationBackfillResults ListReplicationBackfills "
        "PutReplicationConfiguration StartReplicationBackfill StopReplicationBackfill"
    ),
    "repositories are made by CreateRepository only": (
        "CreateRepositoryCreationTemplate DeleteRepositoryCreationTemplate DescribeRepositoryCreationTemplates "
        "UpdateRepositoryCreationTemplate"
    ),
    "registries have no policies: repositories have them": "DeleteRegistryPolicy GetRegistryPolicy PutRegistryPolicy",
    "images are not signed": (
        "DeleteSigningConfiguration DescribeImageSigningStatus GetSigningConfiguration ListImageReferrers "
        "PutSigningConfiguration"
    ),
    "accounts have no settings of their own": "GetAccountSetting PutAccountSetting",
}

SERVICE = Service(
    name="ecr",
    operations=OPERATIONS,
    not_yet={operation: reason for reason, operations in _REASONS.items() for operation in operations.split()},
    refused={
        "CreateRepository": {
            "encryptionConfiguration": "images are not encrypted at rest",
            "imageTagMutabilityExclusionFilters": "tags have no exceptions",
        },
        "PutImageTagMutability": {"imageTagMutabilityExclusionFilters": "tags have no exceptions"},
    },
    permissions=PERMISSIONS,
    resource_policy=policy.resource_policy,
    resource_tags=resource_tags,
    refusal_code="InvalidParameterException",
    refusal_status=400,
)
