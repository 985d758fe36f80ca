"""The names that AWS's protocols have for a request whose signature is refused."""

from __future__ import annotations

from enum import Enum

from lambdad.errors import ServiceError
from lambdad.wire.dialect import Dialect

_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
_S3_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
)
_TOKEN = "The security token included in the request is invalid"
_S3_KEY = "The AWS Access Key Id you provided does not exist in our records."
_S3_SKEWED = "The difference between the request time and the current time is too large."


class AuthError(Enum):
    """What is wrong: then code and message of S3, of the query services, of the json services; S3's status."""

    MISSING = (
        ("AccessDenied", "Access Denied", 403),
        ("MissingAuthenticationToken", "Request is missing Authentication Token"),
        ("MissingAuthenticationTokenException", "Missing Authentication Token"),
    )
    INCOMPLETE = (
        ("AuthorizationHeaderMalformed", "The authorization header that you provided is not valid.", 400),
        ("IncompleteSignature", "The request signature does not conform to AWS standards."),
        ("IncompleteSignatureException", "The request signature does not conform to AWS standards."),
    )
    BAD_QUERY = (
        ("AuthorizationQueryParametersError", "The authorization query parameters that you provided are not valid.", 400),
        ("IncompleteSignature", "The request signature does not conform to AWS standards."),
        ("IncompleteSignatureException", "The request signature does not conform to AWS standards."),
    )
    UNKNOWN_KEY = (
        ("InvalidAccessKeyId", _S3_KEY, 403),
        ("InvalidClientTokenId", f"{_TOKEN}."),
        ("UnrecognizedClientException", f"{_TOKEN}."),
    )
    BAD_TOKEN = (
        ("InvalidToken", "The provided token is malformed or otherwise invalid.", 400),
        ("InvalidClientTokenId", f"{_TOKEN}."),
        ("UnrecognizedClientException", f"{_TOKEN}."),
    )
    EXPIRED_TOKEN = (
        ("ExpiredToken", "The provided token has expired.", 400),
        ("ExpiredToken", "The security token included in the request is expired"),
        ("ExpiredTokenException", "The security token included in the request is expired"),
    )
    MISMATCH = (
        ("SignatureDoesNotMatch", _S3_MISMATCH, 403),
        ("SignatureDoesNotMatch", _MISMATCH),
        ("InvalidSignatureException", _MISMATCH),
    )
    UNSIGNED_HEADERS = (
        ("AccessDenied", "There were headers present in the request which were not signed", 403),
        ("SignatureDoesNotMatch", _MISMATCH),
        ("InvalidSignatureException", _MISMATCH),
    )
    SKEWED = (
        ("RequestTimeTooSkewed", _S3_SKEWED, 403),
        ("SignatureDoesNotMatch", "Signature expired."),
        ("InvalidSignatureException", "Signature expired."),
    )
    EXPIRED = (
        ("AccessDenied", "Request has expired", 403),
        ("SignatureDoesNotMatch", "Signature expired."),
        ("InvalidSignatureException", "Signature expired."),
    )


class AuthFailure(Exception):
    """Why a request is refused; the front names it in the words of the service it was for."""

    def __init__(self, error: AuthError, message: str | None = None) -> None:
        super().__init__(error.name, message)
        self.error = error
        self.message = message

    def as_service_error(self, dialect: Dialect, protocol: str) -> ServiceError:
        for_s3, for_query, for_json = self.error.value
        if dialect.is_s3:
            code, message, status = for_s3
            return ServiceError(code, self.message or message, status=status)
        code, message = for_query if protocol in ("query", "rest-xml") else for_json
        return ServiceError(code, self.message or message, status=dialect.auth_status)
