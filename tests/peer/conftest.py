"""Persons that live as long as a test."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests import cast


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes the stores of everyone who was made with it."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def friends(stack: ExitStack) -> tuple[cast.Person, cast.Person]:
    """Two persons who have accepted each other, the lower identity first."""
    return cast.friends(stack)
