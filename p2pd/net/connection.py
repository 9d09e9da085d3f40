"""One QUIC connection in either role, up to the proof of the peer's node key; what its streams mean is its owner's.

It does not know sockets, links or requests.
Rules: no byte of a stream reaches the owner before both certificates are checked (R16); no tickets, no early data
(R17); bytes that aioquic stumbles over end this connection and nothing else.

    handshake -> authenticated -> ended
    handshake -> ended                    a certificate is missing, wrong or one too many; or time is up
"""

import hashlib
import logging
import math
import ssl
from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicProtocolVersion

from p2pd import limits
from p2pd.crypto.certificate import certificate_digest, node_certificate
from p2pd.crypto.keys import SigningKey
from p2pd.errors import PeerError
from p2pd.net.quic_private import FlowConnection
from p2pd.net.traffic import Cause
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint, NodeKey, RandomSource

ALPN = "p2pd/1"
VERSION = QuicProtocolVersion.VERSION_1
CLOSED_BY_CHOICE = 0x00
CLOSED_UNPROVEN = 0x01
CLOSED_FULL = 0x02
CLOSED_BROKEN = 0x03
"""Application error codes of a close; peers only log them."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A node key, or a throwaway one, with the certificate that proves it."""

    node: NodeKey
    certificate: object
    key: object
    """Both as TLS wants them; nobody else looks inside."""
    digest: bytes

    @classmethod
    def of(cls, signer: SigningKey, random: RandomSource) -> "Credentials":
        """A fresh certificate of the key."""
        certificate, key = node_certificate(signer, random)
        return cls(NodeKey(signer.public), certificate, key, certificate_digest(certificate))


class Owner(Protocol):
    """What an authenticated connection tells; the owner says `consumed` of what it was given."""

    def on_ready(self, connection: "Connection", now: float) -> None:
        """The peer has proved its node key."""
        ...

    def on_stream(self, connection: "Connection", stream: int, data: bytes, end: bool, now: float) -> None:
        """Bytes of a stream in order; `end` when none will follow; PeerError closes the connection."""
        ...

    def on_reset(self, connection: "Connection", stream: int, now: float) -> None:
        """The peer has given a stream up, in one or the other direction."""
        ...

    def on_progress(self, connection: "Connection", now: float) -> None:
        """Packets came: what was unacknowledged may be so no longer."""
        ...

    def on_ended(self, connection: "Connection", reason: str, now: float) -> None:
        """The connection is over, whoever ended it."""
        ...


class Connection:
    """A `FlowConnection` with its peer's identity, its owner and the time-outs that QUIC itself does not have."""

    def __init__(
        self, quic: FlowConnection, remote: Endpoint, credentials: Credentials, tuning: QuicTuning, now: float
    ) -> None:
        self.quic = quic
        self.outgoing = quic.configuration.is_client
        self.node: NodeKey | None = None
        self.expected: NodeKey | None = None
        self.binding = b""
        self.owner: Owner | None = None
        self.keep_alive = False
        self.purpose: str = Cause.HANDSHAKE
        """What its datagrams are for, once it has a purpose."""
        self.repeats = True
        """Whether a dial that has heard nothing says its first packet again."""
        self.cids: set[bytes] = {quic.host_cid}
        self.new_cids: list[bytes] = []
        self.gone_cids: list[bytes] = []
        self.counts: Counter[str] = Counter()
        self._remote = remote
        self._digest = credentials.digest
        self._tuning = tuning
        self._opened_at = now
        self._received_at = now
        self._heard = False
        self._pinged_at = now
        self._asked_at: float | None = None
        self._doubted_until: float | None = None
        self._spoke_at = now
        self._carries_link = self._finishes = False
        self._end: str | None = None

    @property
    def remote(self) -> Endpoint:
        """Where the peer has proved to be: a dialler may have moved, but the source of a packet can be forged."""
        address = self.quic.proven_address()
        return address if isinstance(address, Endpoint) else self._remote

    @property
    def ended(self) -> str | None:
        """Why it is over, or None."""
        return self._end

    @property
    def carries_link(self) -> bool:
        """Whether a link has written to it: the core counts those, and ends what is too much itself."""
        return self._carries_link

    @property
    def spoke_at(self) -> float:
        """When something was last said on a stream; signs of life do not count."""
        return self._spoke_at

    # --- what arrives

    def receive(self, data: bytes, source: Endpoint, now: float) -> None:
        """Take one datagram."""
        if self.node is None and not self.outgoing and source != self._remote:
            # nobody moves before a handshake is over (RFC 9000, section 9); aioquic would take a handshake packet from
            # anywhere for a proof of that address
            self.counts["moved in the handshake"] += 1
            return
        self._received_at, self._heard = now, True
        self._asked_at = self._doubted_until = None
        try:
            self.quic.receive_datagram(data, source, now)
        except Exception:
            # aioquic parses hostile bytes: what it did not foresee must not reach anyone but this peer
            self.counts["quic exception"] += 1
            _logger.debug("aioquic raised on a packet", exc_info=True)
            self.close(CLOSED_BROKEN, "broken")
        self._take_events(now)
        if self.owner is not None and self.node is not None and self._end is None:
            self.owner.on_progress(self, now)

    def on_timer(self, now: float) -> None:
        """Do what is due; may be called too early."""
        if self._quic_timer() <= now:
            self.quic.handle_timer(now)
        if self.node is None and now >= self._opened_at + self._tuning.authenticate_s:
            self.close(CLOSED_UNPROVEN, "not authenticated in time")
        if self.keep_alive and now >= self._given_up_at():
            self.close(CLOSED_BY_CHOICE, "no answer")
        elif self.keep_alive and now >= self._keepalive_at():
            self._pinged_at = now
            self.quic.send_ping(0)
            self._await_answer(now)
        self._take_events(now)

    def deadline(self) -> float | None:
        """When `on_timer` has something to do."""
        when = self._quic_timer()
        if self.node is None:
            when = min(when, self._opened_at + self._tuning.authenticate_s)
        if self.keep_alive:
            when = min(when, self._keepalive_at(), self._given_up_at())
        return when if when < math.inf else None

    def _quic_timer(self) -> float:
        when = self.quic.get_timer() if self._heard or self.repeats else None
        return math.inf if when is None else when

    def _given_up_at(self) -> float:
        """When a link that gives no sign of life is over."""
        unanswered = math.inf if self._asked_at is None else self._asked_at + self._tuning.unanswered_s
        return unanswered if self._doubted_until is None else min(unanswered, self._doubted_until)

    def _keepalive_at(self) -> float:
        return max(self._received_at, self._pinged_at) + self._tuning.keepalive_s

    def _take_events(self, now: float) -> None:
        while self._end is None and (event := self.quic.next_event()) is not None:
            try:
                self._take(event, now)
            except PeerError as error:
                self.counts[error.reason] += 1
                self.close(CLOSED_UNPROVEN if self.node is None else CLOSED_BROKEN, error.reason)
        if self._end is None and (termination := self.quic.ended()) is not None:
            self._end = termination.reason_phrase or f"closed with {termination.error_code:#x}"

    def _take(self, event: events.QuicEvent, now: float) -> None:
        match event:
            case events.HandshakeCompleted():
                self._authenticate(event)
                if self.owner is not None:
                    self.owner.on_ready(self, now)
            case events.StreamDataReceived(data=data, end_stream=end, stream_id=stream):
                self._spoke_at = now
                self._authenticated_owner().on_stream(self, stream, data, end, now)
            case events.StreamReset(stream_id=stream) | events.StopSendingReceived(stream_id=stream):
                self._authenticated_owner().on_reset(self, stream, now)
            case events.ConnectionIdIssued(connection_id=cid):
                self.new_cids.append(cid)
            case events.ConnectionIdRetired(connection_id=cid):
                self.gone_cids.append(cid)
            case _:
                pass  # the rest tells what we ask for elsewhere, or did not switch on

    def _authenticate(self, event: events.HandshakeCompleted) -> None:
        if event.session_resumed or event.early_data_accepted:
            raise PeerError("resumed session")
        if event.alpn_protocol != ALPN:
            raise PeerError("other protocol")
        node, digest = self.quic.peer_identity()
        if self.expected is not None and node != self.expected:
            raise PeerError("other node key")
        digests = (self._digest, digest)
        self.binding = hashlib.sha256(b"".join(digests if self.outgoing else reversed(digests))).digest()
        self.node = node
        self._finishes = self.outgoing

    def _authenticated_owner(self) -> Owner:
        if self.node is None or self.owner is None:
            raise PeerError("stream before proof")
        return self.owner

    # --- what leaves

    def datagrams(self, now: float) -> list[tuple[bytes, Endpoint]]:
        """The packets to send now."""
        if self.quic.get_peer_address() is None:
            return []
        return self.quic.datagrams_to_send(now)

    def expect_answer(self, now: float) -> None:
        """A link has written something, which a live peer acknowledges."""
        self._carries_link = True
        self._spoke_at = now
        self._await_answer(now)

    def check(self, now: float) -> None:
        """Ask for a sign of life, and end without one: a path may be gone, or the peer."""
        if self._doubted_until is None:
            self._doubted_until = now + max(limits.CHECK_LINK_S, limits.CHECK_ROUND_TRIPS * self.quic.round_trip_s())
            self.quic.send_ping(0)

    def cause(self, now: float) -> str:
        """What a datagram of this moment is for: a link where nothing was said for a while is being kept alive."""
        if self.node is None:
            return Cause.HANDSHAKE
        is_quiet = self._carries_link and now - self._spoke_at > self._tuning.keepalive_s / 2
        return Cause.KEEP_ALIVE if is_quiet else self.purpose

    def cause_sent(self, now: float) -> str:
        """The same of the next datagram that leaves; a dialler's proof of itself is in the first after the peer's."""
        finishes, self._finishes = self._finishes and self._carries_link, False
        return Cause.HANDSHAKE if finishes else self.cause(now)

    def _await_answer(self, now: float) -> None:
        if self._asked_at is None:
            self._asked_at = now

    def refuse_stream(self, stream: int) -> None:
        """Give a stream up in both directions."""
        self.quic.consumed(stream, limits.STREAM_WINDOW_BYTES)
        try:
            self.quic.stop_stream(stream, CLOSED_BY_CHOICE)
            self.quic.reset_stream(stream, CLOSED_BY_CHOICE)
        except (ValueError, RuntimeError):
            _logger.debug("stream %d was gone already", stream)

    def close(self, code: int, reason: str) -> None:
        """End the connection; the packet that tells the peer leaves with the next `datagrams`."""
        if self._end is None:
            self._end = reason
            if self._heard or self.repeats:  # else there is nobody to tell
                self.quic.close(error_code=code, reason_phrase="")


def client_configuration(credentials: Credentials, tuning: QuicTuning) -> QuicConfiguration:
    """How we dial: no server name goes over the line."""
    configuration = _configuration(credentials, tuning)
    configuration.is_client = True
    configuration.initial_rtt = limits.FIRST_ROUND_TRIP_S
    return configuration


def server_configuration(credentials: Credentials, tuning: QuicTuning) -> QuicConfiguration:
    """How we accept."""
    configuration = _configuration(credentials, tuning)
    configuration.is_client = False
    return configuration


def _configuration(credentials: Credentials, tuning: QuicTuning) -> QuicConfiguration:
    return QuicConfiguration(
        alpn_protocols=[ALPN],
        certificate=credentials.certificate,
        private_key=credentials.key,
        verify_mode=ssl.CERT_NONE,  # names and dates are nobody's; `_authenticate` checks the key
        server_name=None,
        supported_versions=[VERSION],
        idle_timeout=tuning.idle_s,
        max_data=limits.CONNECTION_WINDOW_BYTES,
        max_stream_data=limits.STREAM_WINDOW_BYTES,
        max_datagram_size=limits.QUIC_DATAGRAM_BYTES,
    )
