"""Being away: mail that is kept, coming back to it, and coming for the first time."""

from statistics import median
from time import perf_counter

from bench.line import LONG, LOOPBACK, LOSSY, Line
from bench.result import Result, spread, trips
from bench.setting import Bench, Town, timed_ms
from p2pd.client import Connection
from tests.integration.fleet import Daemon, befriend

TEXT = "you were not there " * 10


NOTE = "100 storing nodes in 2 processes, replicas 8; the daemons measured are processes of their own"


def stored(bench: Bench) -> None:
    """From `send` to `stored`: the recipient away, in a swarm of 100 nodes at 8 replicas."""
    medians: dict[Line, float] = {}
    for line, count in ((LOOPBACK, bench.count(100, 30)), (LONG, 20), (LOSSY, bench.count(40, 10))):
        with bench.town(line=line) as place:
            alice, bob = place.people("alice", "bob")
            befriend(alice, "alice", bob, "bob")
            bob.stop()
            medians[line] = _stored(bench, line, alice, count)
    bench.show(trips("send to stored", medians[LOOPBACK], medians[LONG], 3))


def _stored(bench: Bench, line: Line, alice: Daemon, count: int) -> float:
    with Connection(alice.home, answer_within_s=90) as connection:

        def send() -> None:
            connection.call("send", to="bob", text=TEXT, wait="stored", timeout_s=60)

        first = timed_ms(send)
        for _ in range(3):
            send()
        times = [timed_ms(send) for _ in range(count)]
    goal = {"p50": 60.0} if line is LOOPBACK else {}
    facts = {"first": round(first, 1)}
    bench.show(Result("send to stored", "ms", spread(times), goal, line=line.name, facts=facts, note=NOTE))
    return median(times)


def cold(bench: Bench) -> None:
    """From starting the recipient's process until 1 or 100 waiting messages are shown; the sender is away too."""
    for line in (LOOPBACK, LOSSY):
        with bench.town(line=line) as place:
            alice, bob = place.people("alice", "bob")
            befriend(alice, "alice", bob, "bob")
            for waiting, goal in ((1, 1.0), (100, 2.0)):
                times = [_cold(alice, bob, waiting) for _ in range(bench.count(5, 2))]
                bench.show(
                    Result(
                        f"cold start to {waiting} waiting shown",
                        "s",
                        spread(times),
                        {"p50": goal} if line is LOOPBACK else {},
                        line=line.name,
                        note="process start included; sender killed, so all of it comes from the mailbox. " + NOTE,
                    )
                )


def _cold(alice: Daemon, bob: Daemon, waiting: int) -> float:
    bob.stop()
    ids = [alice.call("send", to="bob", text=f"waiting {number}")["id"] for number in range(waiting)]
    alice.knows(*ids, state="stored")
    alice.kill()
    begun = perf_counter()
    bob.start()
    bob.has_all(*ids)
    taken = perf_counter() - begun
    alice.start()
    alice.knows(*ids)
    return taken


def newcomer(bench: Bench) -> None:
    """From a contact link alone, nothing cached, to the first message delivered."""
    medians: dict[Line, float] = {}
    for line, count in ((LOOPBACK, bench.count(15, 4)), (LONG, bench.count(5, 3)), (LOSSY, bench.count(10, 3))):
        with bench.town(line=line) as place:
            (friend,) = place.people("friend", flags=("--accept-requests",))
            link = friend.call("id", link=True)["link"]
            times = [_newcomer(place, link) for _ in range(count)]
        ready, whole = [time for time, _ in times], [time for _, time in times]
        medians[line] = median(ready) * 1000
        for name, values, goal in (("ready", ready, 0.3), ("process start", whole, 1.2)):
            bench.show(
                Result(
                    f"newcomer, {name} to first message delivered",
                    "s",
                    spread(values),
                    {"p50": goal} if line is LOOPBACK else {},
                    line=line.name,
                    note="a new home each time, knowing only the link. " + NOTE,
                )
            )
    bench.show(trips("newcomer, ready to first message delivered", medians[LOOPBACK], medians[LONG]))


def _newcomer(place: Town, link: str) -> tuple[float, float]:
    new = place.new("new", alone=True)
    begun = perf_counter()
    new.start()
    ready = perf_counter()
    new.call("send", to=link, text="we have never met", wait="delivered", timeout_s=60)
    done = perf_counter()
    new.kill()
    return done - ready, done - begun
