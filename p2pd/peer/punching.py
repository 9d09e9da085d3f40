"""Making a way of one's own where only a relay connects two: hole punching on the one socket.

Knows no contents.  `docs/protocol.md`, "A way of one's own"; after libp2p's "Direct Connection Upgrade through Relay",
with knocks in place of dials.

| state | who dialled the relayed link | the other |
|---|---|---|
| resting | due: sends Punch -> asking | their Punch: answers Punch -> ready |
| asking | their Punch: sends PunchNow -> knocking after half a round trip | |
| ready | | PunchNow: -> knocking at once |
| knocking | a knock that says heard: dials there -> resting | answers knocks -> resting after a while |

Rules: a knock is believed by its token alone, which only the contact was told; it is answered where it came from, so
that ports a router gives anew are learnt.  But the contact may have written any address on it: where to knock and
where to dial is judged by `tries`, and only a link proves that they are there.  Rounds go on, ever more seldom, as
long as only a relay connects the two; what is new about our address begins them anew.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from p2pd import limits
from p2pd.effects import EffectQueue, SendDatagram
from p2pd.errors import PeerError
from p2pd.peer.links import Link, Links
from p2pd.peer.tries import Tries
from p2pd.peer.whereabouts import Whereabouts
from p2pd.types import Endpoint, IdentityKey, Now, RandomSource
from p2pd.wire import datagram
from p2pd.wire.datagram import KNOCK, Knock
from p2pd.wire.link import Punch, PunchNow
from p2pd.wire.person import NatKind, nat_kind
from p2pd.wire.rpc import pack_endpoint, unpack_endpoint

_ANSWERS = 32
"""Knocks answered in one round: more than both sides' honest ones."""


class PunchState(Enum):
    """See the table above."""

    RESTING = auto()
    ASKING = auto()
    READY = auto()
    KNOCKING = auto()


@dataclass(slots=True)
class Effort:
    """What is done to reach one contact directly."""

    starts: bool
    """Whether we dialled the relayed link."""
    due: float
    """When the next step is, steady seconds."""
    state: PunchState = PunchState.RESTING
    rounds: int = 0
    round: int = 0
    token: bytes = b""
    theirs: bytes = b""
    waits: int = 0
    asked_at: float = 0.0
    began_at: float = 0.0
    knocks: int = 0
    answers: int = 0
    places: list[Endpoint] = field(default_factory=list)
    """Where to knock, in this round."""
    their_nat: NatKind = NatKind.UNKNOWN
    their_endpoints: tuple[Endpoint, ...] = ()
    """Where they say that they are, also where we cannot knock."""
    outcome: str = "not tried yet"
    """Of the last round, for `path`."""


class Punching:
    """All efforts, one a contact; `on_way` hears of an endpoint at which a contact answers."""

    def __init__(
        self,
        network: bytes,
        effects: EffectQueue,
        random: RandomSource,
        links: Links,
        whereabouts: Whereabouts,
        tries: Tries,
        on_way: Callable[[IdentityKey, Endpoint, Now], None],
        count: Callable[[str], None],
    ) -> None:
        self._network = network
        self._effects = effects
        self._random = random
        self._links = links
        self._whereabouts = whereabouts
        self._tries = tries
        self._on_way = on_way
        self._count = count
        self._efforts: dict[IdentityKey, Effort] = {}
        self._tokens: dict[bytes, IdentityKey] = {}

    def effort(self, contact: IdentityKey) -> Effort | None:
        """What is done about a contact, for `path`."""
        return self._efforts.get(contact)

    def on_up(self, contact: IdentityKey, link: Link, now: Now) -> None:
        """A link is up: a relayed one is to be replaced, and a direct one ends all efforts."""
        self.forget(contact)
        if link.relay is not None:
            self._efforts[contact] = Effort(link.outgoing, now.steady + limits.PUNCH_GAPS_S[0])
            self.on_timer(now)

    def forget(self, contact: IdentityKey) -> None:
        """The link is gone, or nobody wants another."""
        effort = self._efforts.pop(contact, None)
        if effort is not None:
            self._tokens.pop(effort.token, None)

    def on_addresses(self, now: Now) -> None:
        """We are somewhere else: what failed before may succeed now."""
        for effort in self._efforts.values():
            effort.rounds = 0
            if effort.state is PunchState.RESTING:
                effort.due = now.steady
        self.on_timer(now)

    # --- what they say over the relayed link ---

    def on_message(self, contact: IdentityKey, message: Punch | PunchNow, now: Now) -> None:
        """A step of theirs; one that fits nothing is of a round that is over."""
        effort = self._efforts.get(contact)
        if effort is None:
            return
        if isinstance(message, PunchNow):
            if effort.state is PunchState.READY and message.round == effort.round:
                self._begin(effort, now.steady)
                self.on_timer(now)
        elif not effort.starts:
            self._answer(contact, effort, message, now)
        elif effort.state is PunchState.ASKING and message.round == effort.round:
            self._hear(effort, message, now)
            self._links.send(contact, PunchNow(effort.round))
            self._begin(effort, now.steady + (now.steady - effort.asked_at) / 2)

    def _answer(self, contact: IdentityKey, effort: Effort, punch: Punch, now: Now) -> None:
        effort.round = punch.round
        self._say_where(contact, effort)
        self._hear(effort, punch, now)
        effort.state, effort.due = PunchState.READY, now.steady + limits.PUNCH_ROUND_S

    def _hear(self, effort: Effort, punch: Punch, now: Now) -> None:
        effort.theirs, effort.their_nat = punch.token, nat_kind(punch.nat)
        told = tuple(unpack_endpoint(packed) for packed in punch.endpoints)
        effort.their_endpoints = told
        effort.places = list(self._tries.allowed(told, now)[: limits.PUNCH_ENDPOINTS])

    def _begin(self, effort: Effort, when: float) -> None:
        effort.state, effort.due, effort.began_at = PunchState.KNOCKING, when, when
        effort.knocks = effort.answers = 0

    def _say_where(self, contact: IdentityKey, effort: Effort) -> None:
        self._tokens.pop(effort.token, None)
        effort.token = self._random.bytes(limits.TOKEN_BYTES)
        self._tokens[effort.token] = contact
        where = [pack_endpoint(endpoint) for endpoint in self._whereabouts.endpoints]
        self._links.send(contact, Punch(effort.round, effort.token, where, self._whereabouts.nat))

    # --- knocks ---

    @staticmethod
    def is_knock(data: bytes) -> bool:
        """Whether a datagram of the DHT's is for us."""
        return data[:1] == bytes([KNOCK])

    def on_knock(self, data: bytes, source: Endpoint, now: Now) -> None:
        """Someone knocks; who does not know a token of ours is not heard."""
        try:
            knock = datagram.decode(data)
            if not isinstance(knock, Knock) or knock.network != self._network:
                raise PeerError("network")
            if not any(knock.token):
                return  # a listener keeps its router open
            contact = self._tokens.get(knock.token)
            effort = self._efforts.get(contact) if contact is not None else None
            if contact is None or effort is None or effort.state not in (PunchState.READY, PunchState.KNOCKING):
                raise PeerError("knock")
        except PeerError as error:
            self._count(error.reason)
            return
        self._on_knock(contact, effort, knock.heard, source, now)

    def _on_knock(self, contact: IdentityKey, effort: Effort, heard: bool, source: Endpoint, now: Now) -> None:
        if not self._tries.is_place(source):
            self._count("knock_place")
            return
        if heard and effort.starts:
            found = any(place.host == source.host for place in effort.places) or self._tries.take(source, now)
            self._rest(effort, "a way was found" if found else "a way was found, tried often enough for now", now)
            if found:
                self._on_way(contact, source, now)
            return
        if effort.answers >= _ANSWERS:
            return
        effort.answers += 1
        self._knock(effort, source, heard=True)

    def _knock(self, effort: Effort, to: Endpoint, *, heard: bool) -> None:
        self._effects.append(SendDatagram(to, Knock(self._network, effort.theirs, heard).encode()))

    # --- time ---

    def next_deadline(self) -> float | None:
        """When the next step is due, steady seconds."""
        return min((effort.due for effort in self._efforts.values()), default=None)

    def on_timer(self, now: Now) -> None:
        """Takes the steps that are due."""
        for contact, effort in list(self._efforts.items()):
            if effort.due > now.steady:
                continue
            match effort.state:
                case PunchState.RESTING if effort.starts:
                    self._ask(contact, effort, now)
                case PunchState.RESTING:
                    effort.due = now.steady + limits.PUNCH_GAPS_S[-1]  # theirs is the next step
                case PunchState.ASKING | PunchState.READY:
                    self._rest(effort, "no answer by the relay", now)
                case PunchState.KNOCKING:
                    self._go_on(effort, now)

    def _ask(self, contact: IdentityKey, effort: Effort, now: Now) -> None:
        if effort.waits < limits.PUNCH_WAITS and not self._whereabouts.observed:
            effort.waits += 1  # nobody has told us yet where we are: they would not know where to knock
            effort.due = now.steady + limits.PUNCH_WAIT_S
            return
        effort.round += 1
        effort.state, effort.asked_at, effort.due = PunchState.ASKING, now.steady, now.steady + limits.PUNCH_ROUND_S
        self._say_where(contact, effort)

    def _go_on(self, effort: Effort, now: Now) -> None:
        if effort.knocks == len(limits.KNOCKS_S):
            self._rest(effort, "nothing came through" if effort.answers == 0 else "only theirs came through", now)
            return
        for place in effort.places:
            self._knock(effort, place, heard=False)
        while effort.knocks < len(limits.KNOCKS_S) and effort.began_at + limits.KNOCKS_S[effort.knocks] <= now.steady:
            effort.knocks += 1  # after a stall one knock stands for those that were missed
        over = effort.knocks == len(limits.KNOCKS_S)
        due = effort.began_at + (limits.PUNCH_ROUND_S if over else limits.KNOCKS_S[effort.knocks])
        effort.due = due if due > now.steady else now.steady + limits.PUNCH_ROUND_S - limits.KNOCKS_S[-1]

    def _rest(self, effort: Effort, outcome: str, now: Now) -> None:
        effort.rounds += 1
        effort.state, effort.outcome = PunchState.RESTING, outcome
        effort.due = now.steady + limits.PUNCH_GAPS_S[min(effort.rounds, len(limits.PUNCH_GAPS_S) - 1)]
