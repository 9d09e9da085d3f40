"""The turns of all nodes, as the driver of a daemon takes them, in virtual time.

It mirrors `p2pd.net.driver` and `p2pd.net.receipts`, name by name where it can:

| there | here |
|---|---|
| `Driver._turn_of_inputs`, one input a turn, with the timer where it is due | `take` |
| `Driver._turn_of_calls`, `calls.Group.run`, one call a turn: a refusal undoes its attempt | `call` |
| `Driver._act`: effects after the commit; receipts wait for the records | `_act` |
| `Driver._arm`, with its guard against spinning and its pause after a refusal | `arm` |
| `Driver._broken`, `_rebuild`: roll back, build anew, three bugs a minute end it | `_broken`, `rebuild` |
| `Driver._rest`, longer each time that the disk refuses again | `_rest` |
| `Receipts.turn_done`, `commit`: one durable commit shared, the rest later | `_turn_done`, `commit` |
| `Driver._on_records_error`: nothing promised leaves, and the engine is told | `_commit` |

It knows no network: `World.perform` does what effects say.  What differs: inputs do not queue for a turn of many, since
every one has its own time here; and an exception that no driver should meet is raised, unless told otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol, TypeVar

from p2pd import limits
from p2pd.effects import Effect, Notify, Respond, SendDatagram
from p2pd.errors import P2pdError, StorageError
from p2pd.sim.agenda import Agenda
from p2pd.sim.crashes import BrokenCallError, Crash, CrashedError, CrashNow, DownError, InjectedError, Moment
from p2pd.sim.hosts import Host, Machine, Node
from p2pd.sim.trace import Trace
from p2pd.sim.watching import Bug, Observer, Phase
from p2pd.types import Now

T = TypeVar("T")
_SPIN_GUARD_S = 0.001


class Surroundings(Protocol):
    """What the world does for a turn."""

    def perform(self, host: Host, effect: Effect) -> None:
        """Do what the core asks."""
        ...

    def forget_core(self, host: Host) -> None:
        """The core was rebuilt: it knows no link and no exchange."""
        ...

    def end(self, host: Host, why: str, *, power: bool = False) -> None:
        """The process ends where it stands."""
        ...


class Turns:
    """Every host's driver; times in seconds of the world's, where nothing else is said."""

    def __init__(self, agenda: Agenda, world: Surroundings, trace: Trace | None, *, raise_bugs: bool) -> None:
        self.counts: Counter[str] = Counter()
        self.observers: list[Observer] = []
        self.bugs: list[Bug] = []
        self._agenda = agenda
        self._world = world
        self._trace = trace
        self._raise_bugs = raise_bugs

    def begin(self, host: Host, node: Node[Machine]) -> None:
        """A process begins."""
        host.node = node
        if node.disk is not None:
            node.disk.before_commit(lambda: host.crash_if_due(Moment.BEFORE_COMMIT))
        host.settle()

    # --- turns

    def take(self, host: Host, name: str = "", *arguments: object, due: bool = False) -> None:
        """A turn with one input of the machine's, or with none; and with its timer where that is `due`."""
        node = host.occupant
        now, commits = host.now, node.commits

        def step() -> float | None:
            machine = node.machine
            if name:
                getattr(machine, name)(*arguments, now)
            deadline = None if due else machine.next_deadline()
            if due or self._is_due(host, deadline, now):
                machine.on_timer(now)
                deadline = machine.next_deadline()
            host.break_if_arranged()
            return deadline

        self._tell(host, Phase.BEGUN)
        try:
            deadline = _inside(node, step)
        except CrashNow as crash:
            self._undone(host, name)
            self._crash(host, crash.crash)
        except Exception as error:
            self._undone(host, name)
            self._broken(host, error, name or "the timer")
        else:
            core = host.core
            self._committed(host, commits)
            if host.core == core:
                self._arm_for(host, deadline)

    def call(self, host: Host, function: Callable[[Now], T]) -> T:
        """A call of the control API's, in a turn of its own.

        Raises:
            P2pdError: what the function raised; the turn is undone.
            StorageError: the disk refuses; the turn is undone.
            CrashedError: the process ended meanwhile.
            DownError: there is none.
        """
        if not host.running:
            raise DownError(f"no daemon runs at {host.name}")
        node, now = host.occupant, host.now
        commits = node.commits

        results: list[T] = []
        refusals: list[P2pdError] = []

        def step() -> None:
            try:
                with _attempt(node):
                    results.append(function(now))
            except StorageError:
                raise
            except P2pdError as error:
                refusals.append(error)
            host.break_if_arranged()

        self._tell(host, Phase.BEGUN)
        try:
            _inside(node, step)
        except CrashNow as crash:
            self._undone(host, "call")
            self._crash(host, crash.crash)
            raise CrashedError(crash.crash.moment) from None
        except Exception as error:
            self._undone(host, "call")
            self._call_broke(host, error)
            raise
        if refusals:
            self._undone(host, "call")
            self._call_refused(host, node)
            raise refusals[0]
        crashed = self._committed(host, commits)
        self.arm(host)
        if crashed is not None:
            raise CrashedError(crashed.moment)
        return results[0]

    def _call_broke(self, host: Host, error: Exception) -> None:
        """A call met a bug, or a disk that refuses."""
        self._broken(host, error, "a call")
        if not isinstance(error, P2pdError):
            raise BrokenCallError("the request met a bug and was undone") from error

    def _call_refused(self, host: Host, node: Node[Machine]) -> None:
        """A call's part of its turn is undone."""
        if any(not isinstance(effect, Notify) for effect in node.machine.take_effects()):
            # it got so far as to want something of the world: memory is ahead of what was undone
            self.rebuild(host)
        self.arm(host)

    def _committed(self, host: Host, commits: int) -> Crash | None:
        """What comes after a turn's commit; the crash that came in between."""
        self.counts["turn"] += 1
        self._tell(host, Phase.COMMITTED)
        try:
            if host.crashes and host.occupant.commits > commits:
                host.crash_if_due(Moment.AFTER_COMMIT)
            self._act(host)
        except CrashNow as crash:
            self._crash(host, crash.crash)
            return crash.crash
        return None

    def _act(self, host: Host) -> None:
        life = host.life
        for effect in host.occupant.machine.take_effects():
            if isinstance(effect, SendDatagram | Respond) and effect.after_records:
                host.promised.append(effect)
            else:
                self._perform(host, effect)
            if host.life != life:
                return
        self._turn_done(host)

    def _perform(self, host: Host, effect: Effect) -> None:
        for observer in self.observers:
            observer.on_effect(host.name, effect)
        try:
            self._world.perform(host, effect)
        except Exception as error:
            # the turn is committed: an effect that cannot be performed is a packet lost, not a reason to stop
            self.counts["effect failed"] += 1
            self._note_bug(host, error, type(effect).__name__)
        if host.crashes:
            host.crash_if_due(Moment.EFFECT)

    # --- the timer

    def arm(self, host: Host) -> None:
        """Have the timer ring when something is due, unless it rings before that anyway."""
        if host.running:
            self._arm_for(host, host.occupant.machine.next_deadline())

    def _arm_for(self, host: Host, deadline: float | None) -> None:
        host.deadline = deadline
        if deadline is None:
            return
        time_s = self._agenda.time_s
        when = max(deadline + host.lag_s, time_s + _SPIN_GUARD_S, host.pause_until)
        if host.timer is None or host.timer > when:
            host.timer = when
            self._agenda.after(when - time_s, partial(self._ring, host, host.life, when))

    def _ring(self, host: Host, life: int, when: float) -> None:
        if host.life != life or host.timer != when:
            return
        host.timer = None
        if not host.running:
            return
        if self._is_due(host, host.deadline, host.now):
            self.take(host, due=True)
        else:
            self._arm_for(host, host.deadline)

    def _is_due(self, host: Host, deadline: float | None, now: Now) -> bool:
        """Whether the engine's timer is to ring: not while it rests."""
        return deadline is not None and deadline <= now.steady and self._agenda.time_s >= host.pause_until

    def resume(self, host: Host) -> None:
        """The process is run again: what was due meanwhile happens now."""
        host.timer = None
        if host.commit_at is not None:
            self.commit(host)
        if host.running:
            self.arm(host)

    # --- the records' commits

    def _turn_done(self, host: Host) -> None:
        disk = host.occupant.disk
        if disk is None:
            self._perform_promised(host)
            return
        time_s = self._agenda.time_s
        if host.promised:
            wanted = max(time_s, host.committed_at + limits.RECEIPTS_GAP_S)
        elif disk.records_changed:
            wanted = time_s + limits.RECORDS_COMMIT_S
        else:
            return
        if wanted <= time_s:
            self._commit(host)
        elif host.commit_at is None or host.commit_at > wanted:
            host.commit_at = wanted
            self._agenda.after(wanted - time_s, partial(self._commit_due, host, host.life, wanted))

    def _commit_due(self, host: Host, life: int, when: float) -> None:
        if host.life == life and host.commit_at == when and host.running:
            self.commit(host)

    def commit(self, host: Host) -> None:
        """Commit the records, and perform what was promised; where the disk refuses, nothing of it leaves."""
        try:
            self._commit(host)
        except CrashNow as crash:
            self._crash(host, crash.crash)

    def _commit(self, host: Host) -> None:
        host.commit_at = None
        disk = host.occupant.disk
        if disk is None:
            return
        if host.crashes:
            host.crash_if_due(Moment.BEFORE_RECORDS_COMMIT)
        durable = bool(host.promised)
        try:
            disk.records.commit(durable=durable)
        except StorageError as error:
            host.promised.clear()
            self.counts[f"records refused: {error.code}"] += 1
            host.occupant.machine.on_records_refused(host.now)
            return
        if durable:
            disk.flush()
            host.committed_at = self._agenda.time_s
        if host.crashes:
            host.crash_if_due(Moment.AFTER_RECORDS_COMMIT)
        self._perform_promised(host)

    def _perform_promised(self, host: Host) -> None:
        promised, life = host.promised, host.life
        host.promised = []
        for effect in promised:
            if host.life == life:
                self._perform(host, effect)

    # --- when a turn breaks

    def rebuild(self, host: Host) -> None:
        """Throw the core away and build it from the stores; its links and exchanges are given up."""
        node = host.occupant
        try:
            node.rebuild()
        except P2pdError as error:
            self._world.end(host, error.code)
            return
        except Exception as error:
            self._note_bug(host, error, "building the core")
            self._world.end(host, "the core cannot be built")
            return
        self.counts["rebuilt"] += 1
        if self._trace is not None:
            self._trace.note(self._agenda.time_s, host.name, "rebuilt")
        host.core += 1
        self._world.forget_core(host)
        self.arm(host)

    def _broken(self, host: Host, error: Exception, at: str) -> None:
        time_s = self._agenda.time_s
        if isinstance(error, P2pdError):
            self.counts[f"turn undone: {error.code}"] += 1
            _rest(host, error)
        else:
            self._note_bug(host, error, at)
            host.strikes.append(time_s)
            while host.strikes[0] < time_s - limits.REBUILD_WINDOW_S:
                host.strikes.popleft()
        if len(host.strikes) >= limits.REBUILDS:
            self._world.end(host, f"{limits.REBUILDS} turns broke within a minute")
        else:
            self.rebuild(host)

    def _note_bug(self, host: Host, error: Exception, at: str) -> None:
        self.counts["turn broken"] += 1
        if isinstance(error, InjectedError):
            return
        self.bugs.append(Bug(self._agenda.time_s, host.name, at, error))
        if self._raise_bugs:
            raise error

    def _crash(self, host: Host, crash: Crash) -> None:
        self._world.end(host, crash.moment.value, power=crash.power)

    # --- those who watch

    def _tell(self, host: Host, phase: Phase) -> None:
        for observer in self.observers:
            observer.on_turn(host.name, phase)

    def _undone(self, host: Host, at: str) -> None:
        self._tell(host, Phase.UNDONE)
        if self._trace is not None:
            self._trace.note(self._agenda.time_s, host.name, "undone", at)


def _rest(host: Host, error: P2pdError) -> None:
    """The timer rests, the longer the more often rests have not helped; one that has begun is not put off."""
    time_s = host.agenda.time_s
    rested_s = time_s - host.pause_until
    if rested_s < 0:
        return
    again = isinstance(error, StorageError) and rested_s < limits.REBUILD_WINDOW_S
    host.pause_s = min(2 * host.pause_s, limits.REBUILD_PAUSE_MOST_S) if again else limits.REBUILD_PAUSE_S
    host.pause_until = time_s + host.pause_s


def _inside(node: Node[Machine], step: Callable[[], T]) -> T:
    """Do it in the transactions of both stores, the user's committed first."""
    disk = node.disk
    if disk is None:
        return step()
    with disk.records.transaction(), disk.user.transaction():
        return step()


@contextmanager
def _attempt(node: Node[Machine]) -> Iterator[None]:
    """A call's part of its turn, which alone is undone where it is refused."""
    disk = node.disk
    if disk is None:
        yield
        return
    with disk.records.attempt(), disk.user.attempt():
        yield
