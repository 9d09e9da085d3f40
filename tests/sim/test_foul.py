"""Relays and contacts that misbehave: what they do, and that friends talk all the same."""

from functools import partial

import pytest

from p2pd.effects import OpenLink
from p2pd.sim.adversaries import VICTIM
from p2pd.sim.foul import Denouncer, Foul, FoulRelay
from p2pd.sim.invariants import Judge
from p2pd.sim.town import Town


@pytest.mark.slow
@pytest.mark.parametrize("foul", list(Foul), ids=lambda foul: foul.name.lower())
def test_texts_come_once_and_in_order_though_every_relay_is_foul(foul: Foul) -> None:
    town = Town(("foul", foul.name), servers=0, private=False)
    for _ in range(5):
        town.server(partial(FoulRelay, foul=foul, share=0.2))
    town.world.run(5)
    alice, bob = town.friends("symmetric", "symmetric")
    texts = [f"number {number}" for number in range(12)]
    for text in texts:
        alice.send("bob", text)
        town.world.run(2)
    town.until(lambda: len(bob.received("alice")) == len(texts), 300)
    assert bob.received("alice") == texts
    assert sum(server.adversary.fouls for server in town.servers if isinstance(server.adversary, FoulRelay))


def test_a_denouncer_names_the_victim_to_who_looks_for_it() -> None:
    town = Town("denounced", servers=4, private=False)
    alice = town.person(kind="symmetric")
    denouncer = town.person(Denouncer, kind="symmetric")
    judge = Judge(town)
    dialled: list[str] = []

    class Watcher:
        def on_turn(self, host, phase) -> None: ...
        def on_down(self, host, why) -> None: ...
        def on_effect(self, host, effect) -> None:
            judge.paces.on_effect(host, effect)
            if host == alice.host and isinstance(effect, OpenLink):
                dialled.extend(endpoint.host for endpoint in effect.endpoints)

    town.world.observers.append(Watcher())
    alice.add(denouncer, "bob")
    denouncer.add(alice, "alice")
    town.until(lambda: town.accepted(alice, "bob"))
    alice.send("bob", "where are you?")
    town.world.run(60)
    assert VICTIM.host in dialled
    assert judge.paces.tries > 0
    assert judge.violations == []
