"""Discovery on local networks: what is said there, and what of others is believed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from p2pd import limits
from p2pd.effects import Announce
from p2pd.net.inputs import Neighbour
from p2pd.net.lan import Lan, is_possible, lan_addresses
from p2pd.net.netlink import MachineAddress
from p2pd.net.segment import OnService, Service, open_segment
from p2pd.types import Endpoint
from tests.net.pair import SeededRandom

HOME = MachineAddress("192.168.1.2", 24, 2, is_lan=True)
OFFICE = MachineAddress("10.5.0.9", 16, 3, is_lan=True)
SAID = Announce(bytes(range(16)), bytes(range(8)))
NETWORK = bytes([1, 2, 3, 4])
TEXT = {b"v": b"1", b"n": b"01020304", b"s": bytes(range(16)).hex().encode(), b"t": bytes(range(8)).hex().encode()}
WHOLE = Service("someone", "host.local.", ("192.168.1.7",), 4242, TEXT)


class FakeSegment:
    """One local network that says nothing by itself."""

    def __init__(self, own: str, heard: OnService) -> None:
        self.own, self.heard = own, heard
        self.said: list[Service] = []
        self.is_closed = False
        self.fails = False

    async def announce(self, service: Service) -> None:
        if self.fails:
            raise OSError("the network is unreachable")
        self.said.append(service)

    async def close(self) -> None:
        self.is_closed = True


class Machine:
    """One with local networks of the test's making."""

    def __init__(self) -> None:
        self.addresses = [HOME]
        self.segments: list[FakeSegment] = []
        self.emitted: list[Neighbour] = []
        self.refuses = False
        self.lan = Lan(
            [Endpoint("::", 4001)],
            NETWORK,
            SeededRandom(1),
            self.emitted.append,
            addresses=lambda: self.addresses,
            open_segment=self._open,
        )

    async def _open(self, own: str, heard: OnService) -> FakeSegment:
        if self.refuses:
            raise OSError("address in use")
        self.segments.append(FakeSegment(own, heard))
        return self.segments[-1]

    def hears(self, service: Service | None, name: str = "someone") -> None:
        self.segments[0].heard(name, service)

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not holds():  # noqa: ASYNC110 - what the test waits for is no event
                await asyncio.sleep(0.002)


@asynccontextmanager
async def running(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    monkeypatch.setattr(limits, "LAN_LISTEN_FIRST_S", 0.001)
    machine = Machine()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(machine.lan.run())
        yield machine
        task.cancel()
    assert all(segment.is_closed for segment in machine.segments)


@pytest.fixture
async def machine(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    async with running(monkeypatch) as machine:
        machine.lan.announce(SAID)
        await machine.until(lambda: machine.segments and machine.segments[0].said)
        yield machine


async def test_nothing_is_joined_before_there_is_something_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(monkeypatch) as machine:
        machine.lan.look()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert machine.segments == []


async def test_what_is_said_names_no_one(machine: Machine) -> None:
    (said,) = machine.segments[0].said
    assert (said.hosts, said.port, dict(said.text)) == (("192.168.1.2",), 4001, TEXT)
    assert len(said.name) == len(said.host) == 16
    assert said.name != said.host
    assert machine.lan.networks == ["192.168.1.2"]


async def test_names_change_with_every_announcement(machine: Machine) -> None:
    machine.lan.announce(Announce(bytes(16), bytes(8)))
    await machine.until(lambda: len(machine.segments[0].said) == 2)
    first, second = machine.segments[0].said
    assert len({first.name, first.host, second.name, second.host}) == 4
    assert second.text[b"s"] == b"00" * 16


async def test_networks_come_and_go(machine: Machine) -> None:
    machine.addresses = [OFFICE]
    machine.lan.look()
    await machine.until(lambda: len(machine.segments) == 2 and machine.segments[1].said)
    assert machine.segments[0].is_closed
    assert machine.segments[1].said[0].hosts == ("10.5.0.9",)


async def test_a_network_that_refuses_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LAN_RETRY_S", 0.01)
    async with running(monkeypatch) as machine:
        machine.refuses = True
        machine.lan.announce(SAID)
        await machine.until(lambda: machine.lan.counts["lan: not joined"] >= 2)
        machine.refuses = False
        await machine.until(lambda: machine.segments and machine.segments[0].said)


async def test_a_network_on_which_nothing_can_be_said_is_left(machine: Machine) -> None:
    machine.segments[0].fails = True
    machine.lan.announce(Announce(bytes(16), bytes(8)))
    await machine.until(lambda: machine.lan.counts["lan: not announced"])
    assert machine.segments[0].is_closed
    assert machine.lan.networks == []


# --- what others say -------------------------------------------------------------------------------------------------


async def test_a_whole_announcement_is_a_neighbour_once(machine: Machine) -> None:
    machine.hears(WHOLE)
    machine.hears(WHOLE)
    assert machine.emitted == [Neighbour(Endpoint("192.168.1.7", 4242), SAID.salt, SAID.tag)]
    machine.lan.announce(Announce(bytes(16), bytes(8)))
    assert len(machine.emitted) == 2  # a core that was made anew hears of those who are there
    machine.hears(None)
    machine.lan.announce(SAID)
    assert len(machine.emitted) == 2


async def test_we_are_not_our_own_neighbour(machine: Machine) -> None:
    machine.hears(WHOLE, name=machine.segments[0].said[0].name)
    assert machine.emitted == []


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        (b"v", b"2", "network"),
        (b"v", None, "network"),
        (b"n", b"01020305", "network"),
        (b"s", b"00" * 15, "text"),
        (b"s", b"00" * 17, "text"),
        (b"s", b"zz" * 16, "text"),
        (b"s", b"\xff" * 32, "text"),
        (b"s", b"00 " * 10 + b"00", "text"),
        (b"t", None, "text"),
        (b"t", b"", "text"),
    ],
)
async def test_a_forged_text_is_nothing(machine: Machine, key: bytes, value: bytes | None, reason: str) -> None:
    machine.hears(Service("forged", "host.local.", ("192.168.1.7",), 4242, TEXT | {key: value}))
    assert machine.emitted == []
    assert machine.lan.counts == {f"lan: {reason}": 1}


@pytest.mark.parametrize(
    "host",
    ["8.8.8.8", "192.168.2.7", "192.168.1.2", "192.168.1.0", "192.168.1.255", "127.0.0.1", "fe80::1", "no address", ""],
)
async def test_no_one_is_sent_elsewhere(machine: Machine, host: str) -> None:
    machine.hears(Service("forged", "host.local.", (host,), 4242, TEXT))
    assert machine.emitted == []
    assert machine.lan.counts == {"lan: elsewhere": 1}


@pytest.mark.parametrize("port", [-1, 0, 53, 1_023, 65_536])
async def test_no_one_is_sent_to_the_systems_ports(machine: Machine, port: int) -> None:
    machine.hears(Service("forged", "host.local.", ("192.168.1.7",), port, TEXT))
    assert machine.emitted == []
    assert machine.lan.counts == {"lan: port": 1}


async def test_of_many_addresses_the_first_beside_us_counts(machine: Machine) -> None:
    machine.hears(Service("many", "host.local.", ("8.8.8.8", "192.168.1.8", "192.168.1.9"), 4242, TEXT))
    assert [neighbour.endpoint.host for neighbour in machine.emitted] == ["192.168.1.8"]


async def test_ten_thousand_announcements_are_few(machine: Machine) -> None:
    for number in range(10_000):
        machine.hears(Service("", "", (f"192.168.1.{number % 200 + 10}",), 2_000 + number, TEXT), name=str(number))
    assert limits.NEIGHBOURS <= len(machine.emitted) < limits.NEIGHBOURS + 100
    assert machine.lan.counts["lan: too many"] == 10_000 - len(machine.emitted)


# --- where it is possible --------------------------------------------------------------------------------------------


def test_only_networks_with_room_for_others_are_used() -> None:
    bound = [Endpoint("0.0.0.0", 4001)]  # noqa: S104
    here = [HOME, MachineAddress("10.8.0.2", 32, 4, is_lan=True), MachineAddress("10.9.0.2", 24, 5, is_lan=False)]
    here.append(MachineAddress("fd00::2", 64, 2, is_lan=True))
    assert lan_addresses(bound, here) == {HOME: 4001}
    assert lan_addresses([Endpoint("192.168.1.2", 4002)], [HOME, OFFICE]) == {HOME: 4002}
    assert lan_addresses([Endpoint("127.0.0.1", 4003)], here) == {}
    many = [MachineAddress(f"10.0.{number}.1", 24, number, is_lan=True) for number in range(20)]
    assert len(lan_addresses(bound, many)) == limits.LAN_SEGMENTS


def test_a_daemon_on_loopback_has_no_local_network() -> None:
    assert not is_possible([Endpoint("127.0.0.1", 1), Endpoint("127.9.9.9", 1), Endpoint("::1", 1)])
    assert is_possible([Endpoint("127.0.0.1", 1), Endpoint("::", 1)])


# --- the real thing, on loopback: what the fake above stands for -----------------------------------------------------


@pytest.mark.slow
async def test_two_real_segments_hear_each_other() -> None:
    heard: list[tuple[str, Service | None]] = []
    listening = await open_segment("127.0.0.1", lambda name, service: heard.append((name, service)))
    try:
        speaking = await open_segment("127.0.0.1", lambda name, service: None)
        try:
            for name in ("first", "second"):
                await speaking.announce(Service(name, "host", ("127.0.0.1",), 4242, TEXT))
        finally:
            await speaking.close()
        async with asyncio.timeout(20):
            while ("second", None) not in heard:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
    finally:
        await listening.close()
    for name in ("first", "second"):
        said = next(service for each, service in heard if each == name and service is not None)
        assert (said.hosts, said.port, dict(said.text)) == (("127.0.0.1",), 4242, TEXT)
        assert (name, None) in heard
