"""Address tokens: who returns one can read what is sent to its address (R5).

A token is a keyed hash of the endpoint, so nothing is kept for those who ask.  The secret changes every half life, and
the one before still counts: a token lives between half a life and a whole.  So what we were given is used for half a
life after its giver last took or gave it; a question with a token that is no more could not be answered at all, since
it is not padded.
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
        self._given: Recent[Peer, tuple[bytes, float]] = Recent(limits.SOURCES)
        """Tokens, and when they were known to be current."""

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

    def keep(self, peer: Peer, token: bytes, now: Now) -> None:
        """The peer gave us this; empty: the one it has from us is current."""
        held = token or self.of(peer, now)
        if held:
            self._given.put(peer, (held, now.steady))

    def forget_given(self) -> None:
        """We are at another address: no token that we were given counts there."""
        self._given.clear()

    def of(self, peer: Peer, now: Now) -> bytes:
        """What the peer gave us, while it is sure to count, or nothing."""
        token, at_s = self._given.find(peer) or (b"", now.steady)
        return token if now.steady - at_s < _HALF_LIFE_S else b""

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
