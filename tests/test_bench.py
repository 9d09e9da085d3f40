"""The benchmark runs, and says what it should; how fast anything is, no test says."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import p2pd.net.network
from bench import bare, echo, linked
from bench.crowd import Crowd
from bench.figures import ALL
from bench.line import LOOPBACK, Line, take
from bench.result import Result, as_markdown, as_text, spread, trips
from p2pd.net.udp import UdpSocket
from p2pd.types import Endpoint
from tests.integration.fleet import ROOT, environment

KEYS = {"figure", "unit", "line", "goal", "floor", "ratio", "ok", "facts", "note"}


def bench(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_goal_without_a_floor_is_absolute():
    assert Result("f", "ms", {"p50": 5.0}, {"p50": 5}).ok
    assert not Result("f", "ms", {"p50": 5.1}, {"p50": 5}).ok
    assert Result("f", "1/s", {"value": 5.0}, {"value": 6}, more_is_better=True).ok is False
    assert Result("f", "ms", {"p50": 5.0}).ok is None


def test_a_goal_beside_a_floor_is_a_ratio():
    result = Result("f", "ms", {"p50": 1.4, "p99": 9.0}, {"p50": 15, "p99": 80}, 0.1)
    assert result.ratio == pytest.approx({"p50": 14, "p99": 90})
    assert result.ok is False


def test_few_samples_have_a_largest_and_many_a_percentile():
    assert spread([3.0, 1.0, 2.0]) == {"p50": 2.0, "max": 3.0}
    assert spread([float(number) for number in range(1, 1001)])["p99"] == pytest.approx(990.99)


def test_round_trips_are_what_the_line_adds():
    assert trips("f", 20.0, 200.0, 3).values == {"value": 3.0}
    assert trips("f", 0.0, 240.0, 3).ok is False


def test_a_table_has_a_row_for_each_result():
    results = [Result("one", "ms", {"p50": 1.0}, {"p50": 2}), Result("other", "s", {"max": 3.0}, note="why")]
    assert [line.split(",")[0] for line in as_text(results).splitlines()[2:]] == ["one", "other"]
    assert as_markdown(results).count("\n") == 4


def test_the_list_names_every_figure():
    listed = [line.split()[0] for line in bench("--list").splitlines()]
    assert listed == list(ALL)


@pytest.mark.slow
def test_a_figure_is_a_line_of_json_and_a_row(tmp_path: Path):
    table = tmp_path / "table.md"
    lines = bench("--quick", "--markdown", str(table), "held").splitlines()
    row = json.loads(lines[0])
    assert row.keys() >= KEYS
    assert row["value"] > 0
    assert "quick" in lines[2]
    assert row["figure"] in lines[5]
    assert row["figure"] in table.read_text()


def test_an_unknown_figure_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "nonsense"], cwd=ROOT, env=environment(), capture_output=True, check=False
    )
    assert done.returncode == 2
    assert b"no figure nonsense" in done.stderr


@pytest.mark.slow
def test_the_floors_run():
    assert len(echo.round_trips_ms(20)) == 20
    assert bare.echo_ms(200)["p50"] > 0
    assert bare.durable_echo_ms(200)["p50"] > 0
    assert bare.bulk_mb_per_s(1 << 20) > 0


async def test_a_long_line_delays_keeps_order_and_loses(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(p2pd.net.network, "UdpSocket", UdpSocket)  # as it was, afterwards
    take(Line("long", delay_s=0.01))
    loop = asyncio.get_running_loop()
    arrived: list[bytes] = []
    last = loop.create_future()

    def receive(data: bytes, source: Endpoint) -> None:
        arrived.append(data)
        if data == b"9":
            last.set_result(loop.time())

    made = [
        p2pd.net.network.UdpSocket(Endpoint("127.0.0.1", 0), receive, lambda: None, Counter())  # type: ignore[attr-defined]
        for _ in range(2)
    ]
    for end in made:
        await end.start()
    begun = loop.time()
    for number in range(10):
        made[0].send(made[1].bound, b"%d" % number)
    assert await last >= begun + 0.01
    assert arrived == [b"%d" % number for number in range(10)]
    for end in made:
        end.close()


@pytest.mark.slow
def test_a_crowd_joins_and_loses_some():
    crowd = Crowd(6, 2, LOOPBACK)
    try:
        assert len(crowd.first) == 3
        assert crowd.lose(0.5, how="kill") == 3
        assert crowd.lose(0.34, how="silence") == 1
    finally:
        crowd.end()


@pytest.mark.slow
def test_links_carry_bulk_and_talk():
    assert linked.bulk_mb_per_s(1 << 20) > 0
    alone, meanwhile = linked.talk_ms(20, 1 << 20)
    assert len(alone) == 20
    assert meanwhile
