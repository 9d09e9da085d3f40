"""HKDF-SHA256 (RFC 5869) under our labels: for secrets put together from several agreements.

Rules: the salt is empty; `info` is the label and the parts, each behind its length, as in `domains.domain_hash`.
"""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from p2pd.domains import Domain, framed


def hkdf(domain: Domain, secret: bytes, *parts: bytes, size: int = 32) -> bytes:
    """`size` bytes from a secret of any length, bound to the domain's label and to the parts."""
    return HKDF(algorithm=SHA256(), length=size, salt=None, info=framed((domain.value, *parts))).derive(secret)
