"""What sizes show: whoever sees a line, carries frames or keeps records sees the size classes of `docs/protocol.md`.

Two people write texts of every length over a link and by mail; every sealed frame and every record body is measured.
Then profiles, presences and rings with much and with little in them.
"""

from contextlib import ExitStack
from random import Random

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.mail import MailAddress, mail_record, ring_record
from p2pd.effects import SendFrame
from p2pd.peer.published import presence_record, profile_record
from p2pd.types import AddressKey, Endpoint, ItemId
from p2pd.wire.person import Presence, Profile
from p2pd.wire.record import Record
from p2pd.wire.rpc import pack_endpoint
from tests.cast import START, Cable, Person, after, friends
from tests.secrecy.line import Line, Measure

CLASSES = frozenset(limits.SIZE_CLASSES)
PART_BYTES = 16_000
"""A text about as long as fits one part; longer ones are cut into parts."""


def run(count: int, seed: int) -> Line:
    """`count` texts, half of them short, each over the link and as mail."""
    chance = Random(seed)
    with ExitStack() as stack:
        one, other = friends(stack)
        frames = _Frames(one, other)
        bodies: dict[int, int] = {}
        for number in range(count):
            text = _text(chance)
            now = after(number)
            one.conversation.send(one.contact(other), text, now)
            frames.carry(now)
            size = len(_mail(one, other, text.encode()[: limits.ENVELOPE_BYTES], chance))
            bodies[size] = bodies.get(size, 0) + 1
        assert len(other.texts(one)) == min(count, 10_000), "what was measured was delivered"
        others = _other_bodies(one, chance)
    shown = set(frames.sealed)
    return Line(
        "sizes",
        count,
        [
            Measure("sizes of sealed frames on a link", len(shown), most=len(CLASSES), least=2),
            Measure("frames of another size", sum(frames.sealed[size] for size in shown - CLASSES), most=0),
            Measure("sizes of mail", len(bodies), most=len(CLASSES), least=2),
            Measure("mails of another size", sum(bodies[size] for size in set(bodies) - CLASSES), most=0),
            Measure("sizes of a profile", len(others["profile"]), most=1),
            Measure("sizes of a ring", len(others["ring"]), most=1),
            Measure("presences of another size", len(others["presence"] - CLASSES), most=0),
        ],
        [f"frames: {_told(frames.sealed)}", f"mail: {_told(bodies)}", f"presence: {sorted(others['presence'])} B"],
    )


class _Frames:
    """A link between two, whose sealed frames are measured as they pass."""

    def __init__(self, one: Person, other: Person) -> None:
        self.sealed: dict[int, int] = {}
        self.cable = Cable(one, other)
        for person in (one, other):
            taken = person.effects.take

            def take(taken=taken):  # type: ignore[no-untyped-def]
                effects = taken()
                for effect in effects:
                    if isinstance(effect, SendFrame):
                        size = len(effect.frame)
                        self.sealed[size] = self.sealed.get(size, 0) + 1
                return effects

            person.effects.take = take  # type: ignore[method-assign]

    def carry(self, now) -> None:  # type: ignore[no-untyped-def]
        for person in self.cable.ends:
            person.outbox.on_timer(now)
        self.cable.run(now)


def _text(chance: Random) -> str:
    longest = 200 if chance.random() < 0.5 else PART_BYTES
    return "x" * chance.randint(1, longest)


def _mail(one: Person, other: Person, envelope: bytes, chance: Random) -> bytes:
    direction = pairs.writing(one.keys, one.contact(other))
    assert direction is not None
    where = MailAddress(direction, START.day, 0)
    record = mail_record(where, ItemId(chance.randbytes(16)), envelope, START.wall_s + 1_000)
    body: bytes = record.parse().body  # type: ignore[union-attr]
    return body


def _other_bodies(one: Person, chance: Random) -> dict[str, set[int]]:
    """The sizes of the bodies of a person's other records, however much or little is in them."""
    found: dict[str, set[int]] = {"profile": set(), "presence": set(), "ring": set()}
    identity, device = one.keys.identity, one.profile_device()

    def add(kind: str, record: Record) -> None:
        found[kind].add(len(record.parse().body))  # type: ignore[union-attr]

    for name in ("", "n", "n" * limits.NAME_CHARS):
        add("profile", profile_record(identity, Profile(name, START.wall_ms, 0, [device]), START, one.random))
    for count in range(limits.ENDPOINTS + 1):
        endpoints = [pack_endpoint(Endpoint("2001:db8::1", 4_242))] * count
        presence = Presence(START.wall_ms, one.keys.node_key, endpoints)
        add("presence", presence_record(identity, b"s" * 32, presence, START, one.random))
    add("ring", ring_record(AddressKey(one.keys.device_key), chance.randbytes(limits.RING_BYTES), one.random, START))
    return found


def _told(sizes: dict[int, int]) -> str:
    return ", ".join(f"{size:,} B x {sizes[size]:,}" for size in sorted(sizes))
