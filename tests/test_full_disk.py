"""Whole engines where one has a full disk: nothing is lost, and nobody spends the hours on dialling."""

import pytest

from p2pd import limits
from p2pd.effects import Effect, OpenLink
from p2pd.sim.resident import Resident
from p2pd.sim.town import Town
from p2pd.store import MessageState

pytestmark = pytest.mark.slow
HOUR_S = 3_600


@pytest.mark.parametrize("first", ["link", "nothing"])
def test_a_friend_whose_disk_is_full_is_dialled_ever_more_seldom_and_has_everything_in_the_end(first: str) -> None:
    town = Town(("full", first), servers=6)
    alice, bob = town.friends()
    dials: list[float] = []
    watch = alice.engine._effects.watch

    def see(effect: Effect) -> None:
        watch(effect)
        if isinstance(effect, OpenLink):
            dials.append(town.world.time_s)

    alice.engine._effects.watch = see
    if first == "link":
        town.world.run(60)
    began = town.world.time_s
    town.world.full_disk(bob.host)
    before, _ = town.world.traffic(alice.host)
    texts = [f"text {number}" for number in range(6)]
    for text in texts:
        alice.send("bob", text)
        town.world.run(HOUR_S / len(texts))
    lately = [when for when in dials if when > began + HOUR_S / 2]
    assert len(dials) < 30
    assert len(lately) <= HOUR_S / 2 / limits.DIAL_WANTED_S * 2
    assert town.world.traffic(alice.host)[0] - before < 2_000_000
    assert not bob.received("alice")
    town.world.full_disk(bob.host, False)
    town.until(lambda: bob.received("alice") == texts, 3 * limits.REBUILD_PAUSE_MOST_S)


def test_servers_whose_disks_are_full_go_on_answering_and_carrying_and_keep_nothing() -> None:
    town = Town("full servers", servers=3)
    alice, bob = town.friends("symmetric", "symmetric")
    town.until(lambda: via(alice) == via(bob) == "relay")
    for server in town.servers:
        town.world.full_disk(server.host)
    rebuilt, refused = town.world.counts["rebuilt"], "records refused: storage"
    for number in range(10):
        alice.send("bob", f"text {number}")
        town.world.run(60)
        assert via(alice) == via(bob) == "relay", "no link ends for it"
    assert len(bob.received("alice")) == 10
    bob.stop()
    before = town.world.counts[refused]
    messages = [alice.send("bob", f"for later {number}") for number in range(20)]
    town.world.run(600)
    assert 0 < town.world.counts[refused] - before <= len(town.servers) * (600 / limits.RECORDS_REST_S + 1)
    assert {alice.state(message) for message in messages} == {MessageState.QUEUED}
    assert town.world.counts["rebuilt"] == rebuilt
    for server in town.servers:
        town.world.full_disk(server.host, False)
    town.until(lambda: {alice.state(message) for message in messages} == {MessageState.STORED}, limits.RETRY_S[3] + 60)


def via(person: Resident) -> object:
    return next(iter(person.engine._ways.links._up.values())).via if person.engine._ways.links.contacts_up else None
