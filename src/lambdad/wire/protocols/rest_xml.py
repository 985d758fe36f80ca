"""The rest-xml protocol: S3's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lambdad.errors import ServiceError
from lambdad.wire.dialect import Dialect
from lambdad.wire.http import Reply
from lambdad.wire.protocols.base import Parser, Writer, error_status
from lambdad.wire.protocols.query import error_response
from lambdad.wire.protocols.rest import make_parser, make_writer
from lambdad.wire.protocols.scalar import Unreadable
from lambdad.wire.protocols.xml_shapes import XmlShapes
from lambdad.wire.protocols.xml_text import DECLARATION, escape, parse_xml
from lambdad.wire.spec import ServiceSpec

S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"

#: The model does not keep the names of S3's root elements; SDKs that read by name want these.
_S3_ROOTS = {
    "ListBuckets": "ListAllMyBucketsResult",
    "ListDirectoryBuckets": "ListAllMyDirectoryBucketsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListObjectVersions": "ListVersionsResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketAcl": "AccessControlPolicy",
    "GetObjectAcl": "AccessControlPolicy",
    "GetBucketCors": "CORSConfiguration",
    "GetBucketLifecycleConfiguration": "LifecycleConfiguration",
    "GetBucketLocation": "LocationConstraint",
    "GetBucketLogging": "BucketLoggingStatus",
    "GetBucketNotificationConfiguration": "NotificationConfiguration",
    "GetBucketRequestPayment": "RequestPaymentConfiguration",
    "GetBucketTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetBucketWebsite": "WebsiteConfiguration",
    "GetObjectAttributes": "GetObjectAttributesResponse",
    "GetObjectTagging": "Tagging",
}
#: Its answer is the root element's own text, not a member inside it.
_TEXT_ONLY = {"GetBucketLocation": "LocationConstraint"}


class RestXml:
    def __init__(self, spec: ServiceSpec, dialect: Dialect) -> None:
        self._spec = spec
        self._is_s3 = dialect.is_s3
        namespace = S3_NAMESPACE if dialect.is_s3 else spec.xml_namespace
        self._format = _XmlBody(XmlShapes(is_strict=dialect.is_s3), namespace)

    def parser(self, operation: str) -> Parser:
        return make_parser(self._spec.operation(operation), self._format)

    def writer(self, operation: str) -> Writer:
        return make_writer(self._spec.operation(operation), self._format)

    def error(self, error: ServiceError, request_id: str, resource: str) -> Reply:
        spec = self._spec.error(error.code)
        status = error_status(error, spec)
        code = spec.code if spec else error.code
        if self._is_s3:
            body = _s3_error(error, code, request_id, resource)
        else:
            body = error_response(error, code, status, request_id, self._spec.xml_namespace)
        return Reply(status, {"content-type": "application/xml"}, body)


def _s3_error(error: ServiceError, code: str, request_id: str, resource: str) -> bytes:
    members = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in error.members.items())
    return (
        f"{DECLARATION}<Error><Code>{escape(code)}</Code><Message>{escape(error.message)}</Message>{members}"
        f"<Resource>{escape(resource)}</Resource><RequestId>{request_id}</RequestId>"
        f"<HostId>{host_id(request_id)}</HostId></Error>"
    ).encode()


def host_id(request_id: str) -> str:
    """S3's second id, x-amz-id-2. Here it says nothing that the request id does not."""
    return f"lambdad/{request_id}="


class _XmlBody:
    content_type = "application/xml"

    def __init__(self, shapes: XmlShapes, namespace: str) -> None:
        self._shapes = shapes
        self._attribute = f' xmlns="{namespace}"' if namespace else ""

    def members_reader(self, members: Mapping[str, Any]) -> Callable[[bytes], dict[str, Any]]:
        read = self._shapes.structure_reader(members)
        return lambda body: read([parse_xml(body)])

    def payload_reader(self, member: str, shape: Any) -> Callable[[bytes], Any]:
        read = self._shapes.reader(shape)
        root_name = shape.serialization.get("name", member)

        def read_payload(body: bytes) -> Any:
            root = parse_xml(body)
            if root.tag != root_name:
                raise Unreadable(f"The root element is {root.tag}, not {root_name}")
            return read([root])

        return read_payload

    def members_writer(self, operation: str, members: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bytes]:
        root = _S3_ROOTS.get(operation, f"{operation}Result")
        if operation in _TEXT_ONLY:
            return self._text_writer(root, _TEXT_ONLY[operation])
        write = self._shapes.members_writer(members)
        opening = f"{DECLARATION}<{root}{self._attribute}>"

        def write_document(output: Mapping[str, Any]) -> bytes:
            out = [opening]
            write(output, out)
            out.append(f"</{root}>")
            return "".join(out).encode()

        return write_document

    def _text_writer(self, root: str, member: str) -> Callable[[Mapping[str, Any]], bytes]:
        def write_text(output: Mapping[str, Any]) -> bytes:
            return f"{DECLARATION}<{root}{self._attribute}>{escape(output.get(member) or '')}</{root}>".encode()

        return write_text

    def payload_writer(self, operation: str, member: str, shape: Any) -> Callable[[Any], bytes]:
        root = shape.serialization.get("name", _S3_ROOTS.get(operation, member))
        if shape.type_name != "structure":
            raise ValueError(f"{operation}: a payload of type {shape.type_name} has no XML form")
        write = self._shapes.members_writer(shape.members)

        def write_document(value: Any) -> bytes:
            out = [f"{DECLARATION}<{root}{self._attribute}>"]
            write(value, out)
            out.append(f"</{root}>")
            return "".join(out).encode()

        return write_document
