"""The only file that touches names of aioquic's that it does not promise, and what they give us.

| private name                                      | for                                                          |
|---------------------------------------------------|--------------------------------------------------------------|
| `_initialize`, `tls._request_client_certificate`  | a server that asks for a certificate (R16)                   |
| `tls._peer_certificate`, `_peer_certificate_chain`| the certificate that the peer proved, and that it is alone   |
| `_write_connection_limits`, `_write_stream_limits`| receive windows that follow consumption, not arrival (R20)   |
| `_local_max_data`, `_local_max_streams_*`         | the same; how many streams a peer may open                   |
| `_handle_crypto_frame`                             | how much of a TLS handshake is kept (R20)                    |
| `_handshake_complete`, `_crypto_buffers`           | room for a handshake, given back when it is over             |
| `_streams`, sender's `_buffer_start`, `_buffer_stop` | bytes written that the peer has not acknowledged          |
| `_network_paths`                                  | which of the peer's addresses is proven, and what went there |
| all attributes but that                           | what an ended connection holds, given back at once           |
| `_close_event`, `_close_pending`                  | that a connection has ended, without waiting until it drained|
| `_ack_delay`, `_spaces`, their `ack_at`           | acknowledgements that share packets with what is sent        |
| `_loss._rtt_smoothed`                             | how long a sign of life may take                             |

aioquic as it is doubles a window whenever half of it is used, and backs a gap in a stream with real memory: 791 bytes
of packets hold a gibibyte.  Here a window ends at what was consumed plus a constant.  Of a TLS message it keeps what
has come until all has, up to 16 MiB, for as long as the connection lives, and copies all of it with every packet.  Here
a handshake has a largest size, and ours no more room than it needs: aioquic keeps 48 KiB for it.
Rules: every name above has a test, and `check_private_names` refuses to start on a version where one has changed.
"""

from aioquic.buffer import Buffer  # type: ignore[attr-defined]  # public, though not marked as exported
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import NetworkAddress, QuicConnection, QuicConnectionError, QuicReceiveContext
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamDataReceived
from aioquic.quic.packet import QuicErrorCode
from aioquic.quic.packet_builder import QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream
from aioquic.tls import Epoch

from p2pd import limits
from p2pd.crypto.certificate import certificate_digest, certified_node_key
from p2pd.errors import PeerError
from p2pd.types import NodeKey

_UNPROVEN_TIMES = 3
"""RFC 9000, section 8.1."""
_OUR_MESSAGES_BYTES = 4 * limits.KIB
"""Room for what we say in each stage of a TLS handshake: less than 1 KiB."""
_PASSED_S = 1e-6
"""An acknowledgement that was due before now is not paced; one that is due now would be, and spin until it is sent."""


class FlowConnection(QuicConnection):
    """aioquic's connection with a certificate asked of both sides, and windows that the reader moves.

    Events must be taken before packets are written: bytes of a stream count from their event on.
    Whoever takes a `StreamDataReceived` must say `consumed` of its bytes once they no longer hold memory.
    """

    def __init__(
        self,
        configuration: QuicConfiguration,
        original_destination_connection_id: bytes | None = None,
        retry_source_connection_id: bytes | None = None,
    ) -> None:
        super().__init__(
            configuration=configuration,
            original_destination_connection_id=original_destination_connection_id,
            retry_source_connection_id=retry_source_connection_id,
        )
        self._unread: dict[int, int] = {}
        self._local_max_streams_bidi.value = self._local_max_streams_bidi.sent = (
            0 if configuration.is_client else limits.STREAMS_PER_CONNECTION
        )
        self._local_max_streams_uni.value = self._local_max_streams_uni.sent = 0
        self._ack_delay = limits.ACK_DELAY_S
        self._has_news = False
        self._unanswered = 0
        """Packets that came since an acknowledgement began to wait."""

    # --- who the peer is

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        self._crypto_buffers = {epoch: Buffer(capacity=_OUR_MESSAGES_BYTES) for epoch in self._crypto_buffers}
        if not self.configuration.is_client:
            self.tls._request_client_certificate = True

    def peer_identity(self) -> tuple[NodeKey, bytes]:
        """The node key that the peer proved and its certificate's digest; PeerError unless one good one was sent."""
        certificate = self.tls._peer_certificate
        if certificate is None:
            raise PeerError("no certificate")
        if self.tls._peer_certificate_chain:
            raise PeerError("more than one certificate")
        return certified_node_key(certificate), certificate_digest(certificate)

    def proven_address(self) -> NetworkAddress | None:
        """Where the peer was when it last proved its address: the source of a packet alone proves nothing."""
        return next((path.addr for path in self._network_paths if path.is_validated), None)

    # --- receiving

    def receive_datagram(self, data: bytes, addr: NetworkAddress, now: float) -> None:
        """As aioquic's; several packets are acknowledged soon and together, many at once (RFC 9000, section 13.2.2).

        To a sender in the middle of much, an acknowledgement for every other packet costs as much as sending them.
        """
        waited = self._ack_at() is not None
        super().receive_datagram(data, addr, now)
        due_at = self._ack_at()
        self._unanswered = self._unanswered + 1 if waited else 1
        if waited and due_at is not None:
            soon = now - _PASSED_S if self._unanswered >= limits.ACK_PACKETS else now + limits.ACK_SOON_S
            self._spaces[Epoch.ONE_RTT].ack_at = min(due_at, soon)

    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None:
        """As aioquic's; PeerError where the peer does not want the stream: it may say so before it has opened it."""
        try:
            super().send_stream_data(stream_id, data, end_stream)
        except RuntimeError as error:
            raise PeerError("stream given up") from error
        self._has_news = True

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, NetworkAddress]]:
        """As aioquic's; to an address that is not proven nothing beyond three times what came from there.

        aioquic counts that as well, but lets the packet that ends a connection pass (RFC 9000, section 8.1).
        """
        path = self._network_paths[0]
        room = _UNPROVEN_TIMES * path.bytes_received - path.bytes_sent
        datagrams = self._datagrams_with_news(now)
        if path.is_validated or sum(len(data) for data, _ in datagrams) <= room:
            return datagrams
        return [each for each in datagrams if (room := room - len(each[0])) >= 0]

    def _datagrams_with_news(self, now: float) -> list[tuple[bytes, NetworkAddress]]:
        """The packet that carries bytes of a stream carries an acknowledgement that waits, too."""
        due_at, has_news, self._has_news = self._ack_at(), self._has_news, False
        if due_at is None or not has_news:
            return super().datagrams_to_send(now)
        space = self._spaces[Epoch.ONE_RTT]
        space.ack_at = min(due_at, now - _PASSED_S)
        datagrams = super().datagrams_to_send(now)
        if space.ack_at is not None:  # nothing can be sent at present
            space.ack_at = due_at
        return datagrams

    def _ack_at(self) -> float | None:
        space = self._spaces.get(Epoch.ONE_RTT)
        return None if space is None else space.ack_at

    def _handle_crypto_frame(self, context: QuicReceiveContext, frame_type: int, buf: Buffer) -> None:
        start = buf.tell()
        end = buf.pull_uint_var() + buf.pull_uint_var()
        buf.seek(start)
        if end > limits.HANDSHAKE_BYTES:
            raise QuicConnectionError(QuicErrorCode.CRYPTO_BUFFER_EXCEEDED, frame_type, "handshake too long")
        super()._handle_crypto_frame(context, frame_type, buf)
        if self._handshake_complete:
            self._crypto_buffers.clear()  # without session tickets, TLS has nothing more to say

    def handshake_room(self) -> int:
        """Bytes that TLS has to write its messages to."""
        return sum(buffer.capacity for buffer in self._crypto_buffers.values())

    def next_event(self) -> QuicEvent | None:
        """The next event, as aioquic's; bytes of a stream count as unread from here on."""
        event = super().next_event()
        if isinstance(event, StreamDataReceived):
            self._unread[event.stream_id] = self._unread.get(event.stream_id, 0) + len(event.data)
        return event

    def consumed(self, stream_id: int, count: int) -> None:
        """So many bytes of a stream hold no memory any more; its window moves by them."""
        left = self._unread.get(stream_id, 0) - count
        if left > 0:
            self._unread[stream_id] = left
        else:
            self._unread.pop(stream_id, None)

    def window_is_due(self, stream_id: int) -> bool:
        """Whether the peer has used so much of a window that what was consumed must be told."""
        stream, limit = self._streams.get(stream_id), self._local_max_data
        left = stream.max_stream_data_local - stream.receiver.highest_offset if stream is not None else 0
        return (
            2 * left <= limits.STREAM_WINDOW_BYTES or 2 * (limit.value - limit.used) <= limits.CONNECTION_WINDOW_BYTES
        )

    def unread(self) -> int:
        """Bytes in memory for all streams: in aioquic's buffers, gaps included, and given to us."""
        buffered = sum(
            stream.receiver.highest_offset - stream.receiver.starting_offset() for stream in self._streams.values()
        )
        return buffered + sum(self._unread.values())

    def _write_connection_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace) -> None:
        limit = self._local_max_data
        used = limit.used
        window = self.configuration.max_data
        if 2 * (limit.value - used) <= window:
            limit.value = max(limit.value, used - self.unread() + window)
        limit.used = 0  # aioquic doubles the limit where more than half of it is used
        try:
            super()._write_connection_limits(builder, space)
        finally:
            limit.used = used

    def _write_stream_limits(self, builder: QuicPacketBuilder, space: QuicPacketSpace, stream: QuicStream) -> None:
        receiver = stream.receiver
        if receiver.is_finished or stream.stream_id is None:
            return
        highest, window = receiver.highest_offset, self.configuration.max_stream_data
        if 2 * (stream.max_stream_data_local - highest) <= window:
            consumed = receiver.starting_offset() - self._unread.get(stream.stream_id, 0)
            stream.max_stream_data_local = max(stream.max_stream_data_local, consumed + window)
        if stream.max_stream_data_local == stream.max_stream_data_local_sent:
            return
        receiver.highest_offset = 0
        try:
            super()._write_stream_limits(builder, space, stream)
        finally:
            receiver.highest_offset = highest

    # --- sending

    def unsent(self, stream_id: int) -> int:
        """Bytes written to a stream that the peer has not acknowledged."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None else stream.sender._buffer_stop - stream.sender._buffer_start

    def round_trip_s(self) -> float:
        """The smoothed round trip (RFC 9002, section 5.3); 0 before the first was measured."""
        return float(self._loss._rtt_smoothed)

    # --- the end

    def ended(self) -> ConnectionTerminated | None:
        """Why the connection is over, as soon as nothing is left to send; its end needs no further care."""
        return None if self._close_pending else self._close_event

    def release(self) -> None:
        """Give back all that it holds; it is over, and nothing but `get_peer_address` and `unsent` is asked any more.

        Its parts refer to each other, so without this they stay until the collector looks, which may be long.
        """
        paths = self._network_paths
        vars(self).clear()
        self._network_paths = paths
        self._streams = {}
