"""Trace headers and the lineage in them: what is counted, and what comes of headers that are anything at all."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.trace_header import MOST_INVOCATIONS, entering, passed_on, times_invoked

F = ("000000000000", "us-east-1", "f")
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
NEW = re.compile(r"Root=1-0000000a-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0;Lineage=[0-9a-f]{8}:1")


def function(number: int) -> tuple[str, str, str]:
    return ("000000000000", "us-east-1", f"f{number}")


def lineage_of(header: str) -> str:
    return header.partition(";Lineage=")[2]


def sent_on(header: str) -> str:
    """What botocore makes of the header of an invocation when its function sends a request."""
    return quote(header, safe="-=;:+&[]{}\"',")


def test_a_chain_is_counted_hop_by_hop() -> None:
    """Each invocation by the same chain counts one more, and its trace stays the same."""
    header, count = entering(TRACE, F, 0.0)
    assert count == 1
    for expected in range(2, MOST_INVOCATIONS + 2):
        header, count = entering(sent_on(header), F, 0.0)
        assert (count, times_invoked(header, F)) == (expected, expected)
    assert header.startswith(f"{TRACE};Lineage=")


def test_functions_are_counted_each_for_itself() -> None:
    """A loop over several functions counts each, through the quoting of SDKs; other Regions' functions are others."""
    header = ""
    for _ in range(5):
        for number in range(3):
            header, _ = entering(sent_on(header), function(number), 10.0)
    assert [times_invoked(header, function(number)) for number in range(4)] == [5, 5, 5, 0]
    assert times_invoked(header, ("111111111111", "us-east-1", "f0")) == 0
    assert times_invoked(header, ("000000000000", "eu-west-1", "f0")) == 0


def test_a_long_chain_stays_bounded() -> None:
    """Of more than 32 functions the least counted are forgotten, so that those that recur stay counted."""
    header = ""
    for round_ in range(1, 13):
        header, count = entering(sent_on(header), F, 10.0)
        assert count == round_
        for number in range(20):
            header, _ = entering(sent_on(header), function(round_ * 100 + number), 10.0)
        assert len(lineage_of(header).split("|")) <= 32
        assert len(sent_on(header)) < 1500


def test_the_count_of_a_function_that_may_recur_ends() -> None:
    """Beyond 9999 it is counted no further."""
    header, _ = entering(f"{TRACE};Lineage=", F, 0.0)
    mark = lineage_of(header).partition(":")[0]
    assert entering(f"{TRACE};Lineage={mark}:9999", F, 0.0)[1] == 9999


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Root=1-x",
        "Lineage=a87bd80c:1",
        f"{TRACE};Lineage=a87bd80c:1\r\nX: y",
        f"{TRACE};Lineage=a87bd80c:1\0",
        f"{TRACE};Lineage=ü",
        f"{TRACE};Lineage=a87bd80c:1%0d%0a",
        f"{TRACE};" + "A=b;" * 200,
        f"{TRACE};Lineage=" + "a87bd80c:1|" * 200,
        "R" * 1_000_000,
    ],
)
def test_what_is_no_header_is_replaced(header: str) -> None:
    """Malformed, huge and hostile headers do not go on: the invocation is of a new trace."""
    assert passed_on(header) == ""
    made, count = entering(header, F, 10.0)
    assert NEW.fullmatch(made)
    assert count == 1


@pytest.mark.parametrize(
    ("lineage", "kept"),
    [
        ("a87bd80c:1|68fd508a:5", "a87bd80c:1|68fd508a:5"),
        ("1:a87bd80c:5", ""),
        ("a87bd80c:-1|a87bd80c:|:3|A87BD80C:3|68fd508a:5", "68fd508a:5"),
        ("a87bd80c:99999", ""),
        ("a87bd80c:7|68fd508a:5|a87bd80c:2", "68fd508a:5|a87bd80c:7"),
        ("a87bd80c:1;Lineage=a87bd80c:3;Lineage=68fd508a:2", "a87bd80c:3|68fd508a:2"),
        ("|".join(f"{number:08x}:1" for number in range(60)), "|".join(f"{number:08x}:1" for number in range(28, 60))),
    ],
)
def test_forged_lineages(lineage: str, kept: str) -> None:
    """What is no count of a function is left out, the highest of several counts is kept, and the rest goes on."""
    assert lineage_of(passed_on(f"{TRACE};Lineage={lineage}")) == kept
    made, count = entering(f"{TRACE};Lineage={lineage}", F, 0.0)
    assert made.startswith(f"{TRACE};Lineage=")
    assert count == 1


@given(st.text(st.sampled_from("Root=1-0;Lineage:|%7C.\r\n\0é"), max_size=200) | st.text(max_size=200))
def test_anything(tail: str) -> None:
    """Whatever a caller sends, the header that goes on is well-formed, bounded, and read again as it was written."""
    for header in (tail, TRACE + tail, f"{TRACE};Lineage={tail}"):
        made, count = entering(header, F, 10.0)
        assert len(made) <= 1024
        assert re.fullmatch(r"[A-Za-z0-9:|_.;=-]*", made)
        assert passed_on(made) == made
        assert times_invoked(made, F) == count >= 1


def test_other_fields_are_no_lineage() -> None:
    """A count outside the lineage counts nothing."""
    header, _ = entering(TRACE, F, 0.0)
    mark = lineage_of(header).partition(":")[0]
    assert entering(f"{TRACE};Foo={mark}:16", F, 0.0)[1] == 1
