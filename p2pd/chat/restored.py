"""A home that came back from an old copy: what it does before anything else.

Knows no paths.
Ratchets have sealed messages since the copy was made, and counters have gone on, so none of that is used again:
with every contact all begins anew (`docs/protocol.md`, "Beginning anew"), and they learn of it at once instead of
finding out that something is wrong.
Prekeys may have been made since, and their private halves are lost: a new one is made, under an id that none of these
had, so that who has sealed to one of them sees in the profile that it is another, and seals anew.
Contacts may have been removed or blocked since, and the copy knows them still: the contact secrets are others now, that
of those who shall learn no address too, and each hears of their own.
Invites may have been used or revoked since, and a one-time key begins no second session: all are closed.
"""

from p2pd.chat.outbox import Outbox
from p2pd.peer import own
from p2pd.peer.prekeys import Prekeys
from p2pd.peer.sessions import Sessions
from p2pd.store import ContactState, PathChoice, UserStore
from p2pd.types import Now, RandomSource
from p2pd.wire.content import NewSecret

RESTORED = "restored"
"""The value that marks such a home until its first start: when the copy was made, 8 bytes of milliseconds."""


def begin_anew_where_restored(
    store: UserStore, prekeys: Prekeys, sessions: Sessions, outbox: Outbox, random: RandomSource, now: Now
) -> None:
    """At every start, before anything is sealed or opened; does nothing in a home that is not marked."""
    if not store.value(RESTORED):
        return
    secrets = {
        shielded: NewSecret(own.rotate_secret(store, random, now, shielded=shielded)).encode()
        for shielded in (False, True)
        if own.secret(store, shielded=shielded) is not None
    }
    for contact in store.contacts():
        sessions.retire(contact.identity, now)
        outbox.begin_anew(contact.identity)
        secret = secrets.get(contact.path is PathChoice.RELAY_ONLY)
        if contact.state in (ContactState.ACCEPTED, ContactState.PENDING) and secret is not None:
            outbox.add(contact.identity, secret, now)
    prekeys.begin_anew(now)
    for invite in store.invites():
        store.remove_invite(invite.id)
    store.set_value(RESTORED, b"")
