"""What memory knows of what is under way to each contact: what went over the link, what is due when.

Knows no items but their numbers.  One item at a time is timed, from the link to its acknowledgement: where answers
usually come in milliseconds, a silence of `limits.MAILBOX_AFTER_MIN_S` says that a link is dead before it knows itself.
Lost without harm: after a restart everything that waits goes on its way again.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from p2pd import limits
from p2pd.dht.deadlines import Deadlines
from p2pd.dht.round_trips import RoundTrip
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
    acknowledged_in_vain: int = 0
    """Times in a row that too few storers took an acknowledgement."""
    ring_at: float | None = None
    putting: set[ItemId] = field(default_factory=set)
    """Items in a put that is not done."""
    timed: tuple[int, float] | None = None
    """The item whose acknowledgement is timed, and when it went over the link, steady seconds."""
    answers: RoundTrip | None = None
    """How long acknowledgements take over a link, their commit included."""

    def sent(self, sequence: int, now: Now) -> None:
        """An item went over the link: it is timed, unless another is."""
        if self.timed is None:
            self.timed = sequence, now.steady

    def answered(self, through: int, now: Now) -> None:
        """All up to here is acknowledged."""
        if self.timed is None or self.timed[0] > through:
            return
        sample_s, self.timed = now.steady - self.timed[1], None
        if self.answers is None:
            self.answers = RoundTrip(sample_s)
        else:
            self.answers.add(sample_s)

    @property
    def patience_s(self) -> float:
        """How long a link may leave something unacknowledged before the mailbox gets it too."""
        if self.silent:
            return 0.0
        if self.answers is None:
            return limits.MAILBOX_AFTER_S
        usual_s = self.answers.mean_s + max(3 * self.answers.mean_s, 4 * self.answers.spread_s)
        return min(max(usual_s, limits.MAILBOX_AFTER_MIN_S), limits.MAILBOX_AFTER_S)

    def mail_by(self, when: float) -> None:
        """The mailbox is due then, unless it is due sooner."""
        self.mail_at = when if self.mail_at is None else min(self.mail_at, when)

    @property
    def next(self) -> float | None:
        """When something is due next, steady seconds."""
        times = (self.mail_at, self.resend_at, self.acknowledge_at, self.ring_at)
        return min((when for when in times if when is not None), default=None)


class Flights:
    """One flight for each contact that anything is under way to.

    Rules: who changes a flight has asked for it in the same turn, since that is how its times are looked at again.
    """

    def __init__(self) -> None:
        self._flights: defaultdict[IdentityKey, Flight] = defaultdict(Flight)
        self._deadlines: Deadlines[IdentityKey] = Deadlines(self._due_of)

    def of(self, contact: IdentityKey) -> Flight:
        """The contact's, begun if there is none."""
        self._deadlines.touch(contact)
        return self._flights[contact]

    def known(self, contact: IdentityKey) -> Flight | None:
        """The contact's, if there is one."""
        self._deadlines.touch(contact)
        return self._flights.get(contact)

    def forget(self, contact: IdentityKey) -> None:
        """Nothing is under way to them any more."""
        self._flights.pop(contact, None)

    def due(self, now: Now) -> list[tuple[IdentityKey, Flight]]:
        """Those for which something is due, the first first."""
        return [(contact, self._flights[contact]) for contact in self._deadlines.due(now)]

    def next_deadline(self) -> float | None:
        """When the next thing is due, steady seconds."""
        return self._deadlines.next()

    def _due_of(self, contact: IdentityKey) -> float | None:
        flight = self._flights.get(contact)
        return None if flight is None else flight.next
