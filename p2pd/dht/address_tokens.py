"""Address tokens: who returns one can read what is sent to its address (R5).

A token is a keyed hash of the endpoint, so nothing is kept for those who ask.  The secret changes every half life, and
the one before still counts: a token lives between half a life and a whole.
"""

from hmac import compare_digest

from p2pd import limits
from p2pd.dht.bounded import Recent
from p2pd.dht.peers import Peer
from p2pd.domains import Domain, derive_key
from p2pd.types import Endpoint, Now, RandomSource
from p2pd.wire.rpc import pack_endpoint

_HALF_LIFE_S = limits.TOKEN_LIFE_S / 2


class AddressTokens:
    """Those that we give, and those that we were given."""

    def __init__(self, random: RandomSource) -> None:
        self._random = random
        self._secrets = (random.bytes(32), random.bytes(32))
        self._rotated_s: float | None = None
        self._given: Recent[Peer, bytes] = Recent(limits.SOURCES)

    def give(self, to: Endpoint, now: Now) -> bytes:
        """The token of an endpoint."""
        self._rotate(now)
        return self._token(self._secrets[0], to)

    def proves(self, token: bytes, source: Endpoint, now: Now) -> bool:
        """Whether we gave it to this endpoint within its life."""
        self._rotate(now)
        if len(token) != limits.TOKEN_BYTES:
            return False
        return any(compare_digest(token, self._token(secret, source)) for secret in self._secrets)

    def is_current(self, token: bytes, source: Endpoint) -> bool:
        """Whether it will go on proving for half a life at least."""
        return compare_digest(token, self._token(self._secrets[0], source))

    def keep(self, peer: Peer, token: bytes) -> None:
        """The peer gave us this; empty: nothing new."""
        if token:
            self._given.put(peer, token)

    def of(self, peer: Peer) -> bytes:
        """What the peer gave us, or nothing."""
        return self._given.find(peer) or b""

    def drop(self, peer: Peer) -> None:
        """The peer does not take its token any more."""
        self._given.pop(peer)

    def _rotate(self, now: Now) -> None:
        if self._rotated_s is None:
            self._rotated_s = now.steady
        passed = now.steady - self._rotated_s
        if passed >= _HALF_LIFE_S:
            older = self._secrets[0] if passed < 2 * _HALF_LIFE_S else self._random.bytes(32)
            self._secrets = (self._random.bytes(32), older)
            self._rotated_s = now.steady

    @staticmethod
    def _token(secret: bytes, endpoint: Endpoint) -> bytes:
        return derive_key(Domain.ADDRESS_TOKEN, secret, pack_endpoint(endpoint), size=limits.TOKEN_BYTES)
