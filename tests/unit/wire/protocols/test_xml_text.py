"""wire/protocols/xml_text.py: no document types, no entities, nothing that XML cannot hold."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.wire.protocols.scalar import Unreadable
from lambdad.wire.protocols.xml_text import escape, parse_xml

LAUGHS = "<!DOCTYPE l [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {b} '{'&' + a + ';'}{'&' + a + ';'}'>" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
) + "]><l>&i;</l>"  # fmt: skip
REFUSED = [
    LAUGHS.encode(),
    b"<!DOCTYPE a SYSTEM 'http://127.0.0.1/x.dtd'><a/>",
    b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
    b"<a>&x;</a>",
    b"<a>&#0;</a>",
    b"<a><b></a>",
    b"<a/><b/>",
    b"",
    b"   ",
    b"\x00",
    b"<a>\xff</a>",
    b"<?xml version='1.0' encoding='nonsense'?><a/>",
    b"<a>" * 100_000,
    b"<a b='1' b='2'/>",
    b"<x:a/>",
]


@pytest.mark.parametrize("body", REFUSED, ids=[repr(body[:30]) for body in REFUSED])
def test_refused(body: bytes) -> None:
    """Document types and anything not well-formed are unreadable; no entity is expanded, no file or address opened."""
    with pytest.raises(Unreadable):
        parse_xml(body)


def test_tree() -> None:
    """Namespaces and comments are left out, character data is joined, predefined entities are resolved."""
    root = parse_xml(b"<a xmlns='urn:x' xmlns:i='urn:i' i:type='t'><!-- c --><b> x&amp;<![CDATA[<y>]]>&#233; </b><b/></a>")
    assert (root.tag, root.attributes) == ("a", {"type": "t"})
    assert [(child.tag, child.text) for child in root.children] == [("b", " x&<y>é "), ("b", "")]


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")))
def test_escaped_text_is_read_back(text: str) -> None:
    """Text comes out of a parser as it went in."""
    assert (ElementTree.fromstring(f"<a>{escape(text)}</a>").text or "") == text


def test_control_characters_are_references() -> None:
    """S3 writes them so; a carriage return would otherwise be read as a line feed."""
    assert escape('a\x01\r\n<&>"') == "a&#x1;&#xd;\n&lt;&amp;&gt;&quot;"
