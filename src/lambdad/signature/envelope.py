"""The signature file of a package: a detached CMS signature (PKCS #7) with AWS Signer's attributes, in PEM.

What is signed are the attributes: the digest of the package, when it was signed and until when that counts, by which job and
which version of which profile. One attribute is lambdad's own: AWS's digest does not tell where a name ends and a file begins,
and a second one does. docs/explanation/code-signing.md says what of this is public.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from lambdad.model.code_signature import CodeSignature
from lambdad.signature import der
from lambdad.signature.der import BadEncoding, Element

MAX_BYTES = 1 << 20
_MAX_NAME_BYTES = 2048  #: of an ARN: what a signature says is kept with each version of a function
_MAX_TIME_BYTES = 32

_DATA, _SIGNED_DATA = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.2"
_SHA384, _ECDSA_SHA384 = "2.16.840.1.101.3.4.2.2", "1.2.840.10045.4.3.3"
_CONTENT_TYPE, _MESSAGE_DIGEST, _SIGNING_TIME = (f"1.2.840.113549.1.9.{number}" for number in (3, 4, 5))
_ALGORITHM_PROTECTION = "1.2.840.113549.1.9.52"
_JOB, _EXPIRY, _PROFILE = (f"1.3.187.137.1.{number}" for number in (2, 3, 4))
_FRAMED_DIGEST = "2.25.224718193956205696148373394714076541229"  #: under the arc of UUIDs, which anybody may use

_PEM_BEGIN, _PEM_END = b"-----BEGIN PKCS7-----", b"-----END PKCS7-----"


@dataclass(frozen=True, slots=True)
class Digests:
    """Of what a package holds, but for the signature file."""

    plain: bytes  #: AWS's: SHA-384 over names and contents one after the other
    framed: bytes  #: ours: the same with lengths and file modes


@dataclass(frozen=True, slots=True)
class Claims:
    profile_version_arn: str
    job_arn: str
    signed_at: float
    expires_at: float


def seal(digests: Digests, claims: Claims, private_key: bytes, certificate: bytes) -> bytes:
    """The signature file."""
    from lambdad.signature.certificate import sign

    attributes = [
        _attribute(_CONTENT_TYPE, der.identifier(_DATA)),
        _attribute(_MESSAGE_DIGEST, der.encode(der.OCTETS, _message_digest(digests))),
        _attribute(_SIGNING_TIME, _time(claims.signed_at)),
        _attribute(_EXPIRY, _time(claims.expires_at)),
        _attribute(_JOB, der.encode(der.UTF8, claims.job_arn.encode())),
        _attribute(_PROFILE, der.encode(der.UTF8, claims.profile_version_arn.encode())),
        _attribute(_ALGORITHM_PROTECTION, der.sequence(_algorithm(_SHA384), der.encode(0xA1, der.identifier(_ECDSA_SHA384)))),
        _attribute(_FRAMED_DIGEST, der.encode(der.OCTETS, digests.framed)),
    ]
    signed = der.set_of(attributes)
    issuer, serial = _issuer_and_serial(certificate)
    signer = der.sequence(
        der.integer(1),
        der.sequence(issuer, serial),
        _algorithm(_SHA384),
        b"\xa0" + signed[1:],
        _algorithm(_ECDSA_SHA384),
        der.encode(der.OCTETS, sign(private_key, signed)),
    )
    content = der.sequence(
        der.integer(1),
        der.set_of([_algorithm(_SHA384)]),
        der.sequence(der.identifier(_DATA)),
        der.encode(0xA0, certificate),
        der.set_of([signer]),
    )
    return _pem(der.sequence(der.identifier(_SIGNED_DATA), der.encode(0xA0, content)))


def examine(envelope: bytes, digests: Digests) -> CodeSignature:
    """What the signature file says of the package with these digests, or why it is none of it."""
    try:
        return _examined(envelope, digests)
    except (ValueError, IndexError) as error:
        return CodeSignature(problem=f"its signature cannot be read: {error or type(error).__name__}")


def _examined(envelope: bytes, digests: Digests) -> CodeSignature:
    from lambdad.signature.certificate import is_signed

    certificates, signer = _signed_data(_content(_from_pem(envelope)))
    _version, issuer_and_serial, digest_algorithm, attributes, algorithm, signature = signer.expect(der.SEQUENCE).parts()[:6]
    _expect_algorithm(digest_algorithm, _SHA384)
    _expect_algorithm(algorithm, _ECDSA_SHA384)
    found = _attributes(attributes.expect(0xA0))
    certificate = _certificate_of(issuer_and_serial, certificates)
    signed = der.encode(der.SET, attributes.body)
    if not is_signed(certificate, signature.expect(der.OCTETS).body, signed):
        return CodeSignature(problem="its signature was not made with the certificate that it names")
    if found[_CONTENT_TYPE].whole != der.identifier(_DATA):
        raise BadEncoding("it is a signature of something else")
    if found[_MESSAGE_DIGEST].expect(der.OCTETS).body != _message_digest(digests):
        return CodeSignature(problem="it was changed after it was signed")
    if _FRAMED_DIGEST in found and found[_FRAMED_DIGEST].expect(der.OCTETS).body != digests.framed:
        return CodeSignature(problem="it was changed after it was signed")
    return CodeSignature(
        profile_version_arn=_name(found[_PROFILE]),
        job_arn=_name(found[_JOB]),
        signed_at=_seconds(found[_SIGNING_TIME]),
        expires_at=_seconds(found[_EXPIRY]),
        certificate_digest=hashlib.sha256(certificate).hexdigest(),
    )


def _content(data: bytes) -> list[Element]:
    kind, content = der.read(data).expect(der.SEQUENCE).parts()[:2]
    if kind.whole != der.identifier(_SIGNED_DATA):
        raise BadEncoding("no signed data")
    (signed_data,) = _only(content.expect(0xA0).parts())
    return signed_data.expect(der.SEQUENCE).parts()


def _signed_data(parts: list[Element]) -> tuple[list[Element], Element]:
    """The certificates and the one signer."""
    _version, _algorithms, content, *others = parts
    if len(content.expect(der.SEQUENCE).parts()) != 1:
        raise BadEncoding("the signature is not detached")
    certificates = [each for part in others if part.tag == 0xA0 for each in part.parts()]
    signers = [each for part in others if part.tag == der.SET for each in part.parts()]
    (signer,) = _only(signers)
    return certificates, signer


def _attributes(element: Element) -> Mapping[str, Element]:
    """By their names, each with its one value."""
    found: dict[str, Element] = {}
    known = {
        der.identifier(each): each
        for each in (_CONTENT_TYPE, _MESSAGE_DIGEST, _SIGNING_TIME, _EXPIRY, _JOB, _PROFILE, _FRAMED_DIGEST)
    }
    for attribute in element.parts():
        name, values = attribute.expect(der.SEQUENCE).parts()
        known_name = known.get(name.whole)
        if known_name is None:
            continue
        if known_name in found:
            raise BadEncoding("an attribute is there twice")
        (found[known_name],) = _only(values.expect(der.SET).parts())
    missing = [name for name in known.values() if name not in found and name != _FRAMED_DIGEST]
    if missing:
        raise BadEncoding(f"attribute {missing[0]} is missing")
    return found


def _certificate_of(issuer_and_serial: Element, certificates: list[Element]) -> bytes:
    issuer, serial = issuer_and_serial.expect(der.SEQUENCE).parts()
    for certificate in certificates:
        if _issuer_and_serial(certificate.whole) == (issuer.whole, serial.whole):
            return certificate.whole
    raise BadEncoding("the signer's certificate is missing")


def _issuer_and_serial(certificate: bytes) -> tuple[bytes, bytes]:
    fields = der.read(certificate).expect(der.SEQUENCE).parts()[0].parts()
    if fields[0].tag == 0xA0:  # the version
        fields = fields[1:]
    serial, _algorithm, issuer = fields[:3]
    return issuer.whole, serial.whole


def _only(elements: list[Element]) -> list[Element]:
    if len(elements) != 1:
        raise BadEncoding(f"one element was expected, {len(elements)} came")
    return elements


def _attribute(name: str, value: bytes) -> bytes:
    return der.sequence(der.identifier(name), der.set_of([value]))


def _algorithm(name: str) -> bytes:
    return der.sequence(der.identifier(name))


def _expect_algorithm(element: Element, name: str) -> None:
    if element.expect(der.SEQUENCE).parts()[0].whole != der.identifier(name):
        raise BadEncoding("another algorithm than ECDSA with SHA-384")


def _message_digest(digests: Digests) -> bytes:
    """The content that is signed is itself a digest."""
    return hashlib.sha384(digests.plain).digest()


def _time(seconds: float) -> bytes:
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S.%f")[:-3].rstrip("0").rstrip(".")
    return der.encode(der.TIME, f"{text}Z".encode())


def _name(element: Element) -> str:
    body = element.expect(der.UTF8).body
    if len(body) > _MAX_NAME_BYTES:
        raise BadEncoding("a name beyond all bounds")
    return body.decode()


def _seconds(element: Element) -> float:
    if len(element.body) > _MAX_TIME_BYTES:
        raise BadEncoding("a time beyond all bounds")
    text = element.body.decode("ascii")
    try:
        if element.tag == der.UTC_TIME:
            return datetime.strptime(text, "%y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
        form = "%Y%m%d%H%M%S.%fZ" if "." in text else "%Y%m%d%H%M%SZ"
        return datetime.strptime(element.expect(der.TIME).body.decode("ascii"), form).replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise BadEncoding(f"{text!r} is no time") from error


def _pem(data: bytes) -> bytes:
    text = base64.b64encode(data)
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return b"\n".join([_PEM_BEGIN, *lines, _PEM_END, b""])


def _from_pem(envelope: bytes) -> bytes:
    text = envelope.strip()
    if not (text.startswith(_PEM_BEGIN) and text.endswith(_PEM_END)):
        raise BadEncoding("it is not in PEM")
    try:
        return base64.b64decode(b"".join(text[len(_PEM_BEGIN) : -len(_PEM_END)].split()), validate=True)
    except binascii.Error as error:
        raise BadEncoding("it is not in base64") from error
