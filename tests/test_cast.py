"""The stand-in for the DHT takes what the DHT takes."""

import inspect

import pytest

from p2pd.dht.node import Dht
from tests.cast import ScriptedDht


@pytest.mark.parametrize("name", ["get", "put", "listen", "on_neighbour", "forget_neighbours", "ask_key"])
def test_the_scripted_dht_has_the_real_ones_inputs(name: str) -> None:
    real, scripted = (inspect.signature(getattr(kind, name)).parameters for kind in (Dht, ScriptedDht))
    assert [(each.name, each.kind, each.default) for each in scripted.values()] == [
        (each.name, each.kind, each.default) for each in real.values()
    ]


def test_joined_is_a_fact_of_both() -> None:
    assert isinstance(inspect.getattr_static(Dht, "joined"), property)
    assert ScriptedDht().joined is True
