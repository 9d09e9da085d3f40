"""Texts that have an end: when it comes, both ends forget them.

Knows no paths.

| at its end a text | what becomes of it |
|---|---|
| received | message, parts and events are removed |
| sent, and delivered or read | the same |
| sent, and not delivered | it is `expired`, its sender is told so, and only its words are removed |

Rules: the end is a moment of the wall clock, the same at both ends, and comes early or late where a clock is wrong; it
is looked at whenever anything is due, so that a clock that was set, or a restart, puts nothing off.
What comes after its end, or shortly before, stays for a moment all the same: by whichever clock is right its time may
not be up, and its writer is told that it was delivered.
"""

from msgspec.structs import replace

from p2pd import limits
from p2pd.chat.outbox import Outbox
from p2pd.store import Direction, MessageState, UserStore
from p2pd.types import Now

_ARRIVED = (MessageState.DELIVERED, MessageState.READ)


class Expiry:
    """The ends of all texts that have one."""

    def __init__(self, store: UserStore, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox
        self._next_ms: int | None = None
        """The first end, wall clock; 0: there is none; None: not looked up yet."""
        self._due: float | None = None

    def expect(self, expires_ms: int, now: Now) -> None:
        """A text with this end is kept from now on; 0 for one that has none."""
        if expires_ms and self._next_ms is not None and (not self._next_ms or expires_ms < self._next_ms):
            self._next_ms = expires_ms
            self._look_ahead(now)

    def next_deadline(self) -> float | None:
        """When to look again, steady seconds."""
        return self._due

    def on_timer(self, now: Now) -> None:
        """Forgets what has come to its end."""
        if self._next_ms is None:
            self._next_ms = self._store.next_expiry_ms()
        if self._next_ms and self._next_ms <= now.wall_ms:
            self._forget(now)
            self._next_ms = self._store.next_expiry_ms()
        self._look_ahead(now)

    def _look_ahead(self, now: Now) -> None:
        if not self._next_ms:
            self._due = None
            return
        wait_s = (self._next_ms - now.wall_ms) / 1000
        self._due = now.steady + min(max(wait_s, 0.0), limits.HOUSEKEEPING_S)

    def _forget(self, now: Now) -> None:
        self._outbox.expire(now)
        for message in self._store.expired_messages(now.wall_ms, limit=limits.EXPIRE_MESSAGES):
            if message.direction is Direction.OUT and message.state not in _ARRIVED:
                self._store.save_message(replace(message, text="", expires_ms=0, had_end_ms=message.expires_ms))
            else:
                self._store.remove_message(message.contact, message.message)
                self._store.remove_events(message.message)
        self._store.remove_expired_parts(now.wall_ms)
        self._store.wipe_deleted()
