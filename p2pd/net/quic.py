"""All QUIC connections of a node, in both roles, on one socket; no socket, loop or clock of its own.

Datagrams go in with their source and the time, datagrams go out through `send`; `flush` after every batch.
It does not know what streams carry: an `Owner` per connection does.
Rules: only a whole Initial packet creates state, and none that answers a dial of ours which is over; what fits no
connection is dropped without an answer; a connection that has ended is forgotten at once.
"""

from collections import Counter
from collections.abc import Callable

from aioquic.buffer import Buffer  # type: ignore[attr-defined]  # public, though not marked as exported
from aioquic.quic.packet import QuicHeader, QuicPacketType, pull_quic_header

from p2pd import limits
from p2pd.dht.bounded import Recent
from p2pd.errors import PeerError, QuotaError
from p2pd.net.admission import CID_BYTES, Admission
from p2pd.net.connection import (
    CLOSED_BY_CHOICE,
    CLOSED_FULL,
    VERSION,
    Connection,
    Credentials,
    Owner,
    client_configuration,
    server_configuration,
)
from p2pd.net.quic_private import FlowConnection
from p2pd.net.timers import Timers
from p2pd.net.traffic import Cause, Traffic
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint, NodeKey

Send = Callable[[Endpoint, bytes, str], None]
_FIXED_BIT = 0x40
_LONG_BIT = 0x80
"""Of the first byte: the connection id follows it, or the version and the id's length (RFC 9000, section 17)."""


class QuicEndpoint:
    """The table of connections, by connection id, with their timers."""

    def __init__(self, credentials: Credentials, tuning: QuicTuning, send: Send, accept: Callable[[], Owner]) -> None:
        self.credentials = credentials
        self.tuning = tuning
        self.admission = Admission(tuning)
        self.counts: Counter[str] = Counter()
        self.traffic = Traffic()
        self._send = send
        self._accept = accept
        self._server_configuration = server_configuration(credentials, tuning)
        self._by_cid: dict[bytes, Connection] = {}
        self._connections: dict[Connection, None] = {}
        self.ended = 0
        """Connections that are over, since the start."""
        self._outgoing = 0
        self._left: Recent[bytes, None] = Recent(limits.DIALS * limits.DIAL_ENDPOINTS)
        """Our ids of dials and links that are over: a server repeats its first packets, which look like a caller's."""
        self._dirty: dict[Connection, None] = {}
        self._timers: Timers[Connection] = Timers()
        self._unread = 0
        self._unread_by: dict[Connection, int] = {}
        """Bytes that each held when something last came, and all of them together."""

    def __len__(self) -> int:
        return len(self._connections)

    # --- what arrives

    def connection_of(self, data: bytes) -> Connection | None:
        """The connection that a datagram is for, by the id that its first packet names (RFC 8999, section 5)."""
        if len(data) <= CID_BYTES or not data[0] & _FIXED_BIT:
            return None
        if data[0] & _LONG_BIT:
            return self._by_cid.get(data[6 : 6 + data[5]])
        return self._by_cid.get(data[1 : 1 + CID_BYTES])

    def on_datagram(self, data: bytes, source: Endpoint, now: float) -> None:
        """Take a datagram whose first byte has the bit 0x40; `flush` must follow."""
        connection = self.connection_of(data) or self._by_header(data, source, now)
        if connection is None:
            self.traffic.received[Cause.REJECTED] += len(data)
            return
        proves = connection.node is None
        connection.receive(data, source, now)
        self.traffic.received[Cause.HANDSHAKE if proves else connection.cause(now)] += len(data)
        self.touch(connection)
        self._bound_unread(connection)

    def _bound_unread(self, connection: Connection) -> None:
        """End those that hold most where all together hold too much that was not read, gaps of streams above all."""
        unread = connection.quic.unread()
        self._unread += unread - self._unread_by.get(connection, 0)
        self._unread_by[connection] = unread
        if self._unread <= self.tuning.unread_bytes:
            return
        self._unread_by = {each: each.quic.unread() for each in self._connections if each.ended is None}
        self._unread = sum(self._unread_by.values())  # what was read since is counted here alone
        while self._unread > self.tuning.unread_bytes:
            most = max(self._unread_by, key=lambda each: (not each.carries_link, self._unread_by[each]))
            self._unread -= self._unread_by.pop(most)
            self._end_for_another(most)

    def _by_header(self, data: bytes, source: Endpoint, now: float) -> Connection | None:
        """The connection that a datagram is for, perhaps a new one; None where it is for none."""
        try:
            header = pull_quic_header(Buffer(data=data), host_cid_length=CID_BYTES)
        except ValueError:
            self.counts["bad header"] += 1
            return None
        connection = self._by_cid.get(header.destination_cid)
        try:
            return connection or self._admit(header, data, source, now)
        except PeerError as error:
            self.counts[error.reason] += 1
            return None

    def _admit(self, header: QuicHeader, data: bytes, source: Endpoint, now: float) -> Connection | None:
        """The connection that a stranger's first packet opens; None if it was told to come again."""
        initial = header.packet_type == QuicPacketType.INITIAL and header.version == VERSION
        if not initial or header.destination_cid in self._left:
            raise PeerError("no such connection")
        if len(data) < limits.QUIC_DATAGRAM_BYTES or len(header.destination_cid) < CID_BYTES:
            raise PeerError("short first packet")
        original_cid = self.admission.proven_cid(header, source, now)
        if original_cid is None and self.admission.under_load(now):
            self.counts["retry sent"] += 1
            retry = self.admission.retry(header, source, now)
            self._send(source, retry, Cause.REJECTED)
            return None
        self._end_for_another(self.admission.make_room(source))
        quic = FlowConnection(
            self._server_configuration,
            original_destination_connection_id=original_cid or header.destination_cid,
            retry_source_connection_id=None if original_cid is None else header.destination_cid,
        )
        connection = Connection(quic, source, self.credentials, self.tuning, now)
        connection.owner = _Doorman(self, self._accept())
        self._register(connection)
        self.admission.opened(connection, source)
        self._alias(connection, header.destination_cid)
        return connection

    # --- dialling

    def dial(
        self, endpoint: Endpoint, node: NodeKey, owner: Owner, now: float, credentials: Credentials | None = None
    ) -> Connection:
        """Begin a connection to a node, as ourselves or another; QuotaError where there are too many."""
        if self._outgoing >= self.tuning.outgoing:
            raise QuotaError("too many outgoing connections")
        credentials = credentials or self.credentials
        quic = FlowConnection(client_configuration(credentials, self.tuning))
        connection = Connection(quic, endpoint, credentials, self.tuning, now)
        connection.expected, connection.owner = node, owner
        self._register(connection)
        self._outgoing += 1
        quic.connect(endpoint, now)
        self.touch(connection)
        return connection

    # --- time

    def next_deadline(self) -> float | None:
        """When `on_timer` has something to do, in seconds on the steady clock."""
        return self._timers.next()

    def on_timer(self, now: float) -> None:
        """Do what is due; `flush` must follow."""
        for connection in self._timers.due(now):
            deadline = connection.deadline()
            if deadline is not None and deadline > now and connection not in self._dirty:  # it has moved away
                self._timers.set(connection, deadline)
                continue
            connection.on_timer(now)
            self.touch(connection)

    # --- what leaves

    def touch(self, connection: Connection) -> None:
        """Look after a connection at the next `flush`: something was written to it, read from it or closed."""
        if connection in self._connections:
            self._dirty[connection] = None

    def flush(self, now: float) -> None:
        """Send what every connection touched has to say, and forget those that have ended."""
        while self._dirty:
            dirty, self._dirty = self._dirty, {}
            for connection in dirty:
                self._flush_one(connection, now)

    def close_all(self, now: float) -> None:
        """Close every connection and tell the peers."""
        for connection in self._connections:
            connection.close(CLOSED_BY_CHOICE, "stopped")
            self.touch(connection)
        self.flush(now)

    def _flush_one(self, connection: Connection, now: float) -> None:
        for data, endpoint in connection.datagrams(now):
            self._send(endpoint, data, connection.cause_sent(now))
        for cid in connection.new_cids:
            self._alias(connection, cid)
        for cid in connection.gone_cids:
            connection.cids.discard(cid)
            self._by_cid.pop(cid, None)
        connection.new_cids.clear()
        connection.gone_cids.clear()
        if connection.ended is not None:
            self._forget(connection, connection.ended, now)
        elif (deadline := connection.deadline()) is not None:
            self._timers.set(connection, deadline)

    # --- the table

    def _register(self, connection: Connection) -> None:
        self._connections[connection] = None
        self.traffic.connections += 1
        self._alias(connection, connection.quic.host_cid)

    def _alias(self, connection: Connection, cid: bytes) -> None:
        connection.cids.add(cid)
        self._by_cid[cid] = connection

    def _forget(self, connection: Connection, reason: str, now: float) -> None:
        if connection not in self._connections:
            return
        del self._connections[connection]
        self.ended += 1
        self.traffic.connections -= 1
        self._timers.forget(connection)
        self._unread -= self._unread_by.pop(connection, 0)
        for cid in connection.cids:
            self._by_cid.pop(cid, None)
        self.counts.update(connection.counts)
        if connection.outgoing:
            self._outgoing -= 1
            self._left.put(connection.quic.host_cid, None)
        else:
            self.admission.closed(connection)
        if connection.owner is not None:
            connection.owner.on_ended(connection, reason, now)
        connection.quic.release()

    def prove(self, connection: Connection, node: NodeKey) -> None:
        """The peer of an incoming connection has proved its key; PeerError where it is one too many."""
        self._end_for_another(self.admission.proved(connection, node))

    def _end_for_another(self, ended: Connection | None) -> None:
        if ended is not None:
            self.counts["ended for another"] += 1
            ended.close(CLOSED_FULL, "ended for another")
            self.touch(ended)


class _Doorman:
    """Owner of an incoming connection until its peer is proved and there is room for it."""

    def __init__(self, quic: QuicEndpoint, owner: Owner) -> None:
        self._quic = quic
        self._owner = owner

    def on_ready(self, connection: Connection, now: float) -> None:
        if connection.node is None:
            raise AssertionError("ready without a node key")
        try:
            self._quic.prove(connection, connection.node)
        except PeerError as error:
            connection.counts[error.reason] += 1
            connection.close(CLOSED_FULL, error.reason)
            return
        connection.owner = self._owner
        self._owner.on_ready(connection, now)

    def on_stream(self, connection: Connection, stream: int, data: bytes, end: bool, now: float) -> None:
        raise PeerError("stream before proof")

    def on_reset(self, connection: Connection, stream: int, now: float) -> None:
        raise PeerError("stream before proof")

    def on_progress(self, connection: Connection, now: float) -> None:
        pass

    def on_ended(self, connection: Connection, reason: str, now: float) -> None:
        pass
