"""Our invites: consent in advance, each with an inbox that only who has its secret can find.

Knows no links and no letters.

| an invite | becomes |
|---|---|
| made | open |
| for one person: the first message of a session with its one-time prekey is opened | spent, in that turn |
| for several: somebody new comes by it | open, or gone with the last of `limits.INVITE_PERSONS` |
| spent: somebody else comes by it | spent; our user is told who they say they are, once |
| revoked | gone, whatever lies in its inbox |
| expired | open, or spent, until its inboxes were once more read to the end, then gone |

Rules: an invite that is not gone is listened for at today's inbox, and its inboxes of all days since they were last
read completely are read at a start, a minute later and every six hours.  Who comes by it proves that they have its
secret, and is accepted in the turn that reads their request; who is blocked or rejected stays so.
A row or a key that is gone is all that is needed to refuse whatever comes later.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from p2pd import limits
from p2pd.chat.history import History
from p2pd.chat.inbox import Outcome
from p2pd.chat.mail import tombstone
from p2pd.chat.mailroom import days_watched, read_through, sweep_is_due, until_next_watch_s
from p2pd.chat.names import checked_name
from p2pd.chat.people import People
from p2pd.chat.requests import Asked, Requests, inbox_address, invite_is_over
from p2pd.crypto.blinding import blind_secret
from p2pd.crypto.keys import equal
from p2pd.crypto.prekeys import OneTimePair
from p2pd.dht.getting import Found
from p2pd.dht.listening import ListenHandle
from p2pd.dht.node import Dht
from p2pd.dht.records import VerifiedRecord
from p2pd.dht.storing import PutProgress
from p2pd.errors import NotFoundError, PeerError, QuotaError, UsageError
from p2pd.peer.own import OwnKeys
from p2pd.peer.published import INBOX
from p2pd.store import Contact, ContactState, Invite, UserStore
from p2pd.types import IdentityKey, Now, RandomSource
from p2pd.wire.address import encode_address
from p2pd.wire.envelope import Envelope, FirstContact
from p2pd.wire.invite import Invitation, invite_proof
from p2pd.wire.record import Family, OpenItem

_NEWEST = "newest_invite"
"""The value that holds the newest invite's id, 4 bytes."""


@dataclass(slots=True)
class Reading:
    """One reading of an invite's inboxes, through a day; complete when nothing is left to wait for."""

    invite: int
    through: int
    waiting: int
    noted: bool
    """Whether its completeness is remembered."""
    last: bool
    """Begun after the invite has expired."""
    complete: bool = True


class Invites:
    """All open invites of our user."""

    def __init__(
        self,
        keys: OwnKeys,
        store: UserStore,
        dht: Dht,
        requests: Requests,
        people: People,
        history: History,
        random: RandomSource,
        count: Callable[[str], None],
    ) -> None:
        self._keys = keys
        self._store = store
        self._dht = dht
        self._requests = requests
        self._people = people
        self._history = history
        self._random = random
        self._count = count
        self._listeners: dict[tuple[int, int], ListenHandle] = {}
        self._started = False
        self._listen_at: float | None = None
        self._sweep_at: float | None = None
        self._swept_ms = 0
        self._settled = False
        """Whether all was read once since we joined: what is read first may be read poorly, and does not count."""
        self._unread: deque[tuple[Reading, int]] = deque()
        self._reading = 0

    # --- what our user does ---

    def make(self, now: Now, *, life_s: int, once: bool, name: str) -> Invite:
        """A new invite.

        Raises:
            UsageError: its life or the name is not allowed; QuotaError: too many are open.
        """
        if not 0 < life_s <= limits.INVITE_LIFE_MAX_S:
            raise UsageError(f"an invite lasts 1 second to {limits.INVITE_LIFE_MAX_S // limits.DAY_S} days")
        kept = self._store.invites()
        if len(kept) >= limits.INVITES:
            spent = next((invite for invite in kept if invite.spent), None)
            if spent is None:
                raise QuotaError(f"{limits.INVITES} invites are open", hint="revoke one: p2pctl invite list")
            self._store.remove_invite(spent.id)
        id = int.from_bytes(self._store.value(_NEWEST) or b"", "big") + 1
        invite = Invite(
            id,
            self._random.bytes(limits.INVITE_SECRET_BYTES),
            now.wall_ms,
            (now.wall_s + life_s) * 1000,
            one_time=self._random.bytes(limits.KEY_BYTES) if once else b"",
            petname=checked_name(name) if name else "",
            read_day=now.day,
        )
        self._store.set_value(_NEWEST, id.to_bytes(4, "big"))
        self._store.save_invite(invite)
        self._event(invite, "open", now)
        self._changed(now)
        return invite

    def listed(self) -> list[Invite]:
        """The open ones, and those to which somebody came too late, the oldest first."""
        return [invite for invite in self._store.invites() if invite.late or not invite.spent]

    def revoke(self, id: str, now: Now) -> Invite:
        """Nobody comes in by it any more; raises `NotFoundError`."""
        digits = id.strip()
        invite = self._store.invite(int(digits)) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None
        if invite is None:
            raise NotFoundError(f"no open invite has the id {digits[:20]}", hint="see: p2pctl invite list")
        self._end(invite, "revoked", now)
        return invite

    # --- time ---

    def start(self, now: Now, settle_s: float = limits.SETTLE_S) -> None:
        """The node has joined: read everything, and then listen."""
        self._started, self._settled = True, False
        if self._store.invites():
            self._sweep_at, self._listen_at = now.steady, now.steady + settle_s
            self.on_timer(now)

    def on_woken(self, now: Now) -> None:
        """The machine may have slept while the wall's clock went on: what is due by that is due."""
        if self._sweep_at is not None and sweep_is_due(self._swept_ms, now):
            self._sweep_at = now.steady
        if self._listen_at is not None:
            self._listen_at = now.steady

    def next_deadline(self) -> float | None:
        """When something is to be read again, steady seconds."""
        return min((when for when in (self._sweep_at, self._listen_at) if when is not None), default=None)

    def on_timer(self, now: Now) -> None:
        """Reads what is due."""
        if self._listen_at is not None and self._listen_at <= now.steady:
            self._listen(now)
        if self._sweep_at is not None and self._sweep_at <= now.steady:
            self._sweep_at = now.steady + (limits.SWEEP_S if self._settled else limits.SWEEP_SETTLED_S)
            self._swept_ms = now.wall_ms
            self._sweep(now)
            self._settled = True

    def _listen(self, now: Now) -> None:
        """Holders of the inboxes of today, and near midnight of the day beside it, push what arrives."""
        invites = self._store.invites()
        live = [invite for invite in invites if not invite_is_over(invite.expires_ms, now)]
        wanted = {(invite.id, day): invite for day in days_watched(now) for invite in live}
        gone = [place for place in self._listeners if place not in wanted]
        for place in gone:
            self._listeners.pop(place).close()
        for (id, day), invite in wanted.items():
            if (id, day) not in self._listeners:
                self._listeners[id, day] = self._listener(invite, day, now)
        if not invites:
            self._listen_at = self._sweep_at = None
            return
        over = {invite.id for invite in invites if invite not in live}
        if self._sweep_at is None:
            self._sweep_at = now.steady + limits.SWEEP_S
        if any(id in over for id, _ in gone):
            self._sweep_at = now.steady
        over_s = [(invite.expires_ms - now.wall_ms) / 1000 + limits.CLOCK_SKEW_S + 1 for invite in live]
        self._listen_at = now.steady + min(until_next_watch_s(now), *over_s, limits.HOUSEKEEPING_S)

    def _listener(self, invite: Invite, day: int, now: Now) -> ListenHandle:
        def pushed(records: list[VerifiedRecord], later: Now) -> None:
            self._on_records(invite.id, day, records, later)

        signer = blind_secret(self._keys.identity, INBOX, invite.secret, day)
        return self._dht.listen(signer, pushed, now, reads=False)  # sweeps read it, and note how far

    # --- reading ---

    def _sweep(self, now: Now) -> None:
        self._unread.clear()  # what an earlier sweep has left is read by this one
        for invite in self._store.invites():
            oldest = max(read_through(invite.read_day, now) - 1, now.day - limits.SWEEP_DAYS + 1)
            last_ms = invite.expires_ms + limits.CLOCK_SKEW_S * 1000
            days = range(oldest, min(now.day, last_ms // limits.DAY_MS) + 1)
            is_over = invite_is_over(invite.expires_ms, now)
            if days:
                reading = Reading(invite.id, now.day, len(days), noted=self._settled, last=is_over)
                self._unread.extend((reading, day) for day in days)
            elif is_over and self._settled:  # before that the clock may be wrong, and peers have not told
                self._end(invite, "expired", now)
        self._read_next(now)

    def _read_next(self, now: Now) -> None:
        """A few at a time: the DHT refuses look-ups beyond a number, and a refused one finds nothing."""
        while self._unread and self._reading < limits.INVITES_READ:
            reading, day = self._unread.popleft()
            invite = self._store.invite(reading.invite)
            if invite is not None:
                self._reading += 1
                address = inbox_address(self._keys, invite.secret, day)
                self._dht.get(Family.OPEN_SET, address, self._reader(reading, day), now, all_holders=True)

    def _reader(self, reading: Reading, day: int) -> Callable[[Found, Now], None]:
        def found(result: Found, later: Now) -> None:
            self._reading -= 1
            done = self._on_records(reading.invite, day, result.records, later)
            reading.waiting -= 1
            reading.complete = reading.complete and result.complete and done
            if reading.waiting == 0:
                self._on_read(reading, later)
            self._read_next(later)

        return found

    def _on_read(self, reading: Reading, now: Now) -> None:
        invite = self._store.invite(reading.invite)
        if not reading.complete:
            soon = now.steady + limits.SWEEP_AGAIN_S[-1]
            self._sweep_at = min(self._sweep_at or soon, soon)
        elif invite is None or not reading.noted:
            pass
        elif reading.last:
            self._end(invite, "expired", now)
        elif invite.read_day != reading.through:
            self._store.save_invite(replace(invite, read_day=reading.through))

    # --- who comes ---

    def _on_records(self, id: int, day: int, records: list[VerifiedRecord], now: Now) -> bool:
        """Whether all of them are done with."""
        invite = self._store.invite(id)
        items = [record.content for record in records if isinstance(record.content, OpenItem)]
        done = [item for item in items if self._is_done(id, item, now)]
        if invite is not None and done:
            signer = blind_secret(self._keys.identity, INBOX, invite.secret, day)
            few = done[: limits.SET_ITEMS]  # no honest holder has more: the rest are a liar's, made for us to end
            ended = [tombstone(signer, item.item, Family.OPEN_SET, item.expires_s) for item in few]
            for start in range(0, len(ended), limits.MAIL_BATCH):
                self._dht.put(ended[start : start + limits.MAIL_BATCH], _ignore, now, leisurely=True)
        return len(done) == len(items)

    def _is_done(self, id: int, item: OpenItem, now: Now) -> bool:
        """Whether an item is to be ended: it was acted on, or never will be."""
        invite = self._store.invite(id)
        if invite is None:
            self._count("closed_invite")
            return True
        try:
            return self._enter(invite, self._requests.opened(item.body), now) is not Outcome.HELD
        except PeerError as error:
            self._count(error.reason)
            return True

    def _enter(self, invite: Invite, asked: Asked, now: Now) -> Outcome:
        """Lets them in; raises `PeerError` where they do not come by this invite, or not any more."""
        self._check(invite, asked)
        identity = asked.asker.identity
        known = self._store.contact(identity)
        if invite.spent:
            if known is None:
                self._came_late(invite, identity, now)
            raise PeerError("used_invite", "by someone else")
        if known is None and invite.let_in.count(identity):
            raise PeerError("used_invite", "by someone who was removed since")
        if known is None and len(self._people.listed()) >= limits.CONTACTS:
            self._count("too_many_contacts")
            return Outcome.HELD  # it stays at its storers
        outcome = self._requests.enter(asked, now, invited=True)
        contact = self._store.contact(identity) if outcome in (Outcome.DONE, Outcome.DUPLICATE) else None
        if contact is not None and contact.state is ContactState.REQUESTED and contact.request_id is not None:
            contact = self._people.accept(contact, now, wish=invite.petname)
        if contact is not None and contact.state is ContactState.ACCEPTED:
            self._used(invite, contact, now)
        elif (spent := self._store.invite(invite.id)) is not None and spent.spent:  # not on a request
            self._event(spent, "used", now)
        return outcome

    def _came_late(self, invite: Invite, identity: IdentityKey, now: Now) -> None:
        """They have the invite, and say that this is their address: nobody else's is harmed if our user asks there."""
        if identity in (*invite.let_in, *invite.late, self._keys.identity_key):
            return
        if len(invite.late) < limits.INVITE_PERSONS:
            self._store.save_invite(replace(invite, late=(*invite.late, identity)))
            self._history.event(
                "invite", {"id": str(invite.id), "state": "late", "address": encode_address(identity)}, now
            )

    def _check(self, invite: Invite, asked: Asked) -> None:
        envelope = asked.request.envelope
        if not equal(asked.request.proof, invite_proof(invite.secret, self._keys.identity_key, envelope)):
            raise PeerError("bad_invite_proof")
        header = FirstContact.decode(Envelope.decode(envelope).first_contact)
        if header.one_time != (invite.id if invite.one_time or invite.spent else 0):
            raise PeerError("wrong_one_time_prekey")

    def _used(self, invite: Invite, contact: Contact, now: Now) -> None:
        if contact.identity in invite.let_in:
            return
        used = replace(invite, let_in=(*invite.let_in, contact.identity))
        if invite.one_time:
            self._store.save_invite(replace(used, one_time=b"", spent=True))
            self._event(used, "used", now, contact)
        elif len(used.let_in) >= limits.INVITE_PERSONS:
            self._end(used, "used", now, contact)
        else:
            self._store.save_invite(used)
            self._event(used, "open", now, contact)

    def _end(self, invite: Invite, state: str, now: Now, contact: Contact | None = None) -> None:
        self._store.remove_invite(invite.id)
        if not (invite.spent and state == "expired"):  # it was over before
            self._event(invite, state, now, contact)
        self._changed(now)

    def _changed(self, now: Now) -> None:
        """There are more or fewer to listen for."""
        if self._started:
            self._listen_at = now.steady

    def _event(self, invite: Invite, state: str, now: Now, contact: Contact | None = None) -> None:
        by = {"name": contact.petname, "address": encode_address(contact.identity)} if contact is not None else {}
        self._history.event("invite", {"id": str(invite.id), "state": state, **by}, now)


def invitation(invite: Invite) -> Invitation:
    """What goes into its link."""
    if not invite.one_time:
        return Invitation(invite.expires_ms // 1000, invite.secret)
    public = OneTimePair(invite.id, invite.one_time).public()
    return Invitation(invite.expires_ms // 1000, invite.secret, public.id, public.x25519)


def _ignore(progress: PutProgress, now: Now) -> None:
    """A tombstone that did not reach a storer is put again when its item is seen again."""
