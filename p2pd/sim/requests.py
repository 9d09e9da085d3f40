"""Requests between the hosts: asked over a connection of their own, answered once or not at all.

Knows no request's meaning; mirrors `p2pd.net.exchanges` and `p2pd.net.acceptor` without their limits for hostile peers.
Rules: every request is answered exactly once, by its whole answer or by None, at the latest after `limits.EXCHANGE_S`.
The connection is a new one each time: its handshake is three ways before the request is there.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.effects import Request
from p2pd.sim.carriage import Carriage
from p2pd.sim.hosts import Host, Inputs
from p2pd.sim.routes import Path
from p2pd.types import NodeKey

_CERTIFICATE_BYTES = 2 * limits.QUIC_DATAGRAM_BYTES


@dataclass(slots=True, eq=False)
class _Asked:
    """One request under way."""

    asker: Host
    asker_core: int
    number: int
    path: Path
    receiver: Host | None = None
    receiver_life: int = 0
    incoming: int = 0
    """Its number at the receiver's, once it is there."""
    over: bool = False
    overdue: bool = False
    """Its time is up while the asker is not run."""

    def wanted(self) -> bool:
        """Whether whoever asked still waits."""
        return not self.over and self.asker.core == self.asker_core


class Requests:
    """All requests of the world."""

    def __init__(self, carriage: Carriage, give: Inputs, counts: Counter[str]) -> None:
        self._carriage = carriage
        self._agenda = carriage.agenda
        self._give = give
        self._counts = counts
        self._asked: dict[str, dict[int, _Asked]] = {}
        self._arrived: dict[str, dict[int, _Asked]] = {}
        self._incoming: dict[str, int] = {}

    def ask(self, host: Host, wish: Request) -> None:
        """Make a request; `on_response` will answer."""
        if len(wish.payload) > limits.REQUEST_BYTES:
            raise ValueError(f"a request of {len(wish.payload)} bytes is more than {limits.REQUEST_BYTES}")
        asked = _Asked(host, host.core, wish.exchange, Path(host, wish.endpoint))
        under_way = self._asked.setdefault(host.name, {})
        if len(under_way) >= limits.EXCHANGES_WAITING:
            self._counts["request without room"] += 1
            self._agenda.after(0, partial(self._answer, asked, None))
            return
        under_way[wish.exchange] = asked
        self._agenda.after(limits.EXCHANGE_S, partial(self._answer, asked, None))
        self._begin(asked, wish)

    def _begin(self, asked: _Asked, wish: Request) -> None:
        """Hello, certificate, then proof and request at once."""
        host, path, carry = asked.asker, asked.path, self._carriage.carry

        def hello() -> None:
            there = path.acceptor
            if there is not None and there.node is not None:
                certificate = partial(proven, there, there.node.key, there.life)
                carry(path, there, _CERTIFICATE_BYTES, certificate, asked.wanted)

        def proven(there: Host, key: NodeKey, life: int) -> None:
            if key != wish.node:
                self._answer(asked, None)
            else:
                asked.receiver, asked.receiver_life = there, life
                arrived = partial(self._on_arrived, asked, there, wish)
                carry(path, host, limits.QUIC_DATAGRAM_BYTES + len(wish.payload), arrived, asked.wanted)

        carry(path, host, limits.QUIC_DATAGRAM_BYTES, hello, asked.wanted)

    def _on_arrived(self, asked: _Asked, there: Host, wish: Request) -> None:
        if there.life != asked.receiver_life:
            return  # another process, which knows no such connection
        number = self._incoming.get(there.name, 0) - 1
        self._incoming[there.name] = asked.incoming = number
        self._arrived.setdefault(there.name, {})[number] = asked
        there.received_bytes += len(wish.payload)
        signer = NodeKey(SigningKey(wish.signer_seed).public)
        self._give(there, "on_request", number, signer, asked.path.back, wish.payload)

    def respond(self, host: Host, exchange: int, payload: bytes) -> None:
        """Answer a request; it may have been given up meanwhile."""
        if len(payload) > limits.RESPONSE_BYTES:
            raise ValueError(f"a response of {len(payload)} bytes is more than {limits.RESPONSE_BYTES}")
        asked = self._arrived.get(host.name, {}).pop(exchange, None)
        if asked is None:
            self._counts["response too late"] += 1
            return
        asker = asked.asker

        def arrived() -> None:
            asker.received_bytes += len(payload)
            self._answer(asked, payload)

        def wanted() -> bool:
            return asked.wanted() and host.life == asked.receiver_life

        self._carriage.carry(asked.path, host, len(payload), arrived, wanted)

    def forget_core(self, host: Host) -> None:
        """The core is gone: what it asked is given up, and what it was asked is refused, which its peers hear."""
        for asked in self._asked.pop(host.name, {}).values():
            asked.over = True
            if asked.receiver is not None:
                self._arrived.get(asked.receiver.name, {}).pop(asked.incoming, None)
        for asked in self._arrived.pop(host.name, {}).values():
            self._carriage.carry(asked.path, host, 1, partial(self._answer, asked, None), asked.wanted)

    def drop_all(self, host: Host) -> None:
        """The process is gone, and tells nobody."""
        for asked in self._asked.pop(host.name, {}).values():
            asked.over = True
        self._arrived.pop(host.name, None)

    def resume(self, host: Host) -> None:
        """The process is run again: what it has waited for long enough is given up."""
        for asked in list(self._asked.get(host.name, {}).values()):
            if asked.overdue:
                self._answer(asked, None)

    def _answer(self, asked: _Asked, payload: bytes | None) -> None:
        if not asked.wanted():
            return
        if not asked.asker.running:
            asked.overdue = payload is None
            return
        asked.over = True
        self._asked.get(asked.asker.name, {}).pop(asked.number, None)
        if asked.receiver is not None and payload is None:
            self._arrived.get(asked.receiver.name, {}).pop(asked.incoming, None)
        self._give(asked.asker, "on_response", asked.number, payload)
