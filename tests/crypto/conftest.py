"""What the tests of cryptography share: a seeded source of chance, and vectors."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parents[1] / "vectors"


class SeededRandom:
    """A RandomSource from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


@pytest.fixture
def chance() -> SeededRandom:
    return SeededRandom(7)


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return bytes.fromhex(value) if isinstance(value, str) else value


@pytest.fixture(scope="session")
def vectors() -> dict[str, Any]:
    """tests/vectors/crypto.json, its hexadecimal as bytes."""
    return _decoded(json.loads((VECTORS / "crypto.json").read_text()))


@pytest.fixture(scope="session")
def noise_vector() -> dict[str, Any]:
    """The published vector of the handshake, its hexadecimal as bytes."""
    return _decoded(json.loads((VECTORS / "crypto-noise-ik.json").read_text())["vector"])
