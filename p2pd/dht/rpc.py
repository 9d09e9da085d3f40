"""Questions and answers in sealed datagrams: the DHT's one way to talk.

Knows no table, record or look-up; what a question means is its handler's.
Rules:
- an answer counts only from the address and the key that were asked, under the id of the question (design 5);
- whoever has not proven its address gets no byte more than it sent (R5);
- sources are counted before any cryptography (R12), key agreements before they are made;
- a question slower than most is slow: `on_slow` rings, so that another node can be asked beside it, and this one is
  suspected until it says something; it is repeated once, after the node's own time-out;
- an unsealed hello is answered by something smaller, and what a welcome says is believed only after a sealed answer.

| a question of ours | next |
|---|---|
| sent | answered; slow when most others would have been answered |
| slow | answered; repeated after one time-out |
| repeated | answered; failed after three |
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from p2pd import limits
from p2pd.crypto.keys import SigningKey
from p2pd.crypto.sealing import datagram_key, seal, unseal
from p2pd.dht.address_tokens import AddressTokens
from p2pd.dht.alarms import Alarm, Alarms
from p2pd.dht.bounded import Recent
from p2pd.dht.counters import LEISURELY, Cause, Counters
from p2pd.dht.peers import Peer, networks, source_prefix
from p2pd.dht.questions import SEALED_OVERHEAD_BYTES, Handler, Question
from p2pd.dht.rates import TokenBucket, TokenBuckets
from p2pd.dht.round_trips import RoundTrips
from p2pd.dht.settings import DhtSettings
from p2pd.dht.suspects import Suspects
from p2pd.dht.window import Window
from p2pd.effects import EffectQueue, SendDatagram
from p2pd.errors import PeerError
from p2pd.types import Endpoint, NodeKey, Now, RandomSource
from p2pd.wire import rpc
from p2pd.wire.datagram import BOX_AT, Hello, Knock, Sealed, Welcome, decode, network_id
from p2pd.wire.rpc import Body, Failed, Packet, Refusal

Then = Callable[[Body | None, Now], None]
OnSlow = Callable[[Now], None]
_Held = deque[tuple[float, Callable[[Now], None], Then]]
"""Questions: until when each is held, steady seconds, how to ask it, and who waits."""
_SMALL = rpc.Ping | rpc.Listen | rpc.Push | rpc.Probe | rpc.Reach


@dataclass(slots=True)
class _Sent:
    """A question of ours, as far as its answer can say how slow the line is."""

    peer: Peer
    sent_s: float
    timeout_s: float

    def delays_s(self, now: Now) -> tuple[float, float]:
        """How long its answer took at least and at most: it may be that to the repetition."""
        since_s = now.steady - self.sent_s
        return since_s - self.timeout_s if since_s >= self.timeout_s else since_s, since_s


@dataclass(slots=True)
class _Open(_Sent):
    """One that waits for its answer."""

    own: SigningKey
    body: Body
    cause: Cause
    then: Then
    on_slow: OnSlow | None
    token: bytes
    slow: bool = False
    repeated: bool = False
    alarm: Alarm | None = None


class Rpc:
    """One node's questions and answers."""

    def __init__(
        self,
        *,
        node: SigningKey,
        network: str,
        settings: DhtSettings,
        effects: EffectQueue,
        alarms: Alarms,
        counters: Counters,
        random: RandomSource,
        handler: Handler,
    ) -> None:
        self._node = node
        self._network = network_id(network)
        self._private = settings.private
        self._effects = effects
        self._alarms = alarms
        self._counters = counters
        self._random = random
        self._handler = handler
        self.round_trips = RoundTrips()
        self._receipts = RoundTrips(limits.RECEIPT_SLOW_MIN_S)
        """Of what is answered only when it is on a disk."""
        self.suspects = Suspects()
        self._tokens = AddressTokens(random)
        self._open: dict[bytes, _Open] = {}
        self._awaited: dict[Peer, dict[bytes, None]] = {}
        """The ids of open questions by who is to answer."""
        self._hellos: Recent[bytes, Endpoint] = Recent(limits.HINTS)
        self._aliases: Recent[NodeKey, dict[NodeKey, SigningKey]] = Recent(limits.LISTENERS)
        """Keys of ours other than the node's that a peer may write to first."""
        self._shared: Recent[tuple[NodeKey, NodeKey], bytes] = Recent(limits.SHARED_KEYS)
        self._sources: TokenBuckets[bytes] = TokenBuckets(settings.source_per_s, settings.source_burst)
        self._networks: TokenBuckets[bytes] = TokenBuckets(settings.network_per_s, settings.network_burst)
        self._pace: TokenBuckets[NodeKey] = TokenBuckets(
            settings.source_per_s * limits.PACE, settings.source_burst * limits.PACE
        )
        self._spared = settings.source_burst * limits.PACE * limits.PACE_SPARED
        self._waiting = 0
        """Questions held back by the pace, or by the window."""
        self._window = Window()
        self._held: tuple[_Held, _Held] = (deque(), deque())
        """Those held back by the window; apart from them what others are given to keep, for which nobody waits."""
        self._freed = 0
        """Places that came free, modulo `WINDOW_MIN`."""
        self._late: Recent[bytes, _Sent] = Recent(limits.RPCS_LATE)
        """Questions given up; whoever asked them is not kept with them."""
        self._agreements = TokenBucket(limits.AGREEMENTS_PER_S, limits.AGREEMENTS_BURST)

    # --- asking

    def ask(
        self,
        peer: Peer,
        body: Body,
        then: Then,
        now: Now,
        *,
        cause: Cause,
        own: SigningKey | None = None,
        on_slow: OnSlow | None = None,
    ) -> None:
        """Ask a question, as `own` or as our node; `then` gets the answer, or None when it failed."""
        if len(self._open) + self._waiting >= limits.RPCS_OPEN:
            self._alarms.at(now.steady, lambda later: then(None, later))
            return
        if len(self._open) >= self._window.most:
            self._waiting += 1
            again = partial(self._ask_again, peer, body, then, cause=cause, own=own, on_slow=on_slow)
            self._held[cause is Cause.REFRESH].append((now.steady + limits.HELD_S, again, then))
            return
        spare = self._spared if cause in LEISURELY else 0
        if not self._private and not self._pace.take(peer.key, now.steady, spare=spare):
            # It would drop more than its rate allows: what waits counts as slow, and no strike comes of it.
            self._waiting += 1
            again = partial(self._ask_again, peer, body, then, cause=cause, own=own, on_slow=on_slow)
            self._alarms.at(now.steady + limits.PACE_S, again)
            if on_slow:
                self._alarms.at(now.steady, on_slow)
            return
        times = self._times(body)
        timeout_s = times.timeout_s(peer.key)
        token = self._tokens.of(peer, now)
        question = _Open(peer, now.steady, timeout_s, own or self._node, body, cause, then, on_slow, token)
        id = self._random.bytes(limits.RPC_ID_BYTES)
        self._open[id] = question
        self._awaited.setdefault(peer, {})[id] = None
        self._send_question(id, question, now)
        question.alarm = self._alarms.at(now.steady + times.slow_s(peer.key), lambda later: self._on_silence(id, later))

    def _ask_again(
        self,
        peer: Peer,
        body: Body,
        then: Then,
        now: Now,
        *,
        cause: Cause,
        own: SigningKey | None,
        on_slow: OnSlow | None,
    ) -> None:
        self._waiting -= 1
        self.ask(peer, body, then, now, cause=cause, own=own, on_slow=on_slow)

    def _ask_held(self, now: Now) -> None:
        """The window has room again; who has waited too long is told so, and has asked others since."""
        for held in self._held:
            while held and (len(self._open) < self._window.most or held[0][0] <= now.steady):
                until_s, again, then = held.popleft()
                if now.steady < until_s:
                    again(now)
                else:
                    self._waiting -= 1
                    then(None, now)

    def tell(self, peer: Peer, body: Body, now: Now, *, cause: Cause) -> None:
        """Send what is not answered."""
        serves = self._handler.serves_to(peer.endpoint)
        packet = Packet(self._random.bytes(limits.RPC_ID_BYTES), self._tokens.of(peer, now), serves, body)
        self._send(peer, self._node, packet.encode(), cause)

    def keep_open(self, endpoint: Endpoint) -> None:
        """Send the smallest packet that there is, which nobody answers: routers go on letting theirs in."""
        data = Knock(self._network, bytes(limits.TOKEN_BYTES), False).encode()
        self._counters.sent(Cause.LISTEN, len(data))
        self._effects.append(SendDatagram(endpoint, data, cause=Cause.LISTEN))

    def forget_tokens(self) -> None:
        """We are at another address: questions prove nothing there by the tokens of before."""
        self._tokens.forget_given()
        self._window.forget()

    def hello(self, endpoint: Endpoint) -> None:
        """Ask a bare endpoint for its key."""
        id = self._random.bytes(limits.RPC_ID_BYTES)
        self._hellos.put(id, endpoint)
        data = Hello(self._network, id).encode()
        self._counters.sent(Cause.JOIN, len(data))
        self._effects.append(SendDatagram(endpoint, data, cause=Cause.JOIN))

    def accept_as(self, own: SigningKey, peer: NodeKey) -> None:
        """Let a peer write to this key of ours unasked, besides the node's."""
        aliases = self._aliases.find(peer) or {}
        aliases.pop(NodeKey(own.public), None)
        aliases[NodeKey(own.public)] = own
        if len(aliases) > limits.LISTENS:  # in a small network one node may hold for all that we listen at
            del aliases[next(iter(aliases))]
        self._aliases.put(peer, aliases)

    def accept_no_more(self, own: SigningKey, peer: NodeKey) -> None:
        """What the peer writes to this key of ours is nothing any more: each key costs a try at whatever comes."""
        (self._aliases.find(peer) or {}).pop(NodeKey(own.public), None)

    def _times(self, body: Body) -> RoundTrips:
        return self._receipts if isinstance(body, rpc.Store) else self.round_trips

    def _send_question(self, id: bytes, question: _Open, now: Now) -> None:
        serves = question.own is self._node and self._handler.serves_to(question.peer.endpoint)
        packet = Packet(id, question.token, serves, question.body)
        if not question.token or question.repeated:  # who has started anew takes no token of before
            least = limits.SMALL_PADDING_BYTES if isinstance(question.body, _SMALL) else limits.DATAGRAM_BYTES
            packet = _padded(packet, least)
        self._send(question.peer, question.own, packet.encode(), question.cause)

    def _on_silence(self, id: bytes, now: Now) -> None:
        """The next step of the table above."""
        question = self._open[id]
        if now.steady >= question.sent_s + limits.HARD_TIMEOUTS * question.timeout_s:
            self._close(id, now)
            self._late.put(id, _Sent(question.peer, question.sent_s, question.timeout_s))
            self._times(question.body).unanswered()
            self._handler.on_unanswered(question.peer, now)
            question.then(None, now)
            self._ask_held(now)
            return
        if not question.repeated and now.steady >= question.sent_s + question.timeout_s:
            question.repeated = True
            self._send_question(id, question, now)
        timeouts = limits.HARD_TIMEOUTS if question.repeated else 1
        again_s = question.sent_s + timeouts * question.timeout_s
        question.alarm = self._alarms.at(again_s, lambda later: self._on_silence(id, later))
        if not question.slow:
            question.slow = True
            self.suspects.add(question.peer)
            if question.on_slow:
                question.on_slow(now)

    def _close(self, id: bytes, now: Now) -> None:
        """Its place is for who is told of it and asks at once, but some are for those who wait: or one long
        conversation in fragments would have them all."""
        question = self._open.pop(id)
        awaited = self._awaited[question.peer]
        del awaited[id]
        if not awaited:
            del self._awaited[question.peer]
        if question.alarm:
            question.alarm.cancel()
        self._freed = (self._freed + 1) % limits.WINDOW_MIN
        if not self._freed:
            self._ask_held(now)

    # --- hearing

    def on_datagram(self, data: bytes, source: Endpoint, now: Now) -> None:
        """Anything from the socket that is the DHT's; what is not right is counted and forgotten."""
        try:
            datagram = decode(data)
            if datagram.network != self._network:
                raise PeerError("network")
            match datagram:
                case Sealed():
                    cause = self._on_sealed(datagram, len(data), source, now)
                case Hello():
                    cause = self._on_hello(datagram, source, now)
                case Welcome():
                    cause = self._on_welcome(datagram, source, now)
                case Knock():
                    raise PeerError("knock")
        except PeerError as error:
            self._counters.reject(error.reason, now)
            cause = Cause.REJECTED
        self._counters.received(cause, len(data))

    def _on_hello(self, hello: Hello, source: Endpoint, now: Now) -> Cause:
        self._admit(source, None, now)
        token = self._tokens.give(source, now)
        key = NodeKey(self._node.public)
        serves = self._handler.serves_to(source)
        welcome = Welcome(self._network, hello.id, key, token, now.wall_ms, serves, source)
        data = welcome.encode()
        self._counters.sent(Cause.ANSWER, len(data))
        self._effects.append(SendDatagram(source, data, cause=Cause.ANSWER))
        return Cause.ANSWER

    def _on_welcome(self, welcome: Welcome, source: Endpoint, now: Now) -> Cause:
        if self._hellos.find(welcome.id) != source:
            raise PeerError("unasked")
        self._hellos.pop(welcome.id)
        if welcome.key == self._node.public:
            raise PeerError("ourselves")
        peer = Peer(welcome.key, source)
        self._tokens.keep(peer, welcome.token, now)
        self._handler.on_welcome(peer, now)
        return Cause.JOIN

    def _on_sealed(self, sealed: Sealed, size: int, source: Endpoint, now: Now) -> Cause:
        if sealed.sender == self._node.public:
            raise PeerError("ourselves")
        peer = Peer(sealed.sender, source)
        awaited = self._awaited.get(peer, {})
        if not awaited:
            self._admit(source, sealed.sender, now)
        own, packet = self._opened(sealed, awaited, now)
        self.suspects.clear(peer)
        if isinstance(packet.body, rpc.Reply):
            return self._on_reply(peer, own, packet, now)
        return self._on_question(peer, own, packet, size, now)

    def _opened(self, sealed: Sealed, awaited: dict[bytes, None], now: Now) -> tuple[SigningKey, Packet]:
        """The packet, and the key of ours that it was sealed for: one that asks, or listens, or the node's."""
        keys = {NodeKey(self._open[id].own.public): self._open[id].own for id in awaited}
        keys[NodeKey(self._node.public)] = self._node
        keys.update(self._aliases.find(sealed.sender) or {})
        for own in keys.values():
            key = self._shared_key(own, sealed.sender, now if not awaited else None)
            try:
                return own, Packet.decode(unseal(key, sealed.nonce, sealed.box, sealed.header))
            except PeerError as error:
                if error.reason != "unsealable":
                    raise
        raise PeerError("unsealable")

    def _on_reply(self, peer: Peer, own: SigningKey, packet: Packet, now: Now) -> Cause:
        question = self._open.get(packet.id)
        if question is None or question.peer != peer or question.own.public != own.public:
            late = self._late.find(packet.id)
            if late is None or late.peer != peer:
                raise PeerError("unasked")
            self._late.pop(packet.id)
            self._window.add(*late.delays_s(now), len(self._open), now.steady)
            raise PeerError("late")
        self._tokens.keep(peer, packet.token, now)
        if isinstance(packet.body, Failed) and packet.body.reason == Refusal.TOKEN and not question.repeated:
            question.repeated = True
            question.token = packet.token
            self._send_question(packet.id, question, now)
            return question.cause
        self._window.add(*question.delays_s(now), len(self._open), now.steady)
        self._close(packet.id, now)
        if not question.repeated:
            self._times(question.body).add(peer.key, now.steady - question.sent_s)
        elif now.steady >= question.sent_s + question.timeout_s:
            self._times(question.body).unanswered()  # in time: where all are late, nothing else would ever tell
        self._handler.on_answered(peer, packet.serves, now)
        question.then(packet.body, now)
        self._ask_held(now)
        return question.cause

    def _on_question(self, peer: Peer, own: SigningKey, packet: Packet, size: int, now: Now) -> Cause:
        cause = Cause.LISTEN if isinstance(packet.body, rpc.Push) else Cause.ANSWER
        proven = self._tokens.proves(packet.token, peer.endpoint, now)
        allowed = limits.DATAGRAM_BYTES if proven else size
        question = Question(peer, packet.body, packet.serves, proven, own, allowed - SEALED_OVERHEAD_BYTES)
        answer = self._handler.on_question(question, now)
        if answer is None:
            return cause
        fresh = proven and self._tokens.is_current(packet.token, peer.endpoint)
        token = b"" if fresh else self._tokens.give(peer.endpoint, now)
        serves = own is self._node and self._handler.serves_to(peer.endpoint)
        reply = Packet(packet.id, token, serves, answer.body).encode()
        if len(reply) + BOX_AT + limits.BOX_OVERHEAD_BYTES > allowed:
            raise PeerError("unpadded")
        self._send(peer, own, reply, cause, after_records=answer.after_records)
        return cause

    # --- what both need

    def _admit(self, source: Endpoint, sender: NodeKey | None, now: Now) -> None:
        """Raise `PeerError` where a source is too busy; a private network counts keys, an open one addresses."""
        by_key = self._private and sender is not None
        name = sender if by_key and sender else source_prefix(source.host)
        admitted = self._sources.take(name, now.steady)
        if admitted and not self._private:
            admitted = self._networks.take(networks(source.host)[0], now.steady)
        if not admitted:
            raise PeerError("rate")

    def _shared_key(self, own: SigningKey, other: NodeKey, stranger_now: Now | None) -> bytes:
        """The datagram key with another; strangers' are rationed, as agreement is what costs."""
        names = (NodeKey(own.public), other)
        key = self._shared.find(names)
        if key is None:
            if stranger_now and not self._agreements.take(stranger_now.steady):
                raise PeerError("rate")
            key = datagram_key(own, other)
            self._shared.put(names, key)
        return key

    def _send(self, peer: Peer, own: SigningKey, packet: bytes, cause: Cause, *, after_records: bool = False) -> None:
        try:
            key = self._shared_key(own, peer.key, None)
        except PeerError:
            return  # a contact's key that is no point: the question fails by its time-out
        header = Sealed(self._network, NodeKey(own.public), self._random.bytes(limits.NONCE_BYTES), b"")
        box = seal(key, header.nonce, packet, header.header)
        data = Sealed(header.network, header.sender, header.nonce, box).encode()
        self._counters.sent(cause, len(data))
        self._effects.append(SendDatagram(peer.endpoint, data, after_records, cause))


def _padded(packet: Packet, datagram_bytes: int) -> Packet:
    """The packet with zeros, so that its datagram measures so much."""
    missing = datagram_bytes - BOX_AT - limits.BOX_OVERHEAD_BYTES - len(packet.encode())
    if missing <= 0:
        return packet
    # Above 255 bytes the padding's own head takes one byte more.
    padding = bytes(missing if missing <= 0xFF else missing - 1)
    return Packet(packet.id, packet.token, packet.serves, packet.body, padding)
