"""Putting a newer single while an older one is still under way."""

import pytest

from p2pd.dht.counters import Cause
from p2pd.dht.storing import PutProgress
from p2pd.types import RecordKey
from p2pd.wire.record import Family, Single, record_key
from tests.dht.virtual import Network, key_of, single


class Writer:
    """Puts values under one key, one after another, and sees what that costs and who holds which."""

    def __init__(self, seed: object, *, loss: float = 0.0) -> None:
        self.network = Network(seed, loss=loss)
        self.host = self.network.grow(16, settle_s=3)[3]
        self.address = key_of("renewed")
        self.key: RecordKey = record_key(Family.SINGLE, self.address.public)
        self.told: dict[int, list[PutProgress]] = {}
        self.searched = 0
        searches = self.network.machines[self.host].dht._searches
        start = searches.start

        def counted(target, errand, now, *, cause, **options):  # type: ignore[no-untyped-def]
            self.searched += cause is Cause.PUT
            return start(target, errand, now, cause=cause, **options)

        searches.start = counted  # type: ignore[method-assign]

    def put(self, sequence: int) -> None:
        record = single(self.address, self.network.world.now, sequence)
        told = self.told[sequence] = []
        dht = self.network.machines[self.host].dht
        self.network.world.call(self.host, lambda now: dht.put([record], lambda report, _: told.append(report), now))

    def ends(self, sequence: int, limit_s: float = 20) -> PutProgress:
        told = self.told[sequence]
        assert self.network.world.run_until(lambda: bool(told) and told[-1].done, limit_s)
        return told[-1]

    def read(self) -> int:
        """The sequence that another node finds."""
        found = self.network.get(self.network.host(0), Family.SINGLE, self.address.public, all_holders=True)
        content = found.records[0].content
        assert isinstance(content, Single)
        return content.sequence

    def held(self) -> list[int]:
        """The sequence that each holder has once all is calm; put in a hurry, more than `replicas` may have one."""
        self.network.world.run(10)
        return [row.sequence for store in self.network.stores.values() for row in store.held(self.key)]


@pytest.mark.slow
@pytest.mark.parametrize("loss", [0.0, 0.2])
@pytest.mark.parametrize("gap_s", [0.0, 0.01, 0.03, 0.04])
def test_it_takes_the_place_of_the_older_with_one_look_up(gap_s: float, loss: float) -> None:
    writer = Writer((gap_s, loss), loss=loss)
    writer.put(1)
    for sequence in (2, 3):
        writer.network.world.run(gap_s)
        assert not any(report.done for report in writer.told[1]), "else nothing is under way any more"
        writer.put(sequence)
    assert writer.ends(3).stored
    assert writer.told[1] == writer.told[2] == []  # they hear no more
    assert writer.searched == 1
    assert set(writer.held()) == {3}


def test_an_older_one_takes_nobodys_place() -> None:
    writer = Writer("older")
    writer.put(2)
    writer.put(1)
    assert writer.ends(2).stored
    assert writer.ends(1).refused
    assert writer.read() == 2


def test_after_its_end_another_is_put_as_ever() -> None:
    writer = Writer("afterwards")
    for sequence in (1, 2):
        writer.put(sequence)
        assert writer.ends(sequence).stored
    assert set(writer.held()) == {2}
