"""Whether this node serves, and how it finds out.

Rules: a client becomes a server once nodes of three networks have reached it from hosts that it had sent nothing to:
then strangers will reach it too.  It asks servers to have others try (`Probe`, `Reach`, `Reached`), servers or clients;
a `Reached` is smaller than the `Reach` that caused it, so nobody is hit through us by more than was sent (R5).
On an island (an open network of which only nodes at local addresses are known) it serves the neighbours that discovery
on the local network has shown, and nobody else: two machines in a cabin need no third.  Being reached by local ones
says nothing of strangers.
IPv4 and IPv6 are apart: who is reached by one serves those who ask by it, and goes on asking for the other.
In a private network a node serves at once; where others see it at an address that it does not have, something
translates addresses in between, and it must be shown reachable like anyone, by three hosts.

| role | now | event | then |
|---|---|---|---|
| auto | client | reached from 3 networks | server |
| auto | client | a neighbour announces itself, and no node elsewhere is known | server for neighbours |
| auto | server for neighbours | a node elsewhere is in the table | client |
| auto, private network | server | most see it at an address that is not its own | client |
| server | server | | |
| client | client | | |
"""

from collections.abc import Callable
from ipaddress import ip_address

from p2pd import limits
from p2pd.dht.alarms import Alarm, Alarms
from p2pd.dht.bounded import Recent
from p2pd.dht.contacted import Contacted
from p2pd.dht.counters import Cause
from p2pd.dht.peers import Peer, has_family, is_local, may_tell, networks, source_prefix
from p2pd.dht.questions import Question
from p2pd.dht.rates import TokenBucket, TokenBuckets
from p2pd.dht.routing import Table
from p2pd.dht.rpc import Rpc
from p2pd.dht.settings import DhtSettings, Role
from p2pd.errors import PeerError
from p2pd.types import Endpoint, Now, RandomSource
from p2pd.wire.rpc import Body, Failed, Probe, Probing, Reach, Reached, Refusal, pack_endpoint, unpack_endpoint


class Roles:
    """One node's part in the network."""

    def __init__(
        self,
        *,
        settings: DhtSettings,
        table: Table,
        rpc: Rpc,
        contacted: Contacted,
        alarms: Alarms,
        random: RandomSource,
        on_serving: Callable[[Now], None],
    ) -> None:
        self._own = settings.own if settings.private and settings.role == Role.AUTO else ()
        self._addresses = settings.own
        self._private = settings.private
        self._auto = settings.role == Role.AUTO and not settings.private
        self._serves_all = settings.role == Role.SERVER or (settings.role == Role.AUTO and settings.private)
        self._reached: dict[bool, None] = {}
        """The address families in which strangers reach us, by whether that is IPv6."""
        self._table = table
        self._rpc = rpc
        self._contacted = contacted
        self._alarms = alarms
        self._random = random
        self._on_serving = on_serving
        self._shares = settings.role == Role.AUTO and not settings.private
        self._neighbours: Recent[str, bool] = Recent(limits.NEIGHBOURS)
        self.had_neighbours = False
        """Whether there was anybody for whom this node may have kept something on an island."""
        self._reached_from: dict[bool, dict[bytes, None]] = {False: {}, True: {}}
        self._tries = 0
        self._alarm: Alarm | None = None
        """When to ask next to be reached."""
        self._probers: Recent[bytes, tuple[Peer, float]] = Recent(limits.PROBERS)
        """Who asked us to have it reached, one of each network, and when."""
        self._reach_rate = TokenBucket(limits.REACH_PER_S, limits.REACH_BURST)
        self._reach_targets: TokenBuckets[bytes] = TokenBuckets(1 / limits.MINUTE_S, 3)

    def start(self, now: Now) -> None:
        """Begin to ask whether we can be reached."""
        if self._auto:
            self._set_probe(now)

    def on_addresses(self, own: tuple[Endpoint, ...], now: Now) -> None:
        """The machine has other addresses: whoever found out that it serves must find out again."""
        moved = [is_v6 for is_v6 in (False, True) if _is_elsewhere(self._addresses, own, is_v6)]
        gained = bool(self._addresses) and not all(has_family(self._addresses, endpoint) for endpoint in own)
        self._addresses = own
        if self._own:
            self._own = own
        if (moved or gained) and self._auto:
            self._tries = 0
            for is_v6 in moved:
                self._reached.pop(is_v6, None)
                self._reached_from[is_v6].clear()
            self._probe(now)

    def on_neighbour(self, host: str) -> None:
        """Someone on our own network segment speaks the same."""
        self._neighbours.put(host, True)
        self.had_neighbours = self._shares

    def forget_neighbours(self) -> None:
        """We are on another segment."""
        self._neighbours.clear()

    @property
    def serves_neighbours(self) -> bool:
        """Whether this is an island, and there is somebody else on it."""
        return self._shares and self._table.takes_local and len(self._neighbours) > 0

    @property
    def serves(self) -> bool:
        """Whether strangers are served, by any family."""
        return self._serves_all or len(self._reached) > 0

    def serves_to(self, endpoint: Endpoint) -> bool:
        """Whether those there may store here and learn of others."""
        if self._serves_all or endpoint.is_v6 in self._reached:
            return True
        return self.serves_neighbours and endpoint.host in self._neighbours

    def on_observed(self, endpoint: Endpoint | None, now: Now) -> None:
        """Most nodes see us there."""
        if self._auto or endpoint is None or not self._own or endpoint in self._own:
            return
        if ip_address(endpoint.host).is_loopback:  # nothing translates on the way from a machine to itself
            return
        self._auto, self._serves_all = True, False
        self._set_probe(now)

    def on_unasked(self, peer: Peer, now: Now) -> None:
        """A node wrote to us first."""
        is_v6 = peer.endpoint.is_v6
        if self._serves_all or is_v6 in self._reached or not self._auto or self._contacted.has(peer.endpoint):
            return
        if not self._private and is_local(peer.endpoint.host):
            return
        self._reached_from[is_v6][self._network(peer)] = None
        if len(self._reached_from[is_v6]) >= limits.REACHED_NETWORKS:
            self._reached[is_v6] = None
            self._reached_from[is_v6].clear()
            self._on_serving(now)

    def _is_lacking(self, endpoint: Endpoint) -> bool:
        """Whether we have its address family and are not known to be reached by it."""
        if not self._addresses:
            return not self.serves
        return endpoint.is_v6 not in self._reached and has_family(self._addresses, endpoint)

    # --- asking to be reached

    def _set_probe(self, now: Now) -> None:
        wait_s = limits.PROBE_S[min(self._tries, len(limits.PROBE_S) - 1)]
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._alarms.at(now.steady + wait_s * self._random.uniform(0.8, 1.2), self._probe)

    def _probe(self, now: Now) -> None:
        known = [peer for entry in self._table.entries() for peer in (entry.peer, entry.other) if peer is not None]
        lacking = [peer for peer in known if self._is_lacking(peer.endpoint)]
        # whom to ask by a family may be known later
        if self._serves_all or (self.serves and not any(map(self._is_lacking, self._addresses))):
            return
        self._tries += 1
        for _ in range(min(limits.REACHED_NETWORKS, len(lacking))):
            peer = lacking.pop(int(self._random.uniform(0, len(lacking))))
            self._rpc.ask(peer, Probe(), _ignore, now, cause=Cause.JOIN)
        self._set_probe(now)

    # --- reaching others

    def on_probe(self, question: Question, now: Now) -> Body:
        """Have another server reach the asker."""
        if not question.proven:
            return Failed(Refusal.TOKEN)
        asker = question.asker
        others = [peer for peer in self._reachers(asker.endpoint, now) if self._network(peer) != self._network(asker)]
        # who has only the other family cannot reach it
        others = [peer for peer in others if peer.endpoint.is_v6 is asker.endpoint.is_v6] or others
        self._probers.put(self._network(asker), (asker, now.steady))
        if not others or not self._may_reach(asker, now):
            return Failed(Refusal.BUSY)
        other = others[int(self._random.uniform(0, len(others)))]
        reach = Reach(asker.key, pack_endpoint(asker.endpoint))
        self._rpc.ask(other, reach, _ignore, now, cause=Cause.JOIN)
        return Probing()

    def _reachers(self, asker: Endpoint, now: Now) -> list[Peer]:
        """Servers, and clients that asked for the same lately: in a small network everybody knows every server."""
        lately = [peer for peer, at_s in self._probers.values() if now.steady - at_s < limits.PROBERS_S]
        return list(dict.fromkeys((*(entry.towards(asker) for entry in self._table.entries()), *lately)))

    def on_reach(self, reach: Reach, question: Question, now: Now) -> Body:
        """Reach someone for another server."""
        if not question.proven:
            return Failed(Refusal.TOKEN)
        try:
            peer = Peer(reach.key, unpack_endpoint(reach.endpoint))
        except PeerError:
            return Failed(Refusal.INVALID)
        if not self._private and not may_tell(peer, question.asker):
            return Failed(Refusal.INVALID)
        if question.asker.key in self._table and self._may_reach(peer, now):
            self._rpc.tell(peer, Reached(), now, cause=Cause.JOIN)
        return Probing()

    def _network(self, peer: Peer) -> bytes:
        """What counts as one place: a /24 or /48; in a private network, which may have only one, a host."""
        return peer.endpoint.host.encode() if self._private else networks(peer.endpoint.host)[0]

    def _may_reach(self, peer: Peer, now: Now) -> bool:
        return self._reach_targets.take(source_prefix(peer.endpoint.host), now.steady) and self._reach_rate.take(
            now.steady
        )


def _is_elsewhere(before: tuple[Endpoint, ...], after: tuple[Endpoint, ...], is_v6: bool) -> bool:
    """Whether none of the addresses of one family is left."""
    had = [endpoint for endpoint in before if endpoint.is_v6 is is_v6]
    return bool(had) and not set(had) & set(after)


def _ignore(body: Body | None, now: Now) -> None:
    """What counts is whether someone reaches us."""
