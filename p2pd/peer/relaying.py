"""Carrying frames between two others, both of which have come to this node: one to wait, one to call.

Knows two keys, which stand for nobody, and sizes; what it carries is sealed by the two.
Rules: it dials nobody, so no one is reached through it who has not asked to be.  A link is for waiting or for calling,
never for both.  Everything is bounded: links, channels and calls of a link, what it may say, and the bytes that it may
send to others.  Whatever makes no sense ends the link it came on.  Who does nothing makes room for who comes.
Who takes slowly keeps their link: the channel ends that has more on its way to them than its share, and nobody calls.

    guest: here -> waits (Reserve)          a channel: Call -> both ends say Through -> HangUp, or the end of a link
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from p2pd import limits
from p2pd.dht.rates import TokenBucket
from p2pd.effects import CloseLink, EffectQueue, SendFrame
from p2pd.errors import PeerError
from p2pd.types import Endpoint, NodeKey, Now
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
from p2pd.wire.rpc import pack_endpoint


@dataclass(frozen=True, slots=True)
class Far:
    """The other end of a channel: its link and its number there."""

    link: int
    channel: int


@dataclass(slots=True)
class Said:
    """What was said on a link at a stretch, of one channel; 0: of none."""

    channel: int
    size: int
    weight: int


class Untaken:
    """What was said on a link, in order, and its other end has not taken.

    A frame weighs as one of the smallest size class at least: so few are kept that their number needs no bound.
    """

    def __init__(self) -> None:
        self._said: deque[Said] = deque()
        self._of: Counter[int] = Counter()
        self._weight = 0

    @property
    def is_much(self) -> bool:
        """Whether one channel more would find no room for its share."""
        return self._weight + limits.RELAY_SHARE_BYTES > limits.RELAY_UNTAKEN_BYTES

    def has_room(self, channel: int, frame: bytes) -> bool:
        """Whether a channel may add this to it."""
        weight = _weight(frame)
        fits = self._weight + weight <= limits.RELAY_UNTAKEN_BYTES
        return fits or self._of[channel] + weight <= limits.RELAY_SHARE_BYTES

    def add(self, channel: int, frame: bytes) -> None:
        """This is said, on behalf of a channel or of none."""
        if not self._said or self._said[-1].channel != channel:
            self._said.append(Said(channel, 0, 0))
        last, weight = self._said[-1], _weight(frame) if channel else limits.LINK_PREFIX_BYTES + len(frame)
        last.size += limits.LINK_PREFIX_BYTES + len(frame)
        last.weight += weight
        self._of[channel] += weight
        self._weight += weight

    def take(self, size_bytes: int) -> None:
        """So much more is taken."""
        while self._said and size_bytes:
            first = self._said[0]
            taken = min(first.size, size_bytes)
            weight = first.weight if taken == first.size else taken
            size_bytes, first.size, first.weight = size_bytes - taken, first.size - taken, first.weight - weight
            self._weight -= weight
            self._of[first.channel] -= weight
            if not first.size:
                self._said.popleft()
            if not self._of[first.channel]:
                del self._of[first.channel]


def _weight(frame: bytes) -> int:
    return max(limits.LINK_PREFIX_BYTES + len(frame), limits.SIZE_CLASSES[0])


@dataclass(slots=True)
class Guest:
    """Who has come to us as to a relay."""

    link: int
    key: NodeKey
    waits: bool = False
    """Whether this link is for waiting; with or without a reservation at present."""
    last_channel: int = 0
    """The highest number used for a channel on this link, by either side."""
    channels: dict[int, Far] = field(default_factory=dict)
    untaken: Untaken = field(default_factory=Untaken)
    calls: TokenBucket = field(default_factory=lambda: TokenBucket(limits.RELAY_CALLS_PER_S, limits.RELAY_CALLS_BURST))
    bytes: TokenBucket = field(default_factory=lambda: TokenBucket(limits.RELAY_BYTES_PER_S, limits.RELAY_BYTES_BURST))
    messages: TokenBucket = field(
        default_factory=lambda: TokenBucket(limits.RELAY_MESSAGES_PER_S, limits.RELAY_MESSAGES_BURST)
    )


@dataclass(frozen=True, slots=True)
class Carried:
    """What a relay does at present, and has done, for `relay status`."""

    guests: int
    waiting: int
    channels: int
    frames: int
    bytes: int


class Relaying:
    """All that this node carries for others; `may_carry` says whether it does so at all."""

    def __init__(
        self,
        effects: EffectQueue,
        may_carry: Callable[[], bool],
        count: Callable[[str], None],
        where: Callable[[], tuple[Endpoint, ...]] = lambda: (),
    ) -> None:
        self._effects = effects
        self._where = where
        """Where strangers reach this node, one endpoint of each address family."""
        self._may_carry = may_carry
        self._count = count
        self._guests: dict[int, Guest] = {}
        self._waiting: dict[NodeKey, int] = {}
        self._frames = self._bytes = 0

    def owns(self, link: int) -> bool:
        """Whether a link is one of ours."""
        return link in self._guests

    @property
    def carried(self) -> Carried:
        """What is carried, and was."""
        channels = sum(len(guest.channels) for guest in self._guests.values()) // 2
        return Carried(len(self._guests), len(self._waiting), channels, self._frames, self._bytes)

    def on_opened(self, link: int, node: NodeKey, now: Now) -> None:
        """Somebody has come, under a throwaway key."""
        if not self._may_carry() or not self._has_room():
            self._count("relay_refused")
            self._effects.append(CloseLink(link, "no relay"))
        else:
            self._guests[link] = Guest(link, node)

    def _has_room(self) -> bool:
        """Whether another may come; where too many are here, the oldest that does nothing goes."""
        if len(self._guests) < limits.RELAY_LINKS:
            return True
        waiting = set(self._waiting.values())
        idle = (guest for guest in self._guests.values() if not guest.channels and guest.link not in waiting)
        oldest = next(idle, None)
        if oldest is not None:
            self._refuse(oldest, "relay_refused")
        return oldest is not None

    def _refuse(self, guest: Guest, why: str) -> None:
        self._count(why)
        self._effects.append(CloseLink(guest.link, "refused"))
        self.on_closed(guest.link)

    def on_closed(self, link: int) -> None:
        """They are gone: so are their channels, and nobody waits there any more."""
        guest = self._guests.pop(link, None)
        if guest is None:
            return
        if self._waiting.get(guest.key) == link:
            del self._waiting[guest.key]
        for far in guest.channels.values():
            self._end(far, Over.GONE)

    def on_taken(self, link: int, size_bytes: int) -> None:
        """They have taken so much more of what was said to them."""
        guest = self._guests.get(link)
        if guest is not None:
            guest.untaken.take(size_bytes)

    def on_frame(self, link: int, frame: bytes, now: Now) -> None:
        """They say something."""
        guest = self._guests.get(link)
        if guest is None:
            return
        try:
            if not guest.messages.take(now.steady):
                raise PeerError("too_many_messages")
            self._on_message(guest, decode_relay_message(frame), now)
        except PeerError as error:
            self._refuse(guest, error.reason)

    def _on_message(self, guest: Guest, message: RelayMessage, now: Now) -> None:
        match message:
            case Reserve():
                self._reserve(guest)
            case Call():
                self._connect(guest, message, now)
            case Through():
                self._pass(guest, message, now)
            case HangUp():
                self._hang_up(guest, message.channel, Over.BY_CHOICE)
            case Reserved() | Called():
                raise PeerError("not_a_guest")

    def _reserve(self, guest: Guest) -> None:
        """A newer link under the same key has taken the place of the older: its node has lost that one."""
        if guest.last_channel and not guest.waits:
            raise PeerError("bad_reserve")
        self._waiting[guest.key] = guest.link
        guest.waits = True
        self._say(
            guest.link, Reserved([pack_endpoint(endpoint) for endpoint in self._where()[: limits.RELAY_ENDPOINTS]])
        )

    def _connect(self, guest: Guest, call: Call, now: Now) -> None:
        if guest.waits or call.channel <= guest.last_channel:
            raise PeerError("bad_call")
        guest.last_channel = call.channel
        if not guest.calls.take(now.steady):
            raise PeerError("too_many_calls")
        callee = self._guests.get(self._waiting.get(call.callee, 0))
        if callee is None or callee is guest:
            self._say(guest.link, HangUp(call.channel, Over.NOBODY))
            return
        if max(len(guest.channels), len(callee.channels)) >= limits.RELAY_CHANNELS or callee.untaken.is_much:
            self._say(guest.link, HangUp(call.channel, Over.FULL))
            return
        callee.last_channel += 1
        number = callee.last_channel
        guest.channels[call.channel] = Far(callee.link, number)
        callee.channels[number] = Far(guest.link, call.channel)
        self._say(callee.link, Called(number, guest.key))

    def _pass(self, guest: Guest, through: Through, now: Now) -> None:
        far = guest.channels.get(through.channel)
        there = self._guests.get(far.link) if far is not None else None
        if far is None or there is None:  # hung up, or gone, meanwhile
            self._count("no_channel")
            return
        if not guest.bytes.take(now.steady, len(through.frame)):
            self._end_both(guest, through.channel, "relay_budget")
            return
        carried = Through(far.channel, through.frame).encode()
        if not there.untaken.has_room(far.channel, carried):
            self._end_both(guest, through.channel, "relay_untaken")
            return
        self._frames += 1
        self._bytes += len(through.frame)
        there.untaken.add(far.channel, carried)
        self._effects.append(SendFrame(far.link, carried))

    def _end_both(self, guest: Guest, channel: int, why: str) -> None:
        self._count(why)
        self._hang_up(guest, channel, Over.BUDGET)
        self._say(guest.link, HangUp(channel, Over.BUDGET))

    def _hang_up(self, guest: Guest, channel: int, reason: Over) -> None:
        if channel == 0 and self._waiting.get(guest.key) == guest.link:
            del self._waiting[guest.key]
        far = guest.channels.pop(channel, None)
        if far is not None:
            self._end(far, reason)

    def _end(self, far: Far, reason: Over) -> None:
        guest = self._guests.get(far.link)
        if guest is not None and guest.channels.pop(far.channel, None) is not None:
            self._say(far.link, HangUp(far.channel, reason))

    def _say(self, link: int, message: RelayMessage) -> None:
        guest, frame = self._guests.get(link), message.encode()
        if guest is not None:
            guest.untaken.add(0, frame)
            self._effects.append(SendFrame(link, frame))
