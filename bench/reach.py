"""How fast the main job is, on this machine, now: one JSON line a figure, with the goal beside it.

Real daemons on loopback, and for one figure a swarm of 40 nodes in one process.
Run it with `make bench`.  Figures of a shared machine are compared within one run only.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from statistics import median, quantiles

from tests.integration.fleet import Daemon, Fleet
from tests.swarm import swarm_of

NODES = 12
SWARM_NODES = 40
SWARM_REPLICAS = 4
MESSAGES = 200
WAITING = 100


def show(figure: str, unit: str, goal: float, values: list[float]) -> None:
    """One line: median, 99th percentile where there are enough, the goal."""
    high = quantiles(values, n=100)[98] if len(values) >= 100 else max(values)
    row = {"figure": figure, "unit": unit, "p50": round(median(values), 2), "p99_or_max": round(high, 2), "goal": goal}
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def timed(action: Callable[[], object]) -> float:
    """Seconds that it took."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def direct(alice: Daemon) -> None:
    """From `send` at the control socket until the recipient's commit is acknowledged."""
    times = [
        timed(lambda: alice.call("send", to="bob", text="how long does this take?", wait="delivered")) * 1000
        for _ in range(MESSAGES)
    ]
    show("direct, send to delivered", "ms", 20, times)


def returning(alice: Daemon, bob: Daemon) -> None:
    """From starting the process until 100 waiting messages are shown."""
    bob.kill()
    ids = [alice.call("send", to="bob", text=f"waiting {number}")["id"] for number in range(WAITING)]
    alice.knows(*ids, state="stored")
    alice.kill()

    def back() -> None:
        bob.start()
        bob.has_all(*ids)

    show("absent, process start to 100 messages shown", "s", 5, [timed(back)])
    alice.start()


def newcomer(fleet: Fleet) -> None:
    """From starting a new home until its first message is on the other's disk and acknowledged, knowing only a link."""
    friend = fleet.new("friend", "--accept-requests").start()
    link = friend.says("id", "--link").strip()
    times: list[float] = []
    for _ in range(5):
        new = fleet.new("new", alone=True)

        def first(new: Daemon = new) -> None:
            new.start()
            new.call("send", to=link, text="we have never met", wait="delivered")

        times.append(timed(first))
    show("newcomer with a link, process start to first message delivered", "s", 5, times)


async def stored() -> None:
    """From `send` to enough receipts, the recipient away, in a swarm."""
    async with swarm_of(SWARM_NODES, SWARM_REPLICAS) as swarm:
        alice, bob = await swarm.friends()
        await bob.stop()
        times: list[float] = []
        for number in range(30):
            begun = time.perf_counter()
            message = await alice.send("bob", f"number {number}")
            await alice.until(lambda message=message: alice.state(message) == "stored")  # type: ignore[misc]
            times.append((time.perf_counter() - begun) * 1000)
    show(f"absent, send to stored, swarm of {SWARM_NODES} with {SWARM_REPLICAS} replicas", "ms", 500, times)


def main() -> None:
    """All figures."""
    fleet = Fleet()
    try:
        nodes = fleet.servers(NODES)
        alice, bob = fleet.friends()
        direct(alice)
        newcomer(fleet)
        returning(alice, bob)
        show("memory of an idle daemon", "MiB", 80, [node.call("status")["rss_bytes"] / 2**20 for node in nodes])
    finally:
        fleet.end()
    asyncio.run(stored())


if __name__ == "__main__":
    main()
