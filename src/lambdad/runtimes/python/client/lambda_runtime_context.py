"""The context object that handlers get."""

import json
import os
import sys
import time

from lambda_runtime_fault import Fault

_W3C_FIELDS = ("traceparent", "tracestate", "baggage")


class CognitoIdentity(object):
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __repr__(self):
        return _show(self, self.__slots__)


class Client(object):
    __slots__ = ("app_package_name", "app_title", "app_version_code", "app_version_name", "installation_id")

    def __repr__(self):
        return _show(self, self.__slots__)


class ClientContext(object):
    __slots__ = ("client", "custom", "env")

    def __repr__(self):
        return _show(self, self.__slots__)


class LambdaContext(object):
    def __init__(self, headers):
        client_context = _parse(headers.get("lambda-runtime-client-context"), "Client Context")
        identity = _parse(headers.get("lambda-runtime-cognito-identity"), "Cognito Identity") or {}
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = headers.get("lambda-runtime-aws-tenant-id")
        self._w3c = _take_w3c(client_context)
        self.client_context = _fill(ClientContext(), client_context)
        if self.client_context is not None:
            self.client_context.client = _fill(Client(), self.client_context.client)
        self.identity = CognitoIdentity()
        self.identity.cognito_identity_id = identity.get("cognitoIdentityId")
        self.identity.cognito_identity_pool_id = identity.get("cognitoIdentityPoolId")
        self._epoch_deadline_time_in_ms = int(headers.get("lambda-runtime-deadline-ms") or 0)

    def get_remaining_time_in_millis(self):
        return max(0, self._epoch_deadline_time_in_ms - int(time.time() * 1000))

    def w3c(self):
        """The caller's W3C trace context."""
        return dict(self._w3c)

    def log(self, msg):
        """Writes the message as it is, without a line's end."""
        sys.stdout.write(str(msg))

    def __repr__(self):
        return _show(
            self,
            (
                "aws_request_id",
                "log_group_name",
                "log_stream_name",
                "function_name",
                "memory_limit_in_mb",
                "function_version",
                "invoked_function_arn",
                "client_context",
                "identity",
                "tenant_id",
            ),
        )


def _parse(header, name):
    if not header:
        return None
    try:
        return json.loads(header)
    except Exception as error:
        raise Fault("Runtime.LambdaContextUnmarshalError", "Unable to parse %s JSON: %s" % (name, error))


def _fill(record, values):
    if values is None:
        return None
    for name in record.__slots__:
        setattr(record, name, values.get(name))
    return record


def _take_w3c(client_context):
    """The trace context travels inside the client context and is not shown there."""
    fields = client_context.pop("w3c", None) if isinstance(client_context, dict) else None
    if not isinstance(fields, dict):
        return {}
    return dict((name, fields[name]) for name in _W3C_FIELDS if isinstance(fields.get(name), type(u"")))


def _show(record, names):
    return "%s([%s])" % (type(record).__name__, ",".join("%s=%s" % (name, getattr(record, name, None)) for name in names))
