"""What a newcomer asks of the network: one who has a friend's link, and knows nobody else."""

from collections import Counter

import pytest

from p2pd.dht.counters import Cause
from p2pd.sim.resident import Resident
from p2pd.sim.town import Town
from p2pd.store import MessageState
from p2pd.types import RecordKey


def look_ups(person: Resident) -> Counter[tuple[Cause, RecordKey]]:
    """Those that the person's engine begins from now on, by what for and where."""
    begun: Counter[tuple[Cause, RecordKey]] = Counter()
    searches = person.engine._dht._searches
    start = searches.start

    def counted(target, errand, now, *, cause, **options):  # type: ignore[no-untyped-def]
        begun[cause, target] += 1
        return start(target, errand, now, cause=cause, **options)

    searches.start = counted  # type: ignore[method-assign]
    return begun


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["public", "port-restricted", "symmetric"])
def test_a_newcomer_puts_everything_once_and_reads_everything_once(kind: str) -> None:
    town = Town(kind, private=False)
    alice = town.person(accept_requests=True)
    town.world.run(30)
    link = alice.do(lambda engine, now: engine.link(now))
    bob = town.person(kind=kind, bootstrap=())
    begun = look_ups(bob)
    bob.do(lambda engine, now: engine.contact_add(link, now, name="alice", message="hello"))
    first = bob.send("alice", "it is me")
    town.until(lambda: bob.state(first) is MessageState.DELIVERED, 10)
    town.world.run(5)
    assert bob.engine._ways.presence().relays
    asked = Counter({what: count for what, count in begun.items() if what[0] is not Cause.LOOKUP})
    assert set(asked.values()) == {1}
    assert sum(cause is Cause.PUT for cause, _ in asked) == 3, "the request, the profile, the presence"
    assert sum(cause is Cause.LISTEN for cause, _ in asked) == 2
