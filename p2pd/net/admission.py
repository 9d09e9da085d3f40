"""Who may open a connection to us: counts, and the token a stranger must echo under load (R20, R21).

Rules: an address that has not proved itself costs no state while we are under load, and never gets more than it sent.
"""

import os
from collections import Counter
from typing import TypeVar

from aioquic.quic.packet import QuicHeader, encode_quic_retry
from aioquic.quic.retry import QuicRetryTokenHandler

from p2pd.errors import PeerError
from p2pd.net.connection import VERSION, Connection
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint, NodeKey

CID_BYTES = 8
Key = TypeVar("Key", str, NodeKey)


class Admission:
    """Counts of incoming connections, and the decision over each new one."""

    def __init__(self, tuning: QuicTuning) -> None:
        self._tuning = tuning
        self._tokens = QuicRetryTokenHandler()
        self._half_open: dict[Connection, str] = {}
        self._authenticated: dict[Connection, tuple[str, NodeKey]] = {}
        self._per_source: Counter[str] = Counter()
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

    def has_room(self, source: Endpoint) -> None:
        """PeerError where one more unauthenticated connection from there is too many."""
        if self.half_open >= self._tuning.unauthenticated:
            raise PeerError("too many unauthenticated")
        if not self._tuning.private and self._per_source[source.host] >= self._tuning.per_source:
            raise PeerError("too many from one address")

    def opened(self, connection: Connection, source: Endpoint) -> None:
        """An incoming connection has state now."""
        self._half_open[connection] = source.host
        self._per_source[source.host] += 1

    def proved(self, connection: Connection, node: NodeKey) -> None:
        """Its peer has proved a node key; PeerError where that is one connection too many."""
        host = self._half_open.pop(connection)
        self._authenticated[connection] = (host, node)
        self._per_node[node] += 1
        if self.authenticated > self._tuning.authenticated:
            raise PeerError("too many authenticated")
        if self._tuning.private and self._per_node[node] > self._tuning.per_source:
            raise PeerError("too many of one node")

    def closed(self, connection: Connection) -> None:
        """An incoming connection is gone."""
        host = self._half_open.pop(connection, None)
        if connection in self._authenticated:
            host, node = self._authenticated.pop(connection)
            _decrease(self._per_node, node)
        if host is not None:
            _decrease(self._per_source, host)

    def _forget_initials(self, now: float) -> None:
        elapsed = max(0.0, now - self._counted_at)
        self._initials = max(0.0, self._initials - elapsed * self._tuning.retry_initials_per_s)
        self._counted_at = now


def _decrease(counts: Counter[Key], key: Key) -> None:
    counts[key] -= 1
    if counts[key] <= 0:
        del counts[key]
