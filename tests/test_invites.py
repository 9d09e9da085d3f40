"""Invites between whole engines: with crashes, absences, wrong clocks and those who come too late."""

import json

import pytest

from p2pd import limits
from p2pd.sim.crashes import CrashedError, Moment
from p2pd.sim.resident import Resident
from p2pd.sim.town import Town
from p2pd.wire.address import encode_address

pytestmark = pytest.mark.slow
WEEK_S = 7 * limits.DAY_S


def invite(host: Resident, *, once: bool = True, life_s: int = WEEK_S, name: str = "") -> str:
    return host.do(lambda engine, now: engine.invite(now, life_s=life_s, once=once, name=name))[1]


def come(comer: Resident, link: str, text: str = "hello") -> None:
    comer.do(lambda engine, now: engine.contact_add(link, now, name="host", message=text))


def knows(host: Resident, comer: Resident) -> bool:
    return any(contact.identity == comer.identity and contact.state == "accepted" for contact in host.engine.contacts())


def met(host: Resident, comer: Resident) -> bool:
    return knows(host, comer) and knows(comer, host)


def states(host: Resident) -> list[str]:
    return [json.loads(event.data)["state"] for event in host.engine.events(0, 1_000, ("invite",))]


def shown(host: Resident, text: str) -> int:
    return sum(f'"text":"{text}"' in event.data for event in host.engine.events(0, 10_000, ("message",)))


def settled(town: Town, host: Resident) -> None:
    """The host has published who it is."""
    town.world.run(30)


def test_a_newcomer_with_nothing_but_an_invite_is_let_in_at_once() -> None:
    town = Town()
    alice = town.person()
    settled(town, alice)
    zoe = town.person(bootstrap=())
    come(zoe, invite(alice, name="zoe"))
    town.until(lambda: met(alice, zoe), 10)
    assert alice.received("zoe") == ["hello"]
    assert alice.engine.contact("zoe").identity == zoe.identity
    assert alice.engine.requests() == []
    zoe.send("host", "and again")
    alice.send("zoe", "welcome")
    town.until(lambda: alice.received("zoe") == ["hello", "and again"] and zoe.received("host") == ["welcome"], 10)
    assert states(alice) == ["open", "used"]


def test_send_takes_an_invite_too_and_turns_a_public_asking_into_one_by_it() -> None:
    town = Town()
    alice, bob = town.person(), town.person()
    settled(town, alice)
    bob.send(alice.engine.address, "may we talk?")
    town.until(lambda: len(alice.engine.requests()) == 1, 30)
    bob.send(invite(alice), "now with your invite")
    town.until(lambda: met(alice, bob), 30)
    name = alice.engine.contacts()[0].petname
    town.until(lambda: alice.received(name) == ["may we talk?", "now with your invite"], 60)


def test_the_second_who_comes_by_an_invite_for_one_is_not_let_in() -> None:
    town = Town()
    alice, bob, carol = town.person(), town.person(), town.person()
    settled(town, alice)
    link = invite(alice)
    come(bob, link)
    town.until(lambda: met(alice, bob), 30)
    come(carol, link)
    town.world.run(600)
    assert not knows(alice, carol)
    assert alice.engine.requests() == []
    assert states(alice) == ["open", "used", "late"]
    assert [each.late for each in alice.engine.invites()] == [(carol.identity,)]
    alice.do(lambda engine, now: engine.contact_add(encode_address(carol.identity), now))
    town.until(lambda: met(alice, carol), 60)


def test_several_come_by_one_invite_and_one_who_was_removed_does_not_come_back() -> None:
    town = Town()
    alice, *comers = [town.person() for _ in range(4)]
    settled(town, alice)
    link = invite(alice, once=False)
    for comer in comers:
        come(comer, link)
    town.until(lambda: all(met(alice, comer) for comer in comers), 60)
    gone = comers[0]
    address = gone.engine.address
    alice.do(lambda engine, now: engine.remove(address, now))
    gone.do(lambda engine, now: engine.remove("host", now))
    come(gone, link, "once more")
    town.world.run(300)
    assert not knows(alice, gone)
    alice.do(lambda engine, now: engine.revoke_invite("1", now))
    assert states(alice) == ["open"] * 4 + ["revoked"]


@pytest.mark.parametrize("days", [1, 6, 13])
@pytest.mark.parametrize("power", [False, True])
def test_who_was_away_lets_in_who_came_and_has_gone_again(days: int, power: bool) -> None:
    town = Town()
    alice = town.person()
    settled(town, alice)
    link = invite(alice, life_s=2 * WEEK_S)
    alice.down(power=power)
    bob = town.person()
    come(bob, link)
    town.world.run(600)
    bob.down()
    town.world.pass_days(days)
    alice.up()
    town.until(lambda: knows(alice, bob), 120)
    bob.up()
    town.until(lambda: met(alice, bob), 120)
    assert shown(alice, "hello") == 1


def test_it_works_through_midnights_and_the_prekeys_week() -> None:
    """The invite is older than the prekey that the request is sealed to; and the answer comes days later."""
    town = Town()
    alice = town.person()
    settled(town, alice)
    link = invite(alice, life_s=5 * WEEK_S)
    for _ in range(9):
        town.world.pass_days(1)
        town.world.run(limits.HOUSEKEEPING_S + 60)
    bob = town.person()
    come(bob, link)
    town.until(lambda: met(alice, bob), 60)


def test_a_request_that_was_in_time_counts_after_the_expiry_and_a_late_one_is_an_ordinary_one() -> None:
    town = Town()
    alice = town.person()
    settled(town, alice)
    links = [invite(alice, life_s=2 * limits.DAY_S) for _ in range(2)]
    alice.down()
    bob, carol = town.person(), town.person()
    come(bob, links[0])
    carol.send(links[1].partition("/")[0], "by the address alone")
    town.world.run(600)
    bob.down()
    town.world.pass_days(5)
    alice.up()
    town.until(lambda: knows(alice, bob), 120)
    town.until(lambda: alice.engine.invites() == [], limits.HOUR_S)
    assert sorted(states(alice)) == ["expired", "open", "open", "used"]
    assert [request.request_text for request in alice.engine.requests()] == ["by the address alone"]


@pytest.mark.parametrize("wrong_s", [-540, 540])
@pytest.mark.parametrize("who", ["host", "comer"])
def test_clocks_within_tolerance_keep_nobody_out(wrong_s: int, who: str) -> None:
    town = Town()
    alice, bob = town.person(), town.person()
    town.world.jump_wall((alice if who == "host" else bob).host, wrong_s)
    settled(town, alice)
    come(bob, invite(alice, life_s=600))
    town.until(lambda: met(alice, bob), 60)


MOMENTS = (Moment.BEFORE_COMMIT, Moment.AFTER_COMMIT, Moment.EFFECT)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("who", ["host", "comer"])
def test_whoever_is_killed_at_a_step_they_meet_once(moment: Moment, who: str) -> None:
    assert killed(moment, who, 1), "nobody was killed: the step is not where this test believes it"


@pytest.mark.long
@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("who", ["host", "comer"])
@pytest.mark.parametrize("step", range(2, 13))
def test_whoever_is_killed_at_any_step_they_meet_once(moment: Moment, who: str, step: int) -> None:
    killed(moment, who, step)


def killed(moment: Moment, who: str, step: int) -> bool:
    """One of the two ends at the so many-th such moment after the invite was made; whether that came."""
    town = Town(step)
    alice, bob = town.person(), town.person()
    settled(town, alice)
    link = invite(alice)
    victim = alice if who == "host" else bob
    town.world.crash_at(victim.host, moment, after=step)
    crashed = False
    try:
        come(bob, link)
    except CrashedError:  # nobody can know whether it was taken; who is in doubt does it again
        crashed = True
        bob.up()
        if not bob.engine.contacts():
            come(bob, link)
    town.world.run(20)
    if not victim.is_up:
        crashed = True
        victim.up()
    town.until(lambda: met(alice, bob), 300)
    town.world.run(60)
    assert shown(alice, "hello") == 1
    assert states(alice) == ["open", "used"]
    assert alice.engine.invites() == []
    return crashed


@pytest.mark.parametrize("turns", [1, 2])
def test_an_engine_that_is_built_anew_forgets_no_invite(turns: int) -> None:
    town = Town()
    alice, bob = town.person(), town.person()
    settled(town, alice)
    link = invite(alice)
    town.world.break_turn(alice.host, turns)
    come(bob, link)
    town.until(lambda: met(alice, bob), 120)
    assert shown(alice, "hello") == 1
