"""The queue of effects."""

import pytest

from p2pd import limits
from p2pd.effects import EffectQueue, Notify


def test_effects_are_taken_once_in_order() -> None:
    queue = EffectQueue()
    for cursor in range(3):
        queue.append(Notify(cursor))
    assert len(queue) == 3
    assert queue.take() == [Notify(0), Notify(1), Notify(2)]
    assert queue.take() == []


def test_more_effects_than_any_turn_makes_are_a_bug() -> None:
    queue = EffectQueue()
    for _ in range(limits.EFFECTS):
        queue.append(Notify(0))
    with pytest.raises(RuntimeError, match="effects in one turn"):
        queue.append(Notify(0))
