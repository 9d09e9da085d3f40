"""A line that fails for a moment costs about as long again, whatever was under way: nothing tells of it but silence."""

import pytest

from p2pd.sim.resident import Resident
from p2pd.sim.town import PUBLISHED_S, Town
from p2pd.store import MessageState
from p2pd.wire.address import encode_id

pytestmark = pytest.mark.slow
CUTS_S = [0.5, 5, 40]


def cut_off(town: Town, resident: Resident, cut_s: float) -> float:
    """From now on nothing passes to or from there; when it is over, and the most that may be waited from now on."""
    cut = town.world.cut([resident.host])
    town.world.after(cut_s, lambda: town.world.heal(cut))
    return 2 + 2.5 * cut_s


@pytest.mark.parametrize("cut_s", CUTS_S)
def test_a_text_written_meanwhile_is_stored_soon(cut_s: float) -> None:
    town = Town("a writer is cut off", servers=16, replicas=6)
    alice, bob = town.friends()
    bob.stop()
    town.world.run(60)
    limit_s = cut_off(town, alice, cut_s)
    message = alice.send("bob", "from a tunnel")
    town.until(lambda: alice.state(message) is MessageState.STORED, limit_s)


@pytest.mark.parametrize("cut_s", CUTS_S)
def test_mail_is_taken_back_soon_by_who_was_cut_off(cut_s: float) -> None:
    town = Town("who recalls is cut off", servers=16, replicas=6)
    alice, bob = town.friends()
    bob.stop()
    town.world.run(60)
    message = alice.send("bob", "to be taken back")
    town.until(lambda: alice.state(message) is MessageState.STORED)
    town.world.run(60)
    limit_s = cut_off(town, alice, cut_s)
    alice.do(lambda engine, now: engine.recall(encode_id(message.message), now))

    def is_gone() -> bool:
        steps = alice.store.steps(message.message)
        return any(step.what == "copies removed" and step.detail["have"] for step in steps)

    town.until(is_gone, limit_s)


@pytest.mark.parametrize("cut_s", CUTS_S)
def test_a_stranger_s_request_is_heard_soon_by_who_was_cut_off(cut_s: float) -> None:
    town = Town("who is asked is cut off", servers=16, replicas=6)
    alice, stranger = town.person(), town.person()
    town.world.run(PUBLISHED_S + 60)
    limit_s = cut_off(town, alice, cut_s)
    stranger.add(alice, "alice")
    town.until(lambda: bool(alice.store.contacts()), limit_s)


@pytest.mark.parametrize("cut_s", CUTS_S)
@pytest.mark.parametrize("who", ["writer", "reader"])
def test_where_mail_is_all_that_passes_it_comes_soon_too(who: str, cut_s: float) -> None:
    town = Town("mail only", servers=16, replicas=6, private=False)
    alice, bob = town.friends("quic-blocked", "quic-blocked")
    town.world.run(120)
    limit_s = cut_off(town, alice if who == "writer" else bob, cut_s)
    message = alice.send("bob", "by mail")
    town.until(lambda: alice.state(message) is MessageState.DELIVERED, limit_s + 3)
