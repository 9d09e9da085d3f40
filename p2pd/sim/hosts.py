"""A host of the virtual world: its name and address, its clocks, and the node that runs there.

Knows no network and no protocol.
Rules: what a node keeps lies in its stores, so that its core can be thrown away and built anew at any time.
A suspended host's steady clock stands still and its wall clock goes on, as CLOCK_MONOTONIC does, which the daemon uses
(`p2pd.net.clock`); a process that is only not run finds both gone on.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from p2pd.effects import Effect
from p2pd.sim.agenda import Agenda
from p2pd.sim.crashes import Crash, CrashNow, DownError, InjectedError, Moment
from p2pd.sim.disk import Disk
from p2pd.store import RecordStore, UserStore
from p2pd.types import Endpoint, NodeKey, Now

START_WALL_MS = 1_800_000_000_000


class Machine(Protocol):
    """What a node's core offers: the inputs of `p2pd.engine.Engine`; one without links need not know theirs."""

    def on_datagram(self, data: bytes, source: Endpoint, now: Now) -> None:
        """A datagram of the DHT's."""
        ...

    def on_addresses(self, endpoints: tuple[Endpoint, ...], now: Now) -> None:
        """Where the host is: first of all, after every change, and when it wakes."""
        ...

    def on_records_refused(self, now: Now) -> None:
        """The disk has refused other people's records since their last commit."""
        ...

    def on_timer(self, now: Now) -> None:
        """The time given by `next_deadline` has come, or passed."""
        ...

    def next_deadline(self) -> float | None:
        """When something is due next, on the steady clock, in seconds."""
        ...

    def take_effects(self) -> list[Effect]:
        """What the turn wants of the world, in order."""
        ...


M = TypeVar("M", bound=Machine, covariant=True)


@dataclass(slots=True, eq=False)
class Node(Generic[M]):
    """What runs at a host, and what of it survives."""

    key: NodeKey
    build: Callable[[], M]
    """Makes the core from the stores."""
    disk: Disk | None = None
    """What its stores lie on; None: it keeps nothing."""
    built: M | None = None

    @property
    def store(self) -> UserStore | None:
        """The user's, as the process that runs has opened it."""
        return None if self.disk is None else self.disk.user

    @property
    def commits(self) -> int:
        """How often the user's store has been committed with changes."""
        return 0 if self.disk is None else self.disk.commits

    @property
    def records(self) -> RecordStore | None:
        """Other people's."""
        return None if self.disk is None else self.disk.records

    @property
    def machine(self) -> M:
        """The core as it is now; DownError while none is."""
        if self.built is None:
            raise DownError("the node does not run")
        return self.built

    def rebuild(self) -> None:
        """Throw the core away, and make it from the stores."""
        self.built = self.build()


@dataclass(slots=True, eq=False)
class Host:
    """One machine, and what runs there."""

    name: str
    endpoint: Endpoint
    """Where it is in its own network; what others see is its routers' doing."""
    agenda: Agenda
    node: Node[Machine] | None = None
    life: int = 0
    """Which of the processes that ran here it is: what was under way for another is lost."""
    core: int = 0
    """Which of the cores built here it is: its numbers for links and exchanges mean nothing to another."""
    running: bool = False
    """A process is there, and is run."""
    silent: bool = False
    asleep: bool = False
    stalled: bool = False
    lag_s: float = 0.0
    """How far its steady clock is behind: how long the host has been suspended in all, less what that clock leapt."""
    slept_at: float = 0.0
    wall_offset_ms: int = START_WALL_MS
    deadline: float | None = None
    """When something is due next, by its own steady clock, as its last turn left it."""
    timer: float | None = None
    """When its timer rings, in the world's time."""
    pause_s: float = 0.0
    pause_until: float = float("-inf")
    """Until then its timer rests, after a turn that was undone."""
    strikes: deque[float] = field(default_factory=deque)
    crashes: list[Crash] = field(default_factory=list)
    moved: bool = False
    """Its process is still to be told where it is."""
    breaks: int = 0
    """So many turns more meet a bug."""
    promised: list[Effect] = field(default_factory=list)
    """What waits for a durable commit of the records."""
    committed_at: float = float("-inf")
    commit_at: float | None = None
    waiting: deque[tuple[bytes, Endpoint]] = field(default_factory=deque)
    """Datagrams in the socket's buffer, while the process is not run."""
    waiting_bytes: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0

    @property
    def now(self) -> Now:
        """This moment, by the host's clocks."""
        time_s = self.agenda.time_s
        steady = self.slept_at if self.asleep else time_s
        return Now(steady - self.lag_s, self.wall_offset_ms + int(time_s * 1000))

    @property
    def occupant(self) -> Node[Machine]:
        """The node that runs there; DownError where none does."""
        if self.node is None:
            raise DownError(f"nothing runs at {self.name}")
        return self.node

    def crash_if_due(self, moment: Moment) -> None:
        """Raises CrashNow where one is arranged for this moment."""
        for crash in self.crashes:
            if crash.moment is moment:
                crash.left -= 1
                if crash.left <= 0:
                    self.crashes.remove(crash)
                    raise CrashNow(crash)

    def break_if_arranged(self) -> None:
        """Raises InjectedError where the turn is to meet a bug."""
        if self.breaks:
            self.breaks -= 1
            raise InjectedError("a bug, as arranged")

    def settle(self) -> None:
        """Note whether the process is run."""
        self.running = self.node is not None and not (self.silent or self.asleep or self.stalled)

    def forget_process(self) -> None:
        """The process is gone, with all that it had in memory."""
        self.life += 1
        self.core += 1
        self.node, self.timer, self.commit_at, self.pause_until = None, None, None, float("-inf")
        self.silent = self.stalled = False
        self.promised.clear()
        self.strikes.clear()
        self.waiting.clear()
        self.waiting_bytes = 0
        self.committed_at = float("-inf")
        self.settle()


class Inputs(Protocol):
    """Where what happens at a host goes."""

    def __call__(self, host: Host, name: str, *arguments: object) -> None:
        """A turn of the host's with this input."""
        ...
