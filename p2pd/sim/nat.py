"""Routers between networks: what they make of a packet's source, and whom they let in, in the words of RFC 4787.

Knows endpoints only, no host and no packet's meaning.
Rules: a packet that goes out makes a mapping or refreshes it; one that comes in refreshes nothing (section 4.3).  What
is not sent through for `life_s` is forgotten: the mapping, and each of those who may answer by it.

| kind | mapping | filtering | besides |
|---|---|---|---|
| public | | | no router |
| full-cone | endpoint-independent | endpoint-independent | draws its ports |
| address-restricted | endpoint-independent | address-dependent | draws its ports |
| port-restricted | endpoint-independent | address and port-dependent | keeps ports |
| symmetric | address and port-dependent | address and port-dependent | draws its ports, and has no hairpinning |
| double-nat | endpoint-independent | address and port-dependent | twice: the outer is a carrier's, which draws ports |
| hairpin-off | endpoint-independent | address and port-dependent | two within cannot meet by its own address |
| firewalled | translates nothing | address and port-dependent | |
| quic-blocked | translates nothing | address and port-dependent | QUIC's packets do not pass |
| udp-blocked | translates nothing | | nothing passes |

They are those of the NAT lab of namespaces (`tests/nat/kinds.py`), whose routers are Linux's own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from random import Random

from p2pd.types import Endpoint

_PORTS = (1_024, 65_535)


class Carried(Enum):
    """What a packet is; some networks know them apart."""

    DATAGRAM = "datagram"
    """The DHT's, and knocks."""
    QUIC = "quic"


class Dependence(Enum):
    """What of a destination a router goes by (RFC 4787 sections 4.1 and 5)."""

    INDEPENDENT = "endpoint-independent"
    ADDRESS = "address-dependent"
    ADDRESS_AND_PORT = "address and port-dependent"

    def part(self, endpoint: Endpoint) -> Endpoint | str:
        """What it goes by, of this endpoint."""
        if self is Dependence.INDEPENDENT:
            return ""
        return endpoint.host if self is Dependence.ADDRESS else endpoint


@dataclass(frozen=True, slots=True)
class Kind:
    """How a router behaves."""

    mapping: Dependence = Dependence.INDEPENDENT
    filtering: Dependence = Dependence.ADDRESS_AND_PORT
    translates: bool = True
    """False: a firewall, behind which addresses are those that everybody sees."""
    keeps_port: bool = True
    """Outside the port is that from inside, where it is free (section 4.2.1)."""
    hairpins: bool = True
    """Two within reach each other by the endpoints that they have outside (section 6)."""
    life_s: float = 120.0
    """Of a mapping that nothing goes out by: two minutes are the least that is asked for (section 4.3)."""
    stops: tuple[Carried, ...] = ()
    """What passes neither way."""


_RESTRICTED = Kind()
_FIREWALL = Kind(translates=False)

KINDS: dict[str, tuple[Kind, ...]] = {
    "public": (),
    "full-cone": (Kind(filtering=Dependence.INDEPENDENT, keeps_port=False),),
    "address-restricted": (Kind(filtering=Dependence.ADDRESS, keeps_port=False),),
    "port-restricted": (_RESTRICTED,),
    "symmetric": (Kind(mapping=Dependence.ADDRESS_AND_PORT, keeps_port=False, hairpins=False),),
    "double-nat": (_RESTRICTED, replace(_RESTRICTED, keeps_port=False)),
    "hairpin-off": (replace(_RESTRICTED, hairpins=False),),
    "firewalled": (_FIREWALL,),
    "quic-blocked": (replace(_FIREWALL, stops=(Carried.QUIC,)),),
    "udp-blocked": (replace(_FIREWALL, stops=(Carried.DATAGRAM, Carried.QUIC)),),
}
"""By name: the routers between a host and the open network, the nearest first."""


def is_translated(kind: str) -> bool:
    """Whether others see such a host at another address than its own."""
    return any(router.translates for router in KINDS[kind])


def lets_strangers_in(kind: str) -> bool:
    """Whether somebody whom the host has never written to reaches it."""
    return all(router.filtering is Dependence.INDEPENDENT and not router.stops for router in KINDS[kind])


@dataclass(slots=True, eq=False)
class _Mapping:
    """What one endpoint inside is outside, and who may answer by it; times are those of what went out last."""

    inner: Endpoint
    outer: Endpoint
    sent_at: float
    sent_to: dict[Endpoint | str, float] = field(default_factory=dict)


class Router:
    """One router; `time_s` is the world's clock, `random` its chance."""

    def __init__(self, kind: Kind, address: str, time_s: Callable[[], float], random: Random) -> None:
        self.kind = kind
        self.address = address
        """Its own, outside; a firewall has none that matters."""
        self.stops = kind.stops
        """What passes neither way now."""
        self.stopped = 0
        """Packets, so far."""
        self._time_s = time_s
        self._random = random
        self._by_inner: dict[tuple[Endpoint, Endpoint | str], _Mapping] = {}
        self._by_outer: dict[Endpoint, _Mapping] = {}

    def out(self, source: Endpoint, to: Endpoint, carried: Carried) -> Endpoint | None:
        """Where a packet from inside seems to come from; None: it does not pass."""
        if carried in self.stops:
            self.stopped += 1
            return None
        key = (source, self.kind.mapping.part(to))
        mapping = self._alive(self._by_inner.get(key))
        if mapping is None:
            outer = self._outer(source)
            mapping = self._by_inner[key] = self._by_outer[outer] = _Mapping(source, outer, 0.0)
        mapping.sent_at = mapping.sent_to[self.kind.filtering.part(to)] = self._time_s()
        return mapping.outer

    def into(self, to: Endpoint, source: Endpoint, carried: Carried) -> Endpoint | None:
        """Where inside a packet from outside is meant to go; None: it does not pass."""
        mapping = None if carried in self.stops else self._alive(self._by_outer.get(to))
        sent_at = None if mapping is None else mapping.sent_to.get(self.kind.filtering.part(source))
        if mapping is None or sent_at is None or self._is_over(sent_at):
            self.stopped += 1
            return None
        return mapping.inner

    def restart(self) -> None:
        """It has been off for a moment, and knows no mapping any more."""
        self._by_inner.clear()
        self._by_outer.clear()

    def _is_over(self, sent_at: float) -> bool:
        return self._time_s() - sent_at > self.kind.life_s

    def _alive(self, mapping: _Mapping | None) -> _Mapping | None:
        return None if mapping is None or self._is_over(mapping.sent_at) else mapping

    def _outer(self, source: Endpoint) -> Endpoint:
        """A free endpoint outside."""
        if not self.kind.translates:
            return source
        port = source.port if self.kind.keeps_port else self._random.randint(*_PORTS)
        while self._alive(self._by_outer.get(Endpoint(self.address, port))) is not None:
            port = self._random.randint(*_PORTS)
        return Endpoint(self.address, port)
