"""Whole engines where no packet of QUIC's passes: strangers meet and write all the same, and nobody dials in vain."""

from collections import Counter

import pytest

from p2pd import limits
from p2pd.effects import Effect
from p2pd.sim.conditions import Conditions
from p2pd.sim.resident import Resident
from p2pd.sim.town import Town
from p2pd.store import MessageState

pytestmark = pytest.mark.slow
NARROW = limits.QUIC_DATAGRAM_BYTES - 1


def narrow(town: Town, *people: Resident, loss: float = 0.0) -> None:
    for person in people:
        town.world.weather.set(Conditions(mtu_bytes=NARROW, loss=loss), person.host)


def meet(town: Town, alice: Resident, bob: Resident, within_s: float = 60) -> None:
    """A request by nothing but the address, accepted by hand."""
    alice.do(lambda engine, now: engine.contact_add(bob.address, now, name="bob", message="hello, stranger"))
    town.until(lambda: bool(bob.engine.requests()), within_s)
    bob.do(lambda engine, now: engine.accept(alice.address, now, name="alice"))
    town.until(lambda: alice.engine.contact("bob").state == "accepted", within_s)


def talk(town: Town, alice: Resident, bob: Resident, within_s: float = 60) -> None:
    texts = [f"number {number} " + "x" * 600 * number for number in range(5)]
    for text in texts:
        alice.send("bob", text)
        bob.send("alice", text)
    theirs = ["hello, stranger", *texts]
    town.until(lambda: alice.received("bob") == texts and bob.received("alice") == theirs, within_s)


@pytest.mark.parametrize("loss", [0.0, 0.3])
@pytest.mark.parametrize("who", ["asker", "asked", "both"])
def test_strangers_meet_over_a_narrow_line(who: str, loss: float) -> None:
    town = Town((who, loss))
    alice, bob = (town.person(up=False) for _ in range(2))
    narrow(town, *{"asker": (alice,), "asked": (bob,), "both": (alice, bob)}[who], loss=loss)
    for person in (alice, bob):
        person.up()
    town.world.run(30)
    meet(town, alice, bob)
    talk(town, alice, bob)


@pytest.mark.parametrize("kinds", [("quic-blocked", "public"), ("public", "quic-blocked"), ("quic-blocked",) * 2])
def test_strangers_meet_where_quic_is_blocked(kinds: tuple[str, str]) -> None:
    town = Town(kinds)
    alice, bob = (town.person(kind=kind) for kind in kinds)
    town.world.run(30)
    meet(town, alice, bob)
    talk(town, alice, bob)
    assert alice.engine.path("bob", town.world.now_at(alice.host))["cause"] == "quic-blocked"


def test_who_only_listens_is_soon_known_to_have_heard() -> None:
    """Acknowledgements are acknowledged by nothing: who rings for them must not take that for an absence."""
    town = Town("monologue")
    alice, bob = (town.person(kind="quic-blocked") for _ in range(2))
    town.world.run(30)
    meet(town, alice, bob)
    for number in range(12):
        town.world.run(30)
        message = alice.send("bob", f"message {number}")
        town.until(lambda message=message: alice.state(message) is MessageState.DELIVERED, 10)


HOURS = 3_600.0


@pytest.mark.parametrize("set_by_s", [-3 * HOURS, 3 * HOURS, -20 * HOURS, 30 * HOURS])
@pytest.mark.parametrize("was_wrong", [True, False])
def test_a_clock_that_is_set_while_all_runs_delays_nothing(set_by_s: float, was_wrong: bool) -> None:
    """Made right, as on a machine without a battery once it has asked the network, or made wrong."""
    town = Town(("set", set_by_s, was_wrong), private=False)
    town.world.run(120)  # by then servers know that they can be reached
    alice, bob = (town.person(kind="quic-blocked", up=False) for _ in range(2))
    if was_wrong:
        town.world.jump_wall(alice.host, -set_by_s)
    for person in (alice, bob):
        person.up()
    town.world.run(120)
    meet(town, alice, bob)
    town.world.jump_wall(alice.host, set_by_s)
    town.world.run(15)
    for number in range(15):
        message = alice.send("bob", f"message {number}")
        town.until(lambda message=message: alice.state(message) is MessageState.DELIVERED, 10)
        message = bob.send("alice", f"answer {number}")
        town.until(lambda message=message: bob.state(message) is MessageState.DELIVERED, 10)
        town.world.run(150)


def test_nobody_dials_at_every_message() -> None:
    town = Town("dials")
    alice, bob = (town.person(kind="quic-blocked") for _ in range(2))
    town.world.run(30)
    meet(town, alice, bob)
    talk(town, alice, bob)
    asked = Counter[str]()
    watch = alice.engine._effects.watch

    def see(effect: Effect) -> None:
        watch(effect)
        asked[type(effect).__name__] += 1

    alice.engine._effects.watch = see
    for number in range(60):
        (alice if number % 2 else bob).send("bob" if number % 2 else "alice", f"message {number}")
        town.world.run(10)
    assert asked["SendDatagram"] > 1_000
    assert asked["OpenLink"] + asked["Request"] < 20
