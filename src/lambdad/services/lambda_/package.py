"""Where the bytes of a deployment package or layer come from: the request itself, or an S3 object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.quota import Quotas
from lambdad.services.lambda_.archive import too_big
from lambdad.services.lambda_.refusal import invalid_parameter, too_large

#: `fetch_object(account_id, bucket, key, version_id)`: the object's bytes; ServiceError with S3's code and message.
FetchObject = Callable[[str, str, str, str | None], AsyncIterator[bytes]]

SOURCES = ("ZipFile", "S3Bucket", "S3Key", "S3ObjectVersion", "ImageUri")
PIECE_BYTES = 1 << 20


def has_source(code: Mapping[str, Any]) -> bool:
    return any(member in code for member in SOURCES)


def package_bytes(
    code: Mapping[str, Any], account_id: str, quotas: Quotas, fetch_object: FetchObject, operation: str
) -> AsyncIterator[bytes]:
    """The zip's bytes. What can be refused without reading them is refused at once."""
    if "ImageUri" in code:
        doing = "creating" if operation == "CreateFunction" else "updating"
        raise invalid_parameter(f"Please don't provide ImageUri when {doing} a function with packageType Zip.")
    if code.get("S3ObjectStorageMode", "COPY") != "COPY":
        raise invalid_parameter("S3ObjectStorageMode REFERENCE is not supported by lambdad: use COPY.")
    zip_file = code.get("ZipFile")
    if zip_file is not None:
        if any(member in code for member in ("S3Bucket", "S3Key", "S3ObjectVersion")):
            raise invalid_parameter("Please do not provide other FunctionCode parameters when providing a ZipFile.")
        _check_upload_size(len(zip_file), quotas, operation)
        return _pieces(zip_file)
    if "S3Bucket" not in code and "S3Key" not in code:
        raise invalid_parameter("Please provide a source for function code.")
    if "S3Bucket" not in code or "S3Key" not in code:
        raise invalid_parameter("Please provide both S3Bucket and S3Key.")
    content = fetch_object(account_id, code["S3Bucket"], code["S3Key"], code.get("S3ObjectVersion"))
    return _object_bytes(content, quotas.unzipped_bytes)


def _check_upload_size(size: int, quotas: Quotas, operation: str) -> None:
    as_base64 = (size + 2) // 3 * 4
    if as_base64 > quotas.create_request_bytes:
        raise too_large(f"Request must be smaller than {quotas.create_request_bytes} bytes for the {operation} operation")
    if size > quotas.zip_bytes:
        raise too_large(f"Zipped size must be smaller than {quotas.zip_bytes} bytes")


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    view = memoryview(data)
    for start in range(0, len(data), PIECE_BYTES):
        yield bytes(view[start : start + PIECE_BYTES])


async def _object_bytes(content: AsyncIterator[bytes], limit: int) -> AsyncIterator[bytes]:
    """S3's bytes as they come; S3's refusal becomes Lambda's. A zip larger than its content may be is not read to its end."""
    read = 0
    try:
        async for piece in content:
            read += len(piece)
            if read > limit:
                raise too_big(limit)
            yield piece
    except ServiceError as error:
        if error.code == "InvalidParameterValueException":
            raise
        raise invalid_parameter(
            f"Error occurred while GetObject. S3 Error Code: {error.code}. S3 Error Message: {error.message}"
        ) from error
