from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey

from p2pd.crypto.prekeys import KEM_CIPHERTEXT_SIZE, KEM_PUBLIC_SIZE, OneTimePair, PrekeyPair, new_prekey
from tests.second import curve


def test_the_public_half_follows_from_the_secret(vectors):
    contact = vectors["first_contact"]
    pair = PrekeyPair(7, 0, contact["prekey"], contact["kem_seed"])
    public = pair.public()
    assert (public.id, public.x25519) == (7, curve.x25519_public(contact["prekey"]))
    assert public.kem == contact["kem_public"]
    assert len(public.kem) == KEM_PUBLIC_SIZE
    assert OneTimePair(3, contact["one_time"]).public().x25519 == curve.x25519_public(contact["one_time"])


def test_new_prekeys_take_their_chance_from_the_source_and_differ(chance):
    first, second = new_prekey(1, 5, chance), new_prekey(2, 6, chance)
    assert (first.id, first.made_ms, second.id, second.made_ms) == (1, 5, 2, 6)
    assert first.x25519 != second.x25519
    assert first.kem != second.kem
    key = MLKEM768PrivateKey.from_seed_bytes(first.kem)
    secret, ciphertext = key.public_key().encapsulate()
    assert len(ciphertext) == KEM_CIPHERTEXT_SIZE
    assert key.decapsulate(ciphertext) == secret


def test_pairs_compare_by_their_secrets_and_do_not_show_them(chance):
    pair = new_prekey(1, 5, chance)
    assert pair == PrekeyPair(1, 5, pair.x25519, pair.kem)
    assert pair != PrekeyPair(1, 5, pair.x25519, bytes(64))
    assert pair != PrekeyPair(2, 5, pair.x25519, pair.kem)
    assert repr(pair) == "PrekeyPair(id=1, made_ms=5)"
    assert repr(OneTimePair(3, b"s" * 32)) == "OneTimePair(id=3)"
