import pytest

from p2pd.crypto.keys import SigningKey
from p2pd.crypto.stamp import make_node_seed, node_key_bits, solve, stamp_bits
from p2pd.domains import Domain
from p2pd.limits import STAMP_BITS_MAX


def test_a_solution_has_the_bits_asked_for_and_is_the_first_from_its_start():
    nonce = solve(Domain.STAMP, b"record", 4)
    assert stamp_bits(Domain.STAMP, b"record", nonce) >= 4
    before = range(int.from_bytes(nonce, "big"))
    assert all(stamp_bits(Domain.STAMP, b"record", number.to_bytes(8, "big")) < 4 for number in before)
    later = solve(Domain.STAMP, b"record", 2, start=int.from_bytes(nonce, "big") + 1)
    assert later > nonce


def test_a_solution_is_bound_to_its_challenge_and_domain():
    nonces = [number.to_bytes(8, "big") for number in range(40)]
    of_one = [stamp_bits(Domain.STAMP, b"one", nonce) for nonce in nonces]
    assert of_one != [stamp_bits(Domain.STAMP, b"other", nonce) for nonce in nonces]
    assert of_one != [stamp_bits(Domain.NODE_PUZZLE, b"one", nonce) for nonce in nonces]
    assert max(of_one) >= 2


def test_stamps_and_node_keys_have_the_bits_of_the_vectors(vectors):
    stamp = vectors["stamp"]
    nonces = [number.to_bytes(8, "big") for number in range(len(stamp["bits"]))]
    assert [stamp_bits(Domain.STAMP, stamp["challenge"], nonce) for nonce in nonces] == stamp["bits"]
    assert [node_key_bits(public) for public in stamp["nodes"]] == stamp["node_bits"]


def test_a_node_seed_satisfies_the_puzzle(chance):
    seed = make_node_seed(5, chance)
    assert node_key_bits(SigningKey(seed).public) >= 5


def test_private_networks_have_no_puzzle_and_nobody_asks_too_much(chance):
    assert len(make_node_seed(0, chance)) == 32
    for bits in (-1, STAMP_BITS_MAX + 1):
        with pytest.raises(ValueError, match="bits"):
            solve(Domain.STAMP, b"record", bits)
        with pytest.raises(ValueError, match="bits"):
            make_node_seed(bits, chance)
