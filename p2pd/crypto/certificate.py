"""Self-signed certificates that prove a node key in the TLS handshake of QUIC, as libp2p's do (R16).

The TLS key is the node key itself, so the handshake's own signature proves it, and nothing else is named.
X.509 and TLS fix what is signed: DER begins with 0x30 and TLS pads with 0x20, our labelled bytes begin with 0x00,
so none of the three can stand for another.
Dates say nothing: nodes are trusted by key, and no clock is asked.

Does not know which node is expected, nor that a peer sent exactly one certificate: the connection's owner checks both.
"""

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import SignatureAlgorithmOID

from p2pd.crypto.keys import SigningKey, exchange_public, verify_raw
from p2pd.errors import PeerError
from p2pd.types import NodeKey, RandomSource

Certificate = x509.Certificate
CertificateKey = Ed25519PrivateKey
"""What TLS is given, by names that spare others the library."""

_VALID_FROM = datetime(2020, 1, 1)
_VALID_TO = datetime(9999, 12, 31, 23, 59, 59)
"""No end (RFC 5280 section 4.1.2.5)."""
_SERIAL_SIZE = 16


def node_certificate(node: SigningKey, random: RandomSource) -> tuple[Certificate, CertificateKey]:
    """A fresh certificate of the node key, and that key as TLS wants it."""
    key = Ed25519PrivateKey.from_private_bytes(node.seed)
    nameless = x509.Name([])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(nameless)
        .issuer_name(nameless)
        .public_key(key.public_key())
        .serial_number(1 + int.from_bytes(random.bytes(_SERIAL_SIZE), "big"))
        .not_valid_before(_VALID_FROM)
        .not_valid_after(_VALID_TO)
        .sign(key, algorithm=None)
    )
    return certificate, key


def certified_node_key(certificate: Certificate) -> NodeKey:
    """The node key that the certificate proves; PeerError when it proves none."""
    try:
        key = certificate.public_key()
        critical = any(extension.critical for extension in certificate.extensions)
    except Exception as error:
        # the library reads every kind of extension that it knows, and raises what it likes on what is odd in one
        raise PeerError("bad certificate", "unreadable") from error
    if not isinstance(key, Ed25519PublicKey) or certificate.signature_algorithm_oid != SignatureAlgorithmOID.ED25519:
        raise PeerError("bad certificate", "not Ed25519")
    if critical:
        raise PeerError("bad certificate", "a critical extension that we do not know")
    public = key.public_bytes_raw()
    exchange_public(public)
    if not verify_raw(public, certificate.tbs_certificate_bytes, certificate.signature):
        raise PeerError("bad certificate", "the signature is not its own")
    return NodeKey(public)


def certificate_digest(certificate: Certificate) -> bytes:
    """SHA-256 of the DER bytes: what the proof of a person is bound to (R18)."""
    return certificate.fingerprint(SHA256())
