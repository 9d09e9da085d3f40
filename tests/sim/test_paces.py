"""What may happen only so often is counted from outside, and too much of it is noticed."""

import pytest

from p2pd import limits
from p2pd.dht.rates import TokenBucket
from p2pd.effects import EffectQueue, OpenLink, SendDatagram
from p2pd.peer.relaying import Relaying
from p2pd.sim.adversaries import VICTIM
from p2pd.sim.paces import Pace, Paces
from p2pd.sim.probes import probes, replaced
from p2pd.sim.stage import Options, Stage
from p2pd.sim.town import Town
from p2pd.types import Endpoint, NodeKey, Now
from p2pd.wire.datagram import KNOCK
from p2pd.wire.relay import Call, Reserve, Through

NODE = NodeKey(bytes(32))
DIAL = OpenLink(1, NODE, (VICTIM,))
KNOCKED = SendDatagram(VICTIM, bytes([KNOCK]))


def test_a_pace_is_so_much_at_once_and_so_much_a_second() -> None:
    pace = Pace(2, 10)
    assert pace.holds("a", 10, 0.0)
    assert not pace.holds("a", 1, 0.0)
    assert pace.holds("b", 10, 0.0)
    assert pace.holds("a", 2, 1.5)
    assert not pace.holds("a", 0.5, 1.5)
    pace.forget("a")
    assert pace.holds("a", 10, 1.5)


@pytest.mark.parametrize(("effect", "most"), [(DIAL, 4), (KNOCKED, 4 * len(limits.KNOCKS_S))], ids=["dials", "knocks"])
def test_too_many_tries_at_the_victims_are_noticed(effect, most: int) -> None:
    broken: list[str] = []
    paces = Paces(lambda invariant, host, text: broken.append(invariant), lambda: 0.0)
    for _ in range(most):
        paces.on_effect("a", effect)
        paces.on_effect("b", effect)
    assert broken == []
    paces.on_effect("a", effect)
    assert broken == ["tries"]
    paces.on_down("a")
    paces.on_effect("a", effect)
    assert broken == ["tries"]


def test_what_goes_elsewhere_and_what_is_no_knock_does_not_count() -> None:
    paces = Paces(lambda *facts: pytest.fail(str(facts)), lambda: 0.0)
    for _ in range(100):
        paces.on_effect("a", OpenLink(1, NODE, (Endpoint("77.1.0.1", 4_242),)))
        paces.on_effect("a", SendDatagram(VICTIM, bytes([KNOCK - 1])))
    assert paces.tries == 0


@pytest.mark.parametrize("kept", [True, False], ids=["kept", "not kept"])
def test_a_relays_budget_is_watched(kept: bool) -> None:
    stage = Stage(Options(), Town(1, servers=0), lambda share, doing: None)
    relaying, now = Relaying(EffectQueue(), lambda: True, lambda reason: None), Now(0.0, 0)
    keys = [NodeKey(bytes([number]) * 32) for number in (1, 2)]
    take = TokenBucket.take if kept else lambda bucket, now_s, amount=1.0: True
    with replaced(TokenBucket, "take", take), probes(stage):
        for link, key in enumerate(keys, 1):
            relaying.on_opened(link, key, now)
        relaying.on_frame(1, Reserve().encode(), now)
        relaying.on_frame(2, Call(1, keys[0]).encode(), now)
        frame = Through(1, bytes(limits.RELAYED_FRAME_BYTES)).encode()
        for _ in range(limits.RELAY_BYTES_BURST // limits.RELAYED_FRAME_BYTES + 2):
            relaying.on_frame(2, frame, now)
            relaying.on_taken(1, 2 * len(frame))
    assert stage.judge.paces.carried_bytes > limits.RELAY_BYTES_BURST // 2
    assert [violation.invariant for violation in stage.judge.violations] == ([] if kept else ["bounds"] * 2)
