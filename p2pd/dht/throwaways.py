"""Keys that stand in for the node where a person's mail is concerned.

Derived from the node's seed, the record key and the day: storers of different records cannot tell that one node asks
for both, and a restart asks under the same name.
"""

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.dht.bounded import Recent
from p2pd.domains import Domain, derive_key
from p2pd.types import Day, RecordKey


class Throwaways:
    """Those of one node, the last used kept."""

    def __init__(self, node: SigningKey) -> None:
        self._node = node
        self._keys: Recent[tuple[RecordKey, Day], SigningKey] = Recent(limits.THROWAWAYS)

    def key(self, record: RecordKey, day: Day) -> SigningKey:
        """The key for one record key on one day."""
        key = self._keys.find((record, day))
        if key is None:
            seed = derive_key(Domain.THROWAWAY, self._node.seed, record, day.to_bytes(4, "big"))
            key = SigningKey(seed)
            self._keys.put((record, day), key)
        return key
