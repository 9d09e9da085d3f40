from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.types import AddressKey, Endpoint, NodeKey
from p2pd.wire import rpc
from p2pd.wire.datagram import PACKET_BYTES
from p2pd.wire.record import OpenItem, Record
from tests.second import formats as second
from tests.second.messagepack import pack
from tests.wire.formats import DERIVED

PORTS = st.integers(1, 65_535)


@given(host=st.ip_addresses(v=4) | st.ip_addresses(v=6), port=PORTS)
def test_endpoint_round_trip(host: object, port: int) -> None:
    mapped = getattr(host, "ipv4_mapped", None)
    packed = rpc.pack_endpoint(Endpoint(str(host), port))
    assert rpc.unpack_endpoint(packed) == Endpoint(str(mapped or host), port)


def test_a_mapped_address_is_ipv4() -> None:
    assert rpc.unpack_endpoint(bytes(10) + b"\xff\xff\xc0\x00\x02\x07\x00\x01") == Endpoint("192.0.2.7", 1)


@pytest.mark.parametrize("data", [b"", bytes(6), bytes(18), b"\x01" * 5, b"\x01" * 7, b"\x01" * 17, b"\x01" * 19])
def test_other_endpoints_are_refused(data: bytes) -> None:
    with pytest.raises(PeerError, match="malformed"):
        rpc.unpack_endpoint(data)
    with pytest.raises(PeerError, match="malformed"):
        rpc.Contact.decode(pack([second.NODE, data]))
    with pytest.raises(PeerError, match="malformed"):
        rpc.decode_body(pack([2, 0, data]))
    with pytest.raises(PeerError, match="malformed"):
        rpc.decode_body(pack([17, second.NODE, data]))


def test_questions_and_answers_are_the_bodies() -> None:
    asked, answered = get_args(rpc.Request), get_args(rpc.Reply)
    assert not set(asked) & set(answered)
    assert {*asked, *answered, rpc.Reached} == set(get_args(rpc.Body))
    assert [kind.__struct_config__.tag for kind in get_args(rpc.Body)] == list(range(1, 24))


@pytest.mark.parametrize("size", [1, 15, 17])
def test_a_token_is_whole_or_not_there(size: int) -> None:
    with pytest.raises(PeerError, match="malformed"):
        rpc.Packet.decode(pack([bytes(8), bytes(size), True, [1], b""]))


def test_all_nearest_nodes_fit_a_datagram() -> None:
    contacts = [rpc.Contact(NodeKey(second.NODE), second.ENDPOINT_4)] * limits.CONTACTS_PER_REPLY
    assert len(rpc.Packet(second.ID, second.TOKEN, True, rpc.Nodes(contacts)).encode()) <= PACKET_BYTES


def test_a_record_with_the_largest_inline_body_fits_a_datagram() -> None:
    body = bytes(limits.BODY_INLINE_BYTES)
    item = OpenItem(AddressKey(second.ADDRESS), 2**32 - 1, body, bytes(32), bytes(8))
    record = Record(item.encode(), bytes(64)).encode()
    for asked in (rpc.Store([record]), rpc.Push(record), rpc.Values([record], 0, [])):
        assert len(rpc.Packet(second.ID, second.TOKEN, True, asked).encode()) <= PACKET_BYTES


def test_golden_listen_bytes() -> None:
    assert rpc.listen_bytes(second.ADDRESS, second.NODE, second.EXPIRES_S) == DERIVED["listen"]
