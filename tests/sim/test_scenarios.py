import pytest

from p2pd.sim.happenings import MENU
from p2pd.sim.scenarios import SCENARIOS
from p2pd.sim.stage import Options, Stage, perform
from p2pd.sim.town import Town

SHORT = {
    "calm": (8, 0.1),
    "mailbox": (7, 0.05),
    "nat": (10, 0.05),
    "moves": (12, 0.3),
    "rendezvous": (16, 0.03),
    "foul-play": (9, 0.05),
    "partition": (9, 0.3),
    "liars": (19, 0.15),
    "recall": (7, 0.1),
    "crash": (6, 0.1),
    "sleep": (6, 0.3),
    "full-disk": (6, 0.1),
    "crowd": (50, 0.07),
    "absence": (7, 8.0),
    "churn": (12, 2.0),
}


def test_every_scenario_is_named_and_explained() -> None:
    assert {*SHORT, "storm"} == set(SCENARIOS)
    for name, scenario in SCENARIOS.items():
        assert scenario.name == name
        assert 10 < len(scenario.line) < 80
        assert scenario.nodes >= scenario.people + 2


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_a_short_run_breaks_no_promise(name: str) -> None:
    nodes, hours = SHORT[name]
    report = perform(SCENARIOS[name], Options(3, nodes, hours))
    assert not report.violations, report.as_text()
    assert report.virtual_hours >= 0.9 * hours
    assert report.look_up_ms.count > 0
    if SCENARIOS[name].people:
        told = report.messages
        # what a crash cut off before `send` returned may be shown, too
        assert 0 < told["accepted"] <= told["shown"] + told.get("recalled", 0)
        assert told["shown"] == told.get("delivered", 0) <= told["offered"]  # all may have been recalled


@pytest.mark.slow
@pytest.mark.parametrize("name", ["calm", "nat", "crowd"])
def test_a_moment_is_enough_to_judge_something(name: str) -> None:
    report = perform(SCENARIOS[name], Options(1, max(10, SCENARIOS[name].people + 2), 0.001))
    assert not report.violations, report.as_text()
    if SCENARIOS[name].private:
        assert report.nearest_judged > 0
    if name != "crowd":
        assert report.messages["shown"] > 0


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run_and_another_one_another() -> None:
    runs = [perform(SCENARIOS["storm"], Options(seed, 5, 0.05)) for seed in (4, 4, 5)]
    assert runs[0].trace == runs[1].trace != runs[2].trace
    assert runs[0].messages == runs[1].messages
    assert runs[0].message_age_s == runs[1].message_age_s


@pytest.mark.slow
@pytest.mark.parametrize("happening", [happening for happening, _ in MENU], ids=lambda happening: happening.__name__)
def test_what_happens_is_over_when_the_stage_is_healed(happening) -> None:
    town = Town(1, servers=3, replicas=2, raise_bugs=False)
    stage = Stage(Options(1, 5, 0.1), town, lambda share, doing: None)
    stage.add_people(2)
    for _ in range(3):
        happening(stage)
        stage.run(0.2)
    stage.heal()
    stage.run(61)
    assert all(resident.is_up for resident in town.residents)
    assert not town.world.weather.cuts
    assert all(abs(town.world.now_at(r.host).wall_ms - town.world.now.wall_ms) < 2 for r in town.residents)
    letter = stage.some_letter()
    assert letter is not None
    stage.run(60)
    assert letter.accepted
    assert letter.shown_s is not None
    assert letter.arrived_s is not None
