"""What of the Lambda API is refused: operations not served yet, and members that would have no effect."""

from __future__ import annotations

from collections.abc import Mapping

from lambdad.services.lambda_.capacity_provider import GROUPS, NETWORKS
from lambdad.services.lambda_.snap_start import snap_start_by_runtime

_MAPPINGS = "event source mappings come with their pollers"
_DURABLE = "durable executions are not built yet"

NOT_YET: Mapping[str, str] = {
    "CheckpointDurableExecution": _DURABLE,
    "CreateEventSourceMapping": _MAPPINGS,
    "DeleteDurableExecution": _DURABLE,
    "DeleteEventSourceMapping": _MAPPINGS,
    "GetDurableExecution": _DURABLE,
    "GetDurableExecutionHistory": _DURABLE,
    "GetDurableExecutionState": _DURABLE,
    "ListDurableExecutionsByFunction": _DURABLE,
    "PauseDurableExecution": _DURABLE,
    "ResumeDurableExecution": _DURABLE,
    "SendDurableExecutionCallbackFailure": _DURABLE,
    "SendDurableExecutionCallbackHeartbeat": _DURABLE,
    "SendDurableExecutionCallbackSuccess": _DURABLE,
    "StopDurableExecution": _DURABLE,
    "UpdateEventSourceMapping": _MAPPINGS,
}

#: APIs of AWS beside this one, which clients call under the same address and signatures: none of their operations is served.
NEIGHBOURS: Mapping[str, str] = {
    "lambda-core": "customers' own runtimes and network connectors are not offered",
    "lambda-microvms": "virtual machines are not offered: functions run in sandboxes",
    "lambda-web": "web functions are not offered: functions have URLs",
}

_CUSTOMER_KEY = "code and settings are not encrypted with customer keys"
_CODE_KEY = "packages are not encrypted with customer keys"
_SETTINGS: Mapping[str, str] = {
    "KMSKeyArn": _CUSTOMER_KEY,
    "DurableConfig": _DURABLE,
    "RuntimeConfig": "customer-managed runtimes are not offered",
    "AcceleratorConfig": "accelerators are not offered",
}

_PROVIDER: Mapping[str, str] = {
    "CapacityProviderScalingConfig.ScalingPolicies": "environments follow the invocations that they have",
    "PropagateTags.ExplicitTags": "there are no EC2 resources to have them",
    "TelemetryConfig": "instances are this machine's, which has no log here",
}
_INSTANCES: Mapping[str, str] = {
    **_PROVIDER,
    "InstanceRequirements.AllowedInstanceTypes": "there is this machine only",
    "InstanceRequirements.ExcludedInstanceTypes": "there is this machine only",
}

#: Operation -> member -> why a request that sets it is refused. Values that only sometimes have no effect are refused by
#: `settings.check_unsupported_values`.
REFUSED: Mapping[str, Mapping[str, str]] = {
    "CreateFunction": {
        **_SETTINGS,
        "Code.SourceKMSKeyArn": _CODE_KEY,
    },
    "UpdateFunctionCode": {
        "SourceKMSKeyArn": _CODE_KEY,
    },
    "UpdateFunctionConfiguration": _SETTINGS,
    "CreateCapacityProvider": {"KmsKeyArn": _CUSTOMER_KEY, **_INSTANCES},
    "UpdateCapacityProvider": _PROVIDER,
    "Invoke": {"DurableExecutionName": _DURABLE},
}

_NEEDS_ENDPOINT = "SQS, SNS and EventBridge only with an endpoint in the settings, since they are not here yet"
_DESTINATIONS: Mapping[str, str] = {
    "DestinationConfig.OnFailure.Destination": _NEEDS_ENDPOINT,
    "DestinationConfig.OnSuccess.Destination": _NEEDS_ENDPOINT,
}
_DEAD_LETTER: Mapping[str, str] = {"DeadLetterConfig.TargetArn": "only with an endpoint for SQS or SNS in the settings"}

#: Judged by `settings.chosen_settings` and `package.package_bytes`.
_VALUES: Mapping[str, str] = {
    "VpcConfig": "only empty lists, which detach: functions have no VPC here",
    "FileSystemConfigs": "only access points that the setting file_systems names a folder for; DirectS3Read only DISABLED",
    "TracingConfig.Mode": "only PassThrough: there is no X-Ray here to sample and send segments for",
}
_ARCHITECTURES: Mapping[str, str] = {"Architectures": "only this machine's"}
_COPY = "only COPY: what is in S3 is not part of a function here"

_PROVIDER_VALUES: Mapping[str, str] = {
    "CapacityProviderScalingConfig.ScalingMode": "only Auto",
    "PropagateTags.Mode": "only None",
}
_CONCURRENCY: Mapping[str, str] = {
    "CapacityProviderConfig.LambdaManagedInstancesCapacityProviderConfig.PerExecutionEnvironmentMaxConcurrency": "at most 256, "
    "which is the quota managed_concurrency_max (AWS: 1600): of a Python function each is a process"
}
_TAIL: Mapping[str, str] = {"LogType": "no Tail of managed instances, whose invocations write into one log at once"}

_SNAP_START: Mapping[str, str] = {"SnapStart.ApplyOn": snap_start_by_runtime()}

_RUNTIME_POLICY: Mapping[str, str] = {"ResourceArn": "functions, versions and aliases only: runtimes have no policies here"}

_PUBLISHERS: Mapping[str, str] = {
    "AllowedPublishers.SigningProfileVersionArns": "only with the version, without which no signature is meant"
}

#: What the operations that only look for mappings find.
_NO_MAPPINGS = "finds none: event source mappings cannot be made yet"

_IMAGES = "of this lambdad's repositories, and of the folders and registries that the settings name"

#: Operation -> member -> when it is refused, by rules in the operations that look at its value.
LIMITED: Mapping[str, Mapping[str, str]] = {
    "CreateCapacityProvider": {
        **_PROVIDER_VALUES,
        "InstanceRequirements.Architectures": "only this machine's",
        "VpcConfig.SubnetIds": NETWORKS,
        "VpcConfig.SecurityGroupIds": GROUPS,
    },
    "GetEventSourceMapping": {"UUID": _NO_MAPPINGS},
    "Invoke": _TAIL,
    "InvokeWithResponseStream": _TAIL,
    "UpdateCapacityProvider": _PROVIDER_VALUES,
    "CreateFunction": {
        **_DEAD_LETTER,
        **_SNAP_START,
        **_VALUES,
        **_ARCHITECTURES,
        **_CONCURRENCY,
        "PackageType": "Image not with --isolation process, which has no root to put it in",
        "Code.ImageUri": _IMAGES,
        "Code.S3ObjectStorageMode": _COPY,
    },
    "CreateCodeSigningConfig": _PUBLISHERS,
    "DeleteResourcePolicy": _RUNTIME_POLICY,
    "GetResourcePolicy": _RUNTIME_POLICY,
    "ListEventSourceMappings": {"FunctionName": _NO_MAPPINGS, "EventSourceArn": _NO_MAPPINGS},
    "PublishLayerVersion": {"Content.S3ObjectStorageMode": _COPY},
    "PutRuntimeManagementConfig": {"RuntimeVersionArn": "only that of the one version which this machine has of the runtime"},
    "PutFunctionEventInvokeConfig": _DESTINATIONS,
    "PutResourcePolicy": _RUNTIME_POLICY,
    "UpdateCodeSigningConfig": _PUBLISHERS,
    "UpdateFunctionCode": {**_ARCHITECTURES, "ImageUri": _IMAGES, "S3ObjectStorageMode": _COPY},
    "UpdateFunctionConfiguration": {**_DEAD_LETTER, **_SNAP_START, **_VALUES, **_CONCURRENCY},
    "UpdateFunctionEventInvokeConfig": _DESTINATIONS,
}
