"""The lab leaves nothing behind, whoever ends it and however."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.nat.kinds import KINDS
from tests.nat.lab import Lab
from tests.nat.namespaces import FOLDER, PREFIX, LabError, Namespaces, remove_leftovers

pytestmark = [pytest.mark.nat, pytest.mark.slow]
WITHIN_S = 20.0
HOLDS_A_LAB = """
import time
from tests.nat.kinds import KINDS
from tests.nat.lab import Lab
with Lab() as lab:
    host = lab.host("host")
    lab.plug(KINDS["double-nat"], host)
    print("there", flush=True)
    time.sleep(60)
"""


def names(process: int) -> list[str]:
    """The namespaces of a process's runs."""
    return [path.name for path in FOLDER.glob(f"{PREFIX}{process}-*")]


def test_a_namespace_is_another_network() -> None:
    with Namespaces() as namespaces:
        made = namespaces.make("one")
        assert made.inside(lambda: [name for _, name in socket.if_nameindex()]) == ["lo"]
        assert made.name in names(os.getpid())


def test_leaving_ends_what_runs_inside() -> None:
    with Namespaces() as namespaces:
        made = namespaces.make("one")
        sleeper = subprocess.Popen(made.executing("sleep", "60"))
        while not made.processes():
            assert sleeper.poll() is None
    assert sleeper.wait(WITHIN_S) == -signal.SIGKILL
    assert not [name for name in names(os.getpid()) if name == made.name]


def test_what_is_being_removed_grows_no_more() -> None:
    with Namespaces() as namespaces:
        pass
    with pytest.raises(LabError):
        namespaces.make("late")


def test_a_failure_inside_is_told_outside() -> None:
    def fail() -> None:
        raise ValueError("inside")

    with Namespaces() as namespaces, pytest.raises(ValueError, match="inside"):
        namespaces.make("one").inside(fail)


def test_a_plug_that_fails_leaves_nothing() -> None:
    before = names(os.getpid())
    with Lab() as lab:
        host = lab.host("host")
        lab.plug(KINDS["public"], host)
        with pytest.raises(LabError):
            lab.plug(KINDS["symmetric"], host)  # its interface is there already
    assert names(os.getpid()) == before


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_lab_is_removed(by: signal.Signals) -> None:
    """At once, or, where it was killed, by the next lab."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS_A_LAB], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    assert len(names(process.pid)) >= 5
    while process.poll() is None:  # nobody presses Ctrl-C only once
        process.send_signal(by)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    process.stdout.close()
    if by is signal.SIGKILL:
        assert names(process.pid)
        remove_leftovers()
    assert not names(process.pid)


def test_a_living_run_is_left_alone() -> None:
    with Namespaces() as namespaces:
        made = namespaces.make("one")
        with Namespaces("other"):
            pass
        assert made.name in names(os.getpid())


def test_cells_of_a_lab_are_removed_one_by_one() -> None:
    with Lab() as lab:
        before = sorted(names(os.getpid()))
        host = lab.host("host")
        access = lab.plug(KINDS["double-nat"], host)
        lab.unplug(access)
        again = lab.plug(KINDS["firewalled"], host)
        lab.unplug(again)
        lab.remove(host)
        assert sorted(names(os.getpid())) == before
