"""Who may open a connection to us: counts, and the token a stranger must echo under load (R20, R21).

Rules: an address that has not proved itself costs no state while we are under load, and never gets more than it sent.
A newcomer is not refused because others hold all places: of the address that holds most (private: key), the connection
goes that is half-open longest, or that has said nothing for longest; a link stays, the core counts these.
"""

import os
from collections import Counter
from typing import TypeVar

from aioquic.quic.packet import QuicHeader, encode_quic_retry
from aioquic.quic.retry import QuicRetryTokenHandler

from p2pd.dht.peers import source_prefix
from p2pd.errors import PeerError
from p2pd.net.connection import VERSION, Connection
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint, NodeKey

CID_BYTES = 8
Key = TypeVar("Key", bytes, NodeKey)


class Admission:
    """Counts of incoming connections, and the decision over each new one."""

    def __init__(self, tuning: QuicTuning) -> None:
        self._tuning = tuning
        self._tokens = QuicRetryTokenHandler()
        self._half_open: dict[Connection, bytes] = {}
        self._authenticated: dict[Connection, tuple[bytes, NodeKey]] = {}
        self._per_source: Counter[bytes] = Counter()
        self._per_node: Counter[NodeKey] = Counter()
        self._initials = 0.0
        self._counted_at = 0.0

    @property
    def half_open(self) -> int:
        return len(self._half_open)

    @property
    def authenticated(self) -> int:
        return len(self._authenticated)

    def under_load(self, now: float) -> bool:
        """Whether strangers must prove their address first."""
        self._forget_initials(now)
        return self.half_open > self._tuning.retry_half_open or self._initials > self._tuning.retry_initials_per_s

    def proven_cid(self, header: QuicHeader, source: Endpoint, now: float) -> bytes | None:
        """Where a first packet was sent before our Retry; None where it had no token; PeerError if that is forged."""
        self._forget_initials(now)
        self._initials += 0 if header.token else 1
        if not header.token:
            return None
        try:
            return self._tokens.validate_token(
                address=(source.host, source.port), destination_cid=header.destination_cid, token=header.token, now=now
            )
        except ValueError as error:
            raise PeerError("bad retry token") from error

    def retry(self, header: QuicHeader, source: Endpoint, now: float) -> bytes:
        """The stateless answer to a first packet: come again with this token."""
        source_cid = os.urandom(CID_BYTES)
        token = self._tokens.create_token(
            address=(source.host, source.port),
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=source_cid,
            now=now,
        )
        return encode_quic_retry(
            version=VERSION,
            source_cid=source_cid,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=token,
        )

    def make_room(self, source: Endpoint) -> Connection | None:
        """What must end for one more from there, if anything; PeerError where that is one too many of its address."""
        if not self._tuning.private and self._per_source[source_prefix(source.host)] >= self._tuning.per_source:
            raise PeerError("too many from one address")
        if self.half_open < self._tuning.unauthenticated:
            return None
        held = Counter(self._half_open.values())
        ended = max(self._half_open, key=lambda connection: held[self._half_open[connection]])  # the first, so oldest
        self.closed(ended)
        return ended

    def opened(self, connection: Connection, source: Endpoint) -> None:
        """An incoming connection has state now."""
        prefix = source_prefix(source.host)
        self._half_open[connection] = prefix
        self._per_source[prefix] += 1

    def proved(self, connection: Connection, node: NodeKey) -> Connection | None:
        """Its peer has proved a node key; what must end for it, if anything; PeerError where it is one too many."""
        self._authenticated[connection] = (self._half_open.pop(connection), node)
        self._per_node[node] += 1
        if self._tuning.private and self._per_node[node] > self._tuning.per_source:
            raise PeerError("too many of one node")
        if self.authenticated <= self._tuning.authenticated:
            return None
        others = [other for other in self._authenticated if not other.carries_link and other is not connection]
        if not others:
            raise PeerError("too many authenticated")
        ended = max(others, key=lambda other: (self._held_with(other), -other.spoke_at))
        self.closed(ended)
        return ended

    def closed(self, connection: Connection) -> None:
        """An incoming connection is gone, or as good as gone."""
        prefix = self._half_open.pop(connection, None)
        if connection in self._authenticated:
            prefix, node = self._authenticated.pop(connection)
            _decrease(self._per_node, node)
        if prefix is not None:
            _decrease(self._per_source, prefix)

    def _held_with(self, connection: Connection) -> int:
        """How many there are of its address, or in a private network of its key."""
        prefix, node = self._authenticated[connection]
        return self._per_node[node] if self._tuning.private else self._per_source[prefix]

    def _forget_initials(self, now: float) -> None:
        elapsed = max(0.0, now - self._counted_at)
        self._initials = max(0.0, self._initials - elapsed * self._tuning.retry_initials_per_s)
        self._counted_at = now


def _decrease(counts: Counter[Key], key: Key) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
