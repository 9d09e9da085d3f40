"""A handshake with ourselves in memory, before the first packet: aioquic still is what `quic_private` takes it for."""

from aioquic.quic.connection import QuicConnection

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.errors import P2pdError, PeerError
from p2pd.net.connection import Credentials, client_configuration, server_configuration
from p2pd.net.quic_private import FlowConnection
from p2pd.net.tuning import QuicTuning
from p2pd.types import RandomSource

_STEPS = 20
_STEP_S = 0.05
_WINDOW_BYTES = 8 * limits.KIB
"""Of the rehearsal; a small one, since every start of the daemon waits for it."""
_GREETING = bytes(_WINDOW_BYTES * 5 // 8)
"""More than half a window, so that two of them need it moved."""


class UnsuitableError(P2pdError):
    """The aioquic that is installed differs where we depend on it."""


def check_private_names(random: RandomSource) -> None:
    """Shake hands with ourselves and move some bytes; UnsuitableError if any private name has changed."""
    try:
        _shake_hands(random)
    except (AttributeError, TypeError, ValueError, PeerError, AssertionError) as error:
        raise UnsuitableError(
            f"the installed aioquic does not fit: {error}", hint="install the version that requirements.lock names"
        ) from error


def _shake_hands(random: RandomSource) -> None:
    _require(hasattr(QuicConnection, "_handle_crypto_frame"), "where a handshake is bounded")
    here, there = (Credentials.of(SigningKey(random.bytes(limits.KEY_BYTES)), random) for _ in range(2))
    rehearsal = _Rehearsal(here, there)
    dialler, acceptor = rehearsal.dialler, rehearsal.acceptor
    rehearsal.go_on()
    _require(dialler.handshake_room() == acceptor.handshake_room() == 0, "the room that a handshake had")
    _require(dialler.peer_identity() == (there.node, there.digest), "the dialler's view of the acceptor")
    _require(acceptor.peer_identity() == (here.node, here.digest), "the acceptor's view of the dialler")
    stream = dialler.get_next_available_stream_id()
    for _ in range(2):
        dialler.send_stream_data(stream, _GREETING)
        _require(dialler.unsent(stream) == len(_GREETING), "the count of what is unsent")
        rehearsal.go_on()
        _require(dialler.unsent(stream) == 0, "the count of what is unacknowledged")
        _require(acceptor.unread() == len(_GREETING), "the count of what is unread")
        acceptor.consumed(stream, len(_GREETING))
        _require(acceptor.unread() == 0, "the count of what is consumed")
    _require(0 < dialler.round_trip_s() < _STEPS * _STEP_S, "the round trip")
    dialler.close()
    rehearsal.go_on()
    _require(acceptor.ended() is not None, "the end of a connection")


class _Rehearsal:
    """Two ends of a connection and a clock."""

    def __init__(self, here: Credentials, there: Credentials) -> None:
        dialling, accepting = client_configuration(here, QuicTuning()), server_configuration(there, QuicTuning())
        for configuration in (dialling, accepting):
            configuration.max_data, configuration.max_stream_data = 2 * _WINDOW_BYTES, _WINDOW_BYTES
        self.dialler = FlowConnection(dialling)
        self.acceptor = FlowConnection(
            accepting,
            original_destination_connection_id=self.dialler.original_destination_connection_id,
        )
        self._now = 0.0
        self.dialler.connect("acceptor", self._now)

    def go_on(self) -> None:
        """Carry packets both ways until all is acknowledged."""
        for _ in range(_STEPS):
            self._now += _STEP_S
            for end in (self.dialler, self.acceptor):
                deadline = end.get_timer()
                if deadline is not None and deadline <= self._now:
                    end.handle_timer(self._now)
            self._carry(self.dialler, self.acceptor, "dialler")
            self._carry(self.acceptor, self.dialler, "acceptor")

    def _carry(self, sender: FlowConnection, receiver: FlowConnection, source: str) -> None:
        if sender.get_peer_address() is None:
            return
        for data, _ in sender.datagrams_to_send(self._now):
            receiver.receive_datagram(data, source, self._now)
            while receiver.next_event() is not None:
                pass


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)
