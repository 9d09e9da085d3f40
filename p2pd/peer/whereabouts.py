"""Where this node can be reached, and what stands in front of it, as far as it can be known.

Knows no contacts.
Rules: what others see counts by majority, for each family apart, and outside private networks not by one voice; a
mapped port is believed while its router says so; IPv6 comes before IPv4, since nothing translates it (RFC 8305 section
4); the machine's own addresses come last, for those beside us.
The kind of router follows in the words of RFC 4787: how it maps from what several nodes see, whom it lets through from
whether strangers have reached us.
"""

from collections import Counter
from collections.abc import Callable

from p2pd import limits
from p2pd.dht.node import Dht
from p2pd.dht.peers import is_local
from p2pd.types import Endpoint, Now
from p2pd.wire.person import NatKind

_VOICES_MIN = 2
"""Nodes that must see us at one place, outside private networks."""
_SYMMETRIC_VOICES = 3
_SYMMETRIC_SHARE = 2 / 3
"""So many voices, and of them so many different ports: each destination has its own."""


class Whereabouts:
    """One node's; `own` are the machine's addresses with our port."""

    def __init__(
        self, dht: Dht, own: tuple[Endpoint, ...], *, private: bool, on_changed: Callable[[Now], None]
    ) -> None:
        self._dht = dht
        self._private = private
        self._on_changed = on_changed
        self.own = own
        self.mapped: Endpoint | None = None
        self.mapped_by = ""

    def on_addresses(self, own: tuple[Endpoint, ...], now: Now) -> None:
        """The machine is somewhere else, or was asleep: what others saw of us is of before."""
        self.own = own
        self._dht.on_addresses(own, now)
        self._on_changed(now)

    def on_mapped(self, endpoint: Endpoint | None, method: str, now: Now) -> None:
        """A router lets everything for this endpoint through to us, or does not any more."""
        self.mapped, self.mapped_by = endpoint, method if endpoint else ""
        self._on_changed(now)

    @property
    def observed(self) -> tuple[Endpoint, ...]:
        """Where most others see us, of each family, IPv6 first."""
        seen = (self._most_seen(voices) for voices in self._by_family())
        return tuple(endpoint for endpoint in seen if endpoint is not None)

    def _by_family(self) -> tuple[list[Endpoint], list[Endpoint]]:
        voices = self._dht.voices()
        return [each for each in voices if each.is_v6], [each for each in voices if not each.is_v6]

    def _most_seen(self, voices: list[Endpoint]) -> Endpoint | None:
        """The endpoint that most name of the host that most name; where each names another port, the lowest."""
        if not voices:
            return None
        hosts = Counter(endpoint.host for endpoint in voices)
        host = min(hosts, key=lambda each: (-hosts[each], each))
        votes = Counter(endpoint for endpoint in voices if endpoint.host == host)
        endpoint = min(votes, key=lambda each: (-votes[each], each))
        many = votes[endpoint] if self._nat_of(voices) is not NatKind.SYMMETRIC else hosts[host]
        return endpoint if many >= _VOICES_MIN or self._private or endpoint in self.own else None

    @property
    def public(self) -> tuple[Endpoint, ...]:
        """Of those where others may reach us, the likeliest of each family that means something to strangers."""
        found: dict[bool, Endpoint] = {}
        for endpoint in self.endpoints:
            if self._private or not is_local(endpoint.host):
                found.setdefault(endpoint.is_v6, endpoint)
        return tuple(found.values())

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where others may reach us, the likeliest first."""
        mapped = (self.mapped,) if self.mapped else ()
        return tuple(dict.fromkeys((*mapped, *self.observed, *self.own)))[: limits.ENDPOINTS]

    @property
    def nat(self) -> NatKind:
        """What stands in front of us, for the family that most others see."""
        return self._nat_of(max(self._by_family(), key=len))

    def _nat_of(self, voices: list[Endpoint]) -> NatKind:
        """The same for the family of these voices."""
        if not voices:
            return NatKind.UNKNOWN
        reached = self._dht.serves_to(voices[0])
        if Counter(voices).most_common(1)[0][0] in self.own:
            return NatKind.OPEN if reached else NatKind.FIREWALLED
        if reached or (self.mapped is not None and self.mapped.is_v6 is voices[0].is_v6):
            return NatKind.FULL_CONE
        ports = len(set(voices))
        if len(voices) >= _SYMMETRIC_VOICES and ports >= max(_SYMMETRIC_VOICES, _SYMMETRIC_SHARE * len(voices)):
            return NatKind.SYMMETRIC
        return NatKind.RESTRICTED if len(voices) >= _VOICES_MIN else NatKind.UNKNOWN
