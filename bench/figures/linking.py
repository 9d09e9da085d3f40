"""Links: what they carry beside the bare connection, and what holding many of them costs."""

import time
from statistics import median, quantiles

from bench import bare, friends, linked
from bench.result import Result
from bench.setting import SETTLE_S, SMALL_CROWD, Bench
from p2pd import limits

ROUNDS = 5
HELD = 200


def bulk(bench: Bench) -> None:
    """Bulk over one link against a bare aioquic stream, and a message's round trip meanwhile."""
    size = bench.count(32, 8) * limits.MIB
    count = bench.count(2_000, 400)
    floors, rates = [], []
    for _ in range(bench.count(ROUNDS, 3)):
        floors.append(bare.bulk_mb_per_s(size))
        rates.append(linked.bulk_mb_per_s(size))
    what = f"{size // limits.MIB} MiB in frames of 16 KiB over one link of `p2pd.net`, in turns with"
    bench.show(
        Result(
            "bulk over one link",
            "MB/s",
            {"value": median(rates)},
            {"value": 0.8},
            median(floors),
            more_is_better=True,
            note=f"{what} a bare aioquic stream on the same socket and reader; medians; no chat, no store above it",
        )
    )
    alone, meanwhile = linked.talk_ms(count, 2 * size)
    bench.show(
        Result(
            "round trip during bulk",
            "ms",
            {"p50": median(meanwhile), "p99": quantiles(meanwhile, n=100)[98]},
            {"p99": 5},
            quantiles(alone, n=100)[98],
            facts={"idle p50": round(median(alone), 3), "round trips": len(meanwhile)},
            note="200-byte frames on a second link between the same nodes; floor: their p99 with nothing beside them",
        )
    )


def held(bench: Bench) -> None:
    """Memory of 200 connections held by one node, for each of them."""
    each_kb = [linked.held_bytes(HELD) / 1000 for _ in range(bench.count(3, 1))]
    bench.show(
        Result(
            f"{HELD} connections held, memory of each",
            "kB",
            {"value": median(each_kb)},
            {"value": 100},
            note="growth of the accepting process: links of `p2pd.net`, each has echoed a frame; no sessions above",
        )
    )


def befriended(bench: Bench) -> None:
    """Memory of the connections of 200 friends at one daemon, and of the friends, for each of them."""
    count = bench.count(HELD, 20)
    with bench.town(SMALL_CROWD) as place:
        (alice,) = place.people("alice", flags=("--accept-requests",))
        time.sleep(SETTLE_S)
        each = friends.held_bytes(alice, place.fleet.bootstrap, count)
    bench.show(
        Result(
            f"{count} friends of a daemon come back, memory of each",
            "kB",
            {"value": each.connection / 1000},
            note="at least: growth of a daemon that knows all these friends, from none there to all of them there, less"
            " what fits where its look-ups for their mail were before",
        )
    )
    bench.show(
        Result(
            f"{count} friends of a daemon, memory of each",
            "kB",
            {"value": each.friend / 1000},
            {"value": 100},
            facts={"of the second half": round(each.later_friend / 1000, 1)},
            note="growth of a daemon that knew nobody: link, contact, sessions, and what its caches took meanwhile",
        )
    )
