"""What we take from aioquic's private parts still holds: a test per name, and the attacks they are there for."""

import tracemalloc

import pytest
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import QuicEvent, StreamDataReceived
from aioquic.quic.packet import QuicErrorCode
from aioquic.tls import Epoch

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.net.connection import Credentials, client_configuration, server_configuration
from p2pd.net.quic_private import FlowConnection
from p2pd.net.selftest import UnsuitableError, check_private_names
from p2pd.net.tuning import QuicTuning
from tests.net.pair import SeededRandom, signing_key

BEYOND = 2**40


class Pair:
    """A dialler and an acceptor with all events gathered, and time in small steps."""

    def __init__(self, dialler_proves: bool = True, chained: bool = False, begins: bool = True) -> None:
        ours, theirs = (Credentials.of(signing_key(number), SeededRandom(number)) for number in (1, 2))
        configuration = client_configuration(ours, QuicTuning())
        if not dialler_proves:
            configuration.certificate = configuration.private_key = None
        accepting = server_configuration(theirs, QuicTuning())
        if chained:
            accepting.certificate_chain = [ours.certificate]
        self.ours, self.theirs = ours, theirs
        self.dialler = FlowConnection(configuration)
        self.acceptor = FlowConnection(accepting, self.dialler.original_destination_connection_id)
        self.events: dict[FlowConnection, list[QuicEvent]] = {self.dialler: [], self.acceptor: []}
        self.now = 0.0
        self.dialler.connect("acceptor", self.now)
        if begins:
            self.step(10)

    def step(self, count: int = 4) -> None:
        for _ in range(count):
            self.now += 0.03
            for end in (self.dialler, self.acceptor):
                if (deadline := end.get_timer()) is not None and deadline <= self.now:
                    end.handle_timer(self.now)
            self._carry(self.dialler, self.acceptor, "dialler")
            self._carry(self.acceptor, self.dialler, "acceptor")

    def _carry(self, sender: FlowConnection, receiver: FlowConnection, source: str) -> None:
        if sender.get_peer_address() is not None:
            for data, _ in sender.datagrams_to_send(self.now):
                receiver.receive_datagram(data, source, self.now)
                self.events[receiver] += iter(receiver.next_event, None)

    def received(self) -> int:
        return sum(len(event.data) for event in self.events[self.acceptor] if isinstance(event, StreamDataReceived))


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_initialize_and_request_client_certificate_make_the_dialler_prove_its_key(pair: Pair) -> None:
    assert pair.acceptor.peer_identity() == (pair.ours.node, pair.ours.digest)


def test_peer_certificate_is_the_acceptors_too(pair: Pair) -> None:
    assert pair.dialler.peer_identity() == (pair.theirs.node, pair.theirs.digest)


def test_peer_certificate_misses_where_none_was_sent() -> None:
    with pytest.raises(PeerError, match="no certificate"):
        Pair(dialler_proves=False).acceptor.peer_identity()


def test_peer_certificate_chain_shows_what_came_with_it() -> None:
    with pytest.raises(PeerError, match="more than one"):
        Pair(chained=True).dialler.peer_identity()


def test_local_max_streams_bounds_what_a_peer_may_open(pair: Pair) -> None:
    for _ in range(2 * limits.STREAMS_PER_CONNECTION):
        pair.dialler.send_stream_data(pair.dialler.get_next_available_stream_id(), b"x")
    pair.step()
    assert pair.received() == limits.STREAMS_PER_CONNECTION


def test_local_max_streams_lets_the_acceptor_open_none(pair: Pair) -> None:
    pair.acceptor.send_stream_data(pair.acceptor.get_next_available_stream_id(), b"x")
    pair.acceptor.send_stream_data(pair.acceptor.get_next_available_stream_id(is_unidirectional=True), b"x")
    pair.step()
    assert not [event for event in pair.events[pair.dialler] if isinstance(event, StreamDataReceived)]


def test_write_stream_limits_holds_an_idle_readers_window(pair: Pair) -> None:
    pair.dialler.send_stream_data(0, bytes(4 * limits.MIB))
    pair.step(60)
    assert pair.received() == pair.acceptor.unread() == limits.STREAM_WINDOW_BYTES


def test_write_connection_limits_holds_all_streams_together(pair: Pair) -> None:
    for number in range(8):
        pair.dialler.send_stream_data(4 * number, bytes(limits.MIB))
    pair.step(60)
    assert pair.received() == pair.acceptor.unread() == limits.CONNECTION_WINDOW_BYTES


@pytest.mark.slow
def test_local_max_data_moves_with_consumption(pair: Pair) -> None:
    size = 3 * limits.CONNECTION_WINDOW_BYTES
    pair.dialler.send_stream_data(0, bytes(size))
    seen = 0
    for _ in range(200):
        pair.step(1)
        assert pair.acceptor.unread() <= limits.STREAM_WINDOW_BYTES
        pair.acceptor.consumed(0, pair.received() - seen)
        seen = pair.received()
    assert seen == size


@pytest.mark.slow
def test_streams_that_are_reset_give_their_window_back(pair: Pair) -> None:
    for number in range(3 * limits.STREAMS_PER_CONNECTION):
        stream = pair.dialler.get_next_available_stream_id()
        pair.dialler.send_stream_data(stream, bytes(32 * limits.KIB))
        pair.step(12)
        pair.dialler.reset_stream(stream, 0)
        pair.acceptor.reset_stream(stream, 0)
        pair.acceptor.consumed(stream, limits.STREAM_WINDOW_BYTES)
        pair.step(4)
        assert pair.received() == (number + 1) * 32 * limits.KIB
    assert pair.acceptor.unread() == 0


def test_buffer_start_and_stop_tell_what_is_unacknowledged(pair: Pair) -> None:
    pair.dialler.send_stream_data(0, bytes(5_000))
    assert pair.dialler.unsent(0) == 5_000
    pair.step()
    assert pair.dialler.unsent(0) == 0
    assert pair.dialler.unsent(400) == 0


def test_who_never_answers_is_sent_three_times_its_bytes_and_no_more_also_at_the_end() -> None:
    pair = Pair(begins=False)
    ((hello, _),) = pair.dialler.datagrams_to_send(pair.now)
    pair.acceptor.receive_datagram(hello, "dialler", pair.now)
    sent = 0
    for step in range(200):
        sent += sum(len(data) for data, _ in pair.acceptor.datagrams_to_send(pair.now))
        if step == 100:
            assert sent > 2 * len(hello), "it was tried again, so that the end meets the limit"
            pair.acceptor.close(error_code=7)
        pair.now += 0.1
        if (deadline := pair.acceptor.get_timer()) is not None and deadline <= pair.now:
            pair.acceptor.handle_timer(pair.now)
    assert sent <= 3 * len(hello)
    assert pair.acceptor.ended() is not None


def test_close_pending_and_close_event_tell_of_an_end_at_once(pair: Pair) -> None:
    pair.dialler.close(error_code=7)
    assert pair.dialler.ended() is None, "its last packet has not left"
    for data, _ in pair.dialler.datagrams_to_send(pair.now):
        pair.acceptor.receive_datagram(data, "dialler", pair.now)
    assert pair.dialler.ended() is not None
    assert (end := pair.acceptor.ended()) is not None
    assert end.error_code == 7


def lie_about_the_window(dialler: FlowConnection, offset: int, number: int = 0) -> None:
    """Make a dialler send one byte of a stream at an offset, whatever window it was given."""
    stream = dialler._get_or_create_stream_for_send(number)
    stream.max_stream_data_remote = dialler._remote_max_data = 2 * BEYOND
    stream.sender._buffer_start = stream.sender._buffer_stop = offset
    dialler.send_stream_data(number, b"x")


def test_a_gap_far_out_ends_the_connection_and_holds_no_memory(pair: Pair) -> None:
    lie_about_the_window(pair.dialler, BEYOND)
    tracemalloc.start()
    pair.step()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (end := pair.acceptor.ended()) is not None
    assert end.error_code == QuicErrorCode.FLOW_CONTROL_ERROR
    assert most < 2 * limits.MIB


def test_a_gap_within_the_window_holds_the_window_and_no_more(pair: Pair) -> None:
    tracemalloc.start()
    lie_about_the_window(pair.dialler, limits.STREAM_WINDOW_BYTES - 1)
    pair.step(20)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pair.acceptor.ended() is None
    assert pair.acceptor.unread() == limits.STREAM_WINDOW_BYTES
    assert most < 2 * limits.MIB


def test_what_a_connection_held_is_given_back_with_its_end(pair: Pair) -> None:
    tracemalloc.start()
    lie_about_the_window(pair.dialler, limits.STREAM_WINDOW_BYTES - 1)
    pair.step(20)
    held, _ = tracemalloc.get_traced_memory()
    pair.acceptor.release()
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held - left > limits.STREAM_WINDOW_BYTES
    assert pair.acceptor.get_peer_address() == "dialler"
    assert pair.acceptor.unsent(0) == 0


def test_the_room_for_a_handshake_is_given_back_when_it_is_over() -> None:
    pair = Pair(begins=False)
    assert 0 < pair.dialler.handshake_room() <= 12 * limits.KIB
    pair.step(10)
    assert pair.dialler.handshake_room() == pair.acceptor.handshake_room() == 0


@pytest.mark.parametrize("says", ["dialler", "acceptor"])
@pytest.mark.parametrize("message", [1, 2, 4, 11, 20, 24])
def test_who_goes_on_with_tls_after_its_handshake_is_no_more_than_refused(pair: Pair, says: str, message: int) -> None:
    """A hello, a ticket, a certificate, a finish, a new key: none has room any more, and none needs it."""
    liar, victim = (pair.dialler, pair.acceptor) if says == "dialler" else (pair.acceptor, pair.dialler)
    liar._crypto_streams[Epoch.ONE_RTT].sender.write(bytes([message, 0, 0, 40]) + bytes(40))
    pair.step(20)
    assert victim.handshake_room() == 0
    ended = victim.ended()
    assert ended is not None
    assert QuicErrorCode.CRYPTO_ERROR <= ended.error_code <= QuicErrorCode.CRYPTO_ERROR + 0xFF


def test_the_self_test_passes_on_the_pinned_version() -> None:
    check_private_names(SeededRandom(1))


@pytest.mark.parametrize(
    "name", ["_initialize", "_handle_crypto_frame", "_write_connection_limits", "_write_stream_limits"]
)
def test_the_self_test_refuses_a_version_without_a_method(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(QuicConnection, name)
    with pytest.raises(UnsuitableError):
        check_private_names(SeededRandom(1))


def test_the_self_test_refuses_a_version_that_does_not_ask_for_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlowConnection, "_initialize", QuicConnection._initialize)
    with pytest.raises(UnsuitableError, match="no certificate"):
        check_private_names(SeededRandom(1))


def packets(end: FlowConnection, now: float) -> int:
    return len(end.datagrams_to_send(now))


def test_an_acknowledgement_waits_for_something_to_share_a_packet_with(pair: Pair) -> None:
    stream = pair.dialler.get_next_available_stream_id()
    pair.dialler.send_stream_data(stream, b"hello")
    ((data, _),) = pair.dialler.datagrams_to_send(pair.now)
    pair.acceptor.receive_datagram(data, "dialler", pair.now)
    assert packets(pair.acceptor, pair.now) == 0
    pair.acceptor.send_stream_data(stream, b"you")
    ((answer, _),) = pair.acceptor.datagrams_to_send(pair.now)
    before = pair.dialler.unsent(stream)
    pair.dialler.receive_datagram(answer, "acceptor", pair.now)
    assert (before, pair.dialler.unsent(stream)) == (5, 0)
    assert packets(pair.dialler, pair.now) == 0
    assert packets(pair.dialler, pair.now + limits.ACK_DELAY_S) == 1


def arrive(pair: Pair, count: int) -> None:
    """So many packets at one moment."""
    stream = pair.dialler.get_next_available_stream_id()
    for number in range(count):
        pair.dialler.send_stream_data(stream, b"hello")
        ((data, _),) = pair.dialler.datagrams_to_send(pair.now + number)  # never too soon for its pace
        pair.acceptor.receive_datagram(data, "dialler", pair.now)


@pytest.mark.parametrize("count", [2, limits.ACK_PACKETS - 1])
def test_several_packets_are_acknowledged_soon_and_together(pair: Pair, count: int) -> None:
    arrive(pair, count)
    assert packets(pair.acceptor, pair.now) == 0
    timer = pair.acceptor.get_timer()
    assert timer is not None
    assert timer <= pair.now + limits.ACK_SOON_S
    assert packets(pair.acceptor, pair.now + limits.ACK_SOON_S) == 1
    assert packets(pair.acceptor, pair.now + limits.ACK_DELAY_S) == 0


def test_many_packets_are_acknowledged_at_once(pair: Pair) -> None:
    arrive(pair, limits.ACK_PACKETS)
    assert packets(pair.acceptor, pair.now) == 1
    assert packets(pair.acceptor, pair.now + limits.ACK_DELAY_S) == 0


def test_packets_are_counted_anew_after_an_acknowledgement(pair: Pair) -> None:
    arrive(pair, 2)
    assert packets(pair.acceptor, pair.now + limits.ACK_SOON_S) == 1
    arrive(pair, limits.ACK_PACKETS - 1)
    assert packets(pair.acceptor, pair.now) == 0
