"""ASN.1 in its distinguished encoding: as much as a signature needs. Reads lengths that are left open, as AWS writes some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

INTEGER, OCTETS, OID, UTF8, UTC_TIME, TIME = 0x02, 0x04, 0x06, 0x0C, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31
_CONSTRUCTED = 0x20
_DEPTH = 16


class BadEncoding(ValueError):
    """The bytes are not what they should be."""


@dataclass(frozen=True, slots=True)
class Element:
    tag: int
    body: bytes
    whole: bytes  #: with tag and length

    def parts(self) -> list[Element]:
        """What a structure consists of."""
        if not self.tag & _CONSTRUCTED:
            raise BadEncoding("a structure was expected")
        return _elements(self.body)

    def expect(self, tag: int) -> Element:
        if self.tag != tag:
            raise BadEncoding(f"tag {tag:#x} was expected, {self.tag:#x} came")
        return self


def read(data: bytes) -> Element:
    """The one element that the bytes are."""
    elements = _elements(data)
    if len(elements) != 1:
        raise BadEncoding("one element was expected")
    return elements[0]


def encode(tag: int, body: bytes) -> bytes:
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + body


def sequence(*parts: bytes) -> bytes:
    return encode(SEQUENCE, b"".join(parts))


def set_of(parts: Iterable[bytes]) -> bytes:
    return encode(SET, b"".join(sorted(parts)))


def integer(value: int) -> bytes:
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def identifier(dotted: str) -> bytes:
    first, second, *others = map(int, dotted.split("."))
    return encode(OID, b"".join(map(_base128, (40 * first + second, *others))))


def _base128(number: int) -> bytes:
    digits = [number & 0x7F]
    while number := number >> 7:
        digits.append(0x80 | number & 0x7F)
    return bytes(reversed(digits))


def _elements(data: bytes) -> list[Element]:
    found, at = [], 0
    while at < len(data):
        element, at = _next(data, at, 0)
        found.append(element)
    return found


def _next(data: bytes, start: int, depth: int) -> tuple[Element, int]:
    try:
        tag, length = data[start], data[start + 1]
    except IndexError as error:
        raise BadEncoding("cut short") from error
    if tag & 0x1F == 0x1F:
        raise BadEncoding("a long tag")
    at = start + 2
    if length == 0x80:
        return _open_ended(data, start, tag, depth)
    if length > 0x80:
        digits = length & 0x7F
        length = int.from_bytes(data[at : at + digits], "big")
        at += digits
        if digits > 4:
            raise BadEncoding("a length beyond all bounds")
    end = at + length
    if end > len(data):
        raise BadEncoding("cut short")
    return Element(tag, data[at:end], data[start:end]), end


def _open_ended(data: bytes, start: int, tag: int, depth: int) -> tuple[Element, int]:
    """Up to two bytes of zero."""
    if not tag & _CONSTRUCTED or depth > _DEPTH:
        raise BadEncoding("an open end where there can be none")
    at = start + 2
    while data[at : at + 2] != b"\0\0":
        _, at = _next(data, at, depth + 1)
    return Element(tag, data[start + 2 : at], data[start : at + 2]), at + 2
