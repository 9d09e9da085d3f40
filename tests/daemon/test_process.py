"""What a process with keys in it does first: no core, no debugger, nothing that others may read."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.process import daemon as running
from tests.daemon.process import environment

pytestmark = pytest.mark.slow
LOOK = """
import ctypes, os, resource
from p2pd.daemon.process import prepare_process
prepare_process()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE), oct(os.umask(0)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it")
def test_it_leaves_no_core_and_lets_nobody_attach() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK], env=environment(), capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "0 (0, 0) 0o77\n"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_daemon_does_so(tmp_path: Path) -> None:
    with running(tmp_path / "home") as it:
        limits = Path(f"/proc/{it.process.pid}/limits").read_text()
        assert "Max core file size 0 0" in " ".join(limits.split())
