"""Links: proven streams between two persons' devices.

Knows no contents but its own; who may link is asked of `admit`.

| state | ours: leaves by | theirs: leaves by |
|---|---|---|
| dialling | `on_link_opened`: sends the handshake's first frame | |
| greeting | the answer proves them: up, sends `Ready` | the first frame names a contact: answers; or refused |
| proving | | their first sealed frame proves them: up |
| refused | | a fixed time later: closed |
| up | closed | closed |

Rules: nothing of ours is said to a caller who does not already know whom they call (R18): a first frame that does not
open, is badly certified or not admitted ends the link with the same words and after the same time.
A caller is proven only by what they seal after the handshake (Noise IK, section 7.7: the first frame alone could be
made with our own stolen key).
A link may go over a relay: `channels` opens, sends and closes those, and tells of them as the world tells of others.
Of two links with one contact the newer stays; of two that came at the same time a direct one stays before a relayed
one, and of two of a kind in opposite directions the one that the lower identity dialled.
Incoming links that are not proven have places of their own, so that they take none from contacts; few of these are of
one node, or in one contact's name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from p2pd import limits
from p2pd.crypto.handshake import Initiator, LinkCipher, Responder, is_static_of
from p2pd.effects import CheckLink, CloseLink, EffectQueue, OpenLink, SendFrame
from p2pd.errors import PeerError
from p2pd.peer.numbers import LinkNumbers
from p2pd.peer.own import OwnKeys, certified_device
from p2pd.store import Contact
from p2pd.types import Endpoint, IdentityKey, NodeKey, Now, RandomSource
from p2pd.wire.link import (
    Carry,
    Introduction,
    LinkMessage,
    Punch,
    PunchNow,
    Ready,
    Typing,
    pack_link_message,
    unpack_link_message,
)
from p2pd.wire.person import DeviceCertificate, DeviceContent, Waiting

REFUSED = "refused"
SIMULTANEOUS_S = 5.0


class LinkState(Enum):
    """See the table above."""

    DIALLING = auto()
    GREETING = auto()
    PROVING = auto()
    REFUSED = auto()
    UP = auto()


@dataclass(slots=True)
class Link:
    """One link, from the first attempt to its end."""

    id: int
    outgoing: bool
    node: NodeKey
    endpoint: Endpoint | None
    """None while it is dialled, and where a relay carries it."""
    since: float
    """Steady seconds."""
    state: LinkState
    contact: IdentityKey | None = None
    device: bytes = b""
    initiator: Initiator | None = None
    responder: Responder | None = None
    cipher: LinkCipher | None = None
    relay: NodeKey | None = None
    """Who carries it; None: nobody."""
    is_lan: bool = False
    """Discovery on the local network has shown the contact where this link leads."""
    dialled_at: tuple[Endpoint, ...] = ()

    @property
    def via(self) -> str:
        """How what comes over it has come, for people."""
        if self.relay is not None:
            return "relay"
        return "lan" if self.is_lan else "direct"


class Channels(Protocol):
    """Links that go over relays, under numbers from the same row as the others."""

    def carries(self, link: int) -> bool: ...
    def relay_of(self, link: int) -> NodeKey | None: ...
    def call(self, link: int, at: Waiting, now: Now) -> None: ...
    def send(self, link: int, frame: bytes) -> None: ...
    def close(self, link: int) -> None: ...


@dataclass(frozen=True, slots=True)
class LinkOwner:
    """Whom links report to."""

    admit: Callable[[DeviceContent, DeviceCertificate, bool, Now], Contact | None]
    """The contact of a caller's certificate, if they may link in this way: by a relay (True) or without."""
    on_up: Callable[[IdentityKey, Link, Now], None]
    on_down: Callable[[IdentityKey, str, Now], None]
    on_dial_failed: Callable[[IdentityKey, int, str, Now], None]
    on_envelope: Callable[[IdentityKey, bytes, Now], None]
    on_typing: Callable[[IdentityKey, int, Now], None]
    on_punch: Callable[[IdentityKey, Punch | PunchNow, Now], None]
    count: Callable[[str], None]
    """Counts what was refused, by reason."""


class Links:
    """All links of this node that carry persons."""

    def __init__(
        self,
        own: OwnKeys,
        effects: EffectQueue,
        random: RandomSource,
        numbers: LinkNumbers,
        channels: Channels,
        owner: LinkOwner,
    ) -> None:
        self._own = own
        self._effects = effects
        self._random = random
        self._numbers = numbers
        self._channels = channels
        self._owner = owner
        self._links: dict[int, Link] = {}
        self._up: dict[IdentityKey, Link] = {}

    def up(self, contact: IdentityKey) -> Link | None:
        """The link over which this contact can be written to now."""
        return self._up.get(contact)

    @property
    def contacts_up(self) -> list[IdentityKey]:
        return list(self._up)

    def dial(self, contact: Contact, node: NodeKey, endpoints: tuple[Endpoint, ...], now: Now) -> int | None:
        """Begins a link to a contact's node; its id, or None where nothing is new in that or there are too many."""
        fresh = self.undialled(contact.identity, node, endpoints)
        link = self._begin(contact, node, now) if fresh else None
        if link is None:
            return None
        link.dialled_at = fresh
        self._effects.append(OpenLink(link.id, node, fresh))
        return link.id

    def undialled(self, contact: IdentityKey, node: NodeKey, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
        """Those endpoints of a node at which it is not being dialled; none of them where it has answered."""
        same = self._links_with(contact, node)
        if any(link.state is not LinkState.DIALLING for link in same):
            return ()
        return tuple(each for each in endpoints if all(each not in link.dialled_at for link in same))

    def stop_dialling(self, contact: IdentityKey, reason: str, now: Now) -> None:
        """Gives up the dials to a contact that have not come to anything, as a better way is known."""
        for link in self._links_with(contact):
            if link.state is LinkState.DIALLING and link.relay is None:
                self._drop(link, reason, now)

    def call(self, contact: Contact, at: Waiting, now: Now) -> int | None:
        """Begins a link to a contact by a relay at which they wait; its id, or None as for `dial`."""
        is_new = at.endpoints and not self._links_with(contact.identity, at.callee)
        link = self._begin(contact, at.callee, now) if is_new else None
        if link is None:
            return None
        link.relay = at.relay
        self._channels.call(link.id, at, now)
        return link.id

    def _links_with(self, contact: IdentityKey, node: NodeKey | None = None) -> list[Link]:
        links = [link for link in self._links.values() if link.contact == contact]
        return links if node is None else [link for link in links if link.node == node]

    def _begin(self, contact: Contact, node: NodeKey, now: Now) -> Link | None:
        if contact.device is None or len(self._links) - len(self._unproven()) >= limits.LINKS:
            return None
        id = self._numbers.next()
        link = Link(id, True, node, None, now.steady, LinkState.DIALLING, contact.identity, contact.device)
        self._links[id] = link
        return link

    def send(self, contact: IdentityKey, message: LinkMessage) -> bool:
        """Sends over the contact's link; False where there is none."""
        link = self._up.get(contact)
        if link is None or link.cipher is None:
            return False
        self._send(link, link.cipher.seal(pack_link_message(message)))
        return True

    def check(self, contact: IdentityKey) -> None:
        """What went over the contact's link is not answered: ask whether it still leads anywhere."""
        link = self._up.get(contact)
        if link is not None and link.relay is None:
            self._effects.append(CheckLink(link.id))

    def close(self, contact: IdentityKey, reason: str, now: Now) -> None:
        """Ends every link with this contact."""
        for link in self._links_with(contact):
            self._drop(link, reason, now)

    def on_link_opened(
        self, id: int, node: NodeKey, endpoint: Endpoint | None, binding: bytes, outgoing: bool, now: Now
    ) -> None:
        """The stream is there and the nodes are proven; now the persons."""
        if not outgoing:
            if not self._has_room(node, now):
                self._refuse_unknown(id, "too_many_links")
                return
            link = Link(id, False, node, endpoint, now.steady, LinkState.GREETING, relay=self._channels.relay_of(id))
            link.responder = Responder(self._own.device, binding, self._random)
            self._links[id] = link
            return
        dialled = self._links.get(id)
        if dialled is None:
            self._close(id, "not wanted")
            return
        # From here on both ends count: which of two links stays is judged by when they opened.
        dialled.endpoint, dialled.state, dialled.since = endpoint, LinkState.GREETING, now.steady
        self._stop_others(dialled, now)
        dialled.initiator = Initiator(self._own.device, dialled.device, binding, self._random)
        self._send(dialled, dialled.initiator.hello(self._introduction()))

    def on_link_failed(self, id: int, reason: str, now: Now) -> None:
        """A dialled node did not answer."""
        link = self._links.pop(id, None)
        if link is not None and link.contact is not None:
            self._owner.on_dial_failed(link.contact, id, reason, now)

    def on_link_closed(self, id: int, reason: str, now: Now) -> None:
        """The other side, or the net, ended it."""
        link = self._links.get(id)
        if link is not None:
            self._forget(link, reason, now)

    def on_frame(self, id: int, frame: bytes, now: Now) -> None:
        """A frame arrived."""
        link = self._links.get(id)
        if link is None:
            return
        try:
            match link.state:
                case LinkState.GREETING if link.outgoing:
                    self._on_answer(link, frame, now)
                case LinkState.GREETING:
                    self._on_hello(link, frame, now)
                case LinkState.PROVING | LinkState.UP:
                    self._on_message(link, frame, now)
                case LinkState.DIALLING:
                    raise PeerError("early_frame")
                case LinkState.REFUSED:
                    pass
        except PeerError as error:
            self._owner.count(error.reason)
            if link.state is LinkState.GREETING and not link.outgoing:
                link.state, link.since = LinkState.REFUSED, now.steady
            else:
                self._drop(link, REFUSED, now)

    def next_deadline(self) -> float | None:
        """When the first unproven link has had its time, steady seconds."""
        return min((_ends_at(link) for link in self._links.values() if link.state is not LinkState.UP), default=None)

    def on_timer(self, now: Now) -> None:
        """Ends links that were not proven in time."""
        for link in list(self._links.values()):
            if link.state is not LinkState.UP and _ends_at(link) <= now.steady:
                self._drop(link, REFUSED if link.state is LinkState.REFUSED else "time is up", now)

    def _unproven(self) -> list[Link]:
        """Incoming links that are not up, the oldest first."""
        return [link for link in self._links.values() if not link.outgoing and link.state is not LinkState.UP]

    def _has_room(self, node: NodeKey, now: Now) -> bool:
        """Whether another incoming link may begin; where too many wait, the oldest that has said nothing ends."""
        unproven = self._unproven()
        if sum(link.node == node for link in unproven) >= limits.LINKS_UNPROVEN_PER_NODE:
            return False
        if len(unproven) < limits.LINKS_UNPROVEN:
            return True
        silent = next((link for link in unproven if link.state is not LinkState.PROVING), None)
        if silent is not None:
            self._owner.count("too_many_links")
            self._drop(silent, REFUSED, now)
        return silent is not None

    def _make_room_of(self, contact: IdentityKey, link: Link, now: Now) -> None:
        """Ends the oldest of those that wait in a contact's name where they are too many.

        One by a relay goes before a direct one: a relay may repeat what a caller said first, and nobody else can.
        """
        same = [each for each in self._unproven() if each.contact == contact]
        if len(same) < limits.LINKS_UNPROVEN_PER_CONTACT:
            return
        oldest = min(same, key=lambda each: (each.relay is None, each.since))
        if oldest.relay is None and link.relay is not None:
            raise PeerError("too_many_links")
        self._owner.count("too_many_links")
        self._drop(oldest, REFUSED, now)

    def _introduction(self) -> bytes:
        return Introduction(self._own.certificate).encode()

    def _on_hello(self, link: Link, frame: bytes, now: Now) -> None:
        if link.responder is None:
            raise PeerError("early_frame")
        static, payload = link.responder.receive(frame)
        certificate = Introduction.decode(payload).certificate
        content = certified_device(certificate)
        if not is_static_of(content.device, static):
            raise PeerError("wrong_device")
        contact = self._owner.admit(content, certificate, link.relay is not None, now)
        if contact is None:
            raise PeerError("not_admitted")
        self._make_room_of(contact.identity, link, now)
        link.contact, link.device = contact.identity, content.device
        self._send(link, link.responder.reply(self._introduction()))
        link.cipher = link.responder.transport()
        link.state = LinkState.PROVING

    def _on_answer(self, link: Link, frame: bytes, now: Now) -> None:
        if link.initiator is None or link.contact is None:
            raise PeerError("early_frame")
        content = certified_device(Introduction.decode(link.initiator.finish(frame)).certificate, link.contact)
        if content.device != link.device:
            raise PeerError("wrong_device")
        link.cipher = link.initiator.transport()
        self._send(link, link.cipher.seal(pack_link_message(Ready())))
        self._raise(link, now)

    def _on_message(self, link: Link, frame: bytes, now: Now) -> None:
        if link.cipher is None or link.contact is None:
            raise PeerError("early_frame")
        message = unpack_link_message(link.cipher.unseal(frame))
        if link.state is LinkState.PROVING and not self._raise(link, now):
            return
        match message:
            case Carry():
                self._owner.on_envelope(link.contact, message.envelope, now)
            case Typing():
                self._owner.on_typing(link.contact, message.for_ms, now)
            case Punch() | PunchNow():
                self._owner.on_punch(link.contact, message, now)
            case Ready():
                pass

    def _raise(self, link: Link, now: Now) -> bool:
        """The persons are proven: the link is up, unless another one with this contact stays."""
        if link.contact is None:
            return False
        other = self._up.get(link.contact)
        if other is not None and other is not link:
            if self._stays(other, link):
                self.check(link.contact)  # they would hardly make another if theirs were well
                self._drop(link, "another link is up", now)
                return False
            del self._links[other.id]
            self._close(other.id, "a newer link is up")
        elif not link.outgoing and len(self._links) - len(self._unproven()) >= limits.LINKS:
            self._owner.count("too_many_links")
            self._drop(link, REFUSED, now)
            return False
        link.state = LinkState.UP
        self._up[link.contact] = link
        self._owner.on_up(link.contact, link, now)
        self._stop_calls(link, now)
        return self._up.get(link.contact) is link

    def _stop_others(self, link: Link, now: Now) -> None:
        """A dial has reached their node: those at its other endpoints are not needed."""
        for other in self._links_with(link.contact, link.node) if link.contact else ():
            if other is not link and other.state is LinkState.DIALLING:
                self._drop(other, "another dial was first", now)

    def _stop_calls(self, link: Link, now: Now) -> None:
        """A direct link is up: a call that comes late must not take its place."""
        for other in self._links_with(link.contact) if link.contact and link.relay is None else ():
            if other.relay is not None and other.state is not LinkState.UP:
                self._drop(other, "a direct link is up", now)

    def _stays(self, old: Link, new: Link) -> bool:
        if abs(new.since - old.since) > SIMULTANEOUS_S or new.contact is None:
            return False
        if (old.relay is None) != (new.relay is None):
            return old.relay is None
        if old.outgoing == new.outgoing:
            return False
        we_are_lower = self._own.identity_key < new.contact
        return old.outgoing == we_are_lower

    def _drop(self, link: Link, reason: str, now: Now) -> None:
        self._close(link.id, reason)
        self._forget(link, reason, now)

    def _send(self, link: Link, frame: bytes) -> None:
        if link.relay is None:
            self._effects.append(SendFrame(link.id, frame))
        else:
            self._channels.send(link.id, frame)

    def _close(self, id: int, reason: str) -> None:
        if self._channels.carries(id):
            self._channels.close(id)
        else:
            self._effects.append(CloseLink(id, reason))

    def _refuse_unknown(self, id: int, reason: str) -> None:
        self._owner.count(reason)
        self._close(id, REFUSED)

    def _forget(self, link: Link, reason: str, now: Now) -> None:
        self._links.pop(link.id, None)
        if link.contact is None:
            return
        if self._up.get(link.contact) is link:
            del self._up[link.contact]
            self._owner.on_down(link.contact, reason, now)
        elif link.outgoing and link.state is not LinkState.UP:
            self._owner.on_dial_failed(link.contact, link.id, reason, now)


def _ends_at(link: Link) -> float:
    """When a link that is not up by then is closed, steady seconds."""
    return link.since + (limits.REFUSE_S if link.state is LinkState.REFUSED else limits.HANDSHAKE_S)
