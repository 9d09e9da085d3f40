"""Turns in virtual time are the driver's: committed before anything leaves, undone whole, and cut off anywhere."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from p2pd import limits
from p2pd.effects import Effect, Notify, Respond, SendDatagram
from p2pd.errors import P2pdError, PeerError, StorageError, UsageError
from p2pd.sim.crashes import BrokenCallError, CrashedError, DownError, InjectedError, Moment
from p2pd.sim.watching import Phase
from p2pd.store import KnownNode
from p2pd.types import Endpoint, NodeKey, Now
from tests.sim.machines import DATAGRAM, A, B, Stagehand

TO_B = SendDatagram(Endpoint(B, 4242), DATAGRAM)
RECEIPT = SendDatagram(Endpoint(B, 4242), DATAGRAM + b"receipt", after_records=True)


class Watcher:
    """Notes what it is told of one host."""

    def __init__(self, stage: Stagehand, host: str = A) -> None:
        self.seen: list[object] = []
        self._host = host
        stage.world.observers.append(self)

    def on_turn(self, host: str, phase: Phase) -> None:
        if host == self._host:
            self.seen.append(phase)

    def on_effect(self, host: str, effect: Effect) -> None:
        if host == self._host:
            self.seen.append(effect)

    def on_down(self, host: str, why: str) -> None:
        if host == self._host:
            self.seen.append(why)


def known(number: int) -> KnownNode:
    return KnownNode(NodeKey(bytes([number]) * 32), "10.0.0.9:1", 1, number)


def numbers(stage: Stagehand) -> list[int]:
    """The records' store, as it is on the disk or will be."""
    return sorted(node.last_seen_s for node in stage.nodes[A].disk.records.known_nodes())  # type: ignore[union-attr]


def remember(stage: Stagehand, number: int, *effects: Effect) -> None:
    """A turn that changes the records and wants something."""

    def turn(_now: Now) -> None:
        stage.nodes[A].disk.records.save_node(known(number))  # type: ignore[union-attr]
        stage[A].wants.extend(effects)

    stage.world.call(A, turn)


def arrived(stage: Stagehand) -> int:
    stage.world.run(1)
    return len(stage[B].heard("on_datagram"))


def test_a_turn_is_committed_before_its_effects_leave() -> None:
    stage = Stagehand()
    watcher = Watcher(stage)
    stage.keep(A, "name", TO_B)
    assert watcher.seen == [Phase.BEGUN, Phase.COMMITTED, TO_B]
    assert stage.kept(A, "name") == b"kept"
    assert arrived(stage) == 1


class TestCrashes:
    def crash(self, moment: Moment, *, power: bool = False, after: int = 1, turns: int = 1) -> Stagehand:
        stage = Stagehand()
        stage.world.crash_at(A, moment, after=after, power=power)
        for number in range(1, turns):
            stage.keep(A, f"name {number}", TO_B)
        with pytest.raises(CrashedError) as raised:
            stage.keep(A, f"name {turns}", TO_B, TO_B, TO_B)
        assert raised.value.moment is moment
        assert not stage.world.is_running(A)
        return stage

    def test_before_the_commit_nothing_is_kept_and_nothing_leaves(self) -> None:
        stage = self.crash(Moment.BEFORE_COMMIT)
        assert stage.kept(A, "name 1") is None
        assert arrived(stage) == 0

    def test_after_the_commit_it_is_kept_and_nothing_leaves(self) -> None:
        stage = self.crash(Moment.AFTER_COMMIT)
        assert stage.kept(A, "name 1") == b"kept"
        assert arrived(stage) == 0

    @pytest.mark.parametrize("effects", [1, 2, 3])
    def test_after_an_effect_those_before_have_left(self, effects: int) -> None:
        stage = self.crash(Moment.EFFECT, after=effects)
        assert stage.kept(A, "name 1") == b"kept"
        assert arrived(stage) == effects

    @pytest.mark.parametrize(("moment", "kept"), [(Moment.BEFORE_COMMIT, None), (Moment.AFTER_COMMIT, b"kept")])
    def test_at_the_so_many_th_commit(self, moment: Moment, kept: bytes | None) -> None:
        stage = self.crash(moment, after=3, turns=3)
        assert [stage.kept(A, f"name {number}") for number in (1, 2, 3)] == [b"kept", b"kept", kept]

    def test_turns_without_a_change_are_no_commits(self) -> None:
        stage = Stagehand()
        stage.world.crash_at(A, Moment.AFTER_COMMIT)
        stage.want(A, TO_B)
        assert stage.world.is_running(A)
        assert arrived(stage) == 1

    def test_within_a_turn_of_an_input_too(self) -> None:
        stage = Stagehand()
        disk = stage.nodes[B].disk
        stage[B].on_input = lambda _name, _facts: disk.user.set_value("heard", b"it")  # type: ignore[union-attr]
        stage.world.crash_at(B, Moment.BEFORE_COMMIT)
        watcher = Watcher(stage, B)
        stage.want(A, TO_B)
        stage.world.run(1)
        assert watcher.seen == [Phase.BEGUN, Phase.UNDONE, "before the commit"]
        assert stage.kept(B, "heard") is None
        stage.start(B)
        assert stage.world.is_running(B)

    def test_a_restart_finds_what_was_kept_and_another_process(self) -> None:
        stage = Stagehand()
        stage.keep(A, "name")
        before = stage[A]
        stage.world.kill(A)
        with pytest.raises(DownError):
            stage.want(A, TO_B)
        with pytest.raises(DownError):
            _ = stage[A]
        stage.start(A)
        assert stage[A] is not before
        assert stage.kept(A, "name") == b"kept"


class TestRecords:
    def test_what_was_not_committed_is_lost_with_the_process(self) -> None:
        stage = Stagehand()
        remember(stage, 1)
        stage.world.run(limits.RECORDS_COMMIT_S + 0.01)
        remember(stage, 2)
        assert numbers(stage) == [1, 2]
        stage.world.kill(A)
        assert numbers(stage) == [1]

    @pytest.mark.parametrize("power", [False, True])
    def test_what_was_not_flushed_is_lost_with_the_machine(self, power: bool) -> None:
        stage = Stagehand()
        remember(stage, 1, RECEIPT)
        stage.world.run(1)
        remember(stage, 2)
        stage.world.run(1)
        stage.world.kill(A, power=power)
        assert numbers(stage) == ([1] if power else [1, 2])

    def test_a_receipt_leaves_after_a_durable_commit_and_shares_it(self) -> None:
        stage = Stagehand()
        watcher = Watcher(stage)
        remember(stage, 1, RECEIPT, TO_B)
        assert watcher.seen == [Phase.BEGUN, Phase.COMMITTED, TO_B, RECEIPT]
        remember(stage, 2, RECEIPT)
        remember(stage, 3, RECEIPT)
        assert watcher.seen[4:] == [Phase.BEGUN, Phase.COMMITTED] * 2
        stage.world.kill(A, power=True)
        assert numbers(stage) == [1]
        stage.start(A)
        remember(stage, 2, RECEIPT)
        remember(stage, 3, RECEIPT)
        stage.world.run(limits.RECEIPTS_GAP_S)
        stage.world.kill(A, power=True)
        assert numbers(stage) == [1, 2, 3]

    @pytest.mark.parametrize(
        ("moment", "kept"), [(Moment.BEFORE_RECORDS_COMMIT, []), (Moment.AFTER_RECORDS_COMMIT, [1])]
    )
    def test_a_crash_at_the_records_commit(self, moment: Moment, kept: list[int]) -> None:
        stage = Stagehand()
        stage.world.crash_at(A, moment, power=True)
        with pytest.raises(CrashedError):
            remember(stage, 1, RECEIPT)
        assert numbers(stage) == kept
        assert arrived(stage) == 0

    def test_a_clean_end_keeps_all_and_lets_promises_leave(self) -> None:
        stage = Stagehand()
        remember(stage, 1, RECEIPT)
        remember(stage, 2, RECEIPT)
        remember(stage, 3)
        stage.world.stop(A)
        assert numbers(stage) == [1, 2, 3]
        assert arrived(stage) == 2


class TestFullDisk:
    def test_a_call_is_told_undone_and_the_core_rebuilt(self) -> None:
        stage = Stagehand()
        watcher, before = Watcher(stage), stage[A]
        stage.world.full_disk(A)
        with pytest.raises(StorageError):
            stage.keep(A, "name", TO_B)
        assert watcher.seen == [Phase.BEGUN, Phase.UNDONE]
        assert stage[A] is not before
        assert stage.world.counts["turn undone: storage"] == 1
        stage.world.full_disk(A, False)
        assert stage.kept(A, "name") is None
        stage.keep(A, "name", TO_B)
        assert arrived(stage) == 1

    def test_an_input_is_undone_the_core_rebuilt_and_its_timer_rests(self) -> None:
        stage = Stagehand()
        disk = stage.nodes[B].disk
        stage.world.full_disk(B)
        stage[B].on_input = lambda _name, _facts: disk.user.set_value("heard", b"it")  # type: ignore[union-attr]
        stage.want(A, TO_B)
        stage.world.run(0.05)
        assert not stage[B].told  # another one, which has heard nothing
        at = stage.world.time_s
        stage.world.call(B, lambda _now: setattr(stage[B], "rings_at", at))
        stage.world.run(2)
        (rang,) = stage[B].times("on_timer")
        assert at + 0.9 < rang < at + limits.REBUILD_PAUSE_S

    def test_rests_that_do_not_help_grow_up_to_a_bound(self) -> None:
        stage = Stagehand()
        stage.world.full_disk(B)
        began: list[float] = []

        def starts() -> None:
            """What an engine built anew does first of all: it wants its timer, and keeps something."""
            if stage.world.time_s < 200:
                at = stage.world.time_s

                def kept(_now: Now) -> None:
                    stage.nodes[B].disk.user.set_value("started", b"")  # type: ignore[union-attr]

                with pytest.raises(StorageError):
                    stage.world.call(B, kept)
                host = stage.world._hosts[B]
                if not began or host.pause_until > began[-1]:
                    began.append(host.pause_until)
                stage.world.after(max(0.1, host.pause_until - at), starts)

        starts()
        stage.world.run(400)
        rests = [round(later - earlier) for earlier, later in pairwise(began)]
        assert rests[:6] == [2, 4, 8, 16, 30, 30]
        with pytest.raises(StorageError):
            stage.world.call(B, lambda _now: stage.nodes[B].disk.user.set_value("again", b""))  # type: ignore[union-attr]
        assert stage.world._hosts[B].pause_s == limits.REBUILD_PAUSE_S, "a refusal of its own, long after the last"

    def test_promises_do_not_leave(self) -> None:
        stage = Stagehand()
        stage.world.full_disk(A)
        remember(stage, 1, RECEIPT)
        stage.world.run(1)
        assert numbers(stage) == []
        assert arrived(stage) == 0
        assert stage.world.counts["rebuilt"] == 0
        assert len(stage[A].heard("on_records_refused")) == 1
        stage.world.full_disk(A, False)
        remember(stage, 2, RECEIPT)
        assert arrived(stage) == 1  # and the one before never

    def test_turns_without_a_change_do_not_mind(self) -> None:
        stage = Stagehand()
        stage.world.full_disk(A)
        stage.want(A, TO_B)
        assert arrived(stage) == 1


def refuse(stage: Stagehand, error: Exception, *effects: Effect) -> Callable[[Now], None]:
    """A call that changes something, wants something, and is refused."""

    def turn(_now: Now) -> None:
        stage.nodes[A].disk.user.set_value("name", b"half")  # type: ignore[union-attr]
        stage[A].wants.extend(effects)
        raise error

    return turn


class TestBreaking:
    def test_a_refused_call_is_undone_alone(self) -> None:
        stage = Stagehand()
        before = stage[A]
        with pytest.raises(UsageError):
            stage.world.call(A, refuse(stage, UsageError("no"), Notify(1)))
        assert stage.kept(A, "name") is None
        assert stage[A] is before

    def test_a_call_refused_after_it_wanted_something_has_the_core_rebuilt(self) -> None:
        stage = Stagehand()
        before = stage[A]
        with pytest.raises(UsageError):
            stage.world.call(A, refuse(stage, UsageError("no"), TO_B))
        assert stage[A] is not before
        assert arrived(stage) == 0

    def test_a_bug_undoes_the_turn_and_is_raised(self) -> None:
        stage = Stagehand()
        with pytest.raises(KeyError):
            stage.world.call(A, refuse(stage, KeyError("bug"), TO_B))
        assert stage.kept(A, "name") is None
        assert [(bug.host, bug.at) for bug in stage.world.bugs] == [(A, "a call")]

    def test_an_arranged_bug_has_the_core_rebuilt_and_the_caller_told(self) -> None:
        stage = Stagehand()
        before = stage[A]
        stage.world.break_turn(A)
        with pytest.raises(BrokenCallError):
            stage.keep(A, "name", TO_B)
        assert stage[A] is not before
        assert stage.kept(A, "name") is None
        assert stage.world.bugs == []
        assert isinstance(InjectedError("x"), Exception)
        stage.keep(A, "name", TO_B)
        assert arrived(stage) == 1

    def test_three_bugs_within_a_minute_end_it(self) -> None:
        stage = Stagehand()
        stage.world.break_turn(A, limits.REBUILDS)
        for _ in range(limits.REBUILDS):
            assert stage.world.is_running(A)
            with pytest.raises(P2pdError):
                stage.keep(A, "name")
        assert not stage.world.is_running(A)

    def test_three_bugs_in_a_longer_time_do_not(self) -> None:
        stage = Stagehand()
        for _ in range(2 * limits.REBUILDS):
            stage.world.break_turn(A)
            with pytest.raises(P2pdError):
                stage.keep(A, "name")
            stage.world.run(limits.REBUILD_WINDOW_S)
        assert stage.world.is_running(A)

    def test_a_peers_bytes_that_slipped_through_are_no_bug(self) -> None:
        stage = Stagehand()

        def slip(_name: str, _facts: tuple[object, ...]) -> None:
            raise PeerError("slipped")

        for _ in range(2 * limits.REBUILDS):
            stage[B].on_input = slip
            stage.want(A, TO_B)
            stage.world.run(0.1)
        assert stage.world.is_running(B)
        assert stage.world.counts["turn undone: peer"] == 2 * limits.REBUILDS

    def test_an_effect_that_fails_is_a_bug(self) -> None:
        stage = Stagehand()
        with pytest.raises(ValueError, match="response"):
            stage.want(A, Respond(-1, bytes(limits.RESPONSE_BYTES + 1)))
        assert stage.world.counts["effect failed"] == 1


def test_a_timer_that_is_always_due_does_not_stop_the_world() -> None:
    stage = Stagehand()
    puppet = stage[A]
    puppet.next_deadline = lambda: 0.0  # type: ignore[method-assign]
    stage.want(A)
    stage.world.run(1)
    assert 900 < len(puppet.times("on_timer")) < 1_100
