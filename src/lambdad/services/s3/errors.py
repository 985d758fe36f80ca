"""The S3 errors that several operations raise, in AWS's words."""

from __future__ import annotations

from typing import Any

from lambdad.errors import ServiceError


def s3_error(code: str, message: str, status: int, **members: Any) -> ServiceError:
    return ServiceError(code, message, status=status, members=members)


def invalid_argument(message: str, name: str, value: object) -> ServiceError:
    return s3_error("InvalidArgument", message, 400, ArgumentName=name, ArgumentValue="" if value is None else str(value))


def invalid_request(message: str) -> ServiceError:
    return s3_error("InvalidRequest", message, 400)


def not_implemented(header: str) -> ServiceError:
    """For a header or setting that is known and without effect here."""
    return s3_error("NotImplemented", "A header you provided implies functionality that is not implemented", 501, Header=header)


def no_such_bucket(name: str) -> ServiceError:
    return s3_error("NoSuchBucket", "The specified bucket does not exist", 404, BucketName=name)


def no_such_key(key: str) -> ServiceError:
    return s3_error("NoSuchKey", "The specified key does not exist.", 404, Key=key)


def no_such_upload(upload_id: str) -> ServiceError:
    message = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed."
    )
    return s3_error("NoSuchUpload", message, 404, UploadId=upload_id)


def access_denied() -> ServiceError:
    return s3_error("AccessDenied", "Access Denied", 403)


def precondition_failed(condition: str) -> ServiceError:
    return s3_error(
        "PreconditionFailed", "At least one of the pre-conditions you specified did not hold", 412, Condition=condition
    )


def operation_aborted() -> ServiceError:
    """Another writer changed the same record between our look at it and our commit."""
    message = "A conflicting conditional operation is currently in progress against this resource. Please try again."
    return s3_error("OperationAborted", message, 409)


def malformed_xml() -> ServiceError:
    message = "The XML you provided was not well-formed or did not validate against our published schema"
    return s3_error("MalformedXML", message, 400)
