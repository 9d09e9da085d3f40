import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.types import NodeKey
from p2pd.wire import datagram
from p2pd.wire.datagram import Hello, Sealed, Welcome
from p2pd.wire.rpc import Packet, Ping, unpack_endpoint
from tests.wire.formats import DATAGRAMS, DERIVED

SEALED, HELLO, WELCOME, KNOCK = (DATAGRAMS[name]["bytes"] for name in ("Sealed", "Hello", "Welcome", "Knock"))


def test_golden_datagrams() -> None:
    for name, fields in DATAGRAMS.items():
        data = fields["bytes"]
        found = datagram.decode(data)
        assert type(found).__name__ == name
        assert found.encode() == data
        for key in fields.keys() - {"bytes", "observed"}:
            assert getattr(found, key) == fields[key]
    welcome = datagram.decode(WELCOME)
    assert isinstance(welcome, Welcome)
    assert str(welcome.observed) == DATAGRAMS["Welcome"]["observed"]


def test_network_id_is_the_golden_one() -> None:
    assert datagram.network_id(DERIVED["network"]["name"]) == DERIVED["network"]["id"]
    assert datagram.network_id("p2pD") != DERIVED["network"]["id"]


def test_network_name_may_be_any_bytes_of_a_command_line() -> None:
    assert len(datagram.network_id(b"\xff".decode(errors="surrogateescape"))) == 4


@given(
    key=st.binary(min_size=32, max_size=32),
    id=st.binary(min_size=8, max_size=8),
    wall_ms=st.integers(0, 2**63 - 1),
    serves=st.booleans(),
    place=st.binary(min_size=5, max_size=5) | st.binary(min_size=17, max_size=17),
)
def test_welcome_round_trip(key: bytes, id: bytes, wall_ms: int, serves: bool, place: bytes) -> None:
    welcome = Welcome(b"netw", id, NodeKey(key), b"t" * 16, wall_ms, serves, unpack_endpoint(place + b"\x01"))
    assert datagram.decode(welcome.encode()) == welcome


@given(box=st.binary(min_size=16, max_size=limits.DATAGRAM_BYTES - 62))
def test_sealed_round_trip(box: bytes) -> None:
    sealed = Sealed(b"netw", NodeKey(b"k" * 32), b"n" * 24, box)
    assert datagram.decode(sealed.encode()) == sealed
    assert sealed.header == sealed.encode()[:38]


def test_first_bytes_are_neither_quic_nor_stun() -> None:
    assert all(0x14 <= data[0] <= 0x3F for data in (SEALED, HELLO, WELCOME, KNOCK))


def test_welcome_is_smaller_than_hello() -> None:
    assert len(HELLO) == limits.DATAGRAM_BYTES
    assert len(WELCOME) + 12 < len(HELLO)


def test_hello_padding_is_not_looked_at() -> None:
    assert datagram.decode(HELLO[:14] + b"x" * 1_138) == Hello(DATAGRAMS["Hello"]["network"], DATAGRAMS["Hello"]["id"])


def test_the_largest_packet_fills_a_datagram() -> None:
    bare = len(Packet(b"i" * 8, b"t" * 16, True, Ping()).encode())
    packet = Packet(b"i" * 8, b"t" * 16, True, Ping(), bytes(datagram.PACKET_BYTES - bare - 1)).encode()
    assert len(packet) == datagram.PACKET_BYTES
    box = bytes(len(packet) + limits.BOX_OVERHEAD_BYTES)
    assert len(Sealed(b"netw", NodeKey(b"k" * 32), b"n" * 24, box).encode()) == limits.DATAGRAM_BYTES


@pytest.mark.parametrize(
    "data",
    [
        b"",
        SEALED[:77],
        SEALED + bytes(limits.DATAGRAM_BYTES),
        HELLO[:-1],
        HELLO + b"\0",
        WELCOME[:-1],
        WELCOME + b"\0",
        WELCOME[:62] + b"\x80" + WELCOME[63:],
        WELCOME[:70] + b"\x02" + WELCOME[71:],
        WELCOME[:-2] + b"\0\0",
        b"\x40" + SEALED[1:],
        b"\x23" + SEALED[1:],
    ],
)
def test_other_datagrams_are_refused(data: bytes) -> None:
    with pytest.raises(PeerError, match="malformed"):
        datagram.decode(data)


@pytest.mark.parametrize("version", [0, 2, 255])
def test_other_versions_are_refused(version: int) -> None:
    with pytest.raises(PeerError, match="version"):
        datagram.decode(SEALED[:1] + bytes([version]) + SEALED[2:])
