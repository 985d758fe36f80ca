"""wire/protocols/query.py: hostile forms."""

from __future__ import annotations

from functools import cache
from typing import Any
from xml.etree import ElementTree

import pytest

from lambdad.errors import ServiceError
from lambdad.wire.dialect import dialect_of
from lambdad.wire.protocols import codec_for
from lambdad.wire.protocols.base import Arrival
from lambdad.wire.protocols.query import tree_of
from lambdad.wire.protocols.scalar import Unreadable
from lambdad.wire.spec import ServiceSpec


@cache
def codec_of(service: str) -> Any:
    return codec_for(ServiceSpec(service), dialect_of(service, "query"))


def parse(operation: str, **form: str) -> dict[str, Any]:
    named = {name.replace("__", "."): [value] for name, value in form.items()}
    found: dict[str, Any] = codec_of("iam").parser(operation)(Arrival(form=named))
    return found


def test_lists_in_their_order() -> None:
    """Elements are ordered by number, also past nine and with gaps."""
    form = {f"Tags__member__{n}__Key": str(n) for n in (10, 2, 1)} | {f"Tags__member__{n}__Value": "v" for n in (10, 2, 1)}
    assert [tag["Key"] for tag in parse("TagRole", RoleName="r", **form)["Tags"]] == ["1", "2", "10"]
    assert parse("TagRole", RoleName="r", Tags="")["Tags"] == []


HOSTILE = [
    {"Tags__member__x__Key": "1"},
    {"Tags__member__-1__Key": "1"},
    {"Tags__member__99999999999__Key": "1"},
    {"Tags": "text"},
    {"Tags__member": "text"},
    {"RoleName__x": "1"},
    {"Tags__member__1": "text"},
]


@pytest.mark.parametrize("form", HOSTILE, ids=[next(iter(form)) for form in HOSTILE])
def test_wrong_trees(form: dict[str, str]) -> None:
    """A value where members belong, or members where a value belongs, is unreadable."""
    with pytest.raises(Unreadable):
        parse("TagRole", **form)


def test_depth_is_bounded() -> None:
    """A name of thousands of parts is refused before a tree is built."""
    with pytest.raises(Unreadable):
        tree_of({".".join("a" * 5000): ["1"]})


def test_later_names_replace_values_in_their_way() -> None:
    """A name that is both a value and a prefix does not raise."""
    assert tree_of({"a": ["1"], "a.b": ["2"]}) == {"a": {"b": "2"}}


def test_an_error_that_quotes_what_came_stays_readable() -> None:
    """Characters that XML cannot hold at all are replaced; the others are escaped."""
    error = ServiceError("ValidationError", "not <\x00>\x1b & \ud800", status=400, members={"Name": "\x01"})
    reply = codec_of("iam").error(error, "r", "/")
    root = ElementTree.fromstring(reply.body)
    assert [element.text for element in root.iter() if element.tag.endswith("Message")] == ["not <\ufffd>\ufffd & \ufffd"]
