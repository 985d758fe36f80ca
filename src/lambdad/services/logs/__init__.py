"""CloudWatch Logs: groups, streams and events; where function output goes."""

from __future__ import annotations

from lambdad.model.service import Service
from lambdad.services.logs import event, group, stream
from lambdad.services.logs.permissions import PERMISSIONS

OPERATIONS = {
    "CreateLogGroup": group.create_log_group,
    "DeleteLogGroup": group.delete_log_group,
    "DescribeLogGroups": group.describe_log_groups,
    "PutRetentionPolicy": group.put_retention_policy,
    "DeleteRetentionPolicy": group.delete_retention_policy,
    "TagResource": group.tag_resource,
    "UntagResource": group.untag_resource,
    "ListTagsForResource": group.list_tags_for_resource,
    "TagLogGroup": group.tag_log_group,
    "UntagLogGroup": group.untag_log_group,
    "ListTagsLogGroup": group.list_tags_log_group,
    "CreateLogStream": stream.create_log_stream,
    "DeleteLogStream": stream.delete_log_stream,
    "DescribeLogStreams": stream.describe_log_streams,
    "PutLogEvents": event.put_log_events,
    "GetLogEvents": event.get_log_events,
    "FilterLogEvents": event.filter_log_events,
}

#: Why an operation is not served, with the operations it holds for.
_REASONS = {
    "log groups are not encrypted with a key of KMS": ("AssociateKmsKey DisassociateKmsKey"),
    "integrations are not served": (
        "AssociateSourceToS3TableIntegration DeleteIntegration DisassociateSourceFromS3TableIntegration "
        "GetIntegration ListIntegrations ListSourcesForS3TableIntegration PutIntegration"
    ),
    "export to S3 is not served": ("CancelExportTask CreateExportTask DescribeExportTasks"),
    "imports are not served": ("CancelImportTask CreateImportTask DescribeImportTaskBatches DescribeImportTasks"),
    "logs are not delivered to other accounts or services": (
        "CreateDelivery DeleteDelivery DeleteDeliveryDestination DeleteDeliveryDestinationPolicy "
        "DeleteDeliverySource DeleteDestination DescribeConfigurationTemplates DescribeDeliveries "
        "DescribeDeliveryDestinations DescribeDeliverySources DescribeDestinations GetDelivery "
        "GetDeliveryDestination GetDeliveryDestinationPolicy GetDeliverySource PutDeliveryDestination "
        "PutDeliveryDestinationPolicy PutDeliverySource PutDestination PutDestinationPolicy "
        "UpdateDeliveryConfiguration"
    ),
    "anomaly detection is not served": (
        "CreateLogAnomalyDetector DeleteLogAnomalyDetector GetLogAnomalyDetector ListAnomalies "
        "ListLogAnomalyDetectors UpdateAnomaly UpdateLogAnomalyDetector"
    ),
    "lookup tables are not served": (
        "CreateLookupTable DeleteLookupTable DescribeLookupTables GetLookupTable UpdateLookupTable"
    ),
    "CloudWatch Logs Insights is not served": (
        "CreateScheduledQuery DeleteQueryDefinition DeleteScheduledQuery DescribeQueries "
        "DescribeQueryDefinitions GetLogObject GetLogRecord GetQueryResults GetScheduledQuery "
        "GetScheduledQueryHistory ListLogGroupsForQuery ListScheduledQueries PutQueryDefinition StartQuery "
        "StopQuery UpdateScheduledQuery"
    ),
    "account policies are not served": ("DeleteAccountPolicy DescribeAccountPolicies PutAccountPolicy"),
    "messages are not masked": ("DeleteDataProtectionPolicy GetDataProtectionPolicy PutDataProtectionPolicy"),
    "fields are not indexed": ("DeleteIndexPolicy DescribeFieldIndexes DescribeIndexPolicies PutIndexPolicy"),
    "no metrics are made from logs yet": ("DeleteMetricFilter DescribeMetricFilters PutMetricFilter TestMetricFilter"),
    "log groups have no resource policies yet": ("DeleteResourcePolicy DescribeResourcePolicies PutResourcePolicy"),
    "log groups do not feed other services yet": ("DeleteSubscriptionFilter DescribeSubscriptionFilters PutSubscriptionFilter"),
    "syslog is not received": ("DeleteSyslogConfiguration ListSyslogConfigurations PutSyslogConfiguration"),
    "log events are not transformed": ("DeleteTransformer GetTransformer PutTransformer TestTransformer"),
    "fields are not discovered": ("GetLogFields GetLogGroupFields"),
    "there is one storage tier": ("GetStorageTierPolicy PutStorageTierPolicy"),
    "use DescribeLogGroups": ("ListAggregateLogGroupSummaries ListLogGroups"),
    "requests are signed, never authenticated by a bearer token": ("PutBearerTokenAuthentication"),
    "log groups have no deletion protection": ("PutLogGroupDeletionProtection"),
    "Live Tail is not served; poll FilterLogEvents, as `aws logs tail --follow` does": ("StartLiveTail"),
}

NOT_YET = {operation: reason for reason, operations in _REASONS.items() for operation in operations.split()}

REFUSED = {
    "CreateLogGroup": {"kmsKeyId": "log groups are not encrypted with a key of KMS"},
    "DescribeLogGroups": {
        "accountIdentifiers": "log groups of other accounts are not seen",
        "includeLinkedAccounts": "log groups of other accounts are not seen",
    },
    "PutLogEvents": {"entity": "log events are not linked to entities"},
}

SERVICE = Service(
    name="logs",
    operations=OPERATIONS,
    not_yet=NOT_YET,
    refused=REFUSED,
    permissions=PERMISSIONS,
    refusal_code="InvalidParameterException",
    refusal_status=400,
)
