"""wire/aws_chunked.py: bodies in every cut, signed and not, whole and broken."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.errors import ServiceError
from lambdad.wire.auth_error import AuthFailure
from lambdad.wire.aws_chunked import AwsChunkedDecoder
from lambdad.wire.sigv4 import ChunkSigner, signing_key

#: AWS's own example ("Signature Calculations: Transferring Payload in Multiple Chunks").
EXAMPLE = ChunkSigner(
    signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1", "s3"),
    "20130524T000000Z",
    "20130524/us-east-1/s3/aws4_request",
    "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
)


def encode(chunks: list[bytes], signer: ChunkSigner | None, trailers: dict[str, str] | None = None) -> bytes:
    out, previous = b"", signer.seed if signer else ""
    for chunk in [*chunks, b""]:
        out += b"%x" % len(chunk)
        if signer:
            previous = signer.chunk_signature(previous, hashlib.sha256(chunk).hexdigest())
            out += b";chunk-signature=" + previous.encode()
        out += b"\r\n" + (chunk + b"\r\n" if chunk else b"")
    for name, value in (trailers or {}).items():
        out += f"{name}:{value}\r\n".encode()
    if signer and trailers:
        signed = "".join(f"{name}:{value}\n" for name, value in trailers.items()).encode()
        out += b"x-amz-trailer-signature:" + signer.trailer_signature(previous, signed).encode() + b"\r\n"
    return out + b"\r\n"


def decode(body: bytes, signer: ChunkSigner | None, cut: int = 1 << 30) -> tuple[bytes, dict[str, str]]:
    decoder = AwsChunkedDecoder(signer)
    out = b"".join(piece for start in range(0, len(body), cut) for piece in decoder.feed(body[start : start + cut]))
    decoder.finish()
    return out, decoder.trailers


def test_awss_example() -> None:
    """The signatures of AWS's documented example are the ones computed here."""
    body = encode([b"a" * 65536, b"a" * 1024], EXAMPLE)
    assert b"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" in body
    assert b"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n" in body
    assert b"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n" in body
    assert decode(body, EXAMPLE)[0] == b"a" * 66560


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.integers(1, 20), st.booleans(), st.booleans())
def test_any_cut_gives_the_same_bytes(chunks: list[bytes], cut: int, is_signed: bool, has_trailer: bool) -> None:
    """However the network cuts the body, the payload and the trailers come out whole."""
    signer = EXAMPLE if is_signed else None
    trailers = {"x-amz-checksum-crc32": "AAAA=="} if has_trailer else {}
    assert decode(encode(chunks, signer, trailers), signer, cut) == (b"".join(chunks), trailers)


@given(st.integers(0, 1 << 30), st.integers(0, 255))
def test_a_changed_byte_is_noticed(position: int, value: int) -> None:
    """In a signed body no byte of the payload, of a signature or of a trailer can be changed."""
    whole = encode([b"payload one", b"payload two"], EXAMPLE, {"x-amz-checksum-crc32": "AAAA=="})
    position %= len(whole) - 2
    changed = whole[:position] + bytes([value]) + whole[position + 1 :]
    try:
        out, trailers = decode(changed, EXAMPLE)
    except (ServiceError, AuthFailure):
        return
    assert (out, trailers) == (b"payload onepayload two", {"x-amz-checksum-crc32": "AAAA=="})


BROKEN = [
    (b"", "IncompleteBody"),
    (b"5\r\nabc", "IncompleteBody"),
    (b"5\r\nabcde\r\n", "IncompleteBody"),
    (b"5\r\nabcdefgh\r\n0\r\n\r\n", "InvalidRequest"),
    (b"xyz\r\n", "InvalidRequest"),
    (b"-5\r\n", "InvalidRequest"),
    (b"fffffffffffff\r\n", "InvalidRequest"),
    (b"5\nabcde", "InvalidRequest"),
    (b"0" * 5000, "InvalidRequest"),
    (b"0\r\n\r\nmore\r\n", "InvalidRequest"),
    (b"0\r\nno colon\r\n\r\n", "MalformedTrailerError"),
    (b"0\r\n" + b"".join(b"a%d:b\r\n" % n for n in range(20)) + b"\r\n", "MalformedTrailerError"),
    (b"0\r\na:\xff\r\n\r\n", "MalformedTrailerError"),
]


@pytest.mark.parametrize(("body", "code"), BROKEN, ids=[repr(body[:20]) for body, _ in BROKEN])
def test_broken_bodies(body: bytes, code: str) -> None:
    """What is cut short or malformed raises and never ends quietly."""
    with pytest.raises(ServiceError) as caught:
        decode(body, None)
    assert caught.value.code == code


def test_unsigned_chunks_are_refused_where_signatures_are_due() -> None:
    """Leaving the signatures out is not a way around them."""
    with pytest.raises(AuthFailure):
        decode(encode([b"abc"], None), EXAMPLE)
    trailing = encode([b"abc"], EXAMPLE, {"a": "b"})
    without = trailing[: trailing.index(b"x-amz-trailer-signature")] + b"\r\n"
    with pytest.raises(AuthFailure):
        decode(without, EXAMPLE)
