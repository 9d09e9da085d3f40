"""What the storm draws from."""

from dataclasses import fields

import pytest

from p2pd.sim.conditions import Conditions
from p2pd.sim.happenings import weather
from p2pd.sim.stage import Options, Stage
from p2pd.sim.town import Town


@pytest.mark.slow
def test_the_weather_has_every_kind() -> None:
    town = Town(1, servers=2, raise_bugs=False)
    stage = Stage(Options(1, 2, 0.1), town, lambda share, doing: None)
    seen: dict[str, set[object]] = {field.name: set() for field in fields(Conditions)}
    for _ in range(100):
        stage.world.weather.clear()
        weather(stage)
        (drawn,) = stage.world.weather._hosts.values() or (stage.world.weather.conditions,)
        for name, values in seen.items():
            values.add(getattr(drawn, name))
    assert [name for name, values in seen.items() if len(values) < 2] == []
