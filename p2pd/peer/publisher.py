"""Publishing ourselves: the profile for everyone, presence for accepted contacts.

Knows no contents.
Rules: today's profile is put soon after the node has joined, and when the day, the prekey or the name changes; presence
hourly, and when our endpoints, our relays or our contact secrets change.  A put that too few nodes took is tried again.
Where others see us is looked at with the timer, and only where something has come from the DHT since.
With `public_presence` the presence is put under the empty secret too, where everyone can find it.
Contacts who shall learn no address of ours have a secret of their own, under which only our relays are told.
"""

from collections.abc import Callable

from msgspec.structs import replace

from p2pd import limits
from p2pd.dht.node import Dht
from p2pd.dht.storing import PutProgress
from p2pd.peer import own
from p2pd.peer.own import OwnKeys
from p2pd.peer.prekeys import Prekeys
from p2pd.peer.published import presence_record, profile_record
from p2pd.store import UserStore
from p2pd.types import NodeKey, Now, RandomSource
from p2pd.wire.person import Presence, Profile, ProfileDevice

_RENEW_MS = limits.PRESENCE_RENEW_S * 1000


class Publisher:
    """Keeps our profile and presence on the DHT."""

    def __init__(
        self,
        keys: OwnKeys,
        store: UserStore,
        prekeys: Prekeys,
        dht: Dht,
        random: RandomSource,
        *,
        inbox_bits: int,
        public_presence: bool,
        where: Callable[[], Presence],
    ) -> None:
        self._keys = keys
        self._store = store
        self._prekeys = prekeys
        self._dht = dht
        self._random = random
        self._inbox_bits = inbox_bits
        self._public_presence = public_presence
        self._where = where
        self._profile_due: float | None = None
        self._presence_due: float | None = None
        self._presence_at: float | None = None
        self._published: Presence | None = None
        self._heard = False
        """Whether others may see us elsewhere than when `_where` was last looked at."""
        self._is_lost = False
        """Whether nobody has taken it."""
        self._profile_made_ms = self._presence_made_ms = 0

    def start(self, now: Now, settle_s: float = limits.SETTLE_S) -> None:
        """The node has joined: publish both, once what somebody waits for is on its way."""
        self._profile_due = self._presence_due = now.steady + settle_s

    def profile_changed(self, now: Now) -> None:
        """The name changed."""
        if self._profile_due is not None:
            self._profile_due = now.steady

    def presence_changed(self, now: Now) -> None:
        """A contact secret changed."""
        if self._presence_due is not None:
            self._presence_due = now.steady

    def place_changed(self, now: Now) -> None:
        """Where we can be reached may be another: said at once where it is, or where nobody took what was said."""
        if self._where() != self._published or self._is_lost:
            self.presence_changed(now)

    def on_heard(self) -> None:
        """Something has come from the DHT: it may say where others see us."""
        self._heard = True

    def on_woken(self, now: Now) -> None:
        """The machine may have slept while the wall's clock went on: what is due by that is due."""
        if self._presence_due is not None and abs(now.wall_ms - self._presence_made_ms) >= _RENEW_MS:
            self._presence_due = now.steady
        turned = self._profile_made_ms // limits.DAY_MS != now.day or self._prekeys.is_due(now)
        if self._profile_due is not None and turned:
            self._profile_due = now.steady

    def next_deadline(self) -> float | None:
        """When something is to be published again, steady seconds."""
        due = [due for due in (self._profile_due, self._presence_due) if due is not None]
        return min(due, default=None)

    def on_timer(self, now: Now) -> None:
        """Publishes what is due."""
        if self._profile_due is not None and self._profile_due <= now.steady:
            self._publish_profile(now)
        if self._presence_due is None:
            return
        if self._heard and self._presence_at is not None:
            self._heard = False
            if self._where() != self._published:
                self._presence_due = min(self._presence_due, self._presence_at + limits.PRESENCE_GAP_S)
        if self._presence_due <= now.steady:
            self._publish_presence(now)

    def _publish_profile(self, now: Now) -> None:
        device = ProfileDevice(self._keys.certificate, self._prekeys.publish(now))
        self._profile_made_ms = max(now.wall_ms, self._profile_made_ms + 1)
        profile = Profile(own.name(self._store), self._profile_made_ms, self._inbox_bits, [device])
        until_day_s = limits.DAY_S - now.wall_s % limits.DAY_S
        until_rotation_s = max(0, self._prekeys.rotates_ms() - now.wall_ms) / 1000
        self._profile_due = now.steady + min(until_day_s, until_rotation_s) + 1
        record = profile_record(self._keys.identity, profile, now, self._random)
        self._dht.put([record], self._on_profile, now)

    def _publish_presence(self, now: Now) -> None:
        self._published, self._presence_at = self._where(), now.steady
        self._presence_due = now.steady + limits.PRESENCE_RENEW_S
        self._presence_made_ms = max(now.wall_ms, self._presence_made_ms + 1)
        presence = replace(self._published, made_ms=self._presence_made_ms)
        self._put_presence(own.secret(self._store), presence, now)
        if self._public_presence:
            self._put_presence(b"", presence, now)
        # they may call by our relays and no more: a node key would lead to an address
        shielded = Presence(presence.made_ms, NodeKey(self._random.bytes(limits.KEY_BYTES)), [], presence.relays)
        self._put_presence(own.secret(self._store, shielded=True), shielded, now)

    def _put_presence(self, secret: bytes | None, presence: Presence, now: Now) -> None:
        if secret is not None:
            record = presence_record(self._keys.identity, secret, presence, now, self._random)
            self._dht.put([record], self._on_presence, now)

    def _on_profile(self, progress: PutProgress, now: Now) -> None:
        if progress.done and progress.receipts < progress.wanted and self._profile_due is not None:
            self._profile_due = min(self._profile_due, now.steady + limits.PROFILE_RETRY_S)

    def _on_presence(self, progress: PutProgress, now: Now) -> None:
        self._is_lost = progress.done and not progress.receipts
        if progress.done and progress.receipts < progress.wanted and self._presence_due is not None:
            self._presence_due = min(self._presence_due, now.steady + limits.PROFILE_RETRY_S)
