"""Datagrams that were read and wait to be taken, by flow: a connection, or all that is no connection's.

It does not know what they mean; whoever takes some lets the rest of the node go on before it takes more.
Rules: what a flow that was quiet brings comes first, and is answered before the others go on; then one of these has its
turn, so that neither keeps the other waiting.  A flow's datagrams keep their order.  Where too many wait, the rest
stays with the kernel.  A stranger can make no flow: what fits no connection is one flow together, `None`, or of QUIC
`DIALLERS`, of which few are taken at once, since each may be a handshake.  Nothing bounds what strangers send, so
beyond `limits.ARRIVALS_OF_STRANGERS` of either it is dropped: left with the kernel, a flood would fill its buffer, and
the datagrams of connections be lost there with the flood's.
The idea is that of fq_codel (RFC 8290), without drops within connections: QUIC's windows bound what waits of these.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable

from p2pd import limits
from p2pd.types import Endpoint

Arrival = tuple[bytes, Endpoint]
DIALLERS = "diallers"
_STRANGERS: dict[Hashable, int] = {None: limits.ARRIVALS_OF_FLOW, DIALLERS: limits.ARRIVALS_OF_DIALLERS}
"""The flows of strangers, and how many datagrams of each are taken at once."""


class Arrivals:
    """The datagrams of one node's sockets, `len` of them."""

    def __init__(self) -> None:
        self._quiet: OrderedDict[Hashable, deque[Arrival]] = OrderedDict()
        """Flows that had nothing waiting before."""
        self._busy: OrderedDict[Hashable, deque[Arrival]] = OrderedDict()
        """Flows that had more than they might give."""
        self._count = 0
        self._strangers: dict[Hashable, int] = dict.fromkeys(_STRANGERS, 0)
        self._is_turn_of_busy = False

    def __len__(self) -> int:
        return self._count

    @property
    def room(self) -> int:
        """How many more of connections may be put now; there are as many of strangers as may be beside them."""
        return limits.ARRIVALS_WAITING - self._count + sum(self._strangers.values())

    def put(self, flow: Hashable, data: bytes, source: Endpoint) -> bool:
        """One more, behind those of its flow; False where it was a stranger's too many."""
        waiting = self._busy.get(flow)
        if waiting is None:
            waiting = self._quiet.setdefault(flow, deque())
        if flow in self._strangers:
            if self._strangers[flow] >= limits.ARRIVALS_OF_STRANGERS:
                return False
            self._strangers[flow] += 1
        waiting.append((data, source))
        self._count += 1
        return True

    def take(self) -> list[Arrival]:
        """Those whose turn it is: of all quiet flows, or of one busy one."""
        taken: list[Arrival] = []
        if self._quiet and not (self._busy and self._is_turn_of_busy):
            busy_before = len(self._busy)
            while self._quiet and len(taken) < limits.INPUTS_PER_TURN:
                self._take_of(*self._quiet.popitem(last=False), taken)
            self._is_turn_of_busy = len(self._busy) == busy_before
        elif self._busy:
            self._take_of(*self._busy.popitem(last=False), taken)
            self._is_turn_of_busy = False
        self._count -= len(taken)
        return taken

    def clear(self) -> None:
        """Forget them all."""
        self._quiet.clear()
        self._busy.clear()
        self._count = 0
        self._strangers = dict.fromkeys(_STRANGERS, 0)

    def _take_of(self, flow: Hashable, waiting: deque[Arrival], taken: list[Arrival]) -> None:
        most = min(len(waiting), _STRANGERS.get(flow, limits.ARRIVALS_OF_FLOW))
        taken += [waiting.popleft() for _ in range(most)]
        if flow in self._strangers:
            self._strangers[flow] -= most
        if waiting:
            self._busy[flow] = waiting
