"""Everything of a node that touches the network, put together: sockets, QUIC, links, requests, stamps.

It performs effects and emits inputs; it knows neither engine nor store.
First byte of a datagram: bit 0x40 is QUIC, 0x14 to 0x3F the DHT's; the rest is counted and dropped (RFC 9443).
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import assert_never

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.effects import (
    OTHER,
    Announce,
    CheckLink,
    CloseLink,
    Effect,
    Notify,
    OpenLink,
    Request,
    Respond,
    SendDatagram,
    SendFrame,
    SolveStamp,
)
from p2pd.net.acceptor import Acceptor
from p2pd.net.arrivals import DIALLERS, Arrivals
from p2pd.net.clock import SystemClock
from p2pd.net.connection import Credentials
from p2pd.net.exchanges import Exchanges
from p2pd.net.inputs import Datagram, Input, StampSolved
from p2pd.net.links import Links
from p2pd.net.memory import CrowdMemory, trim
from p2pd.net.quic import QuicEndpoint
from p2pd.net.selftest import check_private_names
from p2pd.net.stamps import StampWorker
from p2pd.net.traffic import Cause, Traffic
from p2pd.net.tuning import QuicTuning
from p2pd.net.udp import UdpSocket
from p2pd.types import Endpoint, RandomSource

QUIC_BIT = 0x40
DHT_FIRST = 0x14
DHT_LAST = 0x3F


class Network:
    """One node's network; make it on the running loop, then `open` it."""

    def __init__(
        self,
        node: SigningKey,
        random: RandomSource,
        emit: Callable[[Input], None],
        tuning: QuicTuning | None = None,
        clock: SystemClock | None = None,
        announce: Callable[[Announce], None] = lambda announcement: None,
    ) -> None:
        check_private_names(random)
        self._loop = asyncio.get_running_loop()
        self._clock = clock or SystemClock()
        self._emit = emit
        self._announce = announce
        self._sockets: list[UdpSocket] = []
        self._counts: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None
        self._arrivals = Arrivals()
        self._take_handle: asyncio.Handle | None = None
        self._flush_handle: asyncio.Handle | None = None
        self._stamps = StampWorker(self._stamp_solved)
        self._memory = CrowdMemory(trim)
        self.quic = QuicEndpoint(
            Credentials.of(node, random), tuning or QuicTuning(), self.send, lambda: self._acceptor.visitor()
        )
        self._links = Links(self.quic, random, emit)
        self._exchanges = Exchanges(self.quic, random, emit)
        self._acceptor = Acceptor(self._links, emit)

    async def open(self, listen: Sequence[Endpoint]) -> list[Endpoint]:
        """Bind a socket per address, port 0 for any; the endpoints bound; AddressError where one cannot be had."""
        for endpoint in listen:
            bound = UdpSocket(
                endpoint, self._put, self._batch_done, self._counts, lambda: self._arrivals.room, self.traffic
            )
            self._sockets.append(bound)
            await bound.start()
        return [bound.bound for bound in self._sockets]

    def close(self) -> None:
        """Tell all peers, and give the sockets back."""
        self.quic.close_all(self._now())
        self._abandon_stamps()
        self._memory.close()
        self._arrivals.clear()
        if self._timer is not None:
            self._timer.cancel()
        for bound in self._sockets:
            bound.close()
        self._sockets.clear()

    def counts(self) -> Counter[str]:
        """Bytes and packets of the sockets, and what was dropped or refused, by reason."""
        return self._counts + self.quic.counts

    @property
    def traffic(self) -> Traffic:
        """Bytes of all that left, and of QUIC's datagrams that came and those of no kind, by cause."""
        return self.quic.traffic

    def unsent(self, link: int) -> int:
        """Bytes given to a link that its peer has not acknowledged."""
        return self._links.unsent(link)

    # --- for the driver

    def perform(self, effect: Effect) -> None:
        """Do what the core asks; `flush` must follow."""
        match effect:
            case SendDatagram(to, data, _, cause):
                self.send(to, data, cause)
            case SendFrame(link, frame):
                self._links.send(link, frame, self._now())
            case OpenLink():
                self._links.open(effect, self._now())
            case CloseLink(link, reason):
                self._links.close(link, reason)
            case CheckLink(link):
                self._links.check(link, self._now())
            case Request():
                self._exchanges.ask(effect, self._now())
            case Respond(exchange, payload):
                self._acceptor.respond(exchange, payload)
            case SolveStamp(job):
                if not self._stamps.submit(effect):
                    self._emit(StampSolved(job, None))
            case Announce():
                self._announce(effect)
            case Notify():
                pass  # for the followers of this machine, not for the network
            case _:
                assert_never(effect)

    def taken(self, link: int, size: int) -> None:
        """The core has taken a frame of this size; `flush` must follow."""
        self._links.taken(link, size)

    def forget_core(self) -> None:
        """The core was rebuilt and knows no link or exchange: close them all."""
        self._links.close_all("restarted")
        self._exchanges.forget_all()
        self._acceptor.refuse_all()
        self._abandon_stamps()
        self.flush()

    def flush(self) -> None:
        """Send what is to be sent, and set the timer."""
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        if not self._sockets:
            return
        self.quic.flush(self._now())
        self._memory.on_ended(self.quic.ended)
        parts = (self.quic, self._links, self._exchanges, self._acceptor)
        deadline = min([time for part in parts if (time := part.next_deadline()) is not None], default=None)
        if self._timer is not None and (deadline is None or self._timer.when() > deadline):
            self._timer.cancel()
            self._timer = None
        if self._timer is None and deadline is not None:
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def send(self, endpoint: Endpoint, data: bytes, cause: str = OTHER) -> None:
        """Send one datagram by the first socket that reaches its endpoint."""
        for bound in self._sockets:
            if bound.reaches(endpoint):
                bound.send(endpoint, data, cause)
                return
        self._counts["send: no socket"] += 1

    # --- from the world

    def _put(self, data: bytes, source: Endpoint) -> None:
        flow = self.quic.connection_of(data) or (DIALLERS if data and data[0] & QUIC_BIT else None)
        if not self._arrivals.put(flow, data, source):
            self._counts["datagram in a flood"] += 1
            self.quic.traffic.received[Cause.REJECTED] += len(data)

    def _batch_done(self) -> None:
        if self._take_handle is None:
            self._take_arrivals()

    def _take_further(self) -> None:
        self._take_handle = None
        for bound in self._sockets:  # a quiet connection must not wait in the kernel behind a busy one
            bound.read()
        self._take_arrivals()

    def _take_arrivals(self) -> None:
        for data, source in self._arrivals.take():
            self._on_datagram(data, source)
        # the turn that they have caused comes first, so that its answers share packets with acknowledgements
        if self._flush_handle is None:
            self._flush_handle = self._loop.call_soon(self.flush)
        if self._arrivals:
            self._take_handle = self._loop.call_soon(self._take_further)

    def _on_datagram(self, data: bytes, source: Endpoint) -> None:
        first = data[0] if data else 0
        if first & QUIC_BIT:
            self.quic.on_datagram(data, source, self._now())
        elif DHT_FIRST <= first <= DHT_LAST and len(data) <= limits.DATAGRAM_BYTES:
            self._emit(Datagram(data, source))
        else:
            self._counts["datagram of no kind"] += 1
            self.quic.traffic.received[Cause.REJECTED] += len(data)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._now()
        for part in (self.quic, self._links, self._exchanges, self._acceptor):
            part.on_timer(now)
        self.flush()

    def _abandon_stamps(self) -> None:
        # a new core numbers its jobs anew: an old answer must not pass for one of them
        self._stamps.abandon()
        self._stamps = StampWorker(self._stamp_solved)

    def _stamp_solved(self, job: int, nonce: bytes | None) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._emit, StampSolved(job, nonce))

    def _now(self) -> float:
        return self._loop.time()
