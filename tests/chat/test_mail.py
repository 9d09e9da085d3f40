import pytest

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.mail import MailAddress, mail_record, open_mail, ring_record, tombstone
from p2pd.dht.records import verified
from p2pd.errors import PeerError
from p2pd.store import PairSecret
from p2pd.types import AddressKey, DeviceKey, ItemId
from p2pd.wire.record import Family, OpenItem, SetItem, Tombstone
from tests.cast import START, Person
from tests.second import make_vectors

ITEM = ItemId(b"i" * 16)
EXPIRES_S = START.wall_s + 60


def mailbox(writer: Person, reader: Person, index: int = 0) -> MailAddress:
    direction = pairs.writing(writer.keys, writer.contact(reader))
    assert direction is not None
    return MailAddress(direction, START.day, index)


@pytest.mark.parametrize("size", [0, 100, 700, 5_000, limits.ENVELOPE_BYTES])
def test_mail_opens_for_the_reader_and_has_a_size_class(friends: tuple[Person, Person], size: int) -> None:
    writer, reader = friends
    record = mail_record(mailbox(writer, reader), ITEM, b"e" * size, EXPIRES_S)
    content = verified(record.encode()).content
    assert isinstance(content, SetItem)
    assert len(content.body) in limits.SIZE_CLASSES
    (direction,) = pairs.reading(reader.keys, reader.contact(writer))
    assert open_mail(MailAddress(direction, START.day, 0), content) == b"e" * size


def test_its_body_is_what_the_second_implementation_makes() -> None:
    vector = make_vectors.sealed()
    sender, recipient = map(DeviceKey, vector["devices"])
    direction = pairs.Direction(PairSecret(1, vector["pair_secret"], START.wall_ms), sender, recipient)
    where = MailAddress(direction, vector["day"], 0)
    content = mail_record(where, ItemId(vector["item"]), vector["envelope"], EXPIRES_S).parse()
    assert isinstance(content, SetItem)
    assert content.body == vector["body"]


def test_a_put_repeated_has_the_same_bytes(friends: tuple[Person, Person]) -> None:
    where = mailbox(*friends)
    assert mail_record(where, ITEM, b"e", EXPIRES_S) == mail_record(where, ITEM, b"e", EXPIRES_S)
    other = mail_record(where, ItemId(b"j" * 16), b"e", EXPIRES_S).parse()
    assert isinstance(other, SetItem)
    assert other.body[:24] != mail_record(where, ITEM, b"e", EXPIRES_S).parse().body[:24]  # type: ignore[union-attr]


def test_mail_of_another_place_does_not_open(friends: tuple[Person, Person]) -> None:
    writer, reader = friends
    content = mail_record(mailbox(writer, reader), ITEM, b"e", EXPIRES_S).parse()
    assert isinstance(content, SetItem)
    moved = SetItem(mailbox(writer, reader, 1).address(), ITEM, EXPIRES_S, content.body)
    for where, item in ((mailbox(reader, writer), content), (mailbox(writer, reader, 1), moved)):
        with pytest.raises(PeerError):
            open_mail(where, item)


def test_a_tombstone_is_signed_by_the_mailboxs_key(friends: tuple[Person, Person]) -> None:
    where = mailbox(*friends)
    content = verified(tombstone(where.signer(), ITEM, Family.SET, EXPIRES_S).encode()).content
    assert content == Tombstone(where.address(), ITEM, EXPIRES_S, Family.SET)


def test_a_ring_is_an_open_item_of_a_key_of_its_own(friends: tuple[Person, Person]) -> None:
    person = friends[0]
    inbox = AddressKey(person.keys.identity.public)
    rings = [verified(ring_record(inbox, b"t" * 16, person.random, START).encode()).content for _ in range(2)]
    assert all(isinstance(ring, OpenItem) and ring.body == b"t" * 16 for ring in rings)
    assert rings[0].signer != rings[1].signer  # type: ignore[union-attr]
