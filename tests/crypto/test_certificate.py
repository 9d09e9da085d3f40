from datetime import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from p2pd.crypto.certificate import certificate_digest, certified_node_key, node_certificate
from p2pd.crypto.keys import SigningKey
from p2pd.errors import PeerError

NODE = SigningKey(b"n" * 32)


def built(key, signer, *extensions, hash_algorithm=None):
    builder = x509.CertificateBuilder(x509.Name([]), x509.Name([]), key.public_key(), 1, datetime(2020, 1, 1))
    builder = builder.not_valid_after(datetime(2030, 1, 1))
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signer, hash_algorithm)


def test_a_certificate_proves_its_node_and_names_nobody(chance):
    certificate, key = node_certificate(NODE, chance)
    assert certified_node_key(certificate) == NODE.public == key.public_key().public_bytes_raw()
    assert len(certificate.subject) == len(certificate.issuer) == len(certificate.extensions) == 0
    again = x509.load_der_x509_certificate(certificate.public_bytes(Encoding.DER))
    assert certified_node_key(again) == NODE.public
    assert certificate_digest(again) == certificate_digest(certificate)


def test_two_certificates_of_a_node_have_different_digests(chance):
    digests = {certificate_digest(node_certificate(NODE, chance)[0]) for _ in range(3)}
    assert len(digests) == 3
    assert {len(digest) for digest in digests} == {32}


def test_another_signer_is_refused():
    with pytest.raises(PeerError, match="not its own"):
        certified_node_key(built(Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()))


def test_another_kind_of_key_is_refused():
    key = generate_private_key(SECP256R1())
    with pytest.raises(PeerError, match="Ed25519"):
        certified_node_key(built(key, key, hash_algorithm=SHA256()))


def test_an_unknown_critical_extension_is_refused_and_another_ignored():
    key = Ed25519PrivateKey.generate()
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"?")
    with pytest.raises(PeerError, match="critical"):
        certified_node_key(built(key, key, (unknown, True)))
    assert certified_node_key(built(key, key, (unknown, False))) == key.public_key().public_bytes_raw()


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("2.5.29.17", "3002a300"),  # an alternative name in the form of X.400
        ("2.5.29.18", "3002a300"),
        ("1.3.6.1.5.5.7.1.24", "3000"),  # of the features of TLS none
        ("2.5.29.19", "ffff"),
    ],
)
def test_an_extension_that_the_library_stumbles_over_is_the_peers_fault(kind, content):
    key = Ed25519PrivateKey.generate()
    odd = x509.UnrecognizedExtension(x509.ObjectIdentifier(kind), bytes.fromhex(content))
    with pytest.raises(PeerError, match="unreadable"):
        certified_node_key(built(key, key, (odd, False)))


def test_any_changed_byte_is_refused_or_unreadable(chance):
    der = node_certificate(NODE, chance)[0].public_bytes(Encoding.DER)
    for place in range(len(der)):
        changed = der[:place] + bytes([der[place] ^ 0x11]) + der[place + 1 :]
        try:
            certificate = x509.load_der_x509_certificate(changed)
        except (ValueError, x509.InvalidVersion):
            continue
        with pytest.raises(PeerError):
            certified_node_key(certificate)
