"""What is asked of readings, and of whom it cannot be asked."""

from types import SimpleNamespace
from typing import Any

import pytest

from p2pd.dht.peers import node_id
from p2pd.sim.readings import Readings
from p2pd.types import AddressKey, NodeKey
from p2pd.wire.address import decode_letters, encode_letters
from p2pd.wire.record import Family, record_key

REPLICAS = 2
KEY = encode_letters(bytes(range(32)))


@pytest.mark.parametrize(
    ("honest", "found", "broken"), [(None, 0, False), (0, 0, True), (1, 0, True), (2, 0, False), (0, 1, False)]
)
def test_what_only_adversaries_hold_is_asked_of_nobody(honest: int | None, found: int, broken: bool) -> None:
    """`honest` is the place of the one honest server by its distance from the key."""
    place = int.from_bytes(record_key(Family.SINGLE, AddressKey(decode_letters(KEY))), "big")
    keys = [NodeKey(bytes([number]) * 32) for number in range(6)]
    keys.sort(key=lambda key: int.from_bytes(node_id(key), "big") ^ place)
    servers = [
        SimpleNamespace(key=key, host=str(number), behaviour=None if number == honest else object)
        for number, key in enumerate(keys)
    ]
    said: list[str] = []
    stage: Any = SimpleNamespace(
        town=SimpleNamespace(servers=servers, dht=SimpleNamespace(replicas=REPLICAS)),
        facts={},
        judge=SimpleNamespace(broken=lambda invariant, host, text: said.append(text)),
    )
    readings = Readings(stage, servers)  # type: ignore[arg-type]
    readings.asked = 1
    readings._read[KEY], readings._found[KEY] = 1, found
    readings.judge("liars")
    assert bool(said) is broken
    assert stage.facts["with adversaries alone"] == (found == 0 and not broken)
