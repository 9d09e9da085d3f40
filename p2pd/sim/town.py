"""A network of whole engines in the virtual world, with the shipped stores in memory: servers, and people who write.

Knows no protocol.  Rules: what a node keeps lies in its stores only, so that its engine can be thrown away at any time.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from p2pd.application import EngineSettings
from p2pd.dht.settings import DhtSettings, Role
from p2pd.sim.conditions import Conditions
from p2pd.sim.network import World
from p2pd.sim.resident import Behaviour, Resident
from p2pd.sim.trace import Trace

_PER_NET = 250
_OPEN = 30
"""The first of the /8 networks in which hosts of the open internet are, each in a /16 of its own."""
_KNOWN = 3
"""Servers that a new node knows."""
PUBLISHED_S = 0.5
"""After its start a person's profile is on the network: who is added before is looked for on fifteen days in vain."""


class NotInTimeError(Exception):
    """What was waited for has not come."""


class Town:
    """Servers and people in one world."""

    def __init__(
        self,
        seed: object = 1,
        *,
        servers: int = 12,
        replicas: int = 4,
        loss: float = 0.0,
        conditions: Conditions | None = None,
        trace: Trace | None = None,
        raise_bugs: bool = True,
        private: bool = True,
    ) -> None:
        self.seed = seed
        self.world = World(seed, conditions=conditions or Conditions(loss=loss), trace=trace, raise_bugs=raise_bugs)
        self.private = private
        """Where it is not, people find out whether they can serve, and caps per network hold; keys and requests have no
        price."""
        self.dht = DhtSettings(private=private, replicas=replicas, node_puzzle_bits=0)
        self.servers: list[Resident] = []
        self.people: list[Resident] = []
        self._moves = 0
        for _ in range(servers):
            self.server()
        self.world.run(5)

    @property
    def residents(self) -> list[Resident]:
        """All, servers first."""
        return [*self.servers, *self.people]

    def server(
        self, behaviour: Behaviour | None = None, *, up: bool = True, kind: str = "public", **settings: Any
    ) -> Resident:
        """One more server; `behaviour` makes it an adversary (`p2pd.sim.adversaries`, `p2pd.sim.foul`)."""
        settings = {"dht": replace(self.dht, role=Role.SERVER), "storage_only": True, **settings}
        server = self._resident(1, len(self.servers), behaviour, kind, **settings)
        self.servers.append(server)
        if up:
            server.up()
        return server

    def person(
        self,
        behaviour: Behaviour | None = None,
        *,
        up: bool = True,
        kind: str = "public",
        housemate: Resident | None = None,
        bystander: bool = False,
        **settings: Any,
    ) -> Resident:
        """One more person, behind routers of that kind or somebody's; the settings are fields of `EngineSettings`."""
        if housemate is not None:
            kind = housemate.kind
        person = self._resident(2, len(self.people), behaviour, kind, housemate, bystander, **settings)
        self.people.append(person)
        if up:
            person.up()
        return person

    def move(self, resident: Resident, kind: str = "public") -> None:
        """Somebody goes elsewhere, where nobody has been before."""
        self._moves += 1
        resident.move(self._address(3, self._moves), kind)

    def friends(self, *kinds: str) -> tuple[Resident, Resident]:
        """Two people who know each other as `bob` and `alice`; hers is the first kind of router, his the second."""
        alice, bob = (self.person(kind=kind) for kind in kinds or ("public", "public"))
        self.world.run(PUBLISHED_S)
        alice.add(bob, "bob")
        bob.add(alice, "alice")
        self.until(lambda: self.accepted(alice, "bob") and self.accepted(bob, "alice"))
        return alice, bob

    def accepted(self, one: Resident, name: str) -> bool:
        """Whether someone is a contact of one's."""
        return one.engine.contact(name).state == "accepted"

    def until(self, predicate: Callable[[], bool], limit_s: float = 60) -> None:
        """Let time pass until the predicate holds; NotInTimeError where it does not within the limit."""
        if not self.world.run_until(predicate, limit_s):
            raise NotInTimeError(f"not within {limit_s} s")

    def _resident(
        self,
        net: int,
        number: int,
        behaviour: Behaviour | None,
        kind: str,
        housemate: Resident | None = None,
        bystander: bool = False,
        **settings: Any,
    ) -> Resident:
        known = tuple(server.hint for server in self.servers[:_KNOWN])
        chosen = {"dht": self.dht, "bootstrap": known, "inbox_bits": 0, **settings}
        host = self._address(net, number)
        settled = EngineSettings(**chosen)
        return Resident(self.world, host, settled, self.seed, behaviour, kind, housemate, bystander=bystander)

    def _address(self, net: int, number: int) -> str:
        if self.private:
            return f"10.{net}.{number // _PER_NET}.{number % _PER_NET + 1}"
        return f"{_OPEN + 10 * net + number // _PER_NET}.{number % _PER_NET + 1}.{net}.1"
