"""What a machine knows of its own addresses, and when it looks again."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from p2pd import limits
from p2pd.net import addresses, netlink
from p2pd.net.addresses import AddressWatch, endpoints_of, machine_addresses
from p2pd.net.clock import Sleeps
from p2pd.net.netlink import MachineAddress
from p2pd.types import Endpoint

ALL_V4, ALL = Endpoint("0.0.0.0", 4001), Endpoint("::", 4001)  # noqa: S104


def at(*hosts: str) -> list[MachineAddress]:
    return [MachineAddress(host, 24, 2, is_lan=True) for host in hosts]


def test_a_bound_address_is_what_it_is() -> None:
    bound = [Endpoint("127.0.0.1", 4001), Endpoint("::1", 4002), Endpoint("10.1.1.1", 4003)]
    assert endpoints_of(bound, at("192.168.1.2")) == tuple(bound)


def test_a_wildcard_stands_for_what_others_may_reach_the_internets_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_sent_from", lambda family, far: "")
    here = at("127.0.0.1", "::1", "192.168.1.2", "fd00::2", "fe80::1", "10.0.0.3", "2a01::7", "8.8.4.4", "169.254.3.3")
    assert endpoints_of([ALL], here) == tuple(
        Endpoint(host, 4001) for host in ("2a01::7", "8.8.4.4", "192.168.1.2", "fd00::2", "10.0.0.3", "169.254.3.3")
    )
    assert [endpoint.host for endpoint in endpoints_of([ALL_V4], here)] == [
        "8.8.4.4",
        "192.168.1.2",
        "10.0.0.3",
        "169.254.3.3",
    ]


def test_the_address_that_we_would_send_from_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "_sent_from", lambda family, far: "10.0.0.3")
    assert endpoints_of([ALL], at("172.17.0.1", "10.0.0.3"))[0].host == "10.0.0.3"


@pytest.mark.parametrize("read", [netlink.read_addresses, addresses._addresses_of_adapters])
def test_this_machine_has_a_loopback_that_is_no_lan(read: Callable[[], list[MachineAddress]]) -> None:
    if read is netlink.read_addresses and not sys.platform.startswith("linux"):
        pytest.skip("netlink is Linux's")
    pytest.importorskip("ifaddr")
    found = {address.host: address for address in read()}
    assert found["127.0.0.1"].prefix == 8
    assert not found["127.0.0.1"].is_lan


def test_without_netlink_the_adapters_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> list[MachineAddress]:
        raise OSError

    monkeypatch.setattr(netlink, "read_addresses", refused)
    monkeypatch.setattr(addresses, "_addresses_of_adapters", lambda: at("10.9.9.9"))
    assert machine_addresses() == at("10.9.9.9")


def test_of_a_tunnel_our_own_end_is_the_address() -> None:
    links = {7: netlink._UP | netlink._RUNNING | netlink._POINT_TO_POINT | netlink._MULTICAST}
    there, here = bytes([10, 8, 0, 1]), bytes([10, 8, 0, 2])
    body = netlink._ADDR.pack(2, 32, 0, 0, 7)
    body += netlink._ATTRIBUTE.pack(8, netlink._ADDRESS) + there + netlink._ATTRIBUTE.pack(8, netlink._LOCAL) + here
    assert netlink._address(body, links) == MachineAddress("10.8.0.2", 32, 7, is_lan=False)
    assert netlink._address(body, {}) is None  # an interface that is down


def test_an_address_that_is_not_usable_yet_or_any_more_is_left_out() -> None:
    links = {2: netlink._UP | netlink._RUNNING | netlink._MULTICAST}
    attribute = netlink._ATTRIBUTE.pack(20, netlink._ADDRESS) + bytes([0xFD, *range(15)])
    for flags, usable in [(0, True), (netlink._TENTATIVE, False), (netlink._DEPRECATED, False)]:
        found = netlink._address(netlink._ADDR.pack(10, 64, flags, 0, 2) + attribute, links)
        assert (found is not None) == usable


def test_attributes_that_claim_no_length_end_the_reading() -> None:
    assert list(netlink._attributes(netlink._ATTRIBUTE.pack(0, 1) * 2)) == []


# --- the watch -------------------------------------------------------------------------------------------------------


class Machine:
    """One whose addresses and sleep the test decides, and whose kernel says nothing unless `notice` is called."""

    def __init__(self) -> None:
        self.hosts = ["10.0.0.1"]
        self.asleep_s = 0.0
        self.reads = 0
        self.told: list[tuple[str, ...]] = []
        self.kernel: socket.socket
        self.watch = AddressWatch([ALL], self._read, Sleeps(lambda: (0.0, self.asleep_s)))

    def _read(self) -> list[MachineAddress]:
        self.reads += 1
        return at(*self.hosts)

    def notice(self) -> None:
        self.watch._noticed.set()

    def hears(self, kind: int) -> None:
        """The kernel gives a notice of this type, with nothing in it."""
        self.kernel.send(netlink._HEAD.pack(netlink._HEAD.size, kind, 0, 0, 0))

    async def until_told(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.told) < count:  # noqa: ASYNC110 - the watch tells by a callback of ours
                await asyncio.sleep(0.005)


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SLEEP_CHECK_S", 0.02)
    monkeypatch.setattr(limits, "ADDRESSES_SETTLE_S", 0.02)
    monkeypatch.setattr(limits, "ADDRESSES_SETTLE_MAX_S", 0.1)
    monkeypatch.setattr(limits, "ADDRESSES_POLL_S", 0.06)


@asynccontextmanager
async def watched(monkeypatch: pytest.MonkeyPatch, *, notices: bool) -> AsyncIterator[Machine]:
    def open_notices() -> socket.socket:
        if not notices:
            raise OSError("no netlink here")
        return quiet

    quiet, other = socket.socketpair()
    monkeypatch.setattr(netlink, "open_notices", open_notices)
    machine = Machine()
    machine.kernel = other
    quiet.setblocking(False)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(
            machine.watch.run(lambda endpoints: machine.told.append(tuple(e.host for e in endpoints)))
        )
        await asyncio.sleep(0)
        yield machine
        running.cancel()
    quiet.close()
    other.close()


@pytest.mark.usefixtures("_hasty")
async def test_a_burst_of_notices_is_one_change(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(monkeypatch, notices=True) as machine:
        machine.hosts = ["10.0.0.1", "192.168.7.7"]
        for _ in range(10):
            machine.notice()
            await asyncio.sleep(0)
        await machine.until_told(1)
        machine.hosts = []
        machine.notice()
        await machine.until_told(2)
    assert machine.told == [("10.0.0.1", "192.168.7.7"), ()]
    assert machine.watch.endpoints == ()
    assert machine.reads == 3


@pytest.mark.usefixtures("_hasty")
async def test_notices_without_a_pause_do_not_put_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(monkeypatch, notices=True) as machine, asyncio.timeout(20):
        machine.hosts = ["10.0.0.2"]
        while not machine.told:
            machine.notice()
            await asyncio.sleep(0.001)


@pytest.mark.usefixtures("_hasty")
async def test_who_has_slept_is_told_anew_and_what_is_the_same_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(monkeypatch, notices=True) as machine:
        machine.notice()
        while machine.reads < 2:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)
        assert machine.told == []
        machine.asleep_s = 3_600.0
        await machine.until_told(1)
    assert machine.told == [("10.0.0.1",)]


@pytest.mark.usefixtures("_hasty")
async def test_an_address_that_was_away_may_lead_into_another_network(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(monkeypatch, notices=True) as machine:
        new_address, address_gone = netlink._NEWADDR, netlink._TAKEN_AWAY[1]
        machine.hears(new_address)
        while machine.reads < 2:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)
        assert machine.told == []
        machine.hears(address_gone)
        machine.hears(new_address)
        await machine.until_told(1)
    assert machine.told == [("10.0.0.1",)]


@pytest.mark.usefixtures("_hasty")
async def test_where_nothing_tells_it_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    async with watched(monkeypatch, notices=False) as machine:
        machine.hosts = ["10.0.0.2"]
        await machine.until_told(1)
    assert machine.told == [("10.0.0.2",)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="netlink is Linux's")
async def test_the_kernels_notices_are_heard_and_drained() -> None:
    with netlink.open_notices() as notices:
        netlink.drain(notices)
        with pytest.raises(BlockingIOError):
            notices.recv(1)
