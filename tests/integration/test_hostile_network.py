"""Strangers' bytes at a running daemon's port: it answers with less than it got, stays up, and goes on working."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from random import Random

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.crypto.sealing import datagram_key, seal
from p2pd.effects import Effect, OpenLink, Request, SendFrame
from p2pd.net.connection import Credentials, client_configuration
from p2pd.net.inputs import Input, LinkClosed, LinkFailed, LinkOpened, LinkTaken, ResponseArrived
from p2pd.net.network import Network
from p2pd.net.tuning import QuicTuning
from p2pd.types import Endpoint, NodeKey
from p2pd.wire.datagram import VERSION, Hello, Sealed, Welcome, decode, network_id
from p2pd.wire.rpc import Find, Packet, Ping, Probe, Store, pack_endpoint
from tests.integration.fleet import Daemon
from tests.net.pair import Node, SeededRandom, Wire, signing_key

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
Pair = tuple[Daemon, Daemon]
NETWORK = network_id("main")
QUIET_S = 0.2
"""After this much silence a stranger takes it that nothing more comes."""
BATCH = 32
"""Datagrams between two questions to the daemon, so that its socket's buffer does not drop them unseen."""
SIZES = (1, 2, 13, 14, 38, 62, 78, 400, 1199, 1200, 1201, 2047, 2048, 9000)


@pytest.fixture
def victim(pair: Pair) -> Iterator[Daemon]:
    """Bob, who must be as well after it as before."""
    alice, bob = pair
    before = bob.process.pid if bob.process else 0
    yield bob
    bob.is_well()
    assert bob.process
    assert bob.process.pid == before
    for one, other in ((alice, "bob"), (bob, "alice")):
        assert one.asks("send", other, "still there?", "--wait", "delivered")["state"] == "delivered"


class Stranger:
    """A socket that throws datagrams at a daemon and counts what comes back."""

    def __init__(self, victim: Daemon) -> None:
        self.victim = victim
        host, port = victim.endpoint.split(":")
        self.at = Endpoint(host, int(port))
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((host, int(port)))
        self.sent = 0
        self.answers: list[bytes] = []

    def __enter__(self) -> "Stranger":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def throw(self, *datagrams: bytes) -> list[bytes]:
        """Send all of them; what has come back since, once it is quiet."""
        known = len(self.answers)
        for number, data in enumerate(datagrams):
            self.sent += self.socket.send(data)
            if number % BATCH == BATCH - 1:
                self.victim.call("status")
                self._hear(0.0)
        self._hear(QUIET_S)
        return self.answers[known:]

    def _hear(self, quiet_s: float) -> None:
        self.socket.settimeout(quiet_s)
        try:
            while True:
                self.answers.append(self.socket.recv(65_536))
        except (TimeoutError, BlockingIOError):
            return

    def welcome(self) -> Welcome:
        """What the daemon says to a hello; asked again where its rate is used up."""
        for _ in range(100):
            for data in self.throw(Hello(NETWORK, b"\0" * 8).encode()):
                found = decode(data)
                if isinstance(found, Welcome):
                    return found
        raise AssertionError("no welcome")

    @property
    def received(self) -> int:
        return sum(map(len, self.answers))


def test_garbage_of_every_first_byte(victim: Daemon) -> None:
    random = Random(1)
    with Stranger(victim) as stranger:
        for size in SIZES:
            stranger.throw(*(bytes([first]) + random.randbytes(size - 1) for first in range(256)))
            heads = (bytes((first, VERSION)) + NETWORK for first in range(0x14, 0x40))
            stranger.throw(*(head + random.randbytes(max(0, size - 6)) for head in heads))
        stranger.throw(b"")
        assert stranger.received <= stranger.sent / 10
    rejected = victim.call("net.stats")
    assert rejected["socket"]["datagram of no kind"] > 0
    assert rejected["node"]["rejected"]["malformed"] > 0


def test_a_flood_of_hellos_is_answered_by_less(victim: Daemon) -> None:
    with Stranger(victim) as stranger:
        answers = stranger.throw(*(Hello(NETWORK, number.to_bytes(8, "big")).encode() for number in range(1_000)))
        print(f"{len(answers)} answers to 1,000 hellos, {stranger.received} bytes to {stranger.sent}")
        assert 0 < len(answers) < 1_000
        assert max(map(len, answers)) < limits.HELLO_BYTES / 10
        short = [Hello(NETWORK, b"\1" * 8).encode()[:size] for size in (14, 77, 600, limits.HELLO_BYTES - 1)]
        assert stranger.throw(*short, *(Hello(network_id("other"), b"\2" * 8).encode() for _ in range(20))) == []


def test_what_is_sealed_well_and_is_nonsense_inside(victim: Daemon) -> None:
    random = Random(2)
    with Stranger(victim) as stranger:
        key = stranger.welcome().key
        bodies = (Ping(), Find(bytes(32)), Store([random.randbytes(200)]), Probe(), Find(random.randbytes(5)))
        real = [sealed(random, key, Packet(bytes(8), b"", True, body, bytes(600)).encode()) for body in bodies]
        stranger.throw(*real)
        for data in real:
            stranger.throw(*(data[:size] for size in range(0, len(data), 37)))
            stranger.throw(*(flipped(data, random) for _ in range(60)))
        for body in bodies:
            plain = Packet(bytes(8), b"", True, body, bytes(100)).encode()
            stranger.throw(*(sealed(random, key, plain[:size]) for size in range(0, len(plain), 5)))
            stranger.throw(*(sealed(random, key, flipped(plain, random)) for _ in range(60)))
            stranger.throw(*(sealed(random, key, random.randbytes(random.randrange(500))) for _ in range(20)))
        liar = Welcome(NETWORK, bytes(8), key, bytes(16), 0, True, stranger.at)
        stranger.throw(liar.encode(), *(flipped(liar.encode(), random) for _ in range(40)))
        stranger.throw(replace(liar, observed=Endpoint("::1", 9)).encode(), pack_endpoint(stranger.at))
        assert stranger.received <= stranger.sent


def sealed(random: Random, to: NodeKey, plain: bytes) -> bytes:
    """A datagram of a stranger's, as only one who knows the protocol can make it."""
    sender = SigningKey(random.randbytes(32))
    head = Sealed(NETWORK, NodeKey(sender.public), random.randbytes(24), b"")
    return replace(head, box=seal(datagram_key(sender, to), head.nonce, plain, head.header)).encode()


def flipped(data: bytes, random: Random) -> bytes:
    """The same with a few bytes changed."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        changed[random.randrange(len(changed))] ^= random.randint(1, 255)
    return bytes(changed)


def test_quic_packets_cut_and_changed(victim: Daemon) -> None:
    random = Random(3)
    wire = Wire()
    dialler, accepting = Node(wire, 1), Node(wire, 2)
    dialler.open(1, accepting)
    first = [data for _, _, data in wire.packets]
    with Stranger(victim) as stranger:
        for data in first:
            stranger.throw(*(data[:size] for size in range(1, len(data), 41)))
            stranger.throw(*(flipped(data, random) for _ in range(200)))
        stranger.throw(*(bytes([0x40 | random.randrange(256)]) + random.randbytes(1_199) for _ in range(200)))
        assert stranger.received <= 3 * stranger.sent, "RFC 9000 section 8.1"


# --- with QUIC that works ---


class Peer:
    """A node of the protocol's own QUIC, that says what a test wants."""

    def __init__(self, number: int) -> None:
        key = signing_key(number)
        self.inputs: asyncio.Queue[Input] = asyncio.Queue()
        self.network = Network(key, SeededRandom(number), self.inputs.put_nowait, QuicTuning(private=True))

    def do(self, *effects: Effect) -> None:
        for effect in effects:
            self.network.perform(effect)
        self.network.flush()

    async def next(self) -> Input:
        return await asyncio.wait_for(self.inputs.get(), 60)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    made = Peer(77)
    await made.network.open([Endpoint("127.0.0.1", 0)])
    yield made
    made.network.close()


@pytest.fixture
def known(victim: Daemon) -> tuple[NodeKey, Endpoint]:
    """The victim's node key and endpoint."""
    with Stranger(victim) as stranger:
        return stranger.welcome().key, stranger.at


async def test_who_expects_another_node_does_not_talk_to_this_one(
    peer: Peer, known: tuple[NodeKey, Endpoint], victim: Daemon
) -> None:
    _, endpoint = known
    peer.do(OpenLink(1, NodeKey(signing_key(78).public), (endpoint,)))
    assert await peer.next() == LinkFailed(1, "other node key")


async def test_nonsense_on_a_link_and_in_requests(peer: Peer, known: tuple[NodeKey, Endpoint], victim: Daemon) -> None:
    random = Random(4)
    key, endpoint = known
    for number in range(1, 11):
        peer.do(OpenLink(number, key, (endpoint,)))
        assert isinstance(await peer.next(), LinkOpened)
        peer.do(*(SendFrame(number, random.randbytes(random.choice((1, 48, 400, 20_000)))) for _ in range(3)))
        while isinstance(told := await peer.next(), LinkTaken):
            pass  # a refusal comes later than the acknowledgement of what was said
        assert isinstance(told, LinkClosed)
    for number, size in enumerate((0, 1, 50, 1_000, 60_000) * 2):
        peer.do(Request(number, key, endpoint, random.randbytes(32), random.randbytes(size)))
        assert isinstance(await peer.next(), ResponseArrived)


def without_certificate() -> QuicConfiguration:
    """As an honest dialler's, but nothing proves who it is."""
    configuration = client_configuration(Credentials.of(signing_key(6), SeededRandom(6)), QuicTuning())
    configuration.certificate = configuration.private_key = None
    return configuration


def test_who_proves_no_node_key_is_closed(victim: Daemon) -> None:
    quic = QuicConnection(configuration=without_certificate())
    with Stranger(victim) as stranger:
        now = 0.0
        quic.connect(stranger.at, now)
        quic.send_stream_data(0, b"L" + b"\0\0\0\1x")
        for _ in range(20):
            now += 1.0
            for data in stranger.throw(*(data for data, _ in quic.datagrams_to_send(now))):
                quic.receive_datagram(data, stranger.at, now)
            if quic._close_event is not None:
                break
        assert quic._close_event is not None, "it is told that it is not wanted"
    assert victim.call("net.stats")["socket"]["no certificate"] >= 1
