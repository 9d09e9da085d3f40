"""Who wants to hear at once what arrives under an open set: the serving side of `listen`.

Rules: a listener proves its address by a token and its right by the address key's signature; what is pushed to it is
never more than it may have, since it asked; a bounded number for each key, for each network outside private ones, and
in all: addresses to listen at cost nothing, and one machine's must not take the places of everybody.  One that does not
answer is told again that there is something to read, less and less often: its line was cut for a moment, or it stood
still.  At last it is left alone until it asks anew, and hears it then: it slept, or a router in front of it did not let
the push in.
"""

from dataclasses import dataclass

from p2pd import limits
from p2pd.crypto.keys import verify
from p2pd.dht.alarms import Alarms
from p2pd.dht.counters import Cause
from p2pd.dht.peers import Peer, networks
from p2pd.dht.questions import BODY_ROOM_BYTES, Question
from p2pd.dht.records import VerifiedRecord
from p2pd.dht.rpc import Rpc
from p2pd.domains import Domain
from p2pd.types import NodeKey, Now, RecordKey
from p2pd.wire.record import Family, OpenItem, record_key
from p2pd.wire.rpc import Body, Failed, Listen, Listening, Push, Refusal, listen_bytes

_PUSH_OVERHEAD_BYTES = 8


@dataclass(slots=True)
class _Listener:
    peer: Peer
    until_s: int
    told: int = 0
    """How often it was told again since it last answered."""
    missed: bool = False
    """It has not answered, and is told again, or has been often enough: what arrives is not pushed meanwhile."""


class Listeners:
    """Those of one server."""

    def __init__(self, rpc: Rpc, alarms: Alarms, *, private: bool) -> None:
        self._rpc = rpc
        self._alarms = alarms
        self._private = private
        self._by_network: dict[bytes, int] = {}
        self._by_key: dict[RecordKey, dict[NodeKey, _Listener]] = {}
        self.count = 0

    def on_listen(self, listen: Listen, question: Question, now: Now) -> Body:
        """Take a listener in, or renew it."""
        if not question.proven:
            return Failed(Refusal.TOKEN)
        listener = question.asker
        signed = listen_bytes(listen.address, listener.key, listen.until_s)
        if not verify(listen.address, Domain.SIGN_LISTEN, signed, listen.signature):
            return Failed(Refusal.INVALID)
        if not now.wall_s < listen.until_s <= now.wall_s + limits.LISTEN_S + limits.CLOCK_SKEW_S:
            return Failed(Refusal.EXPIRED)
        key = record_key(Family.OPEN_SET, listen.address)
        of_key = self._by_key.get(key, {})
        before = of_key.get(listener.key)
        is_new = before is None
        if is_new and (len(of_key) >= limits.LISTENERS_PER_KEY or not self._has_room(listener)):
            return Listening(0)
        if before is not None:
            self._count(before.peer, -1)  # it may be somewhere else by now
        self._count(listener, 1)
        taken = self._by_key.setdefault(key, {})[listener.key] = _Listener(listener, listen.until_s)
        if before is not None and before.told:
            self._push(key, taken, b"", now)
        return Listening(listen.until_s)

    def on_kept(self, record: VerifiedRecord, now: Now) -> None:
        """A new item is held: push it to those who listen; one too large for a datagram is only announced."""
        if not isinstance(record.content, OpenItem):
            return
        fits = len(record.data) + _PUSH_OVERHEAD_BYTES <= BODY_ROOM_BYTES
        for listener in list(self._by_key.get(record.key, {}).values()):
            if listener.until_s <= now.wall_s:
                self._remove(record.key, listener.peer.key)
            elif not listener.missed:
                self._push(record.key, listener, record.data if fits else b"", now)

    def expire(self, now: Now) -> None:
        """Forget those whose time is over."""
        for key, of_key in list(self._by_key.items()):
            for listener in list(of_key.values()):
                if listener.until_s <= now.wall_s:
                    self._remove(key, listener.peer.key)

    def _has_room(self, listener: Peer) -> bool:
        of_network = self._by_network.get(networks(listener.endpoint.host)[0], 0)
        return self.count < limits.LISTENERS and (self._private or of_network < limits.LISTENERS_PER_NETWORK)

    def _count(self, listener: Peer, change: int) -> None:
        self.count += change
        network = networks(listener.endpoint.host)[0]
        self._by_network[network] = self._by_network.get(network, 0) + change
        if not self._by_network[network]:
            del self._by_network[network]

    def _push(self, key: RecordKey, listener: _Listener, data: bytes, now: Now) -> None:
        def then(body: Body | None, later: Now) -> None:
            if body is not None:
                listener.told = 0
            elif not listener.missed:
                self._tell_again(key, listener, later)

        self._rpc.ask(listener.peer, Push(data), then, now, cause=Cause.LISTEN)

    def _tell_again(self, key: RecordKey, listener: _Listener, now: Now) -> None:
        """It has missed something: soon, or not before it asks anew."""
        listener.missed = True
        if listener.told == len(limits.PUSH_AGAIN_S):
            return
        wait_s = limits.PUSH_AGAIN_S[listener.told]
        listener.told += 1

        def tell(later: Now) -> None:
            if self._by_key.get(key, {}).get(listener.peer.key) is listener and later.wall_s < listener.until_s:
                listener.missed = False
                self._push(key, listener, b"", later)

        self._alarms.at(now.steady + wait_s, tell)

    def _remove(self, key: RecordKey, listener: NodeKey) -> None:
        of_key = self._by_key.get(key, {})
        gone = of_key.pop(listener, None)
        if gone is not None:
            self._count(gone.peer, -1)
        if not of_key:
            self._by_key.pop(key, None)
