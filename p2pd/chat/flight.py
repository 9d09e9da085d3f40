"""What memory knows of what is under way to each contact: what went over the link, what is due when.

Knows no items.  Lost without harm: after a restart everything that waits goes on its way again.
"""

from dataclasses import dataclass, field

from p2pd.types import IdentityKey, ItemId, Now


@dataclass(slots=True)
class Flight:
    """What is under way to one contact."""

    sent_through: int = 0
    """The highest sequence that went over the link that is up."""
    resends: int = 0
    resend_at: float | None = None
    mail_at: float | None = None
    """Steady seconds; not None: the mailbox is due then."""
    silent: bool = False
    """A link was up and ended, or nothing comes back over it: whatever was heard before says nothing."""
    acknowledge_at: float | None = None
    ring_at: float | None = None
    putting: set[ItemId] = field(default_factory=set)
    """Items in a put that is not done."""

    def mail_by(self, when: float) -> None:
        """The mailbox is due then, unless it is due sooner."""
        self.mail_at = when if self.mail_at is None else min(self.mail_at, when)

    def times(self) -> list[float]:
        """When something is due, steady seconds."""
        times = (self.mail_at, self.resend_at, self.acknowledge_at, self.ring_at)
        return [when for when in times if when is not None]


class Flights:
    """One flight for each contact that anything is under way to."""

    def __init__(self) -> None:
        self._flights: dict[IdentityKey, Flight] = {}

    def of(self, contact: IdentityKey) -> Flight:
        """The contact's, begun if there is none."""
        return self._flights.setdefault(contact, Flight())

    def known(self, contact: IdentityKey) -> Flight | None:
        """The contact's, if there is one."""
        return self._flights.get(contact)

    def forget(self, contact: IdentityKey) -> None:
        """Nothing is under way to them any more."""
        self._flights.pop(contact, None)

    def due(self, now: Now) -> list[tuple[IdentityKey, Flight]]:
        """Those for which something is due."""
        return [
            (contact, flight)
            for contact, flight in self._flights.items()
            if any(when <= now.steady for when in flight.times())
        ]

    def next_deadline(self) -> float | None:
        """When the next thing is due, steady seconds."""
        return min((when for flight in self._flights.values() for when in flight.times()), default=None)
