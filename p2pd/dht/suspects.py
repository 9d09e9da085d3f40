"""Nodes that owe us an answer longer than is usual: asked last, so that each dead one costs a wait only once.

Knows no network.
Rules: being slow once is enough to be suspected, and any authentic word clears it, since it costs a node nothing but
its turn: suspects are asked when nobody better is left, never passed over.  It is a key at one endpoint that is
suspected: who names a wrong endpoint for a node does it no harm at its own.
"""

from p2pd import limits
from p2pd.dht.bounded import Recent
from p2pd.dht.peers import Peer


class Suspects:
    """Those of one node."""

    def __init__(self) -> None:
        self._peers: Recent[Peer, bool] = Recent(limits.SOURCES)

    def __contains__(self, peer: Peer) -> bool:
        return peer in self._peers

    def __len__(self) -> int:
        return len(self._peers)

    def add(self, peer: Peer) -> None:
        """It has not answered in the usual time."""
        self._peers.put(peer, True)

    def clear(self, peer: Peer) -> None:
        """It said something."""
        self._peers.pop(peer)
