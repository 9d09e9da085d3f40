"""The floors by themselves, and the command line: how long a whole process of it takes."""

from statistics import median

from bench import bare
from bench.echo import round_trips_ms
from bench.floors import commits_ms, python_start_ms
from bench.result import Result, spread
from bench.setting import SMALL_CROWD, Bench, timed_ms

RUNS = 40
REST_S = 0.002


def floors(bench: Bench) -> None:
    """The floors alone: a datagram, a bare aioquic stream, a commit, the way of a text, a start of Python."""
    count = bench.count(3_000, 500)
    for name, samples in (
        ("bare asyncio UDP echo, round trip", spread(round_trips_ms(count))),
        ("bare aioquic stream, echo round trip", bare.echo_ms(count)),
        ("bare aioquic stream, echo with a text's three commits", bare.durable_echo_ms(count)),
        ("SQLite commit with full sync", spread(commits_ms(count))),
        ("SQLite commit with full sync, after 2 ms of rest", spread(commits_ms(count, REST_S))),
        ("python -c ''", spread([python_start_ms() for _ in range(bench.count(RUNS, 10))])),
    ):
        bench.show(Result(f"floor: {name}", "ms", samples))


def status(bench: Bench) -> None:
    """`p2pctl status`, the whole process, against a bare start of Python."""
    with bench.town(SMALL_CROWD) as place:
        (alice,) = place.people("alice")
        alice.says("status")
        times, floors = [], []
        for _ in range(bench.count(RUNS, 10)):
            floors.append(python_start_ms())
            times.append(timed_ms(lambda: alice.says("status")))
    floor = median(floors)
    bench.show(
        Result(
            "p2pctl status, whole process",
            "ms",
            {"p50": median(times)},
            {"p50": 6},
            floor,
            note="floor: python -c '' in the same environment, taken in turns",
        )
    )
