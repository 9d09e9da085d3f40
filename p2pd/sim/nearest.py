"""Whether look-ups find the nodes that are truly nearest, as the world knows them.

Knows who is up, and since when; of an engine its node key and whether it serves.
Rules: of the nearest, as many matter as hold a record, or fewer where a look-up wants fewer.  A server counts once it
has been up for `KNOWN_S`, since the others need a while to learn of it, and so does a searcher, who needs one to learn
of them; liars are not missed, and nobody looks for itself.  `reached` is the share of the true nearest that look-ups
came to; where nothing disturbs the world (`strict`), one that misses any is a violation.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from p2pd.dht.lookup import Lookup
from p2pd.dht.peers import node_id
from p2pd.sim.promises import Broken
from p2pd.types import NodeKey

KNOWN_S = 120.0


@dataclass(slots=True)
class Server:
    """A node as the world knows it."""

    host: str
    key: NodeKey
    honest: bool
    place: int = 0
    since_s: float | None = None
    """When it came up; None: it is down."""

    def __post_init__(self) -> None:
        self.place = int.from_bytes(node_id(self.key), "big")


@dataclass(slots=True)
class Nearest:
    """All look-ups of a run, against the truth."""

    broken: Broken
    time_s: Callable[[], float]
    width: int
    """How many of the nearest matter: those who hold a record."""
    strict: bool = False
    servers: dict[str, Server] = field(default_factory=dict)
    looked: int = 0
    wanted: int = 0
    found: int = 0

    @property
    def reached(self) -> float:
        """The share of the truly nearest that look-ups came to; 1 where there was none."""
        return self.found / self.wanted if self.wanted else 1.0

    def up(self, host: str) -> None:
        """A node has begun to run."""
        server = self.servers.get(host)
        if server is not None and server.since_s is None:
            server.since_s = self.time_s()

    def down(self, host: str) -> None:
        """It does not run any more."""
        server = self.servers.get(host)
        if server is not None:
            server.since_s = None

    def on_search_end(self, own: NodeKey, target: bytes, lookup: Lookup) -> None:
        """A look-up has ended: what did it miss?"""
        place, now_s = int.from_bytes(target, "big"), self.time_s()
        live = [server for server in self.servers.values() if server.since_s is not None and server.key != own]
        searcher = next((server for server in self.servers.values() if server.key == own), None)
        if searcher is not None and now_s - (searcher.since_s or now_s) < KNOWN_S:
            return
        newcomers = sum(now_s - (server.since_s or 0.0) < KNOWN_S for server in live)
        width = min(self.width, lookup._width)
        ranked = heapq.nsmallest(width, live, key=lambda server: server.place ^ place)
        truth = [server for server in ranked if server.honest and now_s - (server.since_s or 0.0) >= KNOWN_S]
        came_to = {peer.key for peer in lookup.nearest(width + newcomers)}
        missed = [server for server in truth if server.key not in came_to]
        self.looked += 1
        self.wanted += len(truth)
        self.found += len(truth) - len(missed)
        if missed and self.strict:
            hosts = ", ".join(server.host for server in missed)
            self.broken("nearest", self._host_of(own), f"a look-up missed {len(missed)} of the nearest: {hosts}")

    def _host_of(self, key: NodeKey) -> str:
        return next((server.host for server in self.servers.values() if server.key == key), "?")
