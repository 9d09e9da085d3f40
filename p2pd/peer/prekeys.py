"""Our device's prekeys: made weekly, published in the profile, kept until no first contact can name them any more.

Knows nothing of where they are published.
Rules: ages are by our own clock; a private half lives `limits.PREKEY_KEEP_S` after its last publication.
A date ahead of the clock is of one that was wrong: where the wait for an end begins it counts as now, so that nothing
is lost and nothing lives for ever, and a newest one dated a week ahead is as old as one of a week ago.
A one-time prekey lies in its invite, and both go when it has been used.
"""

from msgspec.structs import replace

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.crypto.prekeys import KEM_SEED_SIZE, OneTimePair, PrekeyPair, new_prekey
from p2pd.domains import Domain
from p2pd.store import Prekey, UserStore
from p2pd.types import Now, RandomSource
from p2pd.wire.person import PrekeyContent, SignedPrekey


class Prekeys:
    """The pairs in the store; the newest is the one to publish."""

    def __init__(self, store: UserStore, device: SigningKey, random: RandomSource) -> None:
        self._store = store
        self._device = device
        self._random = random

    def publish(self, now: Now) -> SignedPrekey:
        """The signed newest prekey, made now where it is older than a week; its life is counted from here."""
        kept = self._store.prekeys()
        newest = kept[-1] if kept and not self.is_due(now) else self._make((kept[-1].id if kept else 0) + 1, now)
        self._store.save_prekey(replace(newest, published_ms=now.wall_ms))
        public = _pair(newest).public()
        content = PrekeyContent(newest.id, public.x25519, public.kem, newest.made_ms // 1000).encode()
        return SignedPrekey(content, self._device.sign(Domain.SIGN_PREKEYS, content))

    def find(self, id: int) -> PrekeyPair | None:
        """The pair of this id, unless it was never ours or is gone."""
        return next((_pair(prekey) for prekey in self._store.prekeys() if prekey.id == id), None)

    def find_one_time(self, id: int) -> OneTimePair | None:
        """The one-time pair of this id, unless it was never ours, or is used or gone."""
        invite = self._store.invite(id)
        return OneTimePair(id, invite.one_time) if invite is not None and invite.one_time else None

    def use_one_time(self, id: int) -> None:
        """A session was begun with this pair: none ever is again."""
        invite = self._store.invite(id)
        if invite is not None:
            self._store.save_invite(replace(invite, one_time=b"", spent=True))

    def is_due(self, now: Now) -> bool:
        """Whether the next publication is another's."""
        kept = self._store.prekeys()
        return not kept or abs(now.wall_ms - kept[-1].made_ms) >= limits.PREKEY_ROTATE_S * 1000

    def begin_anew(self, now: Now) -> None:
        """A new one, under an id that was not given since the copy was made from which these have come back.

        Others may have sealed to those given since, under the ids that follow: none of these may come to mean another.
        """
        kept = self._store.prekeys()
        if kept:
            ahead = 1 + int.from_bytes(self._random.bytes(limits.PREKEY_IDS_AHEAD_BYTES), "big")
            self._store.save_prekey(self._make(kept[-1].id + ahead, now))

    def rotates_ms(self) -> int:
        """When the next one is due, wall clock; 0: now."""
        kept = self._store.prekeys()
        return kept[-1].made_ms + limits.PREKEY_ROTATE_S * 1000 if kept else 0

    def expire(self, now: Now) -> None:
        """Removes those that no first contact can name any more."""
        kept = self._store.prekeys()
        for prekey in kept:
            if prekey.published_ms > now.wall_ms:
                self._store.save_prekey(replace(prekey, published_ms=now.wall_ms))
        over = {prekey.id for prekey in kept if now.wall_ms - prekey.published_ms >= limits.PREKEY_KEEP_S * 1000}
        over |= {prekey.id for prekey in kept[: -limits.PREKEYS]}
        if kept and kept[-1].id in over:  # its id is not given twice
            self._store.save_prekey(self._make(kept[-1].id + 1, now))
        for id in sorted(over):
            self._store.remove_prekey(id)

    def _make(self, id: int, now: Now) -> Prekey:
        pair = new_prekey(id, now.wall_ms, self._random)
        return Prekey(id, now.wall_ms, now.wall_ms, pair.x25519 + pair.kem)


def _pair(prekey: Prekey) -> PrekeyPair:
    split = len(prekey.secret) - KEM_SEED_SIZE
    return PrekeyPair(prekey.id, prekey.made_ms, prekey.secret[:split], prekey.secret[split:])
