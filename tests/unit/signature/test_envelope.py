"""The signature file by itself."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.signature import der, envelope
from lambdad.signature.certificate import new_key_pair
from lambdad.signature.envelope import Claims, Digests, examine, seal

NOW = 1_800_000_000.125
PAIR = new_key_pair("p", NOW)
OTHER = new_key_pair("p", NOW)
DIGESTS = Digests(hashlib.sha384(b"plain").digest(), hashlib.sha384(b"framed").digest())
CLAIMS = Claims("arn:aws:signer:us-east-1:111111111111:/signing-profiles/p/0123456789", "arn:job", NOW, NOW + 86_400)
SEALED = seal(DIGESTS, CLAIMS, PAIR.private_key, PAIR.certificate)


def der_of(sealed: bytes) -> bytes:
    return base64.b64decode(b"".join(sealed.splitlines()[1:-1]))


def pem_of(data: bytes) -> bytes:
    return b"-----BEGIN PKCS7-----\n" + base64.b64encode(data) + b"\n-----END PKCS7-----\n"


def test_what_was_sealed_is_said() -> None:
    """Profile, job, times to the millisecond, and whose certificate it was."""
    found = examine(SEALED, DIGESTS)
    assert found.is_intact
    assert (found.profile_version_arn, found.job_arn) == (CLAIMS.profile_version_arn, CLAIMS.job_arn)
    assert (found.signed_at, found.expires_at) == (CLAIMS.signed_at, CLAIMS.expires_at)
    assert found.certificate_digest == hashlib.sha256(PAIR.certificate).hexdigest()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_verifies_it(tmp_path: Path) -> None:
    """It is a CMS signature like any other, of the package's digest."""
    (tmp_path / "signature").write_bytes(SEALED)
    (tmp_path / "content").write_bytes(DIGESTS.plain)
    command = ["openssl", "cms", "-verify", "-binary", "-inform", "PEM", "-noverify", "-in", tmp_path / "signature"]
    verified = subprocess.run([*command, "-content", tmp_path / "content"], capture_output=True)
    assert verified.returncode == 0, verified.stderr
    (tmp_path / "content").write_bytes(DIGESTS.framed)
    assert subprocess.run([*command, "-content", tmp_path / "content"], capture_output=True).returncode != 0


@pytest.mark.parametrize("digests", [replace(DIGESTS, plain=b"x" * 48), replace(DIGESTS, framed=b"x" * 48)])
def test_the_signature_of_another_package(digests: Digests) -> None:
    """Either digest tells."""
    assert examine(SEALED, digests).problem == "it was changed after it was signed"


def test_another_s_certificate_in_the_envelope() -> None:
    """A signature counts only with the certificate of the key that made it."""
    forged = seal(DIGESTS, CLAIMS, OTHER.private_key, PAIR.certificate)
    assert examine(forged, DIGESTS).problem == "its signature was not made with the certificate that it names"
    swapped = der_of(SEALED).replace(PAIR.certificate, b"")
    assert not examine(pem_of(swapped), DIGESTS).is_intact


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"0123456789", b"9876543210"),
        (b"arn:job", b"arn:jop"),
        (b"20270116080000.125Z", b"20370116080000.125Z"),
    ],
)
def test_no_claim_can_be_altered(old: bytes, new: bytes) -> None:
    """They are what is signed."""
    altered = der_of(SEALED).replace(old, new)
    assert altered != der_of(SEALED)
    assert not examine(pem_of(altered), DIGESTS).is_intact


@pytest.mark.parametrize(
    "sealed",
    [
        b"",
        b"text",
        b"-----BEGIN PKCS7-----\n-----END PKCS7-----",
        b"-----BEGIN PKCS7-----",
        pem_of(b""),
        pem_of(der.sequence()),
        pem_of(der.sequence(der.identifier("1.2.840.113549.1.7.2"))),
        pem_of(der.sequence(der.identifier("1.2.840.113549.1.7.1"), der.encode(0xA0, der.sequence()))),
        SEALED.replace(b"M", b"\xff", 1),
        SEALED[:-30],
    ],
)
def test_envelopes_that_cannot_be_read(sealed: bytes) -> None:
    """Say so, and nothing else of themselves."""
    found = examine(sealed, DIGESTS)
    assert found.problem is not None
    assert found.problem.startswith("its signature cannot be read")
    assert not found.profile_version_arn


@pytest.mark.parametrize("claim", ["profile_version_arn", "job_arn"])
def test_names_are_no_longer_than_names(claim: str) -> None:
    """Whoever has a key of his own can sign anything: what is kept of it is bounded."""
    longer: dict[str, Any] = {claim: "a" * 2049}
    sealed = seal(DIGESTS, replace(CLAIMS, **longer), PAIR.private_key, PAIR.certificate)
    found = examine(sealed, DIGESTS)
    assert found.problem == "its signature cannot be read: a name beyond all bounds"
    assert not found.profile_version_arn and not found.job_arn


def test_times_are_no_longer_than_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is what is said of them."""
    monkeypatch.setattr(envelope, "_time", lambda seconds: der.encode(der.TIME, b"1" * 500_000))
    sealed = seal(DIGESTS, CLAIMS, PAIR.private_key, PAIR.certificate)
    assert examine(sealed, DIGESTS).problem == "its signature cannot be read: a time beyond all bounds"


@given(st.data())
def test_an_envelope_with_any_byte_changed_is_not_another_one(data: st.DataObject) -> None:
    """It says the same as before, where the byte did not matter, or that it is broken: never something else, never an error."""
    encoded = bytearray(der_of(SEALED))
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    found = examine(pem_of(bytes(encoded)), DIGESTS)
    said = (found.profile_version_arn, found.job_arn, found.signed_at, found.expires_at)
    assert not found.is_intact or said == (CLAIMS.profile_version_arn, CLAIMS.job_arn, CLAIMS.signed_at, CLAIMS.expires_at)
