"""What storers and relays learn: everything that they keep, log and are sent is searched, and asked whose it is.

40 nodes; two of them talk, over a link and, one after the other away, by mail.  Of the 38 others the databases, the
logs, every datagram and every question as it was opened are searched for what the two have said, are called, and hold
as keys.  What a node key of theirs asks for is looked at too: only their own routing may be.
In another town the two are behind routers that let nobody through, and talk by relays; there the frames that the relays
carried, as they see them, are searched as well, and for the nodes' keys too: a relay knows throwaway ones.

Then a classifier (`linking.py`) gets two records of two days as a storer sees them, all but source addresses.
"""

import logging
import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from p2pd import limits
from p2pd.dht.questions import Question
from p2pd.dht.serving import Serving
from p2pd.errors import PeerError
from p2pd.peer.relaying import Relaying
from p2pd.sim.probes import replaced
from p2pd.sim.resident import Resident
from p2pd.sim.town import Town
from p2pd.types import Endpoint
from p2pd.wire.address import encode_address, encode_letters
from p2pd.wire.relay import Through, decode_relay_message
from p2pd.wire.rpc import Find, Get, Listen, Store
from tests.secrecy import linking
from tests.secrecy.line import Line, Measure

FULL_FROM = 1_000
SERVERS, FEW_SERVERS = 38, 10
RELAYS = 6
LINK_SIZES = len(limits.SIZE_CLASSES) + 2
"""Of what a relay carries: the size classes, and the two messages of the handshake."""
MARKS = ("the otters meet at nine", "nobody knows of the cellar", "bring seven lanterns", "yes, by the old mill")
NAMES = ("Aurelia-Quennell", "Bartholomew-Ixworth", "petname-Zanzibar", "petname-Quixote")
Z = 3.29
"""Within so many standard deviations is chance: 99.9 %."""


def run(count: int, seed: int) -> Line:
    """The search once, in a small town where `count` is small; the classifier with `count` pairs of records."""
    town = _Town(seed, SERVERS if count >= FULL_FROM else FEW_SERVERS)
    relayed = _Relayed((seed, "relayed"), RELAYS)
    hits = [*town.search(), *relayed.search()]
    plain, habit = linking.accuracy(count, seed, habit=False), linking.accuracy(count, seed, habit=True)
    chance = Z * math.sqrt(0.25 / plain.tests)
    return Line(
        "storers",
        count,
        [
            Measure("secrets found with storers", len(hits), most=0),
            Measure("secrets looked for", len(town.secrets) + len(relayed.secrets), least=60),
            Measure("bytes searched", town.searched + relayed.searched, least=100_000),
            Measure("frames of the two carried by relays", len(relayed.carried), least=20),
            Measure("texts that only relays carried", relayed.by_relay, least=2),
            Measure("sizes of these frames", len(set(map(len, relayed.carried))), most=LINK_SIZES),
            Measure("keys of their nodes known to relays", relayed.nodes_known, most=0),
            Measure("throwaway keys known to relays", relayed.guests_known, least=2),
            Measure("public keys of the nodes found, as they must be", town.control, least=2),
            Measure("records of the two held by storers", town.held, least=1),
            Measure("questions about mail under a node's own key", town.named, most=0),
            Measure("off chance, linking two days of a pair", abs(plain.logistic - 0.5), most=chance),
            Measure("off chance, by the best single feature", abs(plain.single - 0.5), most=chance),
            Measure("right about people with habits, so that it can learn", habit.single, least=0.9),
        ],
        [
            f"a classifier is right for {plain.logistic:.1%} of {plain.tests:,} pairs of records",
            f"of people who write at the same time each day (within {linking.HABIT_S // 60} min): "
            f"{max(habit.logistic, habit.single):.1%}, by {habit.feature}",
            *hits[:10],
        ],
    )


class _Log(logging.Handler):
    """Every line of every log, as one node's operator would keep it at its most talkative."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class _Town:
    """The network, the two who talk, and all that the others saw."""

    private = True
    kind = "public"

    def __init__(self, seed: object, servers: int) -> None:
        self.guests: list[bytes] = []
        self.frames: list[bytes] = []
        self.packets: list[bytes] = []
        self.questions: list[tuple[bytes, Any]] = []
        self.log = _Log()
        with ExitStack() as stack:
            stack.enter_context(_logged(self.log))
            stack.enter_context(replaced(Serving, "answer", _noted(Serving.answer, self.questions)))
            stack.enter_context(replaced(Relaying, "on_opened", self._on_guest(Relaying.on_opened)))
            stack.enter_context(replaced(Relaying, "on_frame", self._on_frame(Relaying.on_frame)))
            self.town = Town(seed, servers=servers, replicas=4, private=self.private)
            self.town.world.taps.append(self._tap)
            self.alice, self.bob = self._talk()
        self.secrets = dict(_secrets(self.alice)) | dict(_secrets(self.bob))
        self.secrets |= {f"text {text}": text.encode() for text in MARKS}
        self.secrets |= {f"name {name}": name.encode() for name in NAMES}
        self.searched = self.control = 0

    def _tap(self, host: str, to: Endpoint, data: bytes) -> None:
        """What a storer sends or is sent."""
        self.packets.append(data)

    def _talk(self) -> tuple[Resident, Resident]:
        town, (alice, bob) = self.town, self._meet()
        alice.send(NAMES[2], MARKS[0])
        town.until(lambda: bob.received(NAMES[3]) == [MARKS[0]], 300)
        self._go_on(alice, bob)
        town.world.run(60)
        return alice, bob

    def _meet(self) -> tuple[Resident, Resident]:
        town = self.town
        alice, bob = town.person(kind=self.kind), town.person(kind=self.kind)
        for person, name in ((alice, NAMES[0]), (bob, NAMES[1])):
            person.do(lambda engine, now, name=name: engine.set_name(name, now))  # type: ignore[misc]
        alice.add(bob, NAMES[2])
        bob.add(alice, NAMES[3])
        town.until(lambda: town.accepted(alice, NAMES[2]) and town.accepted(bob, NAMES[3]), 300)
        return alice, bob

    def _go_on(self, alice: Resident, bob: Resident) -> None:
        """They write while the other is away."""
        town = self.town
        bob.down()
        written = [alice.send(NAMES[2], MARKS[1]), alice.send(NAMES[2], " ".join([MARKS[2]] * 200))]
        town.until(lambda: all(alice.state(message).value == "stored" for message in written), 300)
        alice.down()
        bob.up()
        town.until(lambda: len(bob.received(NAMES[3])) == 3, 300)
        answer = bob.send(NAMES[3], MARKS[3])
        town.until(lambda: bob.state(answer).value == "stored", 300)
        alice.up()
        town.until(lambda: alice.received(NAMES[2]) == [MARKS[3]], 300)

    def _on_guest(self, original: Any) -> Any:
        def on_opened(relaying: Relaying, link: int, node: bytes, now: Any) -> None:
            self.guests.append(node)
            original(relaying, link, node, now)

        return on_opened

    def _on_frame(self, original: Any) -> Any:
        def on_frame(relaying: Relaying, link: int, frame: bytes, now: Any) -> None:
            self.frames.append(frame)
            original(relaying, link, frame, now)

        return on_frame

    @property
    def held(self) -> int:
        """How many of the storers hold what one of the two has stored: the mail is there to be found."""
        stored = {data for _, body in self.questions if isinstance(body, Store) for data in body.records}
        return sum(any(data in dump for data in stored) for dump in map(_records, self.town.servers))

    @property
    def named(self) -> int:
        """Questions about people's records by the two, under their nodes' own keys.

        What they keep for others they hand on under them, like any storer: that is what others have put before.
        """
        keys, put, count = {self.alice.key, self.bob.key}, set(), 0
        asked = {body.key for _, body in self.questions if isinstance(body, Get)}
        for asker, body in self.questions:
            match body:
                case Store(records=records) if asker in keys:
                    count += any(data not in put for data in records)
                case Store(records=records):
                    put |= set(records)
                case Get() | Listen():
                    count += asker in keys
                case Find(target=target):
                    count += asker in keys and target in asked
        return count

    def search(self) -> list[str]:
        """Where a secret was found."""
        found = []
        for place, dump in self._dumps():
            self.searched += len(dump)
            self.control += (self.alice.key in dump) + (self.bob.key in dump)
            found += [f"{name} in {place}" for name, secret in self.secrets.items() if _is_in(secret, dump)]
        return found

    def _dumps(self) -> Iterator[tuple[str, bytes]]:
        for server in self.town.servers:
            yield f"the databases of {server.host}", _pages(server)
            yield f"the records of {server.host}", _records(server)
        yield "what relays were sent", b"\n".join([*self.guests, *self.frames])
        yield "the packets", b"\n".join(self.packets)
        opened = (asker + body.encode() for asker, body in self.questions)
        yield "the questions, opened", b"\n".join(opened)
        yield "the logs", "\n".join(self.log.lines).encode()


class _Relayed(_Town):
    """Two behind routers that let nobody through: relays carry what they say while both are there."""

    private = False
    kind = "symmetric"
    by_relay = 0
    """Texts that were delivered over a relay."""

    def _go_on(self, alice: Resident, bob: Resident) -> None:
        for writer, reader, to, of, text in (
            (alice, bob, NAMES[2], NAMES[3], MARKS[1]),
            (bob, alice, NAMES[3], NAMES[2], MARKS[3]),
            (alice, bob, NAMES[2], NAMES[3], " ".join([MARKS[2]] * 200)),
        ):
            self.town.until(lambda writer=writer, reader=reader: _relay(writer, reader) is not None, 300)  # type: ignore[misc]
            message = writer.send(to, text)
            self.town.until(lambda reader=reader, of=of, text=text: reader.received(of)[-1:] == [text], 300)  # type: ignore[misc]
            found = reader.store.message(message.message)
            self.by_relay += found is not None and found.via == "relay"

    @property
    def carried(self) -> list[bytes]:
        """The frames of links that went through relays, as they see them."""
        return [said.frame for frame in self.frames if isinstance(said := _said(frame), Through)]

    @property
    def nodes_known(self) -> int:
        """Whether relays were told a node key of the two."""
        told = b"".join([*self.guests, *self.frames])
        return sum(person.key in told for person in (self.alice, self.bob))

    @property
    def guests_known(self) -> int:
        """Under how many keys somebody has come."""
        return len(set(self.guests))


def _relay(person: Resident, other: Resident) -> bytes | None:
    link = person.engine._ways.links.up(other.identity)
    return link.relay if link is not None else None


def _said(frame: bytes) -> Any:
    try:
        return decode_relay_message(frame)
    except PeerError:
        return None


def _is_in(secret: bytes, dump: bytes) -> bool:
    """As it is, or as a key is often written."""
    ways = [secret, secret.hex().encode()]
    return any(way in dump for way in ways)


def _secrets(person: Resident) -> Iterator[tuple[str, bytes]]:
    """What the storers must not know of a person, by name."""
    keys = person.engine._keys
    whose = person.host
    for name, key in (("identity", keys.identity), ("device", keys.device)):
        yield f"{whose} {name} key", key.public
        yield f"{whose} {name} seed", key.seed
        yield f"{whose} {name} key in letters", encode_letters(key.public).encode()
    yield f"{whose} node seed", keys.node.seed
    yield f"{whose} address", encode_address(person.identity).encode()
    for contact in person.store.contacts():
        yield f"{whose} contact secret", contact.secret
        for pair in contact.pair_secrets:
            yield f"{whose} pair secret {pair.generation}", pair.secret
        for session in person.store.sessions(contact.identity):
            yield f"{whose} session {session.session.hex()[:8]}", session.session
    for message in person.store.history(person.store.contacts()[0].identity, limit=100):
        yield f"{whose} message {message.message.hex()[:8]}", message.message
    for prekey in person.store.prekeys():
        yield f"{whose} prekey {prekey.id}", prekey.secret


def _pages(server: Resident) -> bytes:
    """Both databases, byte for byte."""
    disk = server.disk
    return bytes(disk._users._connection.serialize() + disk._held._connection.serialize())


def _records(server: Resident) -> bytes:
    """Every column of every row, so that nothing hides where a page ends."""
    database = server.disk._held
    tables = [name for (name,) in database.rows("SELECT name FROM sqlite_master WHERE type='table'")]
    rows: Iterable[tuple[Any, ...]] = (row for table in tables for row in database.rows(f"SELECT * FROM {table}"))  # noqa: S608
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for row in rows for value in row)


def _noted(original: Any, questions: list[tuple[bytes, Any]]) -> Any:
    def answer(serving: Serving, question: Question, now: Any) -> Any:
        questions.append((question.asker.key, question.body))
        return original(serving, question, now)

    return answer


@contextmanager
def _logged(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("p2pd")
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
