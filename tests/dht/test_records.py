"""A record proves itself, and nobody on its way can change what it is or how long it is."""

import pytest

from p2pd import limits
from p2pd.dht.records import verified
from p2pd.errors import PeerError
from p2pd.peer.published import signed_record
from p2pd.types import AddressKey, ItemId
from p2pd.wire.record import Content, Family, OpenItem, Record, SetItem, Single, Tombstone
from tests.dht.virtual import key_of

KEY, SIGNER = key_of("address"), key_of("signer")
ADDRESS, ITEM = AddressKey(KEY.public), ItemId(bytes(16))
CONTENTS: list[Content] = [
    Single(ADDRESS, 1, 2_000_000_000, b"body"),
    SetItem(ADDRESS, ITEM, 2_000_000_000, b"body"),
    OpenItem(ADDRESS, 2_000_000_000, b"body", SIGNER.public),
    OpenItem(ADDRESS, 2_000_000_000, b"body", SIGNER.public, bytes(limits.STAMP_BYTES)),
    Tombstone(ADDRESS, ITEM, 2_000_000_000, Family.SET),
]


def record_of(content: Content) -> Record:
    return signed_record(content, SIGNER if isinstance(content, OpenItem) else KEY)


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: type(content).__name__)
def test_a_record_of_any_kind_verifies_and_no_changed_one_does(content: Content) -> None:
    data = record_of(content).encode()
    assert verified(data).content == content
    for place in range(len(data)):
        with pytest.raises(PeerError):
            verified(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
