"""Who comes first of what was read from the sockets: quiet flows, then busy ones in turn."""

from p2pd import limits
from p2pd.net.arrivals import DIALLERS, Arrivals
from p2pd.types import Endpoint

HERE = Endpoint("127.0.0.1", 1)
MOST = limits.ARRIVALS_OF_FLOW


def put(arrivals: Arrivals, flow: str, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        arrivals.put(flow, f"{flow}{number}".encode(), HERE)


def taken(arrivals: Arrivals) -> list[str]:
    return [data.decode() for data, _ in arrivals.take()]


def test_a_quiet_flow_overtakes_a_busy_one() -> None:
    arrivals = Arrivals()
    put(arrivals, "bulk", 3 * MOST)
    assert taken(arrivals) == [f"bulk{number}" for number in range(MOST)]
    put(arrivals, "talk", 1)
    assert taken(arrivals) == ["talk0"]
    assert taken(arrivals) == [f"bulk{number}" for number in range(MOST, 2 * MOST)]


def test_quiet_flows_that_never_end_do_not_keep_a_busy_one_waiting() -> None:
    arrivals = Arrivals()
    put(arrivals, "bulk", 3 * MOST)
    taken(arrivals)
    kinds = []
    for number in range(4):
        put(arrivals, f"new{number} ", 1)
        kinds.append(taken(arrivals)[0][:3])
    assert kinds == ["new", "bul", "new", "bul"]


def test_busy_flows_take_turns() -> None:
    arrivals = Arrivals()
    for flow in "abc":
        put(arrivals, flow, 3 * MOST)
    begun = taken(arrivals)
    assert len(begun) <= limits.INPUTS_PER_TURN
    assert {name[0] for name in begun} == set("abc")
    assert [taken(arrivals)[0][0] for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]
    assert len(arrivals) == 0


def test_a_flow_keeps_its_order_and_nothing_is_lost() -> None:
    arrivals = Arrivals()
    got: list[str] = []
    for number in range(10):
        put(arrivals, "a", MOST + 3, number * (MOST + 3))
        put(arrivals, "b", 1, number)
        got += taken(arrivals)
    while arrivals:
        got += taken(arrivals)
    for flow, count in (("a", 10 * (MOST + 3)), ("b", 10)):
        assert [name for name in got if name[0] == flow] == [f"{flow}{number}" for number in range(count)]


def test_there_is_no_room_beyond_the_limit() -> None:
    arrivals = Arrivals()
    put(arrivals, "a", limits.ARRIVALS_WAITING)
    assert arrivals.room == 0
    taken(arrivals)
    assert arrivals.room == MOST
    arrivals.clear()
    assert (len(arrivals), arrivals.room, taken(arrivals)) == (0, limits.ARRIVALS_WAITING, [])


def test_few_first_packets_are_taken_at_once_and_a_flood_of_them_is_cut() -> None:
    arrivals = Arrivals()
    kept = [arrivals.put(DIALLERS, b"first", HERE) for _ in range(2 * limits.ARRIVALS_OF_STRANGERS)]
    assert sum(kept) == len(arrivals) == limits.ARRIVALS_OF_STRANGERS
    assert arrivals.put(None, b"dht", HERE)
    assert taken(arrivals) == ["first"] * limits.ARRIVALS_OF_DIALLERS + ["dht"]
    assert arrivals.put("talk", b"talk0", HERE)
    assert taken(arrivals) == ["talk0"]
    assert taken(arrivals) == ["first"] * limits.ARRIVALS_OF_DIALLERS
    assert arrivals.room == limits.ARRIVALS_WAITING


def test_a_flood_of_strangers_is_cut_and_leaves_connections_their_room_and_their_turn() -> None:
    arrivals = Arrivals()
    kept = [arrivals.put(None, b"garbage", HERE) for _ in range(3 * limits.ARRIVALS_OF_STRANGERS)]
    assert sum(kept) == len(arrivals) == limits.ARRIVALS_OF_STRANGERS
    assert arrivals.room == limits.ARRIVALS_WAITING
    taken(arrivals)
    assert arrivals.put("talk", b"talk0", HERE)
    assert taken(arrivals) == ["talk0"]
    assert sum(arrivals.put(None, b"garbage", HERE) for _ in range(2 * MOST)) == MOST, "what was taken made room"
    left = 0
    while arrivals:
        left += len(taken(arrivals))
    assert left == limits.ARRIVALS_OF_STRANGERS
    assert arrivals.room == limits.ARRIVALS_WAITING
