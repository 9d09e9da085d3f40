"""Proofs of work in a thread of their own: Argon2id leaves the interpreter to others while it computes."""

import queue
import threading
from collections.abc import Callable

from p2pd import limits
from p2pd.crypto.stamp import solve
from p2pd.effects import SolveStamp

Solved = Callable[[int, bytes | None], None]


class StampWorker:
    """Solves one stamp after the other; `solved` is called in the worker's thread."""

    def __init__(self, solved: Solved) -> None:
        self._solved = solved
        self._jobs: queue.Queue[SolveStamp] = queue.Queue(limits.STAMP_JOBS)
        self._thread: threading.Thread | None = None
        self._abandoned = False

    def submit(self, job: SolveStamp) -> bool:
        """Queue a job; False where there is no room."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return False
        if self._thread is None:
            # a daemon thread: a long proof must not hold up the end of the process
            self._thread = threading.Thread(target=self._work, name="stamps", daemon=True)
            self._thread.start()
        return True

    def abandon(self) -> None:
        """Report nothing any more: who asked is gone."""
        self._abandoned = True

    def _work(self) -> None:
        while not self._abandoned:
            job = self._jobs.get()
            try:
                nonce = solve(job.domain, job.challenge, job.bits)
            except ValueError:  # a number of bits that no one may ask of us
                self._report(job, None)
            else:
                self._report(job, nonce)

    def _report(self, job: SolveStamp, nonce: bytes | None) -> None:
        if not self._abandoned:
            self._solved(job.job, nonce)
