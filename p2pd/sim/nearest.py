"""Whether look-ups find the nodes that are truly nearest, as the world knows them.

Knows who is up, and since when; of an engine its node key and whether it serves.
Rules: of the nearest, as many matter as hold a record, or fewer where a look-up wants fewer.  A server counts once it
has been up for `KNOWN_S`, since the others need a while to learn of it, and so does a searcher, who needs one to learn
of them; liars are not missed, nobody looks for itself, and what liars look for is nobody's loss.  `reached` is the
share of the true nearest that look-ups came to; where nothing disturbs the world (`strict`), one that misses any is a
violation.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from p2pd.dht.lookup import Lookup
from p2pd.dht.peers import SPACE_BITS, node_id
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


class Ranks:
    """Places in order, of which the nearest to any are found without looking at all: each half of the key space is one
    piece of the order, and so is each half of that."""

    def __init__(self) -> None:
        self._places: list[int] = []

    def add(self, place: int) -> None:
        """One more; it must not be there."""
        insort(self._places, place)

    def remove(self, place: int) -> None:
        """One that is there."""
        del self._places[bisect_left(self._places, place)]

    def nearest(self, target: int) -> Iterator[int]:
        """All, nearest to the target first."""
        pieces = [(0, len(self._places), SPACE_BITS)]
        while pieces:
            low, high, bits = pieces.pop()
            if high - low == 1:
                yield self._places[low]
            elif high > low:
                half = 1 << (bits - 1)
                middle = bisect_left(self._places, self._places[low] & -(half << 1) | half, low, high)
                halves = [(low, middle, bits - 1), (middle, high, bits - 1)]
                pieces += halves if target & half else halves[::-1]


@dataclass(slots=True)
class Nearest:
    """All look-ups of a run, against the truth."""

    broken: Broken
    time_s: Callable[[], float]
    width: int
    """How many of the nearest matter: those who hold a record."""
    strict: bool = False
    looked: int = 0
    wanted: int = 0
    found: int = 0
    took_s: list[float] = field(default_factory=list)
    """Each look-up."""
    _servers: dict[str, Server] = field(default_factory=dict)
    _by_key: dict[NodeKey, Server] = field(default_factory=dict)
    _by_place: dict[int, Server] = field(default_factory=dict)
    _up: Ranks = field(default_factory=Ranks)
    _came: deque[tuple[float, Server]] = field(default_factory=deque)
    """Who came up lately, and when."""

    def add(self, server: Server) -> None:
        """A node that is down so far."""
        self._servers[server.host] = self._by_key[server.key] = self._by_place[server.place] = server

    @property
    def reached(self) -> float:
        """The share of the truly nearest that look-ups came to; 1 where there was none."""
        return self.found / self.wanted if self.wanted else 1.0

    def up(self, host: str) -> None:
        """A node has begun to run."""
        server = self._servers.get(host)
        if server is not None and server.since_s is None:
            server.since_s = self.time_s()
            self._up.add(server.place)
            self._came.append((server.since_s, server))

    def down(self, host: str) -> None:
        """It does not run any more."""
        server = self._servers.get(host)
        if server is not None and server.since_s is not None:
            server.since_s = None
            self._up.remove(server.place)

    def on_search_end(self, own: NodeKey, target: bytes, lookup: Lookup, took_s: float) -> None:
        """A look-up has ended: what did it miss?"""
        place, now_s = int.from_bytes(target, "big"), self.time_s()
        searcher = self._by_key.get(own)
        if searcher is not None and (not searcher.honest or now_s - (searcher.since_s or now_s) < KNOWN_S):
            return
        width = min(self.width, lookup._width)
        ranked = islice((found for found in self._up.nearest(place) if self._by_place[found].key != own), width)
        truth = [server for found in ranked if self._counts(server := self._by_place[found])]
        came_to = {peer.key for peer in lookup.nearest(width + self._newcomers(own))}
        missed = [server for server in truth if server.key not in came_to]
        self.looked += 1
        self.took_s.append(took_s)
        self.wanted += len(truth)
        self.found += len(truth) - len(missed)
        if missed and self.strict:
            hosts = ", ".join(server.host for server in missed)
            host = "?" if searcher is None else searcher.host
            self.broken("nearest", host, f"a look-up missed {len(missed)} of the nearest: {hosts}")

    def _counts(self, server: Server) -> bool:
        """Whether it is missed where a look-up did not come to it."""
        return server.honest and self.time_s() - (server.since_s or 0.0) >= KNOWN_S

    def _newcomers(self, own: NodeKey) -> int:
        """Those whom not everybody knows yet: they stand among the nearest beside those who count."""
        while self._came and self.time_s() - self._came[0][0] >= KNOWN_S:
            self._came.popleft()
        return len({server.key for since_s, server in self._came if server.since_s == since_s} - {own})
