"""Contacts: who they are to our user, and what is said between daemons about that.

Knows no paths.

| state | our user | they | becomes |
|---|---|---|---|
| - | adds them | | pending, our request goes out |
| - | | ask | requested (accepted at once with `accept_requests`) |
| pending | | ask, or accept | accepted |
| requested | accepts; or adds them | | accepted |
| - | has invited them | ask by the invite | accepted |
| requested | rejects | | rejected: later requests are dropped |
| any | blocks | | blocked; unblocking gives accepted or, if they never accepted, pending |
| any | removes | | gone; both secrets and counters too |

Rules: our contact secret is given with a request and with an acceptance, inside the ratchet; who is blocked or removed
held it, so it is changed and the others are told.
"""

from collections.abc import Callable

from msgspec.structs import replace

from p2pd import limits
from p2pd.chat import pairs
from p2pd.chat.envelopes import NO_MESSAGE, NOTHING
from p2pd.chat.history import CLOCK_COUNTER_BITS, History
from p2pd.chat.names import checked_name, free_name, same_name
from p2pd.chat.outbox import Outbox
from p2pd.chat.requests import Requests, invite_is_over
from p2pd.crypto.keys import equal
from p2pd.errors import AmbiguousError, FailedError, NotFoundError, PeerError, RefusedError, UsageError
from p2pd.peer import own
from p2pd.peer.links import Links
from p2pd.peer.own import OwnKeys
from p2pd.peer.published import PROFILE, personal_address
from p2pd.peer.reach import Reach
from p2pd.store import (
    Contact,
    ContactState,
    Direction,
    Message,
    MessageState,
    OutboxItem,
    PairSecret,
    PathChoice,
    UserStore,
)
from p2pd.types import Endpoint, IdentityKey, MessageId, NodeHint, NodeKey, Now, RandomSource
from p2pd.wire.address import Link, encode_address, encode_id, format_hint, looks_like_address, parse_link
from p2pd.wire.content import Accept, NewName, NewSecret, PairProposal, Request
from p2pd.wire.rpc import pack_endpoint, unpack_endpoint

LISTED = (ContactState.PENDING, ContactState.ACCEPTED, ContactState.BLOCKED)
_TOLD = (ContactState.PENDING, ContactState.ACCEPTED)
"""Who hears of a new secret; one who has not answered our request yet hears of it after that."""


class People:
    """All contacts, and those who asked to be."""

    def __init__(
        self,
        keys: OwnKeys,
        store: UserStore,
        outbox: Outbox,
        requests: Requests,
        reach: Reach,
        links: Links,
        history: History,
        random: RandomSource,
        *,
        accept_requests: bool,
        endpoints: Callable[[], tuple[Endpoint, ...]],
        secret_changed: Callable[[Now], None],
        contacts_changed: Callable[[IdentityKey, Now], None],
    ) -> None:
        self._keys = keys
        self._store = store
        self._outbox = outbox
        self._requests = requests
        self._reach = reach
        self._links = links
        self._history = history
        self._random = random
        self._accept_requests = accept_requests
        self._endpoints = endpoints
        self._secret_changed = secret_changed
        self._contacts_changed = contacts_changed

    # --- finding ---

    def listed(self) -> list[Contact]:
        """The contact list, by name."""
        return [contact for contact in self._store.contacts() if contact.state in LISTED]

    def requests(self) -> list[Contact]:
        """Those who ask, the first first."""
        asking = [contact for contact in self._store.contacts() if contact.state is ContactState.REQUESTED]
        return sorted(asking, key=lambda contact: contact.request_ms)

    def find(self, text: str) -> Contact:
        """The contact whom a user means by a name, an address, a link, or the beginning of a known address.

        Raises:
            NotFoundError: nobody; AmbiguousError: more than one.
        """
        named = [contact for contact in self.listed() if same_name(contact.petname, text.strip().removeprefix("@"))]
        if named:
            return named[0]
        wanted = text.strip().lower().partition("/")[0]
        if looks_like_address(wanted) and len(wanted) > len("p2p:"):
            found = [contact for contact in self.listed() if encode_address(contact.identity).startswith(wanted)]
            if len(found) == 1:
                return found[0]
            if found:
                names = ", ".join(contact.petname for contact in found[:5])
                raise AmbiguousError(f"{len(found)} contacts have such an address: {names}", hint="give more letters")
            parse_link(text)
        raise NotFoundError(f"no contact is called {text.strip()[:80]}", hint="see `p2pctl contact list`")

    def find_request(self, text: str) -> Contact:
        """The request that a user means by its id, a beginning of it, the address or the claimed name."""
        wanted = text.strip().lower()
        found = [
            contact
            for contact in self.requests()
            if wanted
            and (
                encode_id(contact.request_id or b"").startswith(wanted)
                or encode_address(contact.identity).startswith(wanted.partition("/")[0])
                or same_name(contact.claimed_name, wanted)
            )
        ]
        if not found:
            raise NotFoundError(f"no request is called {text.strip()[:80]}", hint="see `p2pctl request list`")
        if len(found) > 1:
            raise AmbiguousError(f"{len(found)} requests begin so", hint="give more letters of the id")
        return found[0]

    # --- what our user does ---

    def add(
        self, link: Link, now: Now, *, name: str = "", text: str = "", path: PathChoice = PathChoice.AUTO
    ) -> tuple[Contact, Message | None]:
        """Adds a person: asks them, or accepts them where they have asked; the contact, and the text as a message.

        Raises:
            FailedError: they are a contact already, or the name is taken; RefusedError: blocked.
        """
        if link.identity == self._keys.identity_key:
            raise UsageError("this is your own address", hint="give it to the one who shall write to you")
        try:
            personal_address(link.identity, PROFILE, b"", now.day)
            size = len(text.encode())
        except PeerError:
            raise UsageError("nobody can have this address", hint="it is made up, or not of this version") from None
        except UnicodeEncodeError:
            raise UsageError("the text is not valid Unicode") from None
        if size > limits.REQUEST_TEXT_BYTES:
            raise UsageError(
                f"the text of a first message is {limits.REQUEST_TEXT_BYTES} bytes at most",
                hint="send the rest when they have accepted",
            )
        known = self._store.contact(link.identity)
        if known is not None and known.state is ContactState.BLOCKED:
            raise RefusedError(f"{known.petname} is blocked", hint=f"p2pctl contact unblock {known.petname}")
        if link.invitation is not None and invite_is_over(link.invitation.expires_s * 1000, now):
            raise FailedError("this invite has expired", hint="ask for another one, or add them by their address alone")
        if known is not None and known.state is ContactState.PENDING and (link.invitation or known.invitation):
            self._requests.ask_by(known, link.invitation, now)
            known = self._store.contact(link.identity) or known
            return known if path is PathChoice.AUTO else self.set_path(known, path, now), None
        if known is not None and known.state in LISTED:
            raise FailedError(f"{known.petname} is a contact already")
        if known is not None and known.state is ContactState.REQUESTED:
            return self.accept(replace(known, path=path), now, name=name), None
        return self._ask(link, known, now, name, text, path)

    def _ask(
        self, link: Link, known: Contact | None, now: Now, name: str, text: str, path: PathChoice
    ) -> tuple[Contact, Message | None]:
        if len(self.listed()) >= limits.CONTACTS:
            raise FailedError(f"{limits.CONTACTS} contacts are the most", hint="remove one first")
        fresh = Contact(link.identity, self._new_name(name, "", link.identity), ContactState.PENDING, now.wall_ms)
        contact = replace(known, petname=fresh.petname, state=fresh.state) if known else fresh
        contact = replace(contact, gave_secret=True, swept_day=now.day, path=path, invitation=link.invitation)
        self._store.save_contact(contact)
        id = MessageId(self._random.bytes(limits.MESSAGE_ID_BYTES))
        clock = self._history.tick(now)
        body = self._request_body(contact, text, now)
        sequence = self._outbox.add(contact.identity, body, now, message=id, clock=clock)
        sent = None
        if text:
            sent = Message(
                contact.identity,
                id,
                Direction.OUT,
                text,
                clock,
                now.wall_ms,
                first_sequence=sequence,
                last_sequence=sequence,
            )
            sent = self._history.sent(sent, now)
        self._history.contact_event(contact, now)
        self._requests.ask(contact.identity, now)
        return self._store.contact(contact.identity) or contact, sent

    def accept(self, contact: Contact, now: Now, *, name: str = "", wish: str = "") -> Contact:
        """Says yes to someone who asked; with a `wish` they get that name, or one near it if somebody has it."""
        petname = self._new_name(name, wish or contact.claimed_name, contact.identity)
        contact = replace(contact, petname=petname, state=ContactState.ACCEPTED, gave_secret=True, invited=False)
        self._store.save_contact(contact)
        body = Accept(own.name(self._store)[: limits.NAME_CHARS], self._secret(contact, now)).encode()
        self._outbox.add(contact.identity, body, now)
        self._show_request(contact, now)
        contact = replace(contact, request_id=None, request_text="")
        self._store.save_contact(contact)
        self._accepted(contact, now)
        return contact

    def reject(self, contact: Contact, now: Now) -> None:
        """Says nothing to someone who asked, now and whenever they ask again."""
        self._store.save_contact(replace(contact, state=ContactState.REJECTED, request_text="", secret=b""))
        self._history.contact_event(replace(contact, state=ContactState.REJECTED), now)

    def rename(self, contact: Contact, name: str, now: Now) -> Contact:
        """Calls them something else."""
        renamed = replace(contact, petname=self._new_name(checked_name(name), "", contact.identity))
        self._store.save_contact(renamed)
        self._history.contact_event(renamed, now)
        return renamed

    def set_path(self, contact: Contact, path: PathChoice, now: Now) -> Contact:
        """Allows these ways to them; who shall learn no address of ours any more also loses the means to find it."""
        chosen = replace(contact, path=path)
        self._store.save_contact(chosen)
        if chosen.path is contact.path:
            return chosen
        self._reach.forget(contact.identity)
        self._links.close(contact.identity, "another path was chosen", now)
        if PathChoice.RELAY_ONLY in (contact.path, path) and contact.gave_secret:
            if path is PathChoice.RELAY_ONLY:
                self._take_secret_from(contact, now)
            if contact.state in _TOLD:
                self._outbox.add(contact.identity, NewSecret(self._secret(chosen, now)).encode(), now)
            if contact.state is ContactState.PENDING:
                self._requests.ask_otherwise(contact.identity, lambda text: self._request_body(chosen, text, now), now)
        self._outbox.pump(contact.identity, now)
        if contact.state is ContactState.ACCEPTED:
            self._reach.want(contact.identity, now)
        return chosen

    def verify(self, contact: Contact, code: str) -> Contact:
        """Marks them as verified.

        Raises:
            FailedError: the code is another: someone may stand in between.
        """
        shown = own.safety_code(self._keys.identity_key, contact.identity)
        heard = "".join(code.split()).lower().encode(errors="replace")
        if not equal(heard, shown.replace(" ", "").encode()):
            raise FailedError(
                f"this is not the code of {contact.petname} and you",
                hint="compare all of it; if it differs there too, one of you has a wrong address",
            )
        verified = replace(contact, verified=True)
        self._store.save_contact(verified)
        return verified

    def block(self, contact: Contact, now: Now) -> Contact:
        """Hears nothing of them any more, and lets them see nothing of us; what waits for them has failed."""
        blocked = replace(
            contact,
            state=ContactState.BLOCKED,
            pair_secrets=tuple(pair for pair in contact.pair_secrets if pair.usable),  # its proposal goes no further
        )
        self._drop_outbox(contact, "blocked", now)
        if not contact.secret:  # they have never answered: all begins anew where they are unblocked
            self._store.remove_contact(contact.identity)
            blocked = replace(blocked, epoch=b"")
        self._store.save_contact(blocked)
        self._part(contact, "blocked", now)
        self._history.contact_event(blocked, now)
        return blocked

    def unblock(self, contact: Contact, now: Now) -> Contact:
        """Hears them again; they are given our new contact secret."""
        if contact.state is not ContactState.BLOCKED:
            raise FailedError(f"{contact.petname} is not blocked")
        state = ContactState.ACCEPTED if contact.secret else ContactState.PENDING
        unblocked = replace(contact, state=state)
        self._store.save_contact(unblocked)
        if state is ContactState.ACCEPTED:
            self._outbox.add(contact.identity, NewSecret(self._secret(contact, now)).encode(), now)
            self._outbox.pump(contact.identity, now)
            self._reach.want(contact.identity, now)
        else:
            self._outbox.add(contact.identity, self._request_body(contact, "", now), now)
            self._requests.ask(contact.identity, now)
        self._history.contact_event(unblocked, now)
        self._contacts_changed(contact.identity, now)
        return unblocked

    def remove(self, contact: Contact, now: Now) -> None:
        """Forgets them; the history of what was said stays."""
        self._drop_outbox(contact, "contact removed", now)
        self._store.remove_contact(contact.identity)
        self._store.wipe_deleted()
        self._part(contact, "removed", now)
        self._history.event(
            "contact", {"name": contact.petname, "address": encode_address(contact.identity), "state": "removed"}, now
        )

    # --- what they say ---

    def on_request(
        self, contact: Contact, request: Request, message: MessageId, clock: int, via: str, now: Now
    ) -> None:
        """They ask, or answer our asking by asking."""
        contact = replace(
            contact,
            claimed_name=request.name,
            secret=request.secret,
            endpoints=_hints(request.node, request.endpoints) or contact.endpoints,
            request_id=message,
            request_text=request.text.decode(errors="replace"),
            request_ms=now.wall_ms,
            request_clock=clock,
        )
        self._store.save_contact(contact)
        match contact.state:
            case ContactState.PENDING | ContactState.ACCEPTED:
                was = contact.state
                self._show_request(contact, now)
                contact = replace(
                    contact, state=ContactState.ACCEPTED, request_id=None, request_text="", invitation=None
                )
                self._store.save_contact(contact)
                self._answer(contact, now)
                if was is ContactState.PENDING:
                    self._accepted(contact, now)
            case ContactState.REQUESTED if contact.invited:
                pass  # `invites` accepts them, now that what they ask is here
            case ContactState.REQUESTED if self._accept_requests:
                self.accept(contact, now)
            case ContactState.REQUESTED:
                cursor = self._history.event(
                    "request",
                    {
                        "id": encode_id(message),
                        "address": encode_address(contact.identity),
                        "name": contact.claimed_name,
                        "text": contact.request_text,
                    },
                    now,
                )
                self._store.save_contact(replace(contact, request_event=cursor))
            case ContactState.BLOCKED | ContactState.REJECTED:
                pass

    def on_accept(self, contact: Contact, accept: Accept, now: Now) -> None:
        """They say yes."""
        if contact.state not in (ContactState.PENDING, ContactState.ACCEPTED):
            return
        was = contact.state
        contact = replace(
            contact,
            state=ContactState.ACCEPTED,
            secret=accept.secret,
            claimed_name=accept.name or contact.claimed_name,
            invitation=None,
        )
        self._store.save_contact(contact)
        if was is ContactState.PENDING:
            self._accepted(contact, now)

    def on_new_secret(self, contact: Contact, fresh: NewSecret) -> None:
        """They changed their contact secret."""
        self._store.save_contact(replace(contact, secret=fresh.secret))

    def on_new_name(self, contact: Contact, fresh: NewName) -> None:
        """They call themselves something else; our petname stays."""
        self._store.save_contact(replace(contact, claimed_name=fresh.name))

    def on_pair_proposal(self, contact: Contact, proposal: PairProposal, now: Now) -> None:
        """The lower identity proposes a new generation: it has it, so we may write with it."""
        known = max((pair.generation for pair in contact.pair_secrets), default=0)
        if contact.identity > self._keys.identity_key or proposal.generation <= known:
            return
        pair = PairSecret(proposal.generation, proposal.secret, now.wall_ms)
        self._store.save_contact(pairs.with_pair(contact, pair, now))

    def on_proposal_acknowledged(self, identity: IdentityKey, sequence: int, now: Now) -> None:
        """A generation that we proposed is known there: from now on we write with it."""
        contact = self._store.contact(identity)
        for pair in contact.pair_secrets if contact else ():
            if contact is not None and pair.proposed_sequence == sequence and not pair.usable:
                self._store.save_contact(pairs.with_pair(contact, replace(pair, usable=True), now))

    # --- time ---

    def rotate_pairs(self, now: Now) -> None:
        """Proposes new generations where they are ours to propose and due, and forgets old ones."""
        for contact in self.listed():
            kept = pairs.without_old(contact, now)
            if kept is not contact:
                self._store.save_contact(kept)
            self._rotate_pair(kept, now)

    def _rotate_pair(self, contact: Contact, now: Now) -> None:
        pair = pairs.due_proposal(self._keys, contact, self._random, now)
        if pair is None or contact.state is not ContactState.ACCEPTED:
            return
        body = PairProposal(pair.generation, pair.secret).encode()
        sequence = self._outbox.add(contact.identity, body, now)
        contact = self._store.contact(contact.identity) or contact
        self._store.save_contact(pairs.with_pair(contact, replace(pair, proposed_sequence=sequence), now))
        self._outbox.pump(contact.identity, now)

    # --- inside ---

    def _answer(self, contact: Contact, now: Now) -> None:
        """Our yes, which they wait for also where we are of one mind already, and where they had forgotten us."""
        if self._outbox.has_room(contact.identity):
            body = Accept(own.name(self._store)[: limits.NAME_CHARS], self._secret(contact, now)).encode()
            self._outbox.add(contact.identity, body, now)
            self._outbox.pump(contact.identity, now)

    def _accepted(self, contact: Contact, now: Now) -> None:
        self._requests.forget(contact.identity)
        self._history.contact_event(contact, now)
        self._rotate_pair(contact, now)
        self._reach.want(contact.identity, now)
        self._outbox.pump(contact.identity, now)
        self._outbox.acknowledge(contact.identity, now)
        self._contacts_changed(contact.identity, now)

    def _show_request(self, contact: Contact, now: Now) -> None:
        """The text of a request becomes a message once its sender is accepted."""
        if contact.request_id is None or not contact.request_text:
            return
        message = Message(
            contact.identity,
            contact.request_id,
            Direction.IN,
            contact.request_text,
            contact.request_clock,
            sent_ms=contact.request_clock >> CLOCK_COUNTER_BITS,
            received_ms=contact.request_ms,
            state=MessageState.RECEIVED,
            via="mailbox",
            events=(contact.request_event,) if contact.request_event else (),
        )
        self._history.received(contact, message, (), now)

    def _request_body(self, contact: Contact, text: str, now: Now) -> bytes:
        shown = () if contact.path is PathChoice.RELAY_ONLY else self._endpoints()[:2]
        endpoints = [pack_endpoint(endpoint) for endpoint in shown]
        name = own.name(self._store)[: limits.NAME_CHARS]
        node = self._keys.node_key if endpoints else b""
        return Request(name, self._secret(contact, now), text.encode(), node, endpoints).encode()

    def _secret(self, contact: Contact, now: Now) -> bytes:
        """The contact secret that is theirs to know."""
        shielded = contact.path is PathChoice.RELAY_ONLY
        secret = own.secret(self._store, shielded=shielded)
        if secret is None:
            secret = own.rotate_secret(self._store, self._random, now, shielded=shielded)
            self._secret_changed(now)
        return secret

    def _new_name(self, name: str, claimed: str, identity: IdentityKey) -> str:
        taken = [contact.petname for contact in self.listed() if contact.identity != identity]
        if not name:
            return free_name(claimed, identity, taken)
        checked = checked_name(name)
        if any(same_name(checked, other) for other in taken):
            raise FailedError(f"another contact is called {checked}", hint="choose another name")
        return checked

    def _drop_outbox(self, contact: Contact, reason: str, now: Now) -> None:
        failed: dict[MessageId, None] = {}
        for item in self._store.outbox(contact.identity):
            failed[item.message] = None
            # its number is not left out: nobody would ever know that nothing more comes under it
            void = OutboxItem(contact.identity, item.sequence, NO_MESSAGE, NOTHING, now.wall_ms, item.clock)
            self._store.save_outbox_item(void)
        for message in failed:
            self._history.change_state(contact.identity, message, MessageState.FAILED, now, reason=reason)

    def _part(self, contact: Contact, reason: str, now: Now) -> None:
        """Everything in memory about them goes, and so does the secret they hold."""
        self._outbox.forget(contact.identity)
        self._requests.forget(contact.identity)
        self._reach.forget(contact.identity)
        self._links.close(contact.identity, reason, now)
        self._contacts_changed(contact.identity, now)
        if contact.gave_secret:
            self._take_secret_from(contact, now)

    def _take_secret_from(self, contact: Contact, now: Now) -> None:
        """The secret that they held is changed, and the others who held it are told."""
        shielded = contact.path is PathChoice.RELAY_ONLY
        body = NewSecret(own.rotate_secret(self._store, self._random, now, shielded=shielded)).encode()
        for other in self.listed():
            same = (other.path is PathChoice.RELAY_ONLY) is shielded
            if same and other.state in _TOLD and other.gave_secret and other.identity != contact.identity:
                self._outbox.add(other.identity, body, now)
                self._outbox.pump(other.identity, now)
        self._secret_changed(now)


def _hints(node: bytes, endpoints: list[bytes]) -> tuple[str, ...]:
    if len(node) != limits.KEY_BYTES:
        return ()
    return tuple(format_hint(NodeHint(unpack_endpoint(packed), NodeKey(node))) for packed in endpoints)
