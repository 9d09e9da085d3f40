import pytest

from p2pd import limits
from p2pd.domains import Domain
from p2pd.errors import PeerError
from p2pd.types import AddressKey, ItemId
from p2pd.wire.record import (
    Content,
    Family,
    OpenItem,
    Record,
    SetItem,
    Single,
    Tombstone,
    family_of,
    record_key,
    signing_domain,
)
from tests.second import formats as second
from tests.second.messagepack import pack
from tests.wire.formats import DERIVED

ADDRESS, ITEM = AddressKey(second.ADDRESS), ItemId(second.ITEM)
CONTENTS: list[tuple[Content, Family, Domain]] = [
    (Single(ADDRESS, 1, 2, b""), Family.SINGLE, Domain.SIGN_SINGLE),
    (SetItem(ADDRESS, ITEM, 2, b""), Family.SET, Domain.SIGN_ITEM),
    (OpenItem(ADDRESS, 2, b"", bytes(32)), Family.OPEN_SET, Domain.SIGN_OPEN_ITEM),
    (Tombstone(ADDRESS, ITEM, 2, Family.SET), Family.SET, Domain.SIGN_TOMBSTONE),
    (Tombstone(ADDRESS, ITEM, 2, Family.OPEN_SET), Family.OPEN_SET, Domain.SIGN_TOMBSTONE),
]


def test_golden_keys_and_digest() -> None:
    assert [record_key(family, ADDRESS) for family in Family] == DERIVED["record_keys"]
    assert Record.decode(second.RECORD.encode()).digest == DERIVED["record_digest"]
    item = Record.decode(second.STAMPED.encode()).parse()
    assert isinstance(item, OpenItem)
    assert item.stamp
    assert item.challenge == DERIVED["stamp_challenge"]


@pytest.mark.parametrize(("content", "family", "domain"), CONTENTS)
def test_family_and_label_follow_from_the_content(content: Content, family: Family, domain: Domain) -> None:
    parsed = Record(content.encode(), bytes(64)).parse()
    assert parsed == content
    assert (family_of(parsed), signing_domain(parsed)) == (family, domain)


@pytest.mark.parametrize("family", [0, Family.SINGLE, 4, 255])
def test_only_sets_have_tombstones(family: int) -> None:
    content = pack([4, second.ADDRESS, second.ITEM, 2, family])
    with pytest.raises(PeerError, match="malformed"):
        Record(content, bytes(64)).parse()
    with pytest.raises(ValueError, match="no set"):
        Tombstone(ADDRESS, ITEM, 2, family)


@pytest.mark.parametrize("size", [1, 7, 9])
def test_a_stamp_is_whole_or_not_there(size: int) -> None:
    with pytest.raises(PeerError, match="malformed"):
        Record(pack([3, second.ADDRESS, 2, b"", bytes(32), bytes(size)]), bytes(64)).parse()


@pytest.mark.parametrize("data", [b"", b"\x90", pack([0, second.ADDRESS]), pack([5, second.ADDRESS, second.ITEM, 2])])
def test_other_contents_are_refused(data: bytes) -> None:
    with pytest.raises(PeerError, match="malformed"):
        Record(data, bytes(64)).parse()


@pytest.mark.parametrize(
    "data",
    [
        pack([b"content"]),
        pack([b"content", bytes(64), b"more"]),
        b"\xdc\x00\x02" + pack([b"content", bytes(64)])[1:],
        b"\x92\xc5\x00\x07content" + pack(bytes(64)),
    ],
)
def test_a_record_has_one_encoding(data: bytes) -> None:
    assert Record.decode(pack([b"content", bytes(64)])).content == b"content"
    with pytest.raises(PeerError, match="malformed"):
        Record.decode(data)


FAR_S, LARGEST = 2**32 - 1, bytes(limits.BODY_BYTES)


@pytest.mark.parametrize(
    "content",
    [
        Single(ADDRESS, 2**63 - 1, FAR_S, LARGEST),
        SetItem(ADDRESS, ITEM, FAR_S, LARGEST),
        OpenItem(ADDRESS, FAR_S, bytes(limits.OPEN_BODY_BYTES), bytes(32), bytes(limits.STAMP_BYTES)),
    ],
    ids=lambda content: type(content).__name__,
)
def test_the_largest_body_fits_a_record(content: Content) -> None:
    data = Record(content.encode(), bytes(64)).encode()
    assert len(data) <= limits.RECORD_BYTES
    assert Record.decode(data).parse() == content


def test_nobody_adds_more_than_a_contact_request() -> None:
    body = bytes(limits.OPEN_BODY_BYTES + 1)
    with pytest.raises(PeerError, match="malformed"):
        Record(pack([3, second.ADDRESS, 2, body, bytes(32), b""]), bytes(64)).parse()
