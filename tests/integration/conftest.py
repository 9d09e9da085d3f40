"""One network of real daemons for all tests of a worker, and people for each test."""

from collections.abc import Iterator

import pytest

from tests.integration.fleet import Daemon, Fleet

SERVERS = 10


@pytest.fixture(scope="session")
def network() -> Iterator[Fleet]:
    """Nodes that only store; whoever a test adds to them is ended by `fleet`."""
    fleet = Fleet()
    try:
        fleet.servers(SERVERS)
        yield fleet
        for server in fleet.daemons:
            if server.is_running:
                server.is_well()
    finally:
        fleet.end()


@pytest.fixture
def fleet(network: Fleet) -> Iterator[Fleet]:
    """The network; the people that the test adds are gone after it, and none of them met a bug."""
    before = len(network.daemons)
    yield network
    added, network.daemons[before:] = network.daemons[before:], []
    for daemon in added:
        daemon.kill()
    broken = [daemon.log_tail() for daemon in added if "Traceback" in daemon.log]
    assert not broken, broken[0]


@pytest.fixture(scope="module")
def pair(network: Fleet) -> Iterator[tuple[Daemon, Daemon]]:
    """Alice and Bob, who know each other, for tests that leave them as they were."""
    alice, bob = network.friends()
    yield alice, bob
    for person in (alice, bob):
        person.is_well()
        person.kill()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Shows the ends of the logs beside a failure."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            daemons = value.daemons if isinstance(value, Fleet) else value if isinstance(value, tuple) else (value,)
            for daemon in daemons:
                if isinstance(daemon, Daemon) and "--storage-only" not in daemon.flags and daemon.log:
                    report.sections.append((f"log of {daemon.home.name}", daemon.log_tail()))
    return report
