"""Every input that is kept is refused or read as it should be, and the mutations reach what they are made for."""

import time

import pytest

from tests.fuzz.corpus import FOLDER, LONGEST_BYTES, MOST, file_of, kept
from tests.fuzz.inside import PACKETS, Friend, Server
from tests.fuzz.mutations import Mutations
from tests.fuzz.target import Outcome, Target, fuzzed, tried
from tests.fuzz.targets import GROUPS, TARGETS


def test_every_corpus_has_a_target() -> None:
    assert {file.name for file in FOLDER.iterdir()} - {file_of(name).name for name in TARGETS} == set()
    assert len(TARGETS) == sum(map(len, GROUPS.values())), "two targets of one name"


@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs_neither_crash_nor_pass_for_what_they_are_not(name: str) -> None:
    inputs = list(kept(name)) or list(TARGETS[name].samples)
    assert 0 < len(inputs) <= MOST
    outcome = Outcome()
    for data in inputs:
        assert len(data) <= LONGEST_BYTES
        tried(TARGETS[name], data, outcome)
    assert (outcome.crashes, outcome.accepted) == ([], [])


def test_the_samples_of_a_target_are_taken() -> None:
    refused = []
    for name, target in TARGETS.items():
        outcome = Outcome()
        for sample in target.samples:
            tried(target, sample, outcome)
        if outcome.refused == outcome.tried:
            refused.append(name)
    assert refused == [name for name in refused if name in ("link._Tagged", "content._Tagged")]


def test_mutations_are_the_same_for_a_seed_and_hit_the_shape() -> None:
    samples = [bytes.fromhex("9301c403616263a178"), b"\x92\x05\xc3"]
    one, other = Mutations(samples, 1), Mutations(samples, 1)
    made = [one.next() for _ in range(2_000)]
    assert made == [other.next() for _ in range(2_000)]
    assert len(set(made)) > 1_000
    assert any(data[:1] == b"\x94" for data in made), "a field more"
    assert any(len(data) > 1_000 for data in made), "something deep or long"


def test_a_crash_and_a_wrong_acceptance_are_seen() -> None:
    def careless(data: bytes) -> bytes:
        return bytes([data[3]])

    crashing = fuzzed(Target(careless, [b"abcd"]), 500, 1)
    assert crashing.crashes
    assert "IndexError" in crashing.crashes[0][1]
    taking = fuzzed(Target(bytes, [b"abcd"], wrong=lambda data, value: data != b"abcd"), 500, 1)
    assert taking.accepted


def test_small_formats_are_tried_fast_enough() -> None:
    began = time.process_time()
    fuzzed(TARGETS["rpc.Find"], 5_000, 1)
    assert 5_000 / (time.process_time() - began) > 25_000, "half of what is aimed at, for a busy machine"


def test_what_is_well_sealed_gets_inside() -> None:
    friend, server = Friend(), Server()
    for sample in friend.samples():
        friend.content(sample)
    assert friend._person.outbox.counters(friend._contact.identity).received > 3
    assert friend._person.texts(friend._contact), "a text was shown"
    for packet in PACKETS:
        server.datagram(packet)
    assert server.said >= 8, "those that are questions were answered"
