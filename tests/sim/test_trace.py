"""The same seed gives the same course of events, whatever Python's hashes and the libraries' dice are."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from p2pd.sim.conditions import Conditions
from p2pd.sim.town import Town
from p2pd.sim.trace import Trace

COURSE = Path(__file__).with_name("course.py")
ROOT = Path(__file__).parent.parent.parent


def digest(seed: int, hash_seed: str) -> str:
    """Of the course, in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(COURSE), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100, env=environment)
    return done.stdout.strip()


@pytest.mark.slow
def test_the_same_seed_gives_the_same_trace_under_two_hash_seeds() -> None:
    first, second, other = digest(3, "1"), digest(3, "2"), digest(4, "1")
    assert len(first) == 64
    assert first == second
    assert first != other


def text_of(seed: int, **conditions: float) -> str:
    sink = io.StringIO()
    trace = Trace(sink)
    town = Town(seed, servers=4, conditions=Conditions(**conditions), trace=trace)  # type: ignore[arg-type]
    alice, _ = town.friends()
    alice.send("bob", "hello")
    town.world.run(5)
    trace.digest()
    return sink.getvalue()


def test_a_trace_says_who_did_what_when_and_how_large() -> None:
    text = text_of(1)
    lines = text.splitlines()
    assert all(len(line.split(" ", 2)) == 3 for line in lines)
    times = [float(line.split(" ", 1)[0]) for line in lines]
    assert times == sorted(times)
    kinds = {line.split(" ")[2] for line in lines}
    assert {"up", "send", "on_datagram", "dial", "on_link_opened", "frame", "on_frame", "event"} <= kinds
    assert "10.1.0.1:4242" in text


def test_a_different_world_gives_another_trace() -> None:
    assert text_of(1) == text_of(1)
    assert text_of(1) != text_of(2)
    assert text_of(1) != text_of(1, loss=0.01)


def test_a_digest_is_of_all_so_far() -> None:
    trace = Trace()
    empty = trace.digest()
    digests = []
    for number in range(600):
        trace.note(number / 10, "host", "kind", number, "fact")
        digests.append(trace.digest())
    assert len({empty, *digests}) == 601
    assert trace.count == 600
    again = Trace()
    for number in range(600):
        again.note(number / 10, "host", "kind", number, "fact")
    assert again.digest() == digests[-1]
