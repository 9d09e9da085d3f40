"""Address tokens: what proves an address, for how long, and when those of before count no more."""

from p2pd import limits
from p2pd.dht.address_tokens import AddressTokens
from p2pd.dht.peers import Peer
from p2pd.types import Endpoint, NodeKey, Now
from tests.chance import SeededRandom

START = Now(0.0, 0)
HERE, THERE = Endpoint("192.0.2.1", 4242), Endpoint("192.0.2.2", 4242)
PEER = Peer(NodeKey(bytes(32)), THERE)


def test_a_token_proves_its_own_address_for_its_life() -> None:
    tokens = AddressTokens(SeededRandom(1))
    token = tokens.give(HERE, START)
    assert tokens.proves(token, HERE, START)
    assert not tokens.proves(token, THERE, START)
    assert not tokens.proves(token, HERE, Now(2.0 * limits.TOKEN_LIFE_S, 0))


def test_who_has_moved_shows_no_token_of_before() -> None:
    tokens = AddressTokens(SeededRandom(1))
    tokens.keep(PEER, bytes(limits.TOKEN_BYTES), START)
    assert tokens.of(PEER, START)
    tokens.forget_given()
    assert not tokens.of(PEER, START)
