"""Records that some nodes put and others read: look-ups of places that nobody has looked at before.

Knows no scenario.  Rules: who puts and who reads is drawn from the stage's chance; a reading that is never answered has
found nothing.  What only adversaries were given to keep can be found by nobody, and is counted apart: with half of the
servers lying and eight replicas that is one record of four hundred.
"""

from collections import Counter
from functools import partial

from p2pd.dht.peers import node_id
from p2pd.engine import Engine
from p2pd.sim.resident import Resident
from p2pd.sim.stage import Stage
from p2pd.types import AddressKey, Now
from p2pd.wire.address import decode_letters
from p2pd.wire.record import Family, record_key

_LIFE_S = 86_400


class Readings:
    """All of one run, by these nodes."""

    def __init__(self, stage: Stage, nodes: list[Resident]) -> None:
        self.asked = 0
        self._stage = stage
        self._nodes = nodes
        self._put: list[str] = []
        """Keys whose put is over."""
        self._read: Counter[str] = Counter()
        self._found: Counter[str] = Counter()
        """How often each key was asked for, and its record found."""

    def put(self) -> None:
        """One of them keeps something with the others."""
        value = b"record %d of %d" % (len(self._put), self._stage.random.getrandbits(64))
        self._one().do(partial(_put, value, self._put))

    def get(self) -> None:
        """One of them reads something that was kept; what was asked for a moment ago has not found it yet."""
        if self._put:
            self.asked += 1
            reader, key = self._one(), self._stage.random.choice(self._put)
            self._read[key] += 1
            reader.do(partial(_get, key, self._found))

    def judge(self, invariant: str, least: float = 1.0) -> None:
        """At least this share must have found what they were for; and there must have been some."""
        found = self._found.total()
        in_vain = sum(self._read[key] - self._found[key] for key in self._read if self._is_with_adversaries_alone(key))
        facts = self._stage.facts
        facts["readings"], facts["found"], facts["with adversaries alone"] = self.asked, found, in_vain
        if not self.asked or found < least * (self.asked - in_vain):
            text = f"{found} of {self.asked} readings found their record, {least:.0%} are the least"
            self._stage.judge.broken(invariant, self._nodes[0].host, text)

    def _is_with_adversaries_alone(self, key: str) -> bool:
        place = int.from_bytes(record_key(Family.SINGLE, AddressKey(decode_letters(key))), "big")
        servers = sorted(
            self._stage.town.servers, key=lambda server: int.from_bytes(node_id(server.key), "big") ^ place
        )
        return all(server.behaviour is not None for server in servers[: self._stage.town.dht.replicas])

    def _one(self) -> Resident:
        return self._stage.random.choice(self._nodes)


def _put(value: bytes, keys: list[str], engine: Engine, now: Now) -> None:
    engine.dht_put(value, _LIFE_S, now, lambda facts: keys.append(str(facts["key"])))


def _get(key: str, found: Counter[str], engine: Engine, now: Now) -> None:
    engine.dht_get(key, now, lambda facts: found.update([key] if isinstance(facts, dict) else []))
