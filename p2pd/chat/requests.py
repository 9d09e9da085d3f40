"""First contact: asking someone by their public inbox or by an invite of theirs, and reading our own public inbox.

Knows no links.
Rules: asking needs the other's profile, which gives the device, its prekey and the price of the inbox; the request is
sealed for the prekey of their newest profile and put under every day's inbox again until it is answered or given up:
the private half of an older one may be gone.  An inbox that asks a price may have been filled by who paid it: each of
the first days more is paid.  By an invite it goes into the inbox of that alone, at no price; when the
invite has expired unanswered, it is sealed anew for the public inbox.
What lies in our own inbox is opened, entered like any envelope, and ended by a tombstone that only we can sign.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.history import History
from p2pd.chat.inbox import Inbox, Outcome
from p2pd.chat.mail import tombstone
from p2pd.chat.outbox import Outbox
from p2pd.crypto.blinding import blind_secret
from p2pd.crypto.first_contact import REQUEST_OVERHEAD, open_request, seal_request
from p2pd.crypto.keys import SigningKey
from p2pd.crypto.prekeys import OneTimePublic
from p2pd.dht.deadlines import Deadlines
from p2pd.dht.getting import Found
from p2pd.dht.node import Dht
from p2pd.dht.storing import PutProgress
from p2pd.domains import Domain
from p2pd.effects import EffectQueue, SolveStamp
from p2pd.errors import PeerError
from p2pd.peer.own import OwnKeys, certified_device
from p2pd.peer.prekeys import Prekeys
from p2pd.peer.published import INBOX, PROFILE, checked_prekey, open_profile, personal_address, signed_record
from p2pd.peer.sessions import Sessions
from p2pd.store import Contact, ContactState, MessageState, OutboxItem, UserStore
from p2pd.types import AddressKey, DeviceKey, IdentityKey, Now, RandomSource
from p2pd.wire.address import encode_address
from p2pd.wire.content import Request, decode_content_body
from p2pd.wire.envelope import ContactRequest, FirstContact
from p2pd.wire.invite import Invitation, invite_proof
from p2pd.wire.padding import pad, unpad
from p2pd.wire.person import DeviceContent, Profile, ProfileDevice
from p2pd.wire.record import Family, OpenItem, Record, Single

REQUEST_BODY_BYTES = limits.OPEN_BODY_BYTES


@dataclass(slots=True)
class Asking:
    """One contact request under way."""

    due: float
    """Steady seconds."""
    failures: int = 0
    busy: bool = False
    price: int = 0
    """Bits of the stamp that their public inbox asked for last."""


@dataclass(slots=True)
class _Reading:
    """Somebody's profile is looked for."""

    identity: IdentityKey
    asking: Asking
    """For which, unless it was forgotten meanwhile, or begun anew."""
    waiting_days: int = 1
    looks_back: bool = False
    """Today's key had nothing: the others are asked."""
    best: Profile | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A contact request that lay in an inbox of ours, opened; nothing of it but the certificate is proven yet."""

    asker: DeviceContent
    request: ContactRequest


class Requests:
    """Contact requests, ours and those to us."""

    def __init__(
        self,
        own: OwnKeys,
        store: UserStore,
        sessions: Sessions,
        prekeys: Prekeys,
        outbox: Outbox,
        inbox: Inbox,
        history: History,
        dht: Dht,
        effects: EffectQueue,
        random: RandomSource,
        count: Callable[[str], None],
    ) -> None:
        self._own = own
        self._store = store
        self._sessions = sessions
        self._prekeys = prekeys
        self._outbox = outbox
        self._inbox = inbox
        self._history = history
        self._dht = dht
        self._effects = effects
        self._random = random
        self._count = count
        self._asking: dict[IdentityKey, Asking] = {}
        self._deadlines: Deadlines[IdentityKey] = Deadlines(self._due_of)
        self._unread: dict[IdentityKey, _Reading] = {}
        """Whose profiles are to be looked for when others have been; each once, however often it is asked for."""
        self._reading = 0
        self._stamps: dict[int, tuple[IdentityKey, OpenItem, SigningKey]] = {}
        """Requests that wait for their proof of work, and what signs them then."""
        self._next_job = 1

    # --- asking ---

    def start(self, now: Now) -> None:
        """The node has joined: every pending contact is asked."""
        for contact in self._store.contacts():
            if contact.state is ContactState.PENDING:
                self.ask(contact.identity, now)

    def ask(self, contact: IdentityKey, now: Now) -> None:
        """Looks for their profile and puts our request into their public inbox, now and again until it is answered."""
        self._asking[contact] = Asking(now.steady)
        self._deadlines.touch(contact)
        self.on_timer(now)

    def ask_by(self, contact: Contact, invitation: Invitation | None, now: Now) -> None:
        """They are asked already: from now on by this invite of theirs, or in their public inbox."""
        self._store.save_contact(replace(contact, invitation=invitation))
        item = self._request_item(contact.identity)
        if item is not None:
            self._store.save_outbox_item(replace(item, request=b""))
        self.ask(contact.identity, now)

    def ask_otherwise(self, contact: IdentityKey, body: Callable[[str], bytes], now: Now) -> None:
        """Our request says something else now, made by `body` of its text; what has left cannot be taken back."""
        item = self._request_item(contact)
        said = decode_content_body(item.body) if item is not None else None
        if item is not None and isinstance(said, Request):
            text = said.text.decode(errors="replace")
            self._store.save_outbox_item(replace(item, body=body(text), request=b"", envelope=b""))
            self.ask(contact, now)

    def forget(self, contact: IdentityKey) -> None:
        """They have answered, or are not wanted any more."""
        self._asking.pop(contact, None)

    def next_deadline(self) -> float | None:
        """When the next attempt is due, steady seconds."""
        return self._deadlines.next()

    def _due_of(self, contact: IdentityKey) -> float | None:
        asking = self._asking.get(contact)
        return None if asking is None or asking.busy else asking.due

    def on_timer(self, now: Now) -> None:
        """Begins the attempts that are due."""
        for identity in self._deadlines.due(now):
            asking = self._asking.get(identity)
            if asking is None or asking.busy or asking.due > now.steady:
                continue
            contact = self._store.contact(identity)
            if contact is None or contact.state not in (ContactState.PENDING, ContactState.ACCEPTED):
                del self._asking[identity]  # an accepted one is asked for where no session with them serves any more
            elif not self._dht.joined:
                asking.due = now.steady + limits.RETRY_S[0]
            else:
                self.read_profile(identity, now)

    def read_profile(self, identity: IdentityKey, now: Now) -> None:
        """Asks today's key and, where it has nothing, the fourteen before it at once; of few people at a time."""
        asking = self._asking.setdefault(identity, Asking(now.steady))
        asking.busy = True
        self._unread[identity] = _Reading(identity, asking)
        self._read_next(now)

    def _read_next(self, now: Now) -> None:
        while self._unread and self._reading < limits.PROFILES_READ:
            reading = self._unread.pop(next(iter(self._unread)))
            if self._is_wanted(reading):
                self._reading += 1
                self._get_profile(reading, now.day, now)

    def _is_wanted(self, reading: _Reading) -> bool:
        return self._asking.get(reading.identity) is reading.asking

    def _get_profile(self, reading: _Reading, day: int, now: Now) -> None:
        def found(result: Found, later: Now) -> None:
            self._on_profile(reading, day, result, later)

        self._dht.get(Family.SINGLE, personal_address(reading.identity, PROFILE, b"", day), found, now)

    def _on_profile(self, reading: _Reading, day: int, found: Found, now: Now) -> None:
        for record in found.records:
            if isinstance(record.content, Single):
                try:
                    profile = open_profile(reading.identity, day, record.content)
                except PeerError as error:
                    self._count(error.reason)
                    continue
                if reading.best is None or profile.made_ms > reading.best.made_ms:
                    reading.best = profile
        reading.waiting_days -= 1
        if reading.best is None and not reading.looks_back and self._is_wanted(reading):
            others = [other for other in range(now.day - limits.PROFILE_DAYS_READ + 1, now.day + 2) if other != day]
            reading.looks_back, reading.waiting_days = True, len(others)
            for other in others:
                self._get_profile(reading, other, now)
        elif not reading.waiting_days:
            self._reading -= 1
            if self._is_wanted(reading):
                self._answered(reading, now)
            self._read_next(now)

    def _answered(self, reading: _Reading, now: Now) -> None:
        identity, asking = reading.identity, reading.asking
        contact, profile = self._store.contact(identity), reading.best
        if contact is None:
            self._asking.pop(identity, None)
            return
        if profile is None or not profile.devices:
            self._explain(identity, "their profile is not on the network", now)
            self._again(identity, asking, now)
            return
        device = max(profile.devices, key=lambda one: certified_device(one.certificate, identity).made_s)
        former = contact.device
        try:
            moved = pairs.with_device(self._own, contact, device.certificate, now)
            self._history.device_event(contact, moved, now)
            contact = replace(moved, claimed_name=profile.name or moved.claimed_name)
            self._store.save_contact(contact)
            self._begin(contact, device, former, profile, now)
        except PeerError as error:
            self._count(error.reason)
            self._explain(identity, "their profile is of no use", now)
            self._again(identity, asking, now)

    def _begin(
        self, contact: Contact, device: ProfileDevice, former: DeviceKey | None, profile: Profile, now: Now
    ) -> None:
        """A session with a device of theirs, and in it our request; raises `PeerError` where its keys are bad."""
        identity, item = contact.identity, self._request_item(contact.identity)
        if contact.state is ContactState.ACCEPTED:  # what each end knows of the other may be lost with the session
            self._sessions.begin(identity, device, now)
            self._outbox.begin_anew(identity)
            self._asking.pop(identity, None)
            self._outbox.acknowledge(identity, now)
            self._outbox.pump(identity, now)
            return
        if contact.state is not ContactState.PENDING or item is None:
            self._asking.pop(identity, None)
            return
        contact, item = self._in_time(contact, item, now)
        asking = self._asking.setdefault(identity, Asking(now.steady))
        self._deadlines.touch(identity)
        asking.price = 0 if contact.invitation is not None else profile.inbox_bits
        if not item.request or former != contact.device or not self._is_sealed_to(device, identity):
            item = self._seal(contact, device, item, now)
        elif asking.price and (left_s := self._paid_for_s(item, asking.price, now)) > 0:
            self._rest(identity, asking, left_s, now)
            return
        self._put(contact, item, asking.price, now)

    def _is_sealed_to(self, device: ProfileDevice, identity: IdentityKey) -> bool:
        """Whether the session with them has an answer, or was begun with the prekey of this profile."""
        session = self._sessions.current(identity)
        if session is None or not session.header:
            return session is not None
        return FirstContact.decode(session.header).prekey == checked_prekey(identity, device).id

    def _in_time(self, contact: Contact, item: OutboxItem, now: Now) -> tuple[Contact, OutboxItem]:
        """Without their invite where that is over: then they are asked anew, and in public."""
        if contact.invitation is None or not invite_is_over(contact.invitation.expires_s * 1000, now):
            return contact, item
        self._explain(contact.identity, "the invite has expired; asking in their public inbox", now)
        contact, item = replace(contact, invitation=None), replace(item, request=b"")
        self._store.save_contact(contact)
        self._store.save_outbox_item(item)
        return contact, item

    def _seal(self, contact: Contact, device: ProfileDevice, item: OutboxItem, now: Now) -> OutboxItem:
        """The request in a session of its own, ready for an inbox; raises `PeerError` where their keys are bad."""
        by, one_time, proof = contact.invitation, None, b""
        if by is not None and by.one_time_id:
            one_time = OneTimePublic(by.one_time_id, by.one_time)
        begun = self._sessions.begin(contact.identity, device, now, one_time)
        envelope = self._outbox.seal_request(contact, begun.session, item)
        if by is not None:
            proof = invite_proof(by.secret, contact.identity, envelope)
        plaintext = ContactRequest(self._own.certificate, envelope, proof).encode()
        blob = seal_request(begun.started, pad(plaintext, REQUEST_BODY_BYTES - REQUEST_OVERHEAD))
        item = replace(self._store.outbox_item(contact.identity, item.sequence) or item, request=blob)
        self._store.save_outbox_item(item)
        return item

    def _request_item(self, identity: IdentityKey) -> OutboxItem | None:
        """Our request, if it is still under way."""
        first = next(iter(self._store.outbox(identity, limit=1)), None)
        return first if first is not None and isinstance(decode_content_body(first.body), Request) else None

    def _put(self, contact: Contact, item: OutboxItem, price: int, now: Now) -> None:
        identity, by = contact.identity, contact.invitation
        address = personal_address(identity, INBOX, by.secret if by else b"", now.day)
        signer = SigningKey(self._random.bytes(32))
        content = OpenItem(address, now.wall_s + limits.MAIL_LIFE_S, item.request, signer.public)
        if not price:
            self._put_record(identity, signed_record(content, signer), now)
            return
        bits = min(_bits(item, price, now.wall_ms), limits.STAMP_BITS_MAX)
        self._stamps[self._next_job] = (identity, content, signer)
        self._effects.append(SolveStamp(self._next_job, content.challenge, bits, Domain.STAMP))
        self._next_job += 1

    def on_stamp(self, job: int, nonce: bytes | None, now: Now) -> None:
        """The proof of work is done."""
        identity, content, signer = self._stamps.pop(job, (None, None, None))
        if identity is None or content is None or signer is None or identity not in self._asking:
            return
        if nonce is None:
            self._again(identity, self._asking[identity], now)
        else:
            self._put_record(identity, signed_record(msgspec.structs.replace(content, stamp=nonce), signer), now)

    def _put_record(self, identity: IdentityKey, record: Record, now: Now) -> None:
        def progress(result: PutProgress, later: Now) -> None:
            self._on_put(identity, result, later)

        self._dht.put([record], progress, now)

    def _on_put(self, identity: IdentityKey, progress: PutProgress, now: Now) -> None:
        stored = progress.receipts >= progress.wanted > 0
        item = self._request_item(identity)
        if stored and item is not None and item.request:
            fresh = replace(
                item,
                receipts=progress.receipts,
                wanted=progress.wanted,
                put_ms=now.wall_ms,
                record_expires_ms=now.wall_ms + limits.MAIL_LIFE_S * 1000,
            )
            self._store.save_outbox_item(fresh)
            self._history.change_state(
                identity,
                item.message,
                MessageState.STORED,
                now,
                via="mailbox",
                have=progress.receipts,
                want=progress.wanted,
                note=self._where(identity),
            )
        asking = self._asking.get(identity)
        if asking is None or not progress.done:
            return
        if stored:
            asking.failures = 0
            self._rest(identity, asking, self._until_again_s(identity, asking.price, now), now)
        else:
            self._explain(identity, "too few storers", now)
            self._again(identity, asking, now)

    def _where(self, identity: IdentityKey) -> str:
        contact = self._store.contact(identity)
        if contact is not None and contact.invitation is not None:
            return f"in the inbox of their invite, waiting for them to be there{_if_used(contact)}"
        return "in their public inbox, waiting for them to accept"

    def _paid_for_s(self, item: OutboxItem, price: int, now: Now) -> float:
        """How long a request that lies in a public inbox, put there before a restart, needs no other stamp."""
        wait_s = _public_wait_s(item, price, item.put_ms)
        return min(wait_s, item.put_ms / 1000 + wait_s - now.wall_s) if item.put_ms else 0.0

    def _until_again_s(self, identity: IdentityKey, price: int, now: Now) -> float:
        """Until the request is put again: at the latest when the invite by which it goes is over."""
        contact, item = self._store.contact(identity), self._request_item(identity)
        if contact is None or contact.invitation is None:
            return _public_wait_s(item, price, now.wall_ms) if item is not None else limits.MAIL_REISSUE_S
        left_s = contact.invitation.expires_s + limits.CLOCK_SKEW_S + 1 - now.wall_s
        return max(1, min(left_s, limits.MAIL_REISSUE_S))

    def _explain(self, identity: IdentityKey, what: str, now: Now) -> None:
        item = self._request_item(identity)
        if item is not None:
            self._history.step(identity, item.message, what, now)

    def _again(self, identity: IdentityKey, asking: Asking, now: Now) -> None:
        gaps = limits.REQUEST_GAPS_S
        self._rest(identity, asking, gaps[min(asking.failures, len(gaps) - 1)], now)
        asking.failures += 1

    def _rest(self, identity: IdentityKey, asking: Asking, wait_s: float, now: Now) -> None:
        asking.busy, asking.due = False, now.steady + wait_s
        self._deadlines.touch(identity)

    # --- being asked ---

    def on_inbox_record(self, content: OpenItem, day: int, now: Now) -> bool:
        """Something lies in our public inbox; whether it is done with, and not to be read again."""
        if self._open(content, now) is Outcome.HELD:
            return False
        signer = blind_secret(self._own.identity, INBOX, b"", day)
        self._dht.put(
            [tombstone(signer, content.item, Family.OPEN_SET, content.expires_s)], _ignore, now, leisurely=True
        )
        return True

    def _open(self, content: OpenItem, now: Now) -> Outcome:
        try:
            asked = self.opened(content.body)
        except PeerError as error:
            self._count(error.reason)
            return Outcome.REFUSED
        if self._store.contact(asked.asker.identity) is None and self._waiting() >= limits.REQUESTS_KEPT:
            self._count("too_many_requests")
            return Outcome.HELD  # it stays at its storers
        return self.enter(asked, now)

    def opened(self, body: bytes) -> Asked:
        """What lies in an inbox of ours; raises `PeerError` where it is no request to us."""
        if len(body) != REQUEST_BODY_BYTES:
            raise PeerError("malformed")
        opened = open_request(self._prekeys.find, body)
        request = ContactRequest.decode(unpad(opened.plaintext))
        return Asked(certified_device(request.certificate), request)

    def enter(self, asked: Asked, now: Now, *, invited: bool = False) -> Outcome:
        """A request on its way to our user, or, where the asker is invited, past them."""
        identity = asked.asker.identity
        known = self._store.contact(identity)
        if identity == self._own.identity_key:
            return Outcome.REFUSED
        if known is not None and known.state in (ContactState.BLOCKED, ContactState.REJECTED):
            return Outcome.REFUSED
        contact = known or Contact(identity, "", ContactState.REQUESTED, now.wall_ms, swept_day=now.day)
        try:
            moved = pairs.with_device(self._own, contact, asked.request.certificate, now)
        except PeerError as error:
            self._count(error.reason)
            return Outcome.REFUSED
        self._history.device_event(contact, moved, now)
        contact = replace(moved, invited=invited and contact.state is ContactState.REQUESTED)
        if known is not None:
            self._store.save_contact(contact)
        outcome = self._inbox.on_envelope(contact, asked.request.envelope, "mailbox", now)
        stored = self._store.contact(identity)
        if known is None and (stored is None or stored.request_id is None) and not _is_contact(stored):
            self._store.remove_contact(identity)  # whoever asked nothing leaves nothing behind
        return outcome

    def _waiting(self) -> int:
        return sum(contact.state is ContactState.REQUESTED for contact in self._store.contacts())


def invite_is_over(expires_ms: int, now: Now) -> bool:
    """Whether an invite has expired whatever the other's clock says, within tolerance."""
    return now.wall_ms > expires_ms + limits.CLOCK_SKEW_S * 1000


def _bits(item: OutboxItem, price: int, at_ms: int) -> int:
    """What is paid for a place in a public inbox: its price, and more with each day without an answer (R34)."""
    days = max(0, at_ms - item.made_ms) // limits.DAY_MS
    return min(price + limits.REQUEST_BITS_A_DAY * days, max(price, limits.REQUEST_BITS))


def _public_wait_s(item: OutboxItem, price: int, put_ms: int) -> float:
    """From one put into a public inbox to the next: a day, as long as more is paid the next time."""
    dearer = price > 0 and _bits(item, price, put_ms) < limits.REQUEST_BITS
    return limits.DAY_S if dearer else limits.MAIL_REISSUE_S


def why_unsent(contact: Contact) -> str:
    """Why nothing is sent to someone who has not accepted yet, and what may help."""
    return f"waits until they accept the contact request{_if_used(contact)}"


def _if_used(contact: Contact) -> str:
    """Nobody is told whether an invite for one was used: who was first is a matter of its owner's."""
    if contact.invitation is None or not contact.invitation.one_time_id:
        return ""
    ask = f"p2pctl contact add {encode_address(contact.identity)}"
    return f"; their invite is for one person, and answers nobody once another has used it: then ask by {ask}"


def _is_contact(contact: Contact | None) -> bool:
    return contact is not None and contact.state is not ContactState.REQUESTED


def _ignore(progress: PutProgress, now: Now) -> None:
    """A tombstone that did not reach a storer is put again when its item is seen again."""


def inbox_address(own: OwnKeys, secret: bytes, day: int) -> AddressKey:
    """Our own inbox of a day: public without a secret, our contacts' with one."""
    return personal_address(own.identity_key, INBOX, secret, day)
