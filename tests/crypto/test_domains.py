"""Every label is unique, and no signature passes for one of another kind (R23)."""

import itertools

import pytest

from p2pd.crypto.blinding import blind_secret
from p2pd.crypto.keys import SigningKey, verify
from p2pd.domains import Domain, derive_key, domain_hash

SIGNING = [domain for domain in Domain if domain.name.startswith("SIGN_")]
KEY = SigningKey(b"k" * 32)
BLINDED = blind_secret(KEY, b"profile", b"", 20_000)


def test_labels_are_unique():
    labels = [domain.value for domain in Domain]
    assert len(labels) == len(set(labels)) == len(Domain.__members__)
    assert len(SIGNING) >= 8


@pytest.mark.parametrize("key", [KEY, BLINDED], ids=["plain", "blinded"])
def test_a_signature_verifies_in_its_own_domain_alone(key):
    signatures = {domain: key.sign(domain, b"the same bytes") for domain in SIGNING}
    for made, checked in itertools.product(SIGNING, SIGNING):
        assert verify(key.public, checked, b"the same bytes", signatures[made]) is (made is checked)


def test_a_label_cannot_be_moved_into_the_message():
    message = Domain.SIGN_ITEM.value + b"m"
    assert not verify(KEY.public, Domain.SIGN_ITEM, b"m", KEY.sign(Domain.SIGN_OPEN_ITEM, message))
    assert domain_hash(Domain.BLIND, b"ab", b"c") != domain_hash(Domain.BLIND, b"a", b"bc")


def test_every_domain_gives_another_hash_and_key():
    hashes = {domain_hash(domain, b"x") for domain in Domain} | {
        derive_key(domain, b"k" * 32, b"x") for domain in Domain
    }
    assert len(hashes) == 2 * len(Domain)
