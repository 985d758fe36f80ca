"""Keys and certificates of signing profiles: P-384, ECDSA with SHA-384, as the signing platform of Lambda has it.

The only module that knows `cryptography`. It is loaded when something is signed or checked for the first time, because it takes
17 MB that a server without signatures does not need.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  #: RFC 5280's date of certificates without an end


@dataclass(frozen=True, slots=True)
class KeyPair:
    private_key: bytes  #: DER of PKCS #8
    certificate: bytes  #: DER


def new_key_pair(common_name: str, now: float) -> KeyPair:
    """A certificate that signs itself: it is trusted because it is kept with its profile, not for who issued it."""
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(int(now), UTC))
        .not_valid_after(_NEVER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=True)
        .sign(key, hashes.SHA384())
    )
    return KeyPair(
        key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        certificate.public_bytes(serialization.Encoding.DER),
    )


def sign(private_key: bytes, data: bytes) -> bytes:
    key = serialization.load_der_private_key(private_key, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.sign(data, ec.ECDSA(hashes.SHA384()))


def is_signed(certificate: bytes, signature: bytes, data: bytes) -> bool:
    """Whether the signature of the data was made with the certificate's key."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        return False
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(signature, data, ec.ECDSA(hashes.SHA384()))
    except InvalidSignature:
        return False
    return True
