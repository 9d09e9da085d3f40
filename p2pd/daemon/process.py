"""What a process that handles keys does before anything else."""

import os
import resource
import sys

PR_SET_DUMPABLE = 4
"""prctl(2), from linux/prctl.h."""
M_MMAP_THRESHOLD = -3
"""mallopt(3), from malloc.h."""
_LARGE_BYTES = 128 * 1024


def prepare_process() -> None:
    """What we write is ours alone (R38), no core dump holds our keys, and nobody but root reads our memory (R42).

    Memory for what strangers sent goes back to the system when it is given up: glibc, where it may, keeps pieces as
    large as it was given back once, and what is small among them then holds all of them.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        import ctypes

        system = ctypes.CDLL(None)
        system.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        if hasattr(system, "mallopt"):  # musl has none, and needs none
            system.mallopt(M_MMAP_THRESHOLD, _LARGE_BYTES)
