"""Whether QUIC passes: from here at all, and to each node, as far as what was asked over it shows.

Knows no connection.  `docs/protocol.md`, "Where QUIC does not pass".
Rules: only a node that answered datagrams while QUIC brought nothing says something against QUIC; one answer, or one
link beyond the local network, says more than all that, and for long: on a slow line much is late.  Where it is blocked
it is tried now and then, ever more rarely.
"""

from p2pd import limits
from p2pd.dht.bounded import Recent
from p2pd.dht.peers import Peer
from p2pd.types import NodeKey, Now


class Passage:
    """What one node knows of it."""

    def __init__(self) -> None:
        self._outrun: Recent[NodeKey, float] = Recent(limits.SOURCES)
        """Nodes with which QUIC was outrun, and when, steady seconds."""
        self._in_a_row: dict[NodeKey, None] = {}
        self._tries = 0
        self._again_s = 0.0
        self._passed_s: float | None = None

    def trusted(self, now: Now) -> bool:
        """Whether something has passed lately."""
        return self._passed_s is not None and now.steady - self._passed_s < limits.QUIC_TRUSTED_S

    @property
    def blocked(self) -> bool:
        """Whether QUIC seems not to pass here."""
        return len(self._in_a_row) >= limits.QUIC_OUTRUN

    def tries(self, peer: Peer, now: Now) -> bool:
        """Whether to ask this node over QUIC; where it is blocked, a yes is the one try for a while."""
        if self.blocked:
            if now.steady < self._again_s:
                return False
            self._rest(now)
            return True
        at_s = self._outrun.find(peer.key)
        return at_s is None or now.steady - at_s >= limits.QUIC_AGAIN_S[0]

    def on_passed(self, now: Now, peer: Peer | None = None) -> None:
        """Something came over QUIC, from this node, or by a link."""
        self._passed_s = now.steady
        self._in_a_row.clear()
        self._tries = 0
        if peer is not None:
            self._outrun.pop(peer.key)

    def on_outrun(self, peer: Peer, now: Now) -> None:
        """A node answered in fragments while QUIC brought nothing."""
        self._outrun.put(peer.key, now.steady)
        if self.blocked or self.trusted(now):
            return
        self._in_a_row[peer.key] = None
        if len(self._in_a_row) == limits.QUIC_OUTRUN:
            self._rest(now)

    def forget(self) -> None:
        """We are somewhere else."""
        self._outrun.clear()
        self._in_a_row.clear()
        self._tries, self._passed_s = 0, None

    def _rest(self, now: Now) -> None:
        gap_s = limits.QUIC_AGAIN_S[min(self._tries, len(limits.QUIC_AGAIN_S) - 1)]
        self._tries += 1
        self._again_s = now.steady + gap_s
