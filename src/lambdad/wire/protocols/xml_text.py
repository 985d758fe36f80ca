"""XML text to a plain tree and values to escaped text. No document types, no entities, no surprises."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NoReturn
from xml.parsers import expat

from lambdad.wire.protocols.scalar import Unreadable

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
MAX_DEPTH = 64

_SPECIAL = re.compile('[&<>"\x00-\x08\x0b-\x1f\ufffe\uffff]')
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_NAMED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


@dataclass(slots=True)
class Node:
    """An element without its namespace."""

    tag: str
    attributes: dict[str, str]
    children: list[Node] = field(default_factory=list)
    text: str = ""


def parse_xml(body: bytes) -> Node:
    """The root element. A document type is refused before anything in it is read, so no entity is ever expanded."""
    builder = _TreeBuilder()
    try:
        builder.parser.Parse(body, True)
    except (expat.ExpatError, UnicodeDecodeError, ValueError, LookupError) as error:
        raise Unreadable(f"The XML is not well-formed: {error}") from error
    assert builder.root is not None  # expat refuses a document without a root
    return builder.root


def escape(text: str) -> str:
    """Control characters become numeric references, as S3 writes keys that hold them."""
    return _SPECIAL.sub(_escape_one, text)


def printable(text: str) -> str:
    """What XML cannot hold, even as a reference, replaced: for texts that quote what a caller sent."""
    return _UNPRINTABLE.sub("\ufffd", text)


def _escape_one(match: re.Match[str]) -> str:
    character = match.group()
    return _NAMED.get(character) or f"&#x{ord(character):x};"


class _TreeBuilder:
    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[Node] = []
        self._texts: list[list[str]] = []
        self.parser: Any = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._refuse_doctype
        self.parser.EntityDeclHandler = self._refuse_doctype

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise Unreadable("The XML is nested too deeply")
        node = Node(_local(name), {_local(key): value for key, value in attributes.items()})
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)
        self._texts.append([])

    def _end(self, name: str) -> None:
        self._open.pop().text = "".join(self._texts.pop())

    def _characters(self, text: str) -> None:
        self._texts[-1].append(text)

    def _refuse_doctype(self, *_: Any) -> NoReturn:
        raise Unreadable("XML with a document type declaration is not accepted")


def _local(name: str) -> str:
    return name.rsplit(" ", 1)[-1]
