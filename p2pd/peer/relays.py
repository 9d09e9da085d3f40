"""Using relays: waiting at some to be called, and calling others where they wait.

Knows no persons and no contents: what goes over a channel is `links`', by the same numbers as links that need no relay.
Rules: we come to every relay under a key of its own, drawn anew for each call and, for waiting, for each relay at each
start, so that relays cannot tell whom they have before them.  We wait at servers of different networks, near ones
rather than far ones, and choose them once we have looked around: the servers by which one comes are the same for many,
and would carry them all.  Where one is gone, full or silent, another is asked, soon at first.  What relays say is
bounded by what they may say: one word that we wait, so many callers.

| ours | goes on by | ends by |
|---|---|---|
| waiting | `on_opened`: says Reserve; Reserved: callers may come | the link closes, HangUp 0, no Reserved in time |
| calling | `on_opened`: says Call; the channel is open at once | HangUp, or the link closes |
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.bounded import Recent
from p2pd.dht.peers import Peer, has_family, is_local, networks
from p2pd.dht.rates import TokenBucket
from p2pd.domains import Domain, domain_hash
from p2pd.effects import CheckLink, CloseLink, EffectQueue, LinkKind, OpenLink, SendFrame
from p2pd.errors import PeerError
from p2pd.peer.numbers import LinkNumbers
from p2pd.types import Endpoint, NodeKey, Now, RandomSource
from p2pd.wire.person import Waiting
from p2pd.wire.relay import (
    Call,
    Called,
    HangUp,
    Over,
    RelayMessage,
    Reserve,
    Reserved,
    Through,
    decode_relay_message,
)
from p2pd.wire.rpc import pack_endpoint, unpack_endpoint

_SAMPLE = 8
"""Servers drawn at random, of which the nearest are waited at."""
_AVOIDED = 64
"""Relays remembered that refused or left us."""


class Nodes(Protocol):
    """What of the DHT is asked: who could carry for us."""

    @property
    def has_looked_around(self) -> bool: ...
    def servers(self) -> list[Peer]: ...
    def round_trip_ms(self, peer: Peer) -> float | None: ...
    @property
    def quic_blocked(self) -> bool: ...


class ChannelUser(Protocol):
    """Who talks over channels."""

    def on_link_opened(
        self, id: int, node: NodeKey, endpoint: Endpoint | None, binding: bytes, outgoing: bool, now: Now
    ) -> None: ...
    def on_link_failed(self, id: int, reason: str, now: Now) -> None: ...
    def on_link_closed(self, id: int, reason: str, now: Now) -> None: ...
    def on_frame(self, id: int, frame: bytes, now: Now) -> None: ...


@dataclass(slots=True)
class Way:
    """Our link with one relay: to wait there, or for one call."""

    link: int
    relay: NodeKey
    endpoint: Endpoint
    """Where we have reached it."""
    key: NodeKey
    """Ours, as the relay knows us."""
    since: float
    """When it was dialled or, where we wait, agreed to that; steady seconds."""
    callee: NodeKey | None = None
    """Whom we call; None: we wait."""
    up: bool = False
    reserved: bool = False
    second: Endpoint | None = None
    """Where callers reach it by the other address family, as it says itself."""
    channels: dict[int, int] = field(default_factory=dict)
    """The numbers of links that go over this one, by channel."""
    callers: TokenBucket = field(
        default_factory=lambda: TokenBucket(limits.RELAY_CALLED_PER_S, limits.RELAY_CALLED_BURST)
    )

    @property
    def waits(self) -> bool:
        return self.callee is None

    @property
    def endpoints(self) -> list[Endpoint]:
        """Where callers reach it."""
        return [self.endpoint] if self.second is None else [self.endpoint, self.second]


class Relays:
    """All relays that we use."""

    def __init__(
        self,
        nodes: Nodes,
        effects: EffectQueue,
        random: RandomSource,
        numbers: LinkNumbers,
        *,
        private: bool,
        wanted: Callable[[], bool],
        kept_out: Callable[[], set[NodeKey]],
        on_changed: Callable[[Now], None],
        count: Callable[[str], None],
    ) -> None:
        self.user: ChannelUser
        """Set once, when both ends of the wiring are there."""
        self._nodes = nodes
        self._effects = effects
        self._random = random
        self._numbers = numbers
        self._private = private
        self._wanted = wanted
        self._kept_out = kept_out
        self._on_changed = on_changed
        self._count = count
        self._ways: dict[int, Way] = {}
        self._channels: dict[int, tuple[Way, int]] = {}
        self._avoided: Recent[NodeKey, float] = Recent(_AVOIDED)
        self._failures = 0
        self._refused = 0
        self._left_at: float | None = None
        """When a relay last agreed and soon left us; steady seconds."""
        self._due: float | None = None

    # --- what is where ---

    def owns(self, link: int) -> bool:
        """Whether a link is one of ours with a relay."""
        return link in self._ways

    def carries(self, link: int) -> bool:
        """Whether a link goes over a relay."""
        return link in self._channels

    @property
    def waiting(self) -> list[Waiting]:
        """Where we can be called now."""
        ways = [way for way in self._ways.values() if way.waits and way.reserved]
        return [Waiting(way.relay, list(map(pack_endpoint, way.endpoints)), way.key) for way in ways]

    @property
    def stations(self) -> list[Way]:
        """The relays that we wait at, or try to."""
        return [way for way in self._ways.values() if way.waits]

    @property
    def shut_out(self) -> bool:
        """Whether no link with any relay of our choice came about lately, though several were tried."""
        return self._refused >= limits.RELAYS_WAITED_AT and not any(way.up for way in self._ways.values())

    # --- waiting ---

    def start(self, now: Now) -> None:
        """The node has joined: it waits at relays once it knows servers enough to choose from."""
        self._due = self._choice(now)
        self.on_timer(now)

    def _choice(self, now: Now) -> float:
        """When there are servers enough to choose from, steady seconds."""
        return now.steady + (0.0 if self._nodes.has_looked_around else limits.RELAY_CHOICE_S)

    def on_looked_around(self, now: Now) -> None:
        """Servers of many places are known."""
        if self._due is not None:
            self._due = now.steady
            self.on_timer(now)

    def need_changed(self, now: Now) -> None:
        """Whether we want to wait at relays may be another."""
        if self._due is not None:
            self._failures, self._due = 0, min(self._due, self._choice(now))
            self.on_timer(now)

    def next_deadline(self) -> float | None:
        """When relays are to be looked after again, steady seconds."""
        silent = [way.since + limits.HANDSHAKE_S for way in self.stations if not way.reserved]
        return min(silent if self._due is None else [self._due, *silent], default=None)

    def on_timer(self, now: Now) -> None:
        """Waits at more relays where there are too few, and at none where there is no need."""
        for way in self.stations:
            if not way.reserved and way.since + limits.HANDSHAKE_S <= now.steady:
                self._end(way, "no answer", now)
        if self._due is None or self._due > now.steady:
            return
        blocked = self._nodes.quic_blocked
        self._due = now.steady + (limits.RELAY_BLOCKED_S if blocked else limits.RELAY_CHECK_S)
        if not self._wanted():
            self._leave(now)
            return
        kept_out = self._kept_out()
        for way in [way for way in self.stations if way.relay in kept_out]:  # it was found out later whose it is
            self._end(way, "kept out", now)
        lacking = limits.RELAYS_WAITED_AT - len(self.stations)
        for peer in self._choose(lacking, now):
            self._open(peer.key, (peer.endpoint,), None, now)
        if len(self.stations) < limits.RELAYS_WAITED_AT:
            self._retry_later(now)

    def _choose(self, count: int, now: Now) -> list[Peer]:
        """So many servers of networks at which we do not wait yet: of some drawn at random the nearest."""
        taken = {self._network(way.endpoint) for way in self.stations}
        kept_out = self._kept_out()
        servers = []
        for peer in self._nodes.servers():
            avoided = self._avoided.find(peer.key)
            rested = avoided is None or now.steady - avoided >= limits.RELAY_AVOIDED_S
            if rested and peer.key not in kept_out and self._network(peer.endpoint) not in taken:
                servers.append(peer)
        drawn = [servers.pop(int(self._random.uniform(0, len(servers)))) for _ in range(min(_SAMPLE, len(servers)))]
        drawn.sort(key=self._distance_ms)
        chosen: list[Peer] = []
        for peer in drawn:
            if len(chosen) < count and self._network(peer.endpoint) not in taken:
                taken.add(self._network(peer.endpoint))
                chosen.append(peer)
        return chosen

    def _distance_ms(self, peer: Peer) -> float:
        """Who was never measured has answered repeated questions only: it is slow, and must gain nothing by that."""
        round_trip_ms = self._nodes.round_trip_ms(peer)
        return float("inf") if round_trip_ms is None else round_trip_ms

    def _network(self, endpoint: Endpoint) -> bytes:
        """What falls together; in a private network, which may have one address only, an endpoint."""
        return str(endpoint).encode() if self._private else networks(endpoint.host)[0]

    def _leave(self, now: Now) -> None:
        for way in [way for way in self.stations if not way.channels]:
            self._end(way, "no need", now)

    def _retry_later(self, now: Now) -> None:
        gap = limits.RELAY_GAPS_S[min(self._failures, len(limits.RELAY_GAPS_S) - 1)]
        if self._nodes.quic_blocked:
            gap = limits.RELAY_BLOCKED_S
        self._failures += 1
        self._due = min(self._due or now.steady + gap, now.steady + gap)

    # --- calling, and what goes over channels ---

    def call(self, link: int, at: Waiting, now: Now) -> None:
        """Calls who waits there; the user hears of `link`, opened or failed."""
        way = self._open(at.relay, tuple(map(unpack_endpoint, at.endpoints)), at.callee, now)
        self._channels[link] = (way, 1)
        way.channels[1] = link

    def send(self, link: int, frame: bytes) -> None:
        """The next frame of a link that a relay carries."""
        found = self._channels.get(link)
        if found is not None:
            self._say(found[0], Through(found[1], frame))

    def close(self, link: int) -> None:
        """A link that a relay carries is over by our choice; the user is not told."""
        way, channel = self._channels.pop(link, (None, 0))
        if way is None:
            return
        way.channels.pop(channel, None)
        if way.waits:
            self._say(way, HangUp(channel))
        else:
            self._drop(way, "hung up")

    def relay_of(self, link: int) -> NodeKey | None:
        """The relay that carries a link."""
        found = self._channels.get(link)
        return None if found is None else found[0].relay

    def on_addresses(self, own: tuple[Endpoint, ...], now: Now) -> None:
        """The machine is somewhere else: ask whether relays are there, leave who cannot be asked, look for others."""
        for way in list(self._ways.values()):
            if not has_family(own, way.endpoint):
                self._failures = 0  # it is not they who failed
                self._end(way, "no address of its family is left", now)
            elif way.up:
                self._effects.append(CheckLink(way.link))
        self._refused = 0
        self.need_changed(now)

    # --- what relays say ---

    def on_opened(self, link: int, now: Now) -> None:
        """A relay is there."""
        way = self._ways.get(link)
        if way is None:
            self._effects.append(CloseLink(link, "not wanted"))
            return
        way.up, self._refused = True, 0
        if way.callee is None:
            self._say(way, Reserve())
            return
        self._say(way, Call(1, way.callee))
        number = way.channels[1]
        self.user.on_link_opened(number, way.callee, None, relay_binding(way.key, way.callee), True, now)

    def on_closed(self, link: int, reason: str, now: Now) -> None:
        """A relay is gone, or never was there."""
        way = self._ways.get(link)
        if way is not None:
            self._end(way, reason, now, told=True)

    def on_frame(self, link: int, frame: bytes, now: Now) -> None:
        """A relay says something."""
        way = self._ways.get(link)
        if way is None:
            return
        try:
            self._on_message(way, decode_relay_message(frame), now)
        except PeerError as error:
            self._count(error.reason)
            self._end(way, "refused", now)

    def _on_message(self, way: Way, message: RelayMessage, now: Now) -> None:
        match message:
            case Reserved():
                if way.reserved or not way.waits:
                    raise PeerError("reserved_out_of_turn")
                way.reserved, way.since = True, now.steady
                way.second = self._second(way, message)
                if self._left_at is None or self._left_at + limits.RELAY_STEADY_S <= now.steady:
                    self._failures = 0
                self._on_changed(now)
            case Called():
                self._on_called(way, message, now)
            case Through():
                if (number := way.channels.get(message.channel)) is not None:
                    self.user.on_frame(number, message.frame, now)
            case HangUp(channel=0):
                self._end(way, "full", now)
            case HangUp():
                self._on_hang_up(way, message, now)
            case Reserve() | Call():
                raise PeerError("not_a_relay")

    def _second(self, way: Way, said: Reserved) -> Endpoint | None:
        """Its endpoint of the other family, by its own word: it can lead our callers astray by that, as by silence."""
        for endpoint in map(unpack_endpoint, said.endpoints):
            if endpoint.is_v6 is not way.endpoint.is_v6 and (self._private or not is_local(endpoint.host)):
                return endpoint
        return None

    def _on_called(self, way: Way, called: Called, now: Now) -> None:
        if not way.reserved or called.channel in way.channels or len(way.channels) >= limits.RELAY_CHANNELS:
            raise PeerError("call_out_of_turn")
        if not way.callers.take(now.steady):
            self._count("too_many_callers")
            self._say(way, HangUp(called.channel, Over.FULL))
            return
        number = self._numbers.next()
        way.channels[called.channel] = number
        self._channels[number] = (way, called.channel)
        self.user.on_link_opened(number, called.caller, None, relay_binding(called.caller, way.key), False, now)

    def _on_hang_up(self, way: Way, over: HangUp, now: Now) -> None:
        number = way.channels.pop(over.channel, None)
        if number is None:
            return
        del self._channels[number]
        reason = _WORDS.get(over.reason, "hung up")
        if not way.waits:
            self._drop(way, "hung up")
        self.user.on_link_closed(number, reason, now)

    # --- links with relays ---

    def _open(self, relay: NodeKey, endpoints: tuple[Endpoint, ...], callee: NodeKey | None, now: Now) -> Way:
        seed = self._random.bytes(limits.KEY_BYTES)
        way = Way(self._numbers.next(), relay, endpoints[0], NodeKey(SigningKey(seed).public), now.steady, callee)
        self._ways[way.link] = way
        self._effects.append(OpenLink(way.link, relay, endpoints, LinkKind.RELAY, seed))
        return way

    def _say(self, way: Way, message: RelayMessage) -> None:
        self._effects.append(SendFrame(way.link, message.encode()))

    def _drop(self, way: Way, reason: str) -> None:
        self._ways.pop(way.link, None)
        self._effects.append(CloseLink(way.link, reason))

    def _end(self, way: Way, reason: str, now: Now, *, told: bool = False) -> None:
        """The link with a relay is no more: nor are the links that went over it."""
        self._ways.pop(way.link, None)
        if not told:
            self._effects.append(CloseLink(way.link, reason))
        numbers = list(way.channels.values())
        way.channels.clear()
        for number in numbers:
            del self._channels[number]
        if way.waits:
            self._replace(way, now, refused=told and not way.up)
        for number in numbers:
            if way.up:
                self.user.on_link_closed(number, f"the relay: {reason}", now)
            else:
                self.user.on_link_failed(number, f"the relay: {reason}", now)

    def _replace(self, way: Way, now: Now, *, refused: bool) -> None:
        """We wait there no more: elsewhere soon, or later where that was no good for long."""
        was_shut_out = self.shut_out
        self._refused += refused
        if way.reserved and way.since + limits.RELAY_STEADY_S <= now.steady:
            self._failures = 0
        elif way.reserved:
            self._left_at = now.steady
        if self._wanted():
            self._avoided.put(way.relay, now.steady)
            self._retry_later(now)
        if way.reserved or self.shut_out is not was_shut_out:
            self._on_changed(now)


_WORDS: dict[int, str] = {
    Over.NOBODY: "not there",
    Over.FULL: "the relay is full",
    Over.BUDGET: "more than the relay carries",
    Over.GONE: "the other end is gone",
}


def relay_binding(caller: NodeKey, callee: NodeKey) -> bytes:
    """What a link's handshake is bound to where a relay carries it."""
    return domain_hash(Domain.RELAYED_LINK, caller, callee)
