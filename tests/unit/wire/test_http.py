"""wire/http.py: what comes in is read strictly, what goes out cannot be forged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.wire.http import MalformedUri, decode_uri_text, header_bytes, parse_query, request_from_scope


@pytest.mark.parametrize(
    ("raw", "query"),
    [
        ("", {}),
        ("a", {"a": [""]}),
        ("a=&b", {"a": [""], "b": [""]}),
        ("a=1&a=2", {"a": ["1", "2"]}),
        ("a=b=c", {"a": ["b=c"]}),
        ("a+b=c%20d%2B", {"a b": ["c d+"]}),
        ("&&a=1&", {"a": ["1"]}),
        ("k=%C3%A9", {"k": ["é"]}),
        ("k=%00", {"k": ["\x00"]}),
    ],
)
def test_queries(raw: str, query: dict[str, list[str]]) -> None:
    """Names keep all their values, and a plus is a space."""
    assert parse_query(raw) == query


@pytest.mark.parametrize("raw", ["%", "%4", "%zz", "a=%ff", "%c3%28", "&".join("a" * 1200)])
def test_malformed_queries(raw: str) -> None:
    """Half escapes, bytes that are not UTF-8 and floods of parameters are refused."""
    with pytest.raises(MalformedUri):
        parse_query(raw)


@given(st.text())
def test_uri_text_round_trip(text: str) -> None:
    """Whatever a client escapes comes back."""
    from urllib.parse import quote

    try:
        escaped = quote(text)
    except UnicodeEncodeError:
        return
    assert decode_uri_text(escaped) == text


def test_headers_out() -> None:
    """ASCII goes out as it is, other text as an RFC 2047 word, control characters not at all."""
    assert header_bytes("plain\ttext") == b"plain\ttext"
    assert header_bytes("é") == b"=?UTF-8?B?w6k=?="
    for value in ("a\r\nb", "a\nb", "a\x00b", "\x7f"):
        with pytest.raises(ValueError, match="control character"):
            header_bytes(value)


@pytest.mark.parametrize("host", [b"evil.com/path", b"a b", b"", b"x" * 400, b"a\xff", b"a:b"])
def test_unusable_hosts_do_not_get_into_urls(host: bytes) -> None:
    """A host header that is not a host is replaced by the address that was reached."""
    scope = {
        "method": "GET",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"host", host)],
        "server": ("127.0.0.1", 4566),
    }
    assert request_from_scope(scope).endpoint == "http://127.0.0.1:4566"


def test_repeated_headers_are_joined() -> None:
    """As HTTP has it, in their order."""
    scope = {
        "method": "GET",
        "raw_path": b"/",
        "query_string": b"",
        "headers": [(b"a", b"1"), (b"a", b"\xe9"), (b"b", b"\xc3\xa9")],
    }
    assert request_from_scope(scope).headers == {"a": "1,é", "b": "é"}
