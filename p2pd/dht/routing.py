"""The routing table: kademlia's buckets, corrected.  The sole importer of `kademlia`.

Knows no wire and no clock: who answered, and when, is told to it.
Rules:
- a node enters only when it has answered us (R4): callers call `seen` on nothing else;
- known nodes stay before new ones; those heard of move to the end of their bucket, so that its head is the one
  heard of longest ago; three unanswered requests in a row cost the place, which goes to the replacement seen last;
- nodes of one network are few (R7), except in a private one;
- a node that answers by IPv4 and by IPv6 has one place, at the endpoint by which it answered first; the other is named
  to those who ask by that family, and takes the first one's place where that answers no more;
- nodes at local addresses and others never stand in one table of an open network: the local ones are there only while
  nobody else is (an island), and leave when the first other comes, since they mean nothing to the rest of the network.

What the library does and this does not: 160-bit ids, its own clock, a bucket lookup that is wrong at a bucket's end,
buckets that never rotate, a neighbour search that is not the nearest.
"""

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

from kademlia.node import Node
from kademlia.routing import KBucket, RoutingTable

from p2pd import limits
from p2pd.dht.peers import SPACE_BITS, Diversity, Peer, is_local, networks
from p2pd.types import Endpoint, NodeId, NodeKey


class Entry(Node):  # type: ignore[misc]  # kademlia ships no types
    """A node of the table, and what we know of its health."""

    long_id: int

    def __init__(self, peer: Peer, seen_s: float) -> None:
        super().__init__(peer.id, peer.endpoint.host, peer.endpoint.port)
        self.peer = peer
        self.other: Peer | None = None
        """The same node by the other address family, where it has answered too."""
        self.first_seen_s = seen_s
        self.seen_s = seen_s
        self.strikes = 0

    def towards(self, asker: Endpoint) -> Peer:
        """The node by the family of who asks, as far as that is known."""
        return self.other if self.other is not None and self.other.endpoint.is_v6 == asker.is_v6 else self.peer


class _Bucket(KBucket):  # type: ignore[misc]
    """A bucket that does not read the clock, and whose halves are of its kind."""

    nodes: dict[bytes, Entry]
    replacement_nodes: dict[bytes, Entry]
    range: tuple[int, int]

    def __init__(self, low: int, high: int, size: int) -> None:
        super().__init__(low, high, size, limits.REPLACEMENT_FACTOR)
        self.touched_s = 0.0

    def distance(self, place: int) -> int:
        """To the nearest place of the range."""
        low, high = self.range
        return 0 if low <= place <= high else (low ^ place) & ~(high - low)

    def touch_last_updated(self) -> None:
        """The library's idea of the time; unused."""

    def split(self) -> tuple["_Bucket", "_Bucket"]:
        low, high = self.range
        middle = (low + high) // 2
        one, two = _Bucket(low, middle, self.ksize), _Bucket(middle + 1, high, self.ksize)
        one.touched_s = two.touched_s = self.touched_s
        for entry in chain(self.nodes.values(), self.replacement_nodes.values()):
            (one if entry.long_id <= middle else two).add_node(entry)
        return one, two


class _Buckets(RoutingTable):  # type: ignore[misc]
    """The library's list of buckets over 256 bits."""

    buckets: list[_Bucket]

    def flush(self) -> None:
        self.buckets = [_Bucket(0, 2**SPACE_BITS - 1, self.ksize)]

    def get_bucket_for(self, node: Node) -> int:
        low, high = 0, len(self.buckets) - 1
        while low < high:
            middle = (low + high) // 2
            if node.long_id <= self.buckets[middle].range[1]:
                high = middle
            else:
                low = middle + 1
        return low

    def add_contact(self, node: Entry) -> bool:
        bucket = self.buckets[self.get_bucket_for(node)]
        if bucket.add_node(node):
            return True
        if not bucket.has_in_range(self.node):
            return False
        self.split_bucket(self.get_bucket_for(node))
        return self.add_contact(node)

    def find_neighbors(self, node: Node, k: int | None = None, exclude: Any = None) -> list[Entry]:
        """The true nearest `k`, those that failed lately after all others; the library's `exclude` is not used.

        Buckets are key ranges with a common prefix: all of a nearer one's nodes are nearer than any of the next.
        """
        count = k or self.ksize
        found: list[Entry] = []
        healthy = 0
        place = node.long_id
        for bucket in sorted(self.buckets, key=lambda bucket: bucket.distance(place)):
            if healthy >= count:
                break
            found += bucket.nodes.values()
            healthy += sum(not entry.strikes for entry in bucket.nodes.values())
        return sorted(found, key=lambda entry: (entry.strikes > 0, place ^ entry.long_id))[:count]

    def entries(self) -> Iterator[Entry]:
        return chain.from_iterable(bucket.nodes.values() for bucket in self.buckets)


class Table:
    """The nodes that we know to answer; `caps` are those for a bucket's /24, the table's /24 and /16, or none."""

    def __init__(
        self, own: NodeId, *, bucket_size: int = limits.BUCKET_SIZE, caps: tuple[int, int, int] | None = None
    ) -> None:
        self._own = Node(own)
        self._buckets = _Buckets(None, bucket_size, self._own)
        self._entries: dict[NodeKey, Entry] = {}
        self.changes = 0
        """How often a node came or went: what follows from who is there holds as long as this does."""
        self._caps = caps
        self._far = 0
        """Nodes that are not at local addresses."""
        self._diversity = Diversity(caps[1], caps[2]) if caps else None

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: NodeKey) -> bool:
        return key in self._entries

    def entries(self) -> list[Entry]:
        """All rows, bucket by bucket, each bucket's longest silent first."""
        return list(self._buckets.entries())

    def entry(self, key: NodeKey) -> Entry | None:
        return self._entries.get(key)

    @property
    def takes_local(self) -> bool:
        """Whether nodes at local addresses may enter."""
        return self._caps is None or self._far == 0

    @property
    def is_island(self) -> bool:
        """Whether all nodes of it, of an open network, are at local addresses."""
        return self._caps is not None and self._far == 0 and len(self._entries) > 0

    def seen(self, peer: Peer, now_s: float) -> bool:
        """The peer answered; whether it is newly in the table."""
        known = self._entries.get(peer.key)
        if known is not None:
            if self._is_second(known, peer):
                known.other = peer
            elif known.peer.endpoint == peer.endpoint or self._moved(known, peer):
                self._refresh(known, now_s)
            return False
        if peer.place == self._own.long_id or not self._admits(peer):
            return False
        return self._add(Entry(peer, now_s))

    def struck(self, peer: Peer) -> bool:
        """The peer left a request unanswered; whether that cost it its place."""
        entry = self._entries.get(peer.key)
        if entry is None:
            return False
        if entry.peer != peer:
            entry.other = None if entry.other == peer else entry.other
            return False  # where somebody else said that it is
        entry.strikes += 1
        return entry.strikes >= limits.STRIKES and not self._falls_back(entry)

    def left(self, peer: Peer) -> bool:
        """The peer serves no more, by this family at least; whether that cost it its place."""
        entry = self._entries.get(peer.key)
        if entry is None:
            return False
        if entry.peer.endpoint.is_v6 == peer.endpoint.is_v6:
            return not self._falls_back(entry)
        entry.other = None
        return False

    def keep(self, is_reached: Callable[[Endpoint], bool]) -> list[NodeKey]:
        """This machine has lost an address family: who had to leave, since nothing of theirs is reached any more."""
        gone: list[NodeKey] = []
        while lost := [entry for entry in self._buckets.entries() if not is_reached(entry.peer.endpoint)]:
            gone += [entry.peer.key for entry in lost if not self._falls_back(entry)]
        return gone

    def remove(self, key: NodeKey) -> None:
        """Take a node out; the replacement seen last that is diverse enough moves up."""
        entry = self._entries.pop(key)
        self.changes += 1
        self._far -= not is_local(entry.peer.endpoint.host)
        if self._diversity:
            self._diversity.remove(entry.peer)
        bucket = self._bucket(entry)
        del bucket.nodes[entry.id]
        while bucket.replacement_nodes:
            _, replacement = bucket.replacement_nodes.popitem()
            if self._admits(replacement.peer) and self._add(replacement):
                return

    def wants(self, peer: Peer) -> bool:
        """Whether it would enter if it answered us, replace one that seems gone, or be a node's second endpoint."""
        known = self._entries.get(peer.key)
        if known is not None:
            return known.other is None and self._is_second(known, peer)
        if peer.place == self._own.long_id or not self._admits(peer):
            return False
        node = Node(peer.id)
        bucket = self._bucket(node)
        if len(bucket) < bucket.ksize or bucket.has_in_range(self._own):
            return True
        return any(entry.strikes for entry in bucket.nodes.values()) and peer.id not in bucket.replacement_nodes

    def nearest(self, target: bytes, count: int, asker: Endpoint | None = None) -> list[Peer]:
        """The nearest to `target`, nearest first; those that failed lately last; as `asker` can best reach them."""
        found = self._buckets.find_neighbors(Node(target), count)
        return [entry.peer if asker is None else entry.towards(asker) for entry in found]

    def silent_longest(self) -> Entry | None:
        """The node heard of longest ago."""
        return min(self._buckets.entries(), key=lambda entry: entry.seen_s, default=None)

    def stale_ranges(self, before_s: float) -> list[tuple[int, int]]:
        """The key ranges of buckets in which nothing was heard since."""
        return [bucket.range for bucket in self._buckets.buckets if bucket.touched_s < before_s]

    def _bucket(self, node: Node) -> _Bucket:
        return self._buckets.buckets[self._buckets.get_bucket_for(node)]

    def _is_second(self, entry: Entry, peer: Peer) -> bool:
        """Whether the endpoint is of the other family and stands beside the first, rather than in its place."""
        if entry.peer.endpoint.is_v6 == peer.endpoint.is_v6:
            return False
        return self._caps is None or not (is_local(peer.endpoint.host) or is_local(entry.peer.endpoint.host))

    def _falls_back(self, entry: Entry) -> bool:
        """The second endpoint takes the place of the first; False, and the node is out, where there is none."""
        second, entry.other = entry.other, None
        if second is not None and self._moved(entry, second):
            entry.strikes = 0
            return True
        if second is None or entry.peer.key in self._entries:
            self.remove(entry.peer.key)
        return False

    def _moved(self, entry: Entry, peer: Peer) -> bool:
        """The node answers elsewhere now; False, and it is out, where that network has too many already."""
        is_nearer = is_local(peer.endpoint.host) - is_local(entry.peer.endpoint.host)
        if self._caps is not None and is_nearer > 0:
            return False  # it is beside us, and for all others where it was
        if self._diversity is not None:
            self._diversity.remove(entry.peer)
            admitted = self._diversity.admits(peer)
            self._diversity.add(peer if admitted else entry.peer)
            if not admitted:
                self.remove(entry.peer.key)
                return False
        entry.peer = peer
        self._far -= is_nearer
        if is_nearer < 0:
            self._leave_island()
        return True

    def _refresh(self, entry: Entry, now_s: float) -> None:
        entry.strikes = 0
        entry.seen_s = now_s
        bucket = self._bucket(entry)
        bucket.touched_s = now_s
        bucket.add_node(entry)

    def _add(self, entry: Entry) -> bool:
        is_far = not is_local(entry.peer.endpoint.host)
        self._far += is_far
        if is_far:
            self._leave_island()  # first: its bucket may be full of those that go
        if not self._buckets.add_contact(entry):
            self._far -= is_far
            return False
        self._bucket(entry).touched_s = entry.seen_s
        self._entries[entry.peer.key] = entry
        self.changes += 1
        if self._diversity:
            self._diversity.add(entry.peer)
        return True

    def _leave_island(self) -> None:
        """The first node from elsewhere is there: those at local addresses go."""
        if self._caps is None or self._far > 1:
            return
        for entry in [entry for entry in self._entries.values() if is_local(entry.peer.endpoint.host)]:
            self.remove(entry.peer.key)

    def _admits(self, peer: Peer) -> bool:
        if self._caps is None or self._diversity is None:
            return True
        if not self.takes_local and is_local(peer.endpoint.host):
            return False
        small, _ = networks(peer.endpoint.host)
        same = [e for e in self._bucket(Node(peer.id)).nodes.values() if networks(e.peer.endpoint.host)[0] == small]
        return len(same) < self._caps[0] and self._diversity.admits(peer)
