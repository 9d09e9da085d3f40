"""Links: one long-lived stream each, on a connection of its own, for frames both ways.

It does not know who is at the other end, only which node.
Rules: the dialler opens the stream with the byte of the link's kind; the acceptor answers `K`, and only then is the
link up for the dialler,
who would otherwise believe in a connection that is about to be refused.  What the core has not taken stays in the
window.

    dialling -> asked -> up -> closed                 the dialler
                accepted (K sent) = up -> closed      the acceptor
"""

from collections.abc import Callable

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.effects import LinkKind, OpenLink
from p2pd.errors import PeerError, QuotaError
from p2pd.net.connection import CLOSED_BY_CHOICE, CLOSED_FULL, Connection, Credentials
from p2pd.net.frames import LENGTH_BYTES, FrameReader, encode_frame
from p2pd.net.inputs import Frame, Input, LinkClosed, LinkFailed, LinkOpened, LinkTaken
from p2pd.net.quic import QuicEndpoint
from p2pd.net.timers import Timers
from p2pd.net.traffic import Cause
from p2pd.types import NodeKey, RandomSource

LINK_KINDS = {kind.value: kind for kind in LinkKind}
ACCEPTED = b"K"


class Link:
    """One link's stream, from the moment its connection is authenticated; the owner of a dialled connection."""

    def __init__(self, number: int, connection: Connection, stream: int, kind: LinkKind, links: "Links") -> None:
        self.number = number
        self.kind = kind
        self.connection = connection
        self.stream = stream
        self.up = False
        self._untold = 0
        """Bytes of frames that were sent, and not yet said to be taken."""
        connection.purpose = Cause.USER if kind is LinkKind.PERSON else Cause.RELAY
        self._frames = FrameReader()
        self._in_hand = 0
        self._links = links

    @property
    def unsent(self) -> int:
        return self.connection.quic.unsent(self.stream)

    def send(self, data: bytes, now: float) -> None:
        """Send a frame, encoded."""
        self._untold += len(data)
        self.write(data, now)

    def write(self, data: bytes, now: float) -> None:
        """Send bytes on the stream."""
        self.connection.quic.send_stream_data(self.stream, data)
        self.connection.expect_answer(now)

    def taken(self, size: int) -> None:
        """The core has taken a frame of this size: the window moves, and the next ones follow."""
        self._in_hand -= 1
        self.connection.quic.consumed(self.stream, LENGTH_BYTES + size)
        self._hand_over()

    def _hand_over(self) -> None:
        for frame in self._frames.take(limits.LINK_FRAMES_IN_HAND - self._in_hand):
            self._in_hand += 1
            self._links.emit(Frame(self.number, frame))

    # --- as owner

    def on_ready(self, connection: Connection, now: float) -> None:
        raise AssertionError("a link begins on a connection that is ready")

    def on_stream(self, connection: Connection, stream: int, data: bytes, end: bool, now: float) -> None:
        if stream != self.stream:
            raise PeerError("stream not asked for")
        if not self.up and data:
            self._be_accepted(data[:1])
            data = data[1:]
        self._frames.feed(data)
        self._hand_over()
        if end:
            raise PeerError("link stream ended")

    def on_reset(self, connection: Connection, stream: int, now: float) -> None:
        if stream == self.stream:
            raise PeerError("link stream reset")

    def on_progress(self, connection: Connection, now: float) -> None:
        if self._untold < limits.LINK_TAKEN_STEP_BYTES:
            return
        taken = self._untold - self.unsent
        if taken >= limits.LINK_TAKEN_STEP_BYTES:
            self._untold -= taken
            self._links.emit(LinkTaken(self.number, taken))

    def on_ended(self, connection: Connection, reason: str, now: float) -> None:
        self._links.lost(self, reason)

    def _be_accepted(self, answer: bytes) -> None:
        if answer != ACCEPTED:
            raise PeerError("link not accepted")
        self.connection.quic.consumed(self.stream, len(answer))
        self.up = True
        self._links.is_up(self)


class Dial:
    """One link being dialled: attempts at its endpoints, each a little after the one before (RFC 8305)."""

    def __init__(self, wish: OpenLink, links: "Links", now: float) -> None:
        self.wish = wish
        self._credentials = Credentials.of(SigningKey(wish.signer_seed), links.random) if wish.signer_seed else None
        self.waiting = list(wish.endpoints[: limits.DIAL_ENDPOINTS])
        self.attempts: list[Connection] = []
        self.deadline = now + links.quic.tuning.dial_s
        self._links = links

    def try_next(self, now: float) -> None:
        """Begin the next attempt, if any endpoint is left."""
        if self.waiting:
            endpoint, credentials = self.waiting.pop(0), self._credentials
            self.attempts.append(self._links.quic.dial(endpoint, self.wish.node, self, now, credentials))

    def stop(self, but: Connection | None = None) -> None:
        """Close all attempts but one."""
        for connection in self.attempts:
            if connection is not but:
                connection.close(CLOSED_BY_CHOICE, "dial over")
                self._links.quic.touch(connection)

    # --- as owner

    def on_ready(self, connection: Connection, now: float) -> None:
        self._links.dialled(self, connection, now)

    def on_stream(self, connection: Connection, stream: int, data: bytes, end: bool, now: float) -> None:
        raise PeerError("stream not asked for")

    def on_reset(self, connection: Connection, stream: int, now: float) -> None:
        raise PeerError("stream not asked for")

    def on_progress(self, connection: Connection, now: float) -> None:
        pass

    def on_ended(self, connection: Connection, reason: str, now: float) -> None:
        self.attempts.remove(connection)
        self._links.attempt_failed(self, reason, now)


class Links:
    """All links of a node by number: positive where the core dialled, negative where a peer did."""

    def __init__(self, quic: QuicEndpoint, random: RandomSource, emit: Callable[[Input], None]) -> None:
        self.quic = quic
        self.random = random
        self.emit = emit
        self._links: dict[int, Link] = {}
        self._dials: dict[int, Dial] = {}
        self._timers: Timers[int] = Timers()
        self._last_incoming = 0

    # --- what the core asks

    def open(self, wish: OpenLink, now: float) -> None:
        """Dial; `LinkOpened` or `LinkFailed` will answer."""
        if len(self._dials) >= limits.DIALS or not wish.endpoints:
            self.emit(LinkFailed(wish.link, "no endpoint" if not wish.endpoints else "too many dials"))
            return
        dial = Dial(wish, self, now)
        self._dials[wish.link] = dial
        self._advance(dial, now)

    def send(self, number: int, frame: bytes, now: float) -> None:
        """Send a frame; a link that is down, or whose peer does not keep up, takes none."""
        data = encode_frame(frame)
        link = self._links.get(number)
        if link is None or not link.up or link.connection.ended is not None:
            self.quic.counts["frame for a link that is down"] += 1
            return
        unsent = link.unsent + len(data)
        if unsent > (limits.LINK_UNSENT_MAX_BYTES if link.kind is LinkKind.PERSON else limits.RELAY_UNSENT_MAX_BYTES):
            self.quic.counts["link too slow"] += 1
            link.connection.close(CLOSED_FULL, "too slow")
        else:
            link.send(data, now)
        self.quic.touch(link.connection)

    def close(self, number: int, reason: str) -> None:
        """Close a link, or stop dialling it, without an answer."""
        self._abandon(number)
        link = self._links.pop(number, None)
        if link is not None:
            link.connection.close(CLOSED_BY_CHOICE, reason)
            self.quic.touch(link.connection)

    def check(self, number: int, now: float) -> None:
        """Ask whether a link still leads anywhere, and close it soon where it does not."""
        link = self._links.get(number)
        if link is not None and link.up:
            link.connection.check(now)
            self.quic.touch(link.connection)

    def close_all(self, reason: str) -> None:
        """Close every link and dial, as the core that knew them is gone."""
        for number in [*self._dials, *self._links]:
            self.close(number, reason)

    def taken(self, number: int, size: int) -> None:
        """The core has taken a frame."""
        link = self._links.get(number)
        if link is None:
            return
        try:
            link.taken(size)
        except PeerError as error:
            self.quic.counts[error.reason] += 1
            link.connection.close(CLOSED_FULL, error.reason)
        if link.connection.ended is not None or link.connection.quic.window_is_due(link.stream):
            self.quic.touch(link.connection)

    def unsent(self, number: int) -> int:
        """Bytes given to a link that its peer has not acknowledged; 0 for a link that is down."""
        link = self._links.get(number)
        return 0 if link is None else link.unsent

    # --- time

    def next_deadline(self) -> float | None:
        """When `on_timer` has something to do."""
        return self._timers.next()

    def on_timer(self, now: float) -> None:
        """Go on with the dials that are due."""
        for number in self._timers.due(now):
            dial = self._dials.get(number)
            if dial is None:
                continue
            if now >= dial.deadline:
                self._fail(dial, "no answer")
            else:
                self._advance(dial, now)

    # --- from dials and links

    def accept(self, connection: Connection, stream: int, kind: LinkKind, now: float) -> Link:
        """A peer has opened a link: say so to both sides; PeerError where they will hear no answer."""
        self._last_incoming -= 1
        link = Link(self._last_incoming, connection, stream, kind, self)
        link.write(ACCEPTED, now)
        self._links[link.number] = link
        link.up = True
        self.is_up(link)
        return link

    def dialled(self, dial: Dial, connection: Connection, now: float) -> None:
        """An attempt has reached the right node: it is the one, and asks for the link."""
        dial.stop(but=connection)
        dial.waiting.clear()
        link = Link(dial.wish.link, connection, connection.quic.get_next_available_stream_id(), dial.wish.kind, self)
        self._links[link.number] = link
        connection.owner = link
        link.write(link.kind.value, now)

    def is_up(self, link: Link) -> None:
        """A link is up on both sides."""
        self._dials.pop(link.number, None)
        self._timers.forget(link.number)
        connection = link.connection
        connection.keep_alive = True
        node, remote, binding = _proven(connection), connection.remote, connection.binding
        self.emit(LinkOpened(link.number, node, remote, binding, connection.outgoing, link.kind))

    def attempt_failed(self, dial: Dial, reason: str, now: float) -> None:
        """An attempt is over without success; the next need not wait."""
        if self._dials.get(dial.wish.link) is not dial or dial.wish.link in self._links:
            return
        if dial.waiting:
            self._advance(dial, now)
        elif not dial.attempts:
            self._fail(dial, reason)

    def lost(self, link: Link, reason: str) -> None:
        """A link's connection has ended."""
        if self._links.get(link.number) is not link:
            return
        del self._links[link.number]
        if link.up:
            self.emit(LinkClosed(link.number, reason))
        else:
            self._abandon(link.number)
            self.emit(LinkFailed(link.number, reason))

    # --- dials

    def _advance(self, dial: Dial, now: float) -> None:
        try:
            dial.try_next(now)
        except QuotaError as error:
            self._fail(dial, error.message)
            return
        stagger = self.quic.tuning.dial_stagger_s
        self._timers.set(dial.wish.link, min(dial.deadline, now + stagger) if dial.waiting else dial.deadline)

    def _fail(self, dial: Dial, reason: str) -> None:
        self.close(dial.wish.link, reason)
        self.emit(LinkFailed(dial.wish.link, reason))

    def _abandon(self, number: int) -> None:
        dial = self._dials.pop(number, None)
        self._timers.forget(number)
        if dial is not None:
            dial.stop()


def _proven(connection: Connection) -> NodeKey:
    if connection.node is None:
        raise AssertionError("a link on a connection that proved nothing")
    return connection.node
