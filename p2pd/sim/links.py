"""Links between the hosts: dialled, kept alive, and ended as `p2pd.net.links` and `p2pd.net.connection` do it.

Knows no frame's meaning.
Rules: each end knows only what has reached it, so the two may differ for a while.  Frames arrive in order and once;
what a path loses is repeated for as long as the end waits for an answer, which is `limits.UNANSWERED_S`: a path that
heals before that has lost nothing, one that does not has both ends hear that the link is closed, each in its time.
An end that hears nothing asks after `limits.KEEPALIVE_S`; so `limits.IDLE_S` is never reached.
The word that a link is closed is sent once, and may be lost.
"""

from collections import Counter
from functools import partial
from hashlib import blake2b

from p2pd import limits
from p2pd.effects import LinkKind, OpenLink
from p2pd.sim.carriage import Carriage, packets_of
from p2pd.sim.dialling import Dial, Dials
from p2pd.sim.ends import End, Sending
from p2pd.sim.hosts import Host, Inputs
from p2pd.sim.routes import Path
from p2pd.types import NodeKey

_CLOSED = "closed by the peer"
"""What the other end is told; the reason stays with who closes."""


class Links:
    """All links of the world."""

    def __init__(self, carriage: Carriage, give: Inputs, counts: Counter[str]) -> None:
        self._carriage = carriage
        self._agenda = carriage.agenda
        self._give = give
        self._counts = counts
        self._dials = Dials(carriage, give, self._reached, self.close)
        self._ends: dict[str, dict[int, End]] = {}
        self._incoming: dict[str, int] = {}
        self._opened = 0

    def open_at(self, host: str) -> list[tuple[int, NodeKey]]:
        """The links that a host's core knows, with who is at their other ends."""
        return [(end.number, end.node) for end in self._ends.get(host, {}).values() if end.up]

    # --- what the core asks

    def dial(self, host: Host, wish: OpenLink) -> None:
        """Dial; `on_link_opened` or `on_link_failed` will answer."""
        self._dials.begin(host, wish)

    def send(self, host: Host, number: int, frame: bytes) -> None:
        """Send a frame; a link that is down, or whose peer does not keep up, takes none."""
        if not 1 <= len(frame) <= limits.LINK_FRAME_BYTES:
            raise ValueError(f"a frame of {len(frame)} bytes is not within 1 to {limits.LINK_FRAME_BYTES}")
        end = self._ends.get(host.name, {}).get(number)
        if end is None or not end.up:
            self._counts["frame for a link that is down"] += 1
            return
        end.put(frame, packets_of(len(frame)))
        if end.unsent_bytes > limits.LINK_UNSENT_MAX_BYTES:
            self._counts["link too slow"] += 1
            self._over(end, "too slow")
            self._tell_other(end)
            return
        self._push(end)

    def close(self, host: Host, number: int) -> None:
        """Close a link, or stop dialling it, without an answer."""
        dial = self._dials.find(host, number)
        if dial is not None:
            self._dials.end(dial)
        end = self._ends.get(host.name, {}).pop(number, None)
        if end is not None:
            end.open = False
            self._tell_other(end)

    def check(self, host: Host, number: int) -> None:
        """Ask whether a link still leads anywhere, and close it soon where it does not."""
        end = self._ends.get(host.name, {}).get(number)
        if end is not None and end.up:
            asked_at = self._agenda.time_s
            self._push(end)
            self._agenda.after(limits.CHECK_LINK_S, partial(self._checked, end, asked_at))

    def _checked(self, end: End, asked_at: float) -> None:
        if end.open and end.host.running and end.heard_at < asked_at:
            self._over(end, "no answer")
            self._tell_other(end)

    def close_all(self, host: Host) -> None:
        """Close every link and dial, and tell the peers."""
        dialled = [dial.wish.link for dial in self._dials.of(host)]
        for number in [*dialled, *self._ends.get(host.name, {})]:
            self.close(host, number)

    # --- what happens to a process

    def drop_all(self, host: Host) -> None:
        """The process is gone, and tells nobody."""
        for dial in self._dials.of(host):
            self._dials.end(dial)
        for end in self._ends.pop(host.name, {}).values():
            end.open = False

    def sleep(self, host: Host, slept_s: float) -> None:
        """The host was suspended for so long: for its ends no time has passed."""
        for end in self._ends.get(host.name, {}).values():
            end.heard_at += slept_s
            end.pinged_at += slept_s
            if end.asked_at is not None:
                end.asked_at += slept_s

    def leap(self, host: Host, seconds: float) -> None:
        """The host's steady clock has leapt: what was quiet for too long by it has ended, and nobody is told."""
        self.sleep(host, -seconds)
        for dial in self._dials.of(host):
            dial.deadline -= seconds
        for end in list(self._ends.get(host.name, {}).values()):
            if end.up and self._agenda.time_s >= end.heard_at + limits.IDLE_S:
                self._over(end, "idle")

    def resume(self, host: Host) -> None:
        """The process is run again: first it finds what has come, then what is overdue happens."""
        self._dials.resume(host)
        for end in list(self._ends.get(host.name, {}).values()):
            if end.heard_meanwhile:
                end.hear(self._agenda.time_s)
            if end.up:
                if end.sending or end.unacknowledged:
                    self._push(end)
                self._watch(end)

    # --- the last steps of a dial

    def _reached(self, dial: Dial, path: Path, life: int) -> None:
        """The right node has answered: the first that does is the one."""
        there = path.acceptor
        if there is None or dial.wish.link in self._ends.get(dial.host.name, {}):
            return
        end = self._add(dial.host, dial.wish.link, dial.wish.node, path)

        def wanted() -> bool:
            return end.open and not end.up and there.life == life

        self._carriage.carry(
            path, dial.host, limits.QUIC_DATAGRAM_BYTES, partial(self._accept, dial, end, there), wanted
        )

    def _accept(self, dial: Dial, dialler: End, there: Host) -> None:
        number = self._incoming.get(there.name, 0) - 1
        self._incoming[there.name] = number
        acceptor = self._add(there, number, dial.known_as, dialler.path)
        acceptor.up = True
        acceptor.other, dialler.other = dialler, acceptor
        self._opened += 1
        binding = blake2b(b"%d" % self._opened + acceptor.node + dialler.node, digest_size=32).digest()
        accepted = partial(self._accepted, dial, dialler, acceptor, binding)
        self._carriage.carry(dialler.path, there, 1, accepted, lambda: dialler.open and acceptor.open)
        self._watch(acceptor)
        self._tell_opened(dial, acceptor, binding, outgoing=False)

    def _accepted(self, dial: Dial, dialler: End, acceptor: End, binding: bytes) -> None:
        self._dials.end(dial)
        dialler.up = True
        dialler.hear(self._agenda.time_s)
        self._watch(dialler)
        if acceptor.sending:
            self._push(acceptor)  # what it had to say comes after its answer
        self._tell_opened(dial, dialler, binding, outgoing=True)

    def _tell_opened(self, dial: Dial, end: End, binding: bytes, *, outgoing: bool) -> None:
        there = end.path.to if outgoing else end.path.back
        if dial.wish.kind is LinkKind.RELAY:
            self._give(end.host, "on_relay_opened", end.number, end.node, there, outgoing)
        else:
            self._give(end.host, "on_link_opened", end.number, end.node, there, binding, outgoing)

    def _add(self, host: Host, number: int, node: NodeKey, path: Path) -> End:
        time_s = self._agenda.time_s
        end = End(host, number, node, path, time_s, time_s, self._carriage.patience_s(path, host))
        self._ends.setdefault(host.name, {})[number] = end
        return end

    # --- packets of one direction

    def _push(self, end: End) -> None:
        """Send what has not arrived, and ask for an answer; what arrives is a prefix, since frames keep their order."""
        other = end.other
        if other is None or not end.open or not end.host.running:
            return
        time_s = self._agenda.time_s
        if end.asked_at is None:
            end.asked_at = time_s
            self._watch(end)
        end.unacknowledged = True
        if not other.up:
            return
        for sending in end.sending:
            sending.packets = self._carriage.lost(end.path, end.host, sending.packets)
        flying: list[Sending] = []
        while end.sending and not end.sending[0].packets:
            flying.append(end.sending.popleft())
        if flying or (not end.sending and not self._carriage.lost(end.path, end.host, 1)):
            end.lands_at = max(end.lands_at, time_s + self._carriage.under_way_s(end.path, end.host))
            self._agenda.after(end.lands_at - time_s, partial(self._land, end, other, flying))
        else:
            self._repeat_later(end)
        if end.sending:
            self._repeat_later(end)

    def _repeat_later(self, end: End) -> None:
        if not end.repeating:
            end.repeating = True
            self._agenda.after(end.patience_s, partial(self._repeat, end))
            end.patience_s *= 2

    def _repeat(self, end: End) -> None:
        end.repeating = False
        if end.sending or end.unacknowledged:
            self._push(end)

    def _land(self, end: End, other: End, flying: list[Sending]) -> None:
        """Packets have come to the other end's host; nobody there knows them where the process is another one."""
        if not other.open:
            return
        if not other.host.running or (flying and flying[0].number != end.arrived):
            other.heard_meanwhile = other.heard_meanwhile or other.host.stalled
            for sending in flying:
                sending.packets = packets_of(len(sending.frame))
            end.put_back(flying)
            self._repeat_later(end)
            return
        other.hear(self._agenda.time_s)
        if self._carriage.lost(end.path, other.host, 1) or not end.open:
            self._repeat_later(end)
        else:
            self._acknowledged(end, other)
        end.arrived += len(flying)
        end.unsent_bytes -= sum(len(sending.frame) for sending in flying)
        for sending in flying:
            if other.open:
                self._give(other.host, "on_frame", other.number, sending.frame)
        end.untold_bytes += sum(limits.LINK_PREFIX_BYTES + len(sending.frame) for sending in flying)
        if end.open and end.untold_bytes >= limits.LINK_TAKEN_STEP_BYTES:
            self._agenda.after(0, partial(self._taken, end, end.untold_bytes))
            end.untold_bytes = 0

    def _taken(self, end: End, size_bytes: int) -> None:
        if end.open:
            self._give(end.host, "on_link_taken", end.number, size_bytes)

    def _acknowledged(self, end: End, other: End) -> None:
        """The acknowledgement is on its way; that it will come is known now, since nothing asks in between."""
        end.unacknowledged = bool(end.sending)
        end.patience_s = self._carriage.patience_s(end.path, end.host)
        if end.host.running:
            end.hear(self._agenda.time_s)
        elif end.host.stalled:
            end.heard_meanwhile = True

    # --- the time of one end

    def _watch(self, end: End) -> None:
        """Look after the end when it is to ask, or to give up."""
        due = self._due_at(end)
        if end.watched_until is None or end.watched_until > due:
            end.watched_until = due
            self._agenda.after(max(0.0, due - self._agenda.time_s), partial(self._look, end, due))

    def _due_at(self, end: End) -> float:
        asks_at = max(end.heard_at, end.pinged_at) + limits.KEEPALIVE_S
        return asks_at if end.asked_at is None else min(asks_at, end.asked_at + limits.UNANSWERED_S)

    def _look(self, end: End, when: float) -> None:
        if end.watched_until != when:
            return
        end.watched_until = None
        if not end.open or not end.host.running:
            return
        time_s = self._agenda.time_s
        if end.asked_at is not None and time_s >= end.asked_at + limits.UNANSWERED_S:
            self._over(end, "no answer")
            self._tell_other(end)
            return
        if time_s >= max(end.heard_at, end.pinged_at) + limits.KEEPALIVE_S:
            end.pinged_at = time_s
            self._push(end)
        self._watch(end)

    # --- the end

    def _over(self, end: End, reason: str) -> None:
        """An end closes by itself, and its core is told."""
        ends = self._ends.get(end.host.name, {})
        if ends.get(end.number) is not end:
            return
        del ends[end.number]
        end.open = False
        self._counts["link closed"] += 1
        self._agenda.after(0, partial(self._tell_closed, end, end.host.core, reason))

    def _tell_closed(self, end: End, core: int, reason: str) -> None:
        if end.host.core == core:
            self._give(end.host, "on_link_closed", end.number, reason)

    def _tell_other(self, end: End) -> None:
        """Say once that it is closed, after what was sent before."""
        other = end.other
        if other is None or not other.open or self._carriage.lost(end.path, end.host, 1):
            return
        time_s = self._agenda.time_s
        lands_at = max(end.lands_at, time_s + self._carriage.under_way_s(end.path, end.host))
        self._agenda.after(lands_at - time_s, partial(self._hear_closed, other))

    def _hear_closed(self, end: End) -> None:
        if not end.open or not end.host.running:
            return
        if end.up:
            self._over(end, _CLOSED)
            return
        dial = self._dials.find(end.host, end.number)
        if dial is not None:
            self._dials.fail(dial, _CLOSED)
