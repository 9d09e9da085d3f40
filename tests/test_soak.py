"""Random days in a small town: people come, go, crash and write; what `send` promised is checked at the end."""

from random import Random

import pytest

from p2pd.sim.town import Resident, Town
from p2pd.store import Message, MessageState

ENDED = (MessageState.DELIVERED, MessageState.READ, MessageState.FAILED)


class Day:
    """One random course of events, replayed by its seed."""

    def __init__(self, seed: int, *, people: int = 3, loss: float = 0.03) -> None:
        self.random = Random(seed)
        self.town = Town(seed, servers=8, loss=loss)
        self.people = [self.town.person() for _ in range(people)]
        self.up = set(range(people))
        self.sent: list[tuple[int, int, Message]] = []
        for number, person in enumerate(self.people):
            for other, friend in enumerate(self.people):
                if other != number:
                    person.add(friend, f"friend{other}")
                    self.town.world.run(self.random.uniform(0, 0.5))

    def step(self) -> None:
        """Something happens."""
        number = self.random.randrange(len(self.people))
        person = self.people[number]
        match self.random.randrange(10):
            case 0 if number in self.up:
                person.down()
                self.up.discard(number)
            case 1 | 2:
                person.up()
                self.up.add(number)
            case 3:
                self.town.world.run(self.random.choice((5, 40, 400, 4_000)))
            case 4:
                host = self.random.choice(self.town.servers)
                host.up() if self.random.random() < 0.7 else host.down()
            case _ if number in self.up:
                self._write(number, person)
            case _:
                pass
        self.town.world.run(self.random.uniform(0, 2))

    def _write(self, number: int, person: Resident) -> None:
        other = self.random.choice([one for one in range(len(self.people)) if one != number])
        text = f"{number}>{other} #{len(self.sent)} " + "x" * self.random.choice((0, 300, 20_000))
        self.sent.append((number, other, person.send(f"friend{other}", text)))

    def end(self) -> None:
        """Everyone comes back, and has a while."""
        for resident in (*self.town.servers, *self.people):
            resident.up()
        self.town.until(self._all_arrived, 40_000)

    def _all_arrived(self) -> bool:
        return all(self.people[number].state(message) in ENDED for number, _, message in self.sent)

    def check(self) -> None:
        """Every message is there, once, in its sender's order."""
        for number, person in enumerate(self.people):
            for other in range(len(self.people)):
                if other != number:
                    wanted = [message.text for by, to, message in self.sent if (by, to) == (other, number)]
                    assert person.received(f"friend{other}") == wanted
                    shown = [
                        e for e in person.engine.events(0, 100_000, ("message",)) if f"{other}>{number} #" in e.data
                    ]
                    assert len(shown) == len(wanted)


def live(seed: int, steps: int) -> None:
    day = Day(seed)
    for _ in range(steps):
        day.step()
    day.end()
    day.check()


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_lost_or_shown_twice(seed: int):
    live(seed, 40)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(100, 160))
def test_the_same_for_longer(seed: int):
    live(seed, 80)
