"""When the gateway is asked and what the engine is told, on a clock that the test moves; and all of it on loopback."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.net.inputs import Mapped
from p2pd.net.port_mapping.mapper import Keeper, Mapper
from p2pd.net.port_mapping.method import DeclinedError, Lease, Way, is_reachable_from
from p2pd.net.port_mapping.nat_pmp import NatPmp
from p2pd.net.port_mapping.pcp import Pcp
from p2pd.types import Endpoint
from tests.net.port_mapping.gateways import SECRET, WAY, gateway, nat_pmp, pcp

HOME = Way("192.168.1.23", "192.168.1.1")
PUBLIC = Endpoint("1.2.3.4", 4040)
HOUR = Lease(PUBLIC, 3_600, 1_000)


class Says:
    """A method that says what the test has it say, for as long as it has something to say."""

    def __init__(self, name: str, *answers: Lease | Exception) -> None:
        self.name = name
        self.answers = list(answers)
        self.wanted: list[Endpoint] = []
        self.closed: list[Endpoint] = []

    async def open(self, way: Way, port: int, wanted: Endpoint) -> Lease:
        self.wanted.append(wanted)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self, way: Way, port: int, external: Endpoint) -> None:
        self.closed.append(external)


class House:
    """A keeper, its clock, and what it told."""

    def __init__(self, *methods: object, way: Way | None = HOME, private: bool = False) -> None:
        self.now = 1_000_000.0
        self.way = way
        self.told: list[Mapped] = []
        self.keeper = Keeper(
            family="IPv4",
            port=4040,
            methods=methods,  # type: ignore[arg-type]
            find_way=lambda: self.way,
            private=private,
            tell=self.told.append,
            clock=lambda: self.now,
        )

    async def live(self, seconds: float) -> None:
        """Turn after turn, the last one at the end."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + await self.keeper.turn())
        await self.keeper.turn()


NOTHING = PeerError("no answer")


async def test_a_mapping_is_told_and_shown() -> None:
    house = House(Says("PCP", HOUR))
    wait_s = await house.keeper.turn()
    assert house.told == [Mapped(PUBLIC, "PCP")]
    status = house.keeper.status()
    assert (status.method, status.gateway, status.endpoint) == ("PCP", "192.168.1.1", PUBLIC)
    assert (status.lifetime_left_s, status.failure, status.is_needed) == (3_600, "", True)
    assert wait_s == limits.MAPPING_LOOK_S


@pytest.mark.parametrize(("life_s", "renewals"), [(1_200, 6), (3_600, 4), (None, 4), (1, 60)])
async def test_it_is_renewed_at_half_of_its_life_and_not_too_seldom_or_often(life_s: int, renewals: int) -> None:
    method = Says("PCP", Lease(PUBLIC, life_s, None))
    house = House(method)
    await house.live(3_600)
    assert len(method.wanted) == 1 + renewals
    assert method.wanted[-1] == PUBLIC, "the port that we have is asked for again"
    assert {mapped.endpoint for mapped in house.told} == {PUBLIC}


async def test_the_methods_are_asked_in_turn_and_the_one_that_maps_renews() -> None:
    first, second, third = Says("PCP", NOTHING), Says("NAT-PMP", HOUR), Says("UPnP", HOUR)
    house = House(first, second, third)
    await house.live(3_600)
    assert (len(first.wanted), len(second.wanted), third.wanted) == (1, 5, [])


async def test_a_failed_renewal_keeps_the_mapping_until_it_ends() -> None:
    method = Says("PCP", HOUR, NOTHING)
    house = House(method)
    await house.live(3_599)
    assert house.told == [Mapped(PUBLIC, "PCP")]
    assert 3 < len(method.wanted) < 20
    await house.live(2)
    assert house.told[-1] == Mapped(None, "")
    assert house.keeper.status().endpoint is None
    assert house.keeper.status().failure == "PCP: no answer"


async def test_where_there_is_none_it_is_tried_again_ever_more_seldom() -> None:
    method = Says("PCP", NOTHING)
    house = House(method)
    await house.live(1 + sum(limits.MAPPING_AGAIN_S))
    assert len(method.wanted) == 1 + len(limits.MAPPING_AGAIN_S)
    await house.live(4 * limits.MAPPING_AGAIN_S[-1])
    assert len(method.wanted) == 5 + len(limits.MAPPING_AGAIN_S)
    method.answers = [HOUR]
    await house.live(limits.MAPPING_AGAIN_S[-1])
    assert house.told == [Mapped(PUBLIC, "PCP")]


@pytest.mark.parametrize(("says_s", "waits_s"), [(1_800, 1_800), (2**32 - 1, limits.MAPPING_DECLINED_MAX_S)])
async def test_a_refusal_holds_as_long_as_the_gateway_says_within_bounds(says_s: int, waits_s: int) -> None:
    method = Says("PCP", DeclinedError("not authorized", says_s), HOUR)
    house = House(method)
    await house.live(waits_s - 1)
    assert house.told == []
    assert house.keeper.status().failure == "PCP: not authorized"
    await house.live(2)
    assert house.told == [Mapped(PUBLIC, "PCP")]


async def test_errors_of_the_system_are_failures_like_others() -> None:
    house = House(Says("PCP", OSError(101, "Network is unreachable")), Says("UPnP", HOUR))
    await house.keeper.turn()
    assert house.told == [Mapped(PUBLIC, "UPnP")]


async def test_another_network_is_mapped_at_once() -> None:
    method = Says("PCP", HOUR)
    house = House(method)
    await house.live(100)
    house.way = Way("10.0.0.9", "10.0.0.1")
    await house.keeper.turn()
    assert house.told == [Mapped(PUBLIC, "PCP"), Mapped(None, ""), Mapped(PUBLIC, "PCP")]
    assert method.wanted[-1].port == 4040
    assert method.wanted[-1].host == "0.0.0.0", "what another gateway gave means nothing here"  # noqa: S104  compared
    house.way = None
    await house.keeper.turn()
    assert house.told[-1] == Mapped(None, "")
    assert house.keeper.status().failure == "no default gateway is known"
    house.way = HOME
    await house.keeper.turn()
    assert house.told[-1] == Mapped(PUBLIC, "PCP")


async def test_a_restarted_gateway_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    other = Lease(Endpoint("1.2.3.9", 50_000), 3_600, 5)
    house = House(Says("PCP", HOUR, Lease(PUBLIC, 3_600, 1_000 + 900), other))
    caplog.set_level("INFO")
    await house.live(limits.MAPPING_RENEW_MAX_S)
    assert "restarted" not in caplog.text
    await house.live(limits.MAPPING_RENEW_MAX_S)
    assert "restarted" in caplog.text
    assert house.told[-1] == Mapped(other.external, "PCP")


@pytest.mark.parametrize("outside", ["10.1.2.3", "192.168.0.9", "100.64.1.1", "127.0.0.1", "224.0.0.1", "0.0.0.0"])  # noqa: S104  no bind
async def test_an_outside_address_that_is_not_public_is_not_believed(outside: str) -> None:
    house = House(Says("PCP", Lease(Endpoint(outside, 4040), 3_600)))
    await house.keeper.turn()
    assert house.told == []
    status = house.keeper.status()
    assert (status.endpoint, status.method) == (None, "PCP")
    assert "double NAT" in status.failure


async def test_a_gateway_that_loses_its_public_address_is_told() -> None:
    house = House(Says("PCP", HOUR, Lease(Endpoint("100.64.0.1", 4040), 3_600)))
    await house.live(limits.MAPPING_RENEW_MAX_S)
    assert house.told == [Mapped(PUBLIC, "PCP"), Mapped(None, "")]


@pytest.mark.parametrize(
    ("address", "internet", "private"),
    [
        ("1.2.3.4", True, True),
        ("2600::1", True, True),
        ("10.0.0.1", False, True),
        ("100.64.0.1", False, True),
        ("192.0.2.1", False, True),
        ("fd00::1", False, True),
        ("127.0.0.1", False, False),
        ("169.254.1.1", False, False),
        ("224.0.0.1", False, False),
        ("255.255.255.255", False, False),
        ("ff02::1", False, False),
        ("::1", False, False),
        ("::", False, False),
        ("::ffff:10.0.0.1", False, True),
        ("::ffff:127.0.0.1", False, False),
    ],
)
def test_which_addresses_others_reach(address: str, internet: bool, private: bool) -> None:
    assert is_reachable_from(address, private=False) is internet
    assert is_reachable_from(address, private=True) is private


async def test_a_machine_with_a_public_address_asks_nobody() -> None:
    method = Says("PCP", HOUR)
    house = House(method, way=Way("1.2.3.4", "1.2.3.1"))
    await house.live(3_600)
    assert method.wanted == []
    status = house.keeper.status()
    assert (status.is_needed, "public" in status.failure) == (False, True)
    six = House(method, way=Way("2600::2", "fe80::1", "eth0"))
    await six.keeper.turn()
    assert len(method.wanted) == 1, "a firewall stands in front of IPv6"


async def test_the_end_takes_the_mapping_back_once() -> None:
    method = Says("PCP", HOUR)
    house = House(method)
    await house.keeper.turn()
    for _ in range(2):
        await house.keeper.end()
    assert method.closed == [PUBLIC]


async def run_until(mapper: Mapper, done: asyncio.Event) -> None:
    """As the daemon does: a part that is cancelled at the end."""
    async with asyncio.TaskGroup() as parts:
        part = parts.create_task(mapper.run())
        await asyncio.wait_for(done.wait(), 20)
        part.cancel()


def told(done: asyncio.Event, into: list[Mapped]) -> Callable[[Mapped], None]:
    def tell(mapped: Mapped) -> None:
        into.append(mapped)
        done.set()

    return tell


async def test_the_whole_with_gateways_on_loopback() -> None:
    async with AsyncExitStack() as stack:
        old = await stack.enter_async_context(gateway(nat_pmp(external="198.51.100.7")))
        new = await stack.enter_async_context(gateway(pcp(external="198.51.100.8")))
        for at, method, host in (
            (old, NatPmp(old.port), "198.51.100.7"),
            (new, Pcp(SECRET, new.port), "198.51.100.8"),
        ):
            done, into = asyncio.Event(), []
            keeper = Keeper(
                family="IPv4",
                port=4040,
                methods=(Pcp(SECRET, at.port), method),
                find_way=lambda: WAY,
                private=True,
                tell=told(done, into),
            )
            await run_until(Mapper((keeper,)), done)
            assert into == [Mapped(Endpoint(host, 4040), method.name)]
            lifetime = at.asked[-1][8:12] if at is old else at.asked[-1][4:8]
            assert lifetime == bytes(4), "the last that it heard took the mapping back"


@pytest.mark.slow
async def test_a_gateway_that_is_gone_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAPPING_END_S", 0.05)

    class Hangs(Says):
        async def close(self, way: Way, port: int, external: Endpoint) -> None:
            await super().close(way, port, external)
            await asyncio.Event().wait()

    method, done = Hangs("PCP", HOUR), asyncio.Event()
    house = House(method)
    house.keeper._tell = told(done, house.told)
    await run_until(Mapper((house.keeper,)), done)
    assert method.closed == [PUBLIC]


async def test_a_bug_in_a_method_does_not_end_the_daemon(caplog: pytest.LogCaptureFixture) -> None:
    paused: list[float] = []
    done = asyncio.Event()

    async def pause(seconds: float) -> None:
        paused.append(seconds)
        done.set()
        await asyncio.Event().wait()

    house = House(Says("PCP", ZeroDivisionError()))
    await run_until(Mapper((house.keeper,), pause), done)
    assert paused == [limits.MAPPING_AGAIN_S[-1]]
    assert "port mapping failed" in caplog.text


async def test_nothing_to_map_ends_at_once() -> None:
    mapper = Mapper(())
    await mapper.run()
    assert mapper.status() == []
