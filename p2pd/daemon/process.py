"""What a process that handles keys does before anything else."""

import os
import resource
import sys

PR_SET_DUMPABLE = 4
"""prctl(2), from linux/prctl.h."""


def prepare_process() -> None:
    """What we write is ours alone (R38), no core dump holds our keys, and nobody but root reads our memory (R42)."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
