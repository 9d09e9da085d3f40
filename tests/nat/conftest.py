"""Tests of the lab skip, with the reason, where namespaces cannot be made."""

import pytest

from tests.nat.namespaces import missing


@pytest.fixture(scope="session")
def lacking() -> str:
    """What this machine lacks."""
    return missing()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before any other fixture, so that none of them meets a machine without namespaces."""
    for item in items:
        if isinstance(item, pytest.Function) and item.get_closest_marker("nat"):
            item.fixturenames.insert(0, "_skips_where_no_lab_can_be")


@pytest.fixture(scope="session")
def _skips_where_no_lab_can_be(lacking: str) -> None:
    if lacking:
        pytest.skip(lacking)
