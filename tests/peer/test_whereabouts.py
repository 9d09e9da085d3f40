"""Where we are by what others see, and which router that shows."""

from dataclasses import dataclass, field

import pytest

from p2pd import limits
from p2pd.peer.whereabouts import Whereabouts
from p2pd.types import Endpoint, Now
from p2pd.wire.person import NatKind
from tests.cast import START

LAN = Endpoint("192.168.1.7", 4242)
OUTSIDE = Endpoint("203.0.113.5", 61_000)
OUTSIDE_6 = Endpoint("2001:db8::5", 4242)
MAPPED = Endpoint("203.0.113.5", 4242)
LIE = Endpoint("1.2.3.4", 4242)


def at(port: int) -> Endpoint:
    return Endpoint(OUTSIDE.host, port)


@dataclass
class Voices:
    """What the DHT knows of us."""

    heard: list[Endpoint] = field(default_factory=list)
    serves: bool = False
    moved: list[tuple[Endpoint, ...]] = field(default_factory=list)

    def serves_to(self, endpoint: Endpoint) -> bool:
        return self.serves

    def voices(self) -> list[Endpoint]:
        return self.heard

    def on_addresses(self, own: tuple[Endpoint, ...], now: Now) -> None:
        self.moved.append(own)
        self.heard = []


class Place:
    def __init__(self, *heard: Endpoint, serves: bool = False, private: bool = False) -> None:
        self.dht = Voices(list(heard), serves)
        self.changes = 0
        self.whereabouts = Whereabouts(self.dht, (LAN,), private=private, on_changed=self._changed)  # type: ignore[arg-type]

    def _changed(self, now: Now) -> None:
        self.changes += 1


@pytest.mark.parametrize(
    ("heard", "observed"),
    [
        ((), ()),
        ((OUTSIDE,), ()),  # one may lie
        ((OUTSIDE, OUTSIDE), (OUTSIDE,)),
        ((OUTSIDE, OUTSIDE, LIE), (OUTSIDE,)),
        ((OUTSIDE, LIE), ()),
        ((LAN,), (LAN,)),  # it is ours
        ((OUTSIDE_6, OUTSIDE, OUTSIDE_6, OUTSIDE), (OUTSIDE_6, OUTSIDE)),  # nothing translates IPv6
        ((OUTSIDE, OUTSIDE, OUTSIDE_6), (OUTSIDE,)),
        ((OUTSIDE_6, OUTSIDE_6, at(5), at(3), at(4)), (OUTSIDE_6, at(3))),  # each by what stands in front of it
        ((OUTSIDE_6, OUTSIDE_6, OUTSIDE), (OUTSIDE_6,)),
        ((at(1), at(1), at(2)), (at(1),)),
        # symmetric: the host by majority, one of its ports, always the same
        ((at(5), at(3), at(4)), (at(3),)),
        ((at(5), at(3), at(4), LIE), (at(3),)),
        ((at(5), LIE, Endpoint("8.8.8.8", 1), Endpoint("7.7.7.7", 2)), ()),
    ],
)
def test_what_others_see_counts_by_majority(heard: tuple[Endpoint, ...], observed: tuple[Endpoint, ...]) -> None:
    assert Place(*heard).whereabouts.observed == observed


def test_in_a_private_network_one_voice_is_enough() -> None:
    assert Place(OUTSIDE, private=True).whereabouts.observed == (OUTSIDE,)


@pytest.mark.parametrize(
    ("heard", "serves", "mapped", "nat"),
    [
        ((), False, False, NatKind.UNKNOWN),
        ((OUTSIDE,), False, False, NatKind.UNKNOWN),
        ((LAN, LAN), True, False, NatKind.OPEN),
        ((LAN, LAN), False, False, NatKind.FIREWALLED),
        ((OUTSIDE, OUTSIDE), True, False, NatKind.FULL_CONE),
        ((OUTSIDE, OUTSIDE), False, True, NatKind.FULL_CONE),
        ((OUTSIDE, OUTSIDE), False, False, NatKind.RESTRICTED),
        ((OUTSIDE, OUTSIDE, LIE), False, False, NatKind.RESTRICTED),
        ((at(1), at(2)), False, False, NatKind.RESTRICTED),  # two voices tell nothing of mapping yet
        ((at(1), at(2), at(3)), False, False, NatKind.SYMMETRIC),
        ((at(1), at(2), at(3), at(3)), False, False, NatKind.SYMMETRIC),
        ((at(1), at(2), at(3), at(3), at(3)), False, False, NatKind.RESTRICTED),
        ((at(1), at(2), at(3)), True, False, NatKind.FULL_CONE),
        ((OUTSIDE,) * 3 + (OUTSIDE_6,) * 3, False, False, NatKind.RESTRICTED),
        ((at(1), at(2), at(3), OUTSIDE_6, OUTSIDE_6), False, False, NatKind.SYMMETRIC),
    ],
)
def test_the_router_shows_in_what_others_see(
    heard: tuple[Endpoint, ...], serves: bool, mapped: bool, nat: NatKind
) -> None:
    place = Place(*heard, serves=serves)
    if mapped:
        place.whereabouts.on_mapped(MAPPED, "PCP", START)
    assert place.whereabouts.nat is nat


def test_strangers_are_told_one_endpoint_of_each_family() -> None:
    place = Place(OUTSIDE, OUTSIDE, OUTSIDE_6, OUTSIDE_6)
    assert place.whereabouts.public == (OUTSIDE_6, OUTSIDE)
    assert Place().whereabouts.public == ()  # ours is of the local network


def test_a_mapped_port_comes_first_and_our_own_addresses_last() -> None:
    place = Place(OUTSIDE, OUTSIDE)
    place.whereabouts.on_mapped(MAPPED, "PCP", START)
    assert place.whereabouts.endpoints == (MAPPED, OUTSIDE, LAN)
    assert (place.whereabouts.mapped_by, place.changes) == ("PCP", 1)
    place.whereabouts.on_mapped(None, "PCP", START)
    assert (place.whereabouts.endpoints, place.whereabouts.mapped_by) == ((OUTSIDE, LAN), "")


def test_no_more_endpoints_than_a_presence_holds_and_none_twice() -> None:
    place = Place(LAN, LAN)
    place.whereabouts.on_addresses(tuple(Endpoint(f"10.0.0.{number}", 1) for number in range(20)), START)
    assert len(place.whereabouts.endpoints) == limits.ENDPOINTS
    place.whereabouts.on_addresses((LAN,), START)
    place.dht.heard = [LAN, LAN]
    assert place.whereabouts.endpoints == (LAN,)


def test_who_moves_forgets_what_others_saw() -> None:
    place = Place(OUTSIDE, OUTSIDE)
    moved = (Endpoint("10.0.0.2", 4242),)
    place.whereabouts.on_addresses(moved, START)
    assert place.dht.moved == [moved]
    assert (place.whereabouts.endpoints, place.changes) == (moved, 1)
    assert place.whereabouts.nat is NatKind.UNKNOWN
