"""Networks, the routers between them, and the way of a packet from one host to another.

Knows no packet's meaning and no weather.
Rules: every packet of any kind is led here, once, when it is sent: each router on its way out translates, each on its
way in filters.  An address means something in its own network only; who sends to one that is not there is led outwards.

A connection's packets (`Path`) go where it was dialled.  Whoever accepted answers to where the last packet came from,
and a dialler takes answers only from where it dialled (RFC 9000 section 9): so a connection survives a new address of
its dialler's, and none of the other's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from p2pd.sim.hosts import Host
from p2pd.sim.nat import Carried, Kind, Router
from p2pd.types import Endpoint

_CARRIERS = "100.64.0.2"
"""The address of a router in the network of the one outside it (RFC 6598)."""


@dataclass(slots=True, eq=False)
class Network:
    """One space of addresses, and the router that leads out of it; the open network has none."""

    router: Router | None = None
    outside: Network | None = None
    places: dict[str, Host | Network] = field(default_factory=dict)
    """What is at each address: a host, or a router with its network behind it."""

    def put(self, address: str, place: Host | Network) -> None:
        """Take an address; ValueError where it is another's."""
        if self.places.setdefault(address, place) is not place:
            raise ValueError(f"{address} is taken")
        if self._is_seen_through and self.outside is not None:
            self.outside.put(address, self)

    def free(self, address: str) -> None:
        """Nobody is there any more."""
        self.places.pop(address, None)
        if self._is_seen_through and self.outside is not None:
            self.outside.free(address)

    @property
    def _is_seen_through(self) -> bool:
        """Whether addresses within are those that everybody outside sees."""
        return self.router is not None and not self.router.kind.translates


@dataclass(slots=True, eq=False)
class Path:
    """The way of one connection's packets."""

    dialler: Host
    to: Endpoint
    """Where the dialler sends."""
    acceptor: Host | None = None
    """Whom that has reached."""
    back: Endpoint | None = None
    """Where the last packet came from, as the acceptor sees it."""

    def beyond(self, sender: Host) -> Host | None:
        """Who is at the other end."""
        return self.acceptor if sender is self.dialler else self.dialler


class Routes:
    """All networks of one world, whose clock `time_s` and chance `random` are."""

    def __init__(self, time_s: Callable[[], float], random: Random) -> None:
        self.open = Network()
        self._time_s = time_s
        self._random = random
        self._networks: dict[str, Network] = {}

    def behind(self, kinds: tuple[Kind, ...], address: str, outside: Network | None = None) -> Network:
        """A new network behind such routers, the nearest first; the outermost has that address outside."""
        network = outside or self.open
        for kind in reversed(kinds):
            inner = Network(Router(kind, address, self._time_s, self._random), network)
            if kind.translates:
                network.put(address, inner)
            network, address = inner, _CARRIERS
        return network

    def place(self, host: Host, network: Network) -> None:
        """The host is in that network from now on, under its endpoint's address."""
        network.put(host.endpoint.host, host)
        self._networks[host.name] = network

    def remove(self, host: Host) -> None:
        """The host is nowhere, until it is placed again."""
        self._networks.pop(host.name).free(host.endpoint.host)

    def lead(self, sender: Host, to: Endpoint, carried: Carried) -> tuple[Host, Endpoint] | None:
        """Whom a packet reaches that is sent now, and where it seems to come from; None: nobody."""
        network = self._networks[sender.name]
        source, place, left = sender.endpoint, network.places.get(to.host), None
        while place is None and network.router is not None and network.outside is not None:
            outer = network.router.out(source, to, carried)
            if outer is None:
                return None
            source, left, network = outer, network, network.outside
            place = network.places.get(to.host)
        while isinstance(place, Network) and place.router is not None:
            inner = place.router.into(to, source, carried)
            if inner is None or (place is left and not place.router.kind.hairpins):
                return None
            to, place = inner, place.places.get(inner.host)
        return (place, source) if isinstance(place, Host) and place.endpoint == to else None

    def follow(self, path: Path, sender: Host) -> Host | None:
        """Whom a packet of a connection reaches that is sent now: the other end, or nobody."""
        if sender is not path.dialler:
            led = None if path.back is None else self.lead(sender, path.back, Carried.QUIC)
            return path.dialler if led == (path.dialler, path.to) else None
        led = self.lead(sender, path.to, Carried.QUIC)
        if led is None or path.acceptor not in (None, led[0]):
            return None
        path.acceptor, path.back = led
        return path.acceptor
