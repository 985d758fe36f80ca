"""Which bytes of an object a request wants."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lambdad.services.s3.errors import invalid_argument, invalid_request, s3_error

_ONE_RANGE = re.compile(r"bytes=\s*(\d*)\s*-\s*(\d*)\s*", re.ASCII)
_COPY_RANGE = re.compile(r"bytes=(\d+)-(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    start: int
    end: int  #: exclusive
    is_partial: bool = True  #: whether the request asked for a part; the answer is then a 206

    @property
    def size(self) -> int:
        return self.end - self.start

    def content_range(self, size: int) -> str:
        return f"bytes {self.start}-{self.end - 1}/{size}"


def of_header(header: str | None, size: int) -> ByteRange:
    """A Range header against an object of `size` bytes.

    As AWS does, several ranges, other units and ranges that end before they start are passed over, and the whole object is
    the answer.
    """
    match = _ONE_RANGE.fullmatch(header or "")
    if match is None or match.groups() == ("", ""):
        return ByteRange(0, size, is_partial=False)
    first, last = match.groups()
    if first == "":
        start, end = max(0, size - _number(last)), size
    else:
        start, end = _number(first), size if last == "" else _number(last) + 1
        if end <= start and last != "":
            return ByteRange(0, size, is_partial=False)
    if start >= size:
        message = "The requested range is not satisfiable"
        raise s3_error("InvalidRange", message, 416, RangeRequested=header, ActualObjectSize=size)
    return ByteRange(start, min(end, size))


def of_part(number: int, part_sizes: Sequence[int]) -> ByteRange:
    """The bytes of a part of an object; one that was not uploaded in parts has the one part 1."""
    if number < 1 or number > 10_000:
        raise invalid_argument("Part number must be an integer between 1 and 10000, inclusive", "partNumber", number)
    if number > len(part_sizes):
        message = "The requested partnumber is not satisfiable"
        raise s3_error("InvalidPartNumber", message, 416, PartNumberRequested=number, ActualPartCount=len(part_sizes))
    start = sum(part_sizes[: number - 1])
    size = part_sizes[number - 1]
    return ByteRange(start, start + size, is_partial=size > 0)


def of_copy(header: str | None, size: int) -> ByteRange:
    """x-amz-copy-source-range, which must name both ends and lie within the source."""
    if header is None:
        return ByteRange(0, size, is_partial=False)
    match = _COPY_RANGE.fullmatch(header)
    if match is None or _number(match[1]) > _number(match[2]):
        message = (
            "The x-amz-copy-source-range value must be of the form bytes=first-last "
            "where first and last are the zero-based offsets of the first and last bytes to copy"
        )
        raise invalid_argument(message, "x-amz-copy-source-range", header)
    start, end = _number(match[1]), _number(match[2]) + 1
    if end > size:
        message = f"Range specified is not valid for source object of size: {size}"
        raise invalid_argument(message, "x-amz-copy-source-range", header) if size else invalid_request(message)
    return ByteRange(start, end)


def _number(digits: str) -> int:
    """No file has more bytes than 18 digits can say, and converting long runs of digits costs time."""
    return int(digits) if len(digits) <= 18 else 10**18
