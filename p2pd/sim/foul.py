"""Relays and contacts that misbehave: the shipped engine, taken over at one place.

Knows how relays carry and how presence is told, and cannot open what it carries.
Rules: a foul relay carries most frames as it should, or nobody would stay with it; what it does to the others is drawn
from the seed.  A denouncer is a contact like others, and says that it is where the victim is.
"""

from enum import Enum
from random import Random

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.effects import CloseLink
from p2pd.engine import Engine
from p2pd.peer.punching import PunchState
from p2pd.peer.relaying import Guest
from p2pd.sim.adversaries import VICTIM
from p2pd.types import Endpoint, NodeKey, Now, RandomSource
from p2pd.wire.person import Presence, Waiting
from p2pd.wire.relay import Called, HangUp, Over, Through
from p2pd.wire.rpc import pack_endpoint


class Foul(Enum):
    """What a foul relay does to a frame that it is to carry."""

    DROP = "not carried"
    DELAY = "carried after a later one"
    REPLAY = "carried twice"
    SPOIL = "carried with a bit flipped"
    SWAP = "carried over a channel of somebody else's"
    INVENT = "not carried; somebody who waits is called by nobody, who says something"
    HANG_UP = "both ends are told that the other has hung up"
    BREAK_OFF = "the link on which it came ends"


class FoulRelay:
    """Carries for others, and does one foul thing to a share of the frames, or another each time."""

    def __init__(self, node: Engine, random: RandomSource, foul: Foul | None = None, share: float = 0.1) -> None:
        self.random = Random(random.bytes(8))
        self.fouls = 0
        self._foul, self._share = foul, share
        self._kept: list[tuple[Guest, Through]] = []
        self._relaying = node._ways.relaying
        self._honest = self._relaying._pass
        self._relaying._pass = self._carry  # type: ignore[method-assign]  # the one place where frames pass

    def _carry(self, guest: Guest, through: Through, now: Now) -> None:
        if through.channel not in guest.channels or self.random.random() >= self._share:
            self._honest(guest, through, now)
            while self._kept:
                self._honest(*self._kept.pop(), now)
            return
        self.fouls += 1
        self._do(self._foul or self.random.choice(list(Foul)), guest, through, now)

    def _do(self, foul: Foul, guest: Guest, through: Through, now: Now) -> None:
        match foul:
            case Foul.DROP:
                pass
            case Foul.DELAY:
                self._kept.append((guest, through))
            case Foul.REPLAY:
                self._honest(guest, through, now)
                self._honest(guest, through, now)
            case Foul.SPOIL:
                frame = bytes([*through.frame[:-1], through.frame[-1] ^ 1])
                self._honest(guest, Through(through.channel, frame), now)
            case Foul.SWAP:
                channels = [(link, channel) for link, one in self._relaying._guests.items() for channel in one.channels]
                link, channel = self.random.choice(channels)
                self._relaying._say(link, Through(channel, through.frame))
            case Foul.INVENT:
                self._invent(through.frame)
            case Foul.HANG_UP:
                self._relaying._hang_up(guest, through.channel, Over.GONE)
                self._relaying._say(guest.link, HangUp(through.channel, Over.GONE))
            case Foul.BREAK_OFF:
                self._relaying._effects.append(CloseLink(guest.link, "out of order"))
                self._relaying.on_closed(guest.link)

    def _invent(self, frame: bytes) -> None:
        waiting = self.random.choice([one for one in self._relaying._guests.values() if one.waits])
        waiting.last_channel += 1
        caller = NodeKey(SigningKey(self.random.randbytes(limits.KEY_BYTES)).public)
        self._relaying._say(waiting.link, Called(waiting.last_channel, caller))
        self._relaying._say(waiting.link, Through(waiting.last_channel, frame))


class Denouncer:
    """Somebody's contact, who says that they are where the victim is: in presence, for relays, and to be punched."""

    def __init__(self, node: Engine, random: RandomSource) -> None:
        self._random = Random(random.bytes(8))
        self._ways = node._ways
        self._ways.whereabouts.on_addresses = self._on_addresses  # type: ignore[method-assign]  # it tells nothing of it
        node._publisher._where = self._presence
        self._name_others()

    def insist(self, now: Now) -> None:
        """Other ports of the victim's, in presence and in one more round of punching."""
        self._name_others()
        self._ways.whereabouts.on_mapped(self._victim(), "pcp", now)
        for effort in self._ways.punching._efforts.values():
            effort.starts, effort.state, effort.due = True, PunchState.RESTING, now.steady
        self._ways.punching.on_timer(now)

    def _presence(self) -> Presence:
        """Each relay is where it is, so that the call may be tried, and where the victim is."""
        told = self._ways.presence()
        relays = [
            Waiting(one.relay, [*one.endpoints[:1], pack_endpoint(self._victim())], one.callee) for one in told.relays
        ]
        return Presence(told.made_ms, told.node, told.endpoints, relays, told.nat)

    def _on_addresses(self, own: tuple[Endpoint, ...], now: Now) -> None:
        self._name_others()

    def _name_others(self) -> None:
        self._ways.whereabouts.own = tuple(self._victim() for _ in range(limits.ENDPOINTS))

    def _victim(self) -> Endpoint:
        return Endpoint(VICTIM.host, self._random.randint(limits.PORT_MIN, 0xFFFF))
