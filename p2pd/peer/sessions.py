"""Sessions: which ratchet seals for a contact, and which opens what they sent.

Knows no paths and no contents.

| event | what becomes the session that is sent on |
|---|---|
| `begin` | ours, new |
| their first contact, ours unanswered, our identity the lower | ours; theirs can only receive |
| their first contact, otherwise | theirs; what stood before can only receive |
| their first envelope in ours | ours, from now on without the first-contact header |
| theirs in a superseded one | that one, where both were begun by them, or it by the lower and the other by the higher |

The last row is for first contacts that overtake each other: both ends come to send on the same session.
Rules: a ratchet is saved in the turn that moved it.  A superseded one receives until it has been silent for
`limits.SESSION_KEEP_S`; its id is kept longer, so that a replayed first contact begins nothing.
A session's id is its beginner's random bytes.
A one-time prekey is gone in the turn in which the first message of its session is opened, and not before.
"""

from dataclasses import dataclass

from msgspec.structs import replace

from p2pd import limits
from p2pd.crypto import first_contact
from p2pd.crypto.prekeys import OneTimePublic, PrekeyPublic
from p2pd.crypto.ratchet import Ratchet, RatchetHeader
from p2pd.errors import DuplicateError, PeerError, UndecryptableError
from p2pd.peer.own import OwnKeys, certified_device
from p2pd.peer.prekeys import Prekeys
from p2pd.peer.published import checked_prekey
from p2pd.store import Contact, Session, UserStore
from p2pd.types import DeviceKey, IdentityKey, Now, RandomSource
from p2pd.wire.envelope import Envelope, FirstContact, envelope_binding
from p2pd.wire.person import ProfileDevice


@dataclass(frozen=True, slots=True)
class Begun:
    """A session of ours, and what the request in a public inbox is sealed with."""

    session: Session
    started: first_contact.Started


@dataclass(frozen=True, slots=True)
class Opened:
    """An envelope's plaintext, and whether its session was begun by it."""

    plaintext: bytes
    session: bytes
    began: bool


class Sessions:
    """All ratchets of this device."""

    def __init__(self, own: OwnKeys, store: UserStore, prekeys: Prekeys, random: RandomSource) -> None:
        self._own = own
        self._store = store
        self._prekeys = prekeys
        self._random = random
        self._ratchets: dict[tuple[IdentityKey, bytes], Ratchet] = {}

    def current(self, contact: IdentityKey) -> Session | None:
        """The session to send on."""
        live = [session for session in self._store.sessions(contact) if not session.superseded_ms]
        return live[-1] if live else None

    def knows(self, contact: IdentityKey, session: bytes) -> bool:
        """Whether this session's id was ever seen with this contact, as far as is kept."""
        return self._store.session(contact, session) is not None

    def awaits_answer(self, contact: IdentityKey, now: Now) -> bool:
        """Whether the session to send on was begun by us within a day and has no answer yet: another says no more."""
        current = self.current(contact)
        return current is not None and bool(current.header) and 0 <= now.wall_ms - current.made_ms < limits.DAY_MS

    def was_left(self, contact: IdentityKey, session: bytes, now: Now) -> bool:
        """Whether another session was begun within a day, by either end: what comes in this one may be of before."""
        current = self.current(contact)
        if current is None or current.session == session:
            return False
        return 0 <= now.wall_ms - current.made_ms < limits.DAY_MS

    def begin(
        self, contact: IdentityKey, device: ProfileDevice, now: Now, one_time: OneTimePublic | None = None
    ) -> Begun:
        """A new session with a device of a profile; raises `PeerError` where its keys are bad."""
        prekey = checked_prekey(contact, device)
        peer_device = certified_device(device.certificate, contact).device
        started = first_contact.begin(
            self._own.device,
            self._own.identity_key,
            contact,
            peer_device,
            PrekeyPublic(prekey.id, prekey.exchange, prekey.kem),
            first_contact.SignedBundle(device.prekey.content, device.prekey.signature),
            one_time=one_time,
        )
        ratchet = Ratchet.begin(started.secret, prekey.exchange, started.associated)
        for session in self._store.sessions(contact):
            self._supersede(session, now)
        session = Session(
            contact,
            self._random.bytes(limits.SESSION_ID_BYTES),
            ours=True,
            made_ms=now.wall_ms,
            ratchet=ratchet.state(),
            associated=started.associated,
            header=_encoded(started.header),
        )
        self._save(session, ratchet)
        self._bound(contact)
        return Begun(session, started)

    def seal(self, session: Session, sequence: int, plaintext: bytes) -> bytes:
        """The encoded envelope of a content, at most `limits.ENVELOPE_BYTES`."""
        ratchet = self._ratchet(session)
        binding = envelope_binding(session.session, sequence, session.header)
        header, ciphertext = ratchet.encrypt(plaintext, binding)
        self._save(session, ratchet)
        return Envelope(
            session.session, sequence, header.public, header.previous, header.number, ciphertext, session.header
        ).encode()

    def open(self, contact: Contact, envelope: Envelope, now: Now) -> Opened:
        """The plaintext of an envelope from a contact whose device is known.

        Raises:
            UndecryptableError: not now; perhaps after what came before it, or never.
            DuplicateError: it was opened before.
            PeerError: it is not what it says.
        """
        known = self._store.session(contact.identity, envelope.session)
        if known is None:
            return self._accept(contact, envelope, now)
        if not known.ratchet and not envelope.first_contact:
            raise UndecryptableError("unknown_session")  # they still use what we have put away
        if not known.ratchet:
            raise DuplicateError("retired_session")
        ratchet = self._ratchet(known)
        plaintext = _decrypt(ratchet, envelope)
        self._save(self._used(replace(known, header=b"") if known.header else known, now), ratchet)
        return Opened(plaintext, known.session, began=False)

    def retire(self, contact: IdentityKey, now: Now) -> None:
        """Nothing is sealed or opened with any of these ratchets again: they have gone back in time."""
        for session in self._store.sessions(contact):
            self._retire(replace(session, superseded_ms=session.superseded_ms or now.wall_ms))

    def expire(self, contact: IdentityKey, now: Now) -> None:
        """Retires what was superseded long ago, and forgets what was retired long ago."""
        for session in self._store.sessions(contact):
            age_s = (now.wall_ms - session.superseded_ms) / 1000 if session.superseded_ms else 0
            if age_s > limits.SESSION_FORGET_S:
                self._ratchets.pop((session.contact, session.session), None)
                self._store.remove_session(session)
            elif age_s > limits.SESSION_KEEP_S and session.ratchet:
                self._retire(session)

    def _accept(self, contact: Contact, envelope: Envelope, now: Now) -> Opened:
        if not envelope.first_contact:
            raise UndecryptableError("unknown_session")
        header = FirstContact.decode(envelope.first_contact)
        if contact.device is None or header.device != contact.device:
            raise PeerError("wrong_device")
        prekey = self._prekeys.find(header.prekey)
        if prekey is None:
            raise UndecryptableError("unknown_prekey")
        one_time = self._prekeys.find_one_time(header.one_time) if header.one_time else None
        if header.one_time and one_time is None:
            raise PeerError("used_one_time_prekey")
        accepted = first_contact.accept(
            self._own.device, self._own.identity_key, contact.identity, prekey, _decoded(header), one_time=one_time
        )
        ratchet = Ratchet.accept(accepted.secret, prekey, accepted.associated)
        plaintext = _decrypt(ratchet, envelope)
        if one_time is not None:
            self._prekeys.use_one_time(one_time.id)
        self._take_over(contact.identity, envelope.session, ratchet, accepted.associated, now)
        return Opened(plaintext, envelope.session, began=True)

    def _used(self, session: Session, now: Now) -> Session:
        """A session in which something arrived: a superseded one is kept longer, or is the one to send on again."""
        if not session.superseded_ms:
            return session
        current = self.current(session.contact)
        if current is not None and session.ours == current.ours:
            wanted = not session.ours
        else:
            wanted = session.ours == (self._own.identity_key < session.contact)
        if not wanted:
            return replace(session, superseded_ms=now.wall_ms)
        if current is not None:
            self._supersede(current, now)
        return replace(session, superseded_ms=0)

    def _take_over(self, contact: IdentityKey, session: bytes, ratchet: Ratchet, associated: bytes, now: Now) -> None:
        current = self.current(contact)
        ours_stays = current is not None and current.ours and bool(current.header) and self._own.identity_key < contact
        if not ours_stays:
            for known in self._store.sessions(contact):
                self._supersede(known, now)
        theirs = Session(
            contact,
            session,
            ours=False,
            made_ms=now.wall_ms,
            ratchet=ratchet.state(),
            associated=associated,
            superseded_ms=now.wall_ms if ours_stays else 0,
        )
        self._save(theirs, ratchet)
        self._bound(contact)

    def _bound(self, contact: IdentityKey) -> None:
        """At most so many ratchets, and so many ids of retired ones: what was superseded longest ago goes first."""
        sessions = sorted(self._store.sessions(contact), key=lambda session: session.superseded_ms)
        live = [session for session in sessions if session.ratchet]
        superseded = [session for session in live if session.superseded_ms]
        gone = superseded[: max(0, len(live) - limits.SESSIONS_PER_CONTACT)]
        for session in gone:
            self._retire(session)
        retired = [session for session in sessions if not session.ratchet]
        for session in retired[: max(0, len(retired) + len(gone) - limits.SESSIONS_RETIRED)]:
            self._store.remove_session(session)

    def _supersede(self, session: Session, now: Now) -> None:
        if not session.superseded_ms:
            self._store.save_session(replace(session, superseded_ms=now.wall_ms))

    def _retire(self, session: Session) -> None:
        self._ratchets.pop((session.contact, session.session), None)
        self._store.save_session(replace(session, ratchet=b"", header=b"", associated=b""))

    def _ratchet(self, session: Session) -> Ratchet:
        ratchet = self._ratchets.get((session.contact, session.session))
        return ratchet or Ratchet.from_state(session.ratchet)

    def _save(self, session: Session, ratchet: Ratchet) -> None:
        self._ratchets.pop((session.contact, session.session), None)
        while len(self._ratchets) >= limits.RATCHETS_CACHED:
            del self._ratchets[next(iter(self._ratchets))]
        self._ratchets[session.contact, session.session] = ratchet
        self._store.save_session(replace(session, ratchet=ratchet.state()))


def _decrypt(ratchet: Ratchet, envelope: Envelope) -> bytes:
    header = RatchetHeader(envelope.ratchet, envelope.previous, envelope.number)
    binding = envelope_binding(envelope.session, envelope.sequence, envelope.first_contact)
    return ratchet.decrypt(header, envelope.ciphertext, binding)


def _encoded(header: first_contact.FirstContactHeader) -> bytes:
    return FirstContact(
        header.suite,
        DeviceKey(header.device),
        header.ephemeral,
        header.prekey_id,
        header.one_time_id,
        header.kem_ciphertext,
    ).encode()


def _decoded(header: FirstContact) -> first_contact.FirstContactHeader:
    return first_contact.FirstContactHeader(
        header.suite, header.device, header.ephemeral, header.prekey, header.one_time, header.kem
    )
