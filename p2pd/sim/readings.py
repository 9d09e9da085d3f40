"""Records that some nodes put and others read: look-ups of places that nobody has looked at before.

Knows no scenario.  Rules: who puts and who reads is drawn from the stage's chance; a reading that is never answered has
found nothing.
"""

from functools import partial

from p2pd.engine import Engine
from p2pd.sim.resident import Resident
from p2pd.sim.stage import Stage
from p2pd.types import Now

_LIFE_S = 86_400


class Readings:
    """All of one run, by these nodes."""

    def __init__(self, stage: Stage, nodes: list[Resident]) -> None:
        self.asked = 0
        self._stage = stage
        self._nodes = nodes
        self._put: list[str] = []
        """Keys whose put is over."""
        self._found: list[bool] = []

    def put(self) -> None:
        """One of them keeps something with the others."""
        value = b"record %d of %d" % (len(self._put), self._stage.random.getrandbits(64))
        self._one().do(partial(_put, value, self._put))

    def get(self) -> None:
        """One of them reads something that was kept; what was asked for a moment ago has not found it yet."""
        if self._put:
            self.asked += 1
            self._one().do(partial(_get, self._stage.random.choice(self._put), self._found))

    def judge(self, invariant: str, least: float = 1.0) -> None:
        """At least this share must have found what they were for; and there must have been some."""
        found = sum(self._found)
        self._stage.facts["readings"], self._stage.facts["found"] = self.asked, found
        if not self.asked or found < least * self.asked:
            text = f"{found} of {self.asked} readings found their record, {least:.0%} are the least"
            self._stage.judge.broken(invariant, self._nodes[0].host, text)

    def _one(self) -> Resident:
        return self._stage.random.choice(self._nodes)


def _put(value: bytes, keys: list[str], engine: Engine, now: Now) -> None:
    engine.dht_put(value, _LIFE_S, now, lambda facts: keys.append(str(facts["key"])))


def _get(key: str, found: list[bool], engine: Engine, now: Now) -> None:
    engine.dht_get(key, now, lambda facts: found.append(facts is not None))
