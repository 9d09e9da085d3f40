"""What holds for every test: how many random examples, and that nothing is left running."""

import os
import signal
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.processes import MARK, left_behind

# The same examples in every run: `make check` fails where a change fails, and not by luck.
# The machines are shared and slow now and then, so how long an example takes says nothing.
settings.register_profile(
    "check", derandomize=True, max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# New examples in every run; a failing one is printed with what repeats it, and becomes a test.
settings.register_profile("full", parent=settings.get_profile("check"), derandomize=False, max_examples=2_000)
settings.load_profile(os.environ.get("P2PD_HYPOTHESIS", "check"))

# A shell that starts the tests in the background has them ignore Ctrl-C, and the programs that they interrupt too.
signal.signal(signal.SIGINT, signal.default_int_handler)

ENDING_LOOKS = 20
"""A tenth of a second between them: a process that has said how it went may still be about to end."""


@pytest.fixture(scope="session", autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Fails the run whose tests have left a process behind, and ends that process."""
    mark = str(os.getpid())
    os.environ[MARK] = mark
    yield
    for _ in range(ENDING_LOOKS):
        if not (left := left_behind(mark)):
            break
        time.sleep(0.1)
    for process in left:
        os.kill(process.pid, signal.SIGKILL)
    assert not left, f"tests have left processes running: {left}"
