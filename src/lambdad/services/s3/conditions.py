"""Conditional requests: whether a read, a copy or a write may go ahead, judged by the object as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, NamedTuple

from lambdad.errors import ServiceError
from lambdad.services.s3.errors import no_such_key, not_implemented, precondition_failed
from lambdad.services.s3.model import StoredObject


class _Names(NamedTuple):
    match: str
    none_match: str
    modified_since: str
    unmodified_since: str


_READ = _Names("IfMatch", "IfNoneMatch", "IfModifiedSince", "IfUnmodifiedSince")
_COPY = _Names("CopySourceIfMatch", "CopySourceIfNoneMatch", "CopySourceIfModifiedSince", "CopySourceIfUnmodifiedSince")


def check_read(request: Mapping[str, Any], stored: StoredObject) -> None:
    """412 or 304. An ETag that matches outweighs If-Unmodified-Since, one that does not match If-Modified-Since."""
    failed = _failed(request, stored, _READ)
    if failed in ("If-Match", "If-Unmodified-Since"):
        raise precondition_failed(failed)
    if failed:
        raise _not_modified(stored)


def check_copy_source(request: Mapping[str, Any], stored: StoredObject) -> None:
    """The same rules for a copy's source, where each failure is a 412."""
    failed = _failed(request, stored, _COPY)
    if failed:
        raise precondition_failed(f"x-amz-copy-source-{failed}")


@dataclass(frozen=True, slots=True)
class WriteCondition:
    """What must hold of the object that a write would replace or remove."""

    if_match: str | None = None
    if_none_match: str | None = None

    def check(self, key: str, standing: StoredObject | None) -> None:
        if self.if_none_match is not None and standing is not None:
            raise precondition_failed("If-None-Match")
        if self.if_match is None:
            return
        if standing is None:
            raise no_such_key(key)
        if not _matches(self.if_match, standing.etag):
            raise precondition_failed("If-Match")


UNCONDITIONAL = WriteCondition()


def write_condition(request: Mapping[str, Any]) -> WriteCondition:
    if_none_match = request.get("IfNoneMatch")
    if if_none_match not in (None, "*"):
        raise not_implemented("If-None-Match")
    if if_none_match and request.get("IfMatch"):
        raise not_implemented("If-Match,If-None-Match")
    return WriteCondition(request.get("IfMatch"), if_none_match)


def _failed(request: Mapping[str, Any], stored: StoredObject, names: _Names) -> str | None:
    """The first condition that does not hold. Times count in whole seconds, as they are told."""
    if_match, unmodified_since = request.get(names.match), request.get(names.unmodified_since)
    if if_match is not None:
        if not _matches(if_match, stored.etag):
            return "If-Match"
    elif unmodified_since is not None and _is_modified_since(stored, unmodified_since):
        return "If-Unmodified-Since"
    if_none_match, modified_since = request.get(names.none_match), request.get(names.modified_since)
    if if_none_match is not None:
        if _matches(if_none_match, stored.etag):
            return "If-None-Match"
    elif modified_since is not None and not _is_modified_since(stored, modified_since):
        return "If-Modified-Since"
    return None


def _matches(header: str, etag: str) -> bool:
    """Against one tag, a list of them, or `*`; quotes are optional, as at AWS."""
    return any(_bare(tag) in ("*", etag) for tag in header.split(","))


def _bare(tag: str) -> str:
    return tag.strip().removeprefix("W/").strip('"')


def _is_modified_since(stored: StoredObject, moment: datetime) -> bool:
    return int(stored.modified_at) > int(moment.timestamp())


def _not_modified(stored: StoredObject) -> ServiceError:
    modified = format_datetime(datetime.fromtimestamp(int(stored.modified_at), UTC), usegmt=True)
    return ServiceError(
        "NotModified", "Not Modified", status=304, headers={"etag": f'"{stored.etag}"', "last-modified": modified}
    )
