"""The nouns of S3 as they are kept, and the rules for names that need no I/O."""

from __future__ import annotations

import hashlib
import ipaddress
import re

import msgspec

from lambdad.services.s3.errors import invalid_argument, invalid_request, s3_error

MAX_KEY_BYTES = 1024
MAX_METADATA_BYTES = 2048
MAX_PUT_BYTES = 5 * 1024**3  #: one PutObject, one part, one copy
MIN_PART_BYTES = 5 * 1024**2  #: of every part but the last
MAX_PARTS = 10_000

#: The settings of a PublicAccessBlockConfiguration. A bucket is made with all of them on.
ALL_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_RESERVED_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


class Notification(msgspec.Struct, frozen=True, omit_defaults=True):
    """One LambdaFunctionConfiguration of a bucket."""

    id: str
    function_arn: str
    events: tuple[str, ...]  #: as given: "s3:ObjectCreated:*"
    rules: tuple[tuple[str, str], ...] = ()  #: ("Prefix" | "Suffix", value), in the order given

    @property
    def prefix(self) -> str:
        return dict(self.rules).get("Prefix", "")

    @property
    def suffix(self) -> str:
        return dict(self.rules).get("Suffix", "")


class Bucket(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    account_id: str
    region: str
    created_at: float
    notifications: tuple[Notification, ...] = ()
    tags: dict[str, str] = {}
    blocked_access: tuple[str, ...] | None = ALL_BLOCKS  #: which of ALL_BLOCKS are on; None: nobody says

    @property
    def arn(self) -> str:
        return f"arn:aws:s3:::{self.name}"


class Checksum(msgspec.Struct, frozen=True):
    algorithm: str  #: "CRC64NVME"
    type: str  #: "FULL_OBJECT" or "COMPOSITE"
    value: str  #: base64, followed by "-<parts>" when composite


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """A blob that holds a run of an object's bytes, and the reference that keeps it."""

    digest: str
    size: int
    owner: str  #: of the blob's reference; one owner for each piece
    checksum: str | None = None  #: base64, of the part of a multipart upload that this is


class Description(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a client says about an object besides its bytes."""

    headers: dict[str, str] = {}  #: model member to value: "ContentType"
    metadata: dict[str, str] = {}
    tags: dict[str, str] = {}


class StoredObject(msgspec.Struct, frozen=True, omit_defaults=True):
    """Small whatever the number of its parts, because listings read it."""

    etag: str  #: without quotes
    size: int
    modified_at: float
    description: Description
    checksum: Checksum
    piece: Piece | None = None  #: the only piece, or
    layout: str | None = None  #: the id of the record that lists the pieces
    parts_count: int | None = None  #: of an object made by a multipart upload; its pieces are the parts
    upload_id: str | None = None  #: of that upload


class Upload(msgspec.Struct, frozen=True, omit_defaults=True):
    """A multipart upload under way."""

    key: str
    upload_id: str
    initiated_at: float
    description: Description
    checksum_algorithm: str | None = None  #: None when the client asked for none; CRC64NVME is computed then
    checksum_type: str | None = None


class UploadedPart(msgspec.Struct, frozen=True, omit_defaults=True):
    number: int
    etag: str
    modified_at: float
    piece: Piece
    checksums: dict[str, str]  #: algorithm to base64, all that were computed
    told: str | None = None  #: the algorithm that answers show: the client's, or else the upload's


def check_bucket_name(name: str) -> None:
    """The naming rules of general purpose buckets."""
    if (
        not _BUCKET_NAME.fullmatch(name)
        or ".." in name
        or name.startswith(_RESERVED_PREFIXES)
        or name.endswith(_RESERVED_SUFFIXES)
        or _is_ip_address(name)
    ):
        raise s3_error("InvalidBucketName", "The specified bucket is not valid.", 400, BucketName=name)


def check_key(key: str) -> None:
    if not key:
        raise invalid_argument("A key must be specified.", "key", key)
    try:
        length = len(key.encode())
    except UnicodeEncodeError:
        raise s3_error(
            "InvalidURI", "Couldn't parse the specified URI.", 400, URI=key.encode(errors="replace").decode()
        ) from None
    if length > MAX_KEY_BYTES:
        raise s3_error("KeyTooLongError", "Your key is too long", 400, Size=length, MaxSizeAllowed=MAX_KEY_BYTES)
    if "\0" in key:
        raise s3_error("InvalidURI", "Couldn't parse the specified URI.", 400, URI=key.replace("\0", "%00"))


def check_version_id(version_id: str | None) -> None:
    """No bucket here has versions, so the only version of an object is "null"."""
    if version_id not in (None, "null"):
        raise invalid_argument("Invalid version id specified", "versionId", version_id)


def check_metadata(metadata: dict[str, str]) -> None:
    size = sum(
        len(name.encode(errors="surrogateescape")) + len(value.encode(errors="surrogateescape"))
        for name, value in metadata.items()
    )
    if size > MAX_METADATA_BYTES:
        raise s3_error(
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
            400,
            Size=size,
            MaxSizeAllowed=MAX_METADATA_BYTES,
        )


def check_part_number(number: int) -> None:
    if not 1 <= number <= MAX_PARTS:
        raise invalid_argument(f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive", "partNumber", number)


def check_put_size(size: int | None) -> None:
    if size is not None and size > MAX_PUT_BYTES:
        raise s3_error(
            "EntityTooLarge",
            "Your proposed upload exceeds the maximum allowed size",
            400,
            ProposedSize=size,
            MaxSizeAllowed=MAX_PUT_BYTES,
        )


def check_copy_size(size: int) -> None:
    if size > MAX_PUT_BYTES:
        raise invalid_request(
            f"The specified copy source is larger than the maximum allowable size for a copy source: {MAX_PUT_BYTES}"
        )


def canonical_user_id(account_id: str) -> str:
    """The 64 digits that S3 shows as an account's owner id."""
    return hashlib.sha256(f"canonical user {account_id}".encode()).hexdigest()


def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
