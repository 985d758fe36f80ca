"""Keys and certificates of signing profiles."""

from __future__ import annotations

import pytest

from lambdad.signature.certificate import is_signed, new_key_pair, sign


def test_what_a_key_signs_its_certificate_proves() -> None:
    """Of just those bytes, and no other key's certificate does."""
    ours, theirs = new_key_pair("ours", 1_800_000_000.0), new_key_pair("ours", 1_800_000_000.0)
    signature = sign(ours.private_key, b"data")
    assert is_signed(ours.certificate, signature, b"data")
    assert not is_signed(ours.certificate, signature, b"date")
    assert not is_signed(theirs.certificate, signature, b"data")


@pytest.mark.parametrize("signature", [b"", b"\x30\x00", b"\x30\x06\x02\x01\x00\x02\x01\x00", b"x" * 200])
def test_what_is_no_signature_proves_nothing(signature: bytes) -> None:
    """Whatever its bytes."""
    pair = new_key_pair("p", 1_800_000_000.0)
    assert not is_signed(pair.certificate, signature, b"data")
    assert not is_signed(signature, sign(pair.private_key, b"data"), b"data")


def test_a_certificate_of_no_version_that_there_is() -> None:
    """It proves nothing, and is no fault of ours."""
    pair = new_key_pair("p", 1_800_000_000.0)
    version = bytes.fromhex("a003020102")
    assert pair.certificate.count(version) == 1
    other = pair.certificate.replace(version, bytes.fromhex("a003020101"))
    assert not is_signed(other, sign(pair.private_key, b"data"), b"data")
