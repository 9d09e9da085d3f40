"""Links in the virtual world behave as over QUIC: reliable while the path works, and ended at each end in its time."""

import pytest

from p2pd import limits
from p2pd.effects import CloseLink, OpenLink, SendFrame
from p2pd.sim.conditions import Conditions
from p2pd.types import Endpoint
from tests.sim.machines import A, B, C, Stagehand, key_of

CALM = Conditions(latency_s=(0.01, 0.02))
NOTICED_S = limits.KEEPALIVE_S + limits.UNANSWERED_S


def frames(count: int, size: int = 100) -> list[bytes]:
    return [bytes([number]) * size for number in range(count)]


def got(stage: Stagehand, host: str) -> list[object]:
    return [frame for _, frame in stage[host].heard("on_frame")]


def test_a_link_opens_at_both_ends_with_proven_nodes_and_one_binding() -> None:
    stage = Stagehand()
    ours, theirs = stage.link()
    opened, accepted = stage[A].heard("on_link_opened")[0], stage[B].heard("on_link_opened")[0]
    assert opened[:3] == (ours, key_of(B), Endpoint(B, 4242))
    assert accepted[:3] == (theirs, key_of(A), Endpoint(A, 4242))
    assert opened[3] == accepted[3]
    assert (opened[4], accepted[4]) == (True, False)
    assert theirs < 0
    # three ways until the acceptor believes it, one more until the dialler does
    assert 0.03 <= stage[B].times("on_link_opened")[0] < stage[A].times("on_link_opened")[0] <= 0.08


@pytest.mark.parametrize(("loss", "slower"), [(0.0, False), (0.3, True)])
def test_frames_arrive_in_order_and_once_and_loss_costs_time_only(loss: float, slower: bool) -> None:
    stage = Stagehand()
    ours, theirs = stage.link()
    stage.world.weather.set(Conditions(latency_s=(0.01, 0.02), loss=loss, reordering=0.2, corruption=loss / 3))
    begun = stage.world.time_s
    for frame in frames(40, 3_000):
        stage.want(A, SendFrame(ours, frame))
        stage.want(B, SendFrame(theirs, frame))
    stage.world.run(9)
    assert got(stage, A) == got(stage, B) == frames(40, 3_000)
    assert (stage[B].times("on_frame")[-1] - begun > 0.3) == slower
    assert not stage[A].heard("on_link_closed")


def test_what_is_sent_into_a_cut_arrives_when_it_heals_in_time() -> None:
    stage = Stagehand()
    ours, theirs = stage.link()
    stage.world.cut([A])
    stage.want(A, *(SendFrame(ours, frame) for frame in frames(3)))
    stage.want(B, SendFrame(theirs, b"back"))
    stage.world.run(limits.UNANSWERED_S / 2)
    assert not got(stage, B)
    stage.world.heal()
    stage.world.run(limits.UNANSWERED_S)
    assert got(stage, B) == frames(3)
    assert got(stage, A) == [b"back"]
    stage.world.run(100)
    assert not stage[A].heard("on_link_closed")
    assert not stage[B].heard("on_link_closed")


def test_a_cut_that_lasts_ends_the_link_at_both_ends_and_loses_the_frames() -> None:
    stage = Stagehand()
    ours, _ = stage.link()
    stage.world.cut([A])
    begun = stage.world.time_s
    stage.want(A, SendFrame(ours, b"lost"))
    stage.world.run(NOTICED_S + 1)
    assert stage[A].heard("on_link_closed") == [(ours, "no answer")]
    assert stage[A].times("on_link_closed")[0] - begun == pytest.approx(limits.UNANSWERED_S)
    # the other end sent nothing: it notices when it asks whether the link is alive
    assert len(stage[B].heard("on_link_closed")) == 1
    assert limits.UNANSWERED_S < stage[B].times("on_link_closed")[0] - begun <= NOTICED_S
    stage.world.heal()
    stage.world.run(100)
    assert not got(stage, B)
    stage.want(A, SendFrame(ours, b"into nothing"))
    assert stage.world.counts["frame for a link that is down"] == 1


def test_an_idle_link_across_a_cut_is_noticed_by_both() -> None:
    stage = Stagehand()
    stage.link()
    stage.world.run(100)
    stage.world.cut([B])
    begun = stage.world.time_s
    stage.world.run(NOTICED_S + 1)
    for host in (A, B):
        assert len(stage[host].heard("on_link_closed")) == 1
        assert stage[host].times("on_link_closed")[0] - begun > limits.UNANSWERED_S


def test_one_way_the_frames_arrive_and_the_sender_gives_up() -> None:
    stage = Stagehand()
    ours, _ = stage.link()
    stage.world.cut([B], [A], one_way=True)
    stage.want(A, SendFrame(ours, b"heard, but not answered"))
    stage.world.run(limits.UNANSWERED_S + 1)
    assert got(stage, B) == [b"heard, but not answered"]
    assert stage[A].heard("on_link_closed") == [(ours, "no answer")]
    # the word that it is closed goes the way that works
    assert len(stage[B].heard("on_link_closed")) == 1


@pytest.mark.parametrize("how", ["silence", "kill", "restart"])
def test_a_node_that_says_nothing_more_is_noticed_only_when_it_is_asked(how: str) -> None:
    stage = Stagehand()
    ours, _ = stage.link()
    match how:
        case "silence":
            stage.world.silence(B)
        case "kill":
            stage.world.kill(B)
        case _:
            stage.start(B)
    stage.world.run(1)
    assert not stage[A].heard("on_link_closed")
    stage.want(A, SendFrame(ours, b"are you there?"))
    stage.world.run(limits.UNANSWERED_S - 0.1)
    assert not stage[A].heard("on_link_closed")
    stage.world.run(0.2)
    assert stage[A].heard("on_link_closed") == [(ours, "no answer")]
    assert how == "kill" or not got(stage, B)


def test_a_clean_end_is_told() -> None:
    stage = Stagehand()
    ours, _ = stage.link()
    stage.world.stop(B)
    stage.world.run(0.1)
    assert stage[A].heard("on_link_closed") == [(ours, "closed by the peer")]


def test_closing_tells_the_other_end_after_what_was_sent_before() -> None:
    stage = Stagehand()
    ours, theirs = stage.link()
    stage.want(A, SendFrame(ours, b"last"), CloseLink(ours, "enough"))
    stage.world.run(1)
    assert [name for _, name, _ in stage[B].told[-2:]] == ["on_frame", "on_link_closed"]
    assert stage[B].heard("on_link_closed") == [(theirs, "closed by the peer")]
    assert not stage[A].heard("on_link_closed")


def test_a_rebuilt_core_knows_no_link_and_its_peers_are_told() -> None:
    stage = Stagehand()
    _ours, theirs = stage.link()
    stage.world.rebuild(A)
    stage.world.run(1)
    assert stage[B].heard("on_link_closed") == [(theirs, "closed by the peer")]
    stage.want(B, SendFrame(theirs, b"too late"))
    stage.world.run(1)
    assert not stage[A].told
    assert stage.world.links.open_at(A) == []


def test_frames_keep_their_order_where_a_process_stands_still_between_them() -> None:
    stage = Stagehand(conditions=Conditions(latency_s=(0.02, 0.02)))
    ours, _ = stage.link()
    for wait_s, frame in ((0.01, b"one"), (0.004, b"two"), (0.004, b"three")):
        stage.want(A, SendFrame(ours, frame))
        stage.world.run(wait_s)
    stage.world.stall(B, 0.005)  # `one` comes to a process that stands still, `two` and `three` to one that goes on
    stage.world.run(2)
    assert got(stage, B) == [b"one", b"two", b"three"]


def test_an_answer_that_waits_in_the_socket_keeps_the_link_of_who_stood_still() -> None:
    stage = Stagehand()
    ours, _ = stage.link()
    stage.want(A, SendFrame(ours, b"answered at once"))
    stage.world.stall(A, 2 * limits.UNANSWERED_S)
    stage.world.run(2 * NOTICED_S)
    assert got(stage, B) == [b"answered at once"]
    assert not stage[A].heard("on_link_closed")


def test_what_the_acceptor_says_first_comes_after_its_answer() -> None:
    for seed in range(10):
        stage = Stagehand(conditions=Conditions(latency_s=(0.01, 0.1), loss=0.2), seed=seed)

        def greet(name: str, facts: tuple[object, ...], stage: Stagehand = stage) -> None:
            if name == "on_link_opened":
                stage[B].wants.append(SendFrame(facts[0], b"welcome"))  # type: ignore[arg-type]

        stage[B].on_input = greet
        stage.want(A, OpenLink(1, key_of(B), (Endpoint(B, 4242),)))
        stage.world.run(4)
        assert [name for _, name, _ in stage[A].told] == ["on_link_opened", "on_frame"]


class TestDialling:
    def dial(self, stage: Stagehand, *hosts: str, node: str = B) -> float:
        """When it came to an end, after the dial."""
        begun = stage.world.time_s
        stage.want(A, OpenLink(1, key_of(node), tuple(Endpoint(host, 4242) for host in hosts)))
        stage.world.run(limits.DIAL_S + 1)
        (when,) = stage[A].times("on_link_opened") + stage[A].times("on_link_failed")
        return when - begun

    def test_another_node_is_not_linked(self) -> None:
        stage = Stagehand(A, B, C)
        assert self.dial(stage, C) < 0.1
        assert stage[A].heard("on_link_failed") == [(1, "other node key")]
        assert not stage[C].told

    def test_the_next_endpoint_is_tried_a_little_later(self) -> None:
        stage = Stagehand()
        assert limits.DIAL_STAGGER_S < self.dial(stage, "10.9.9.9", B) < limits.DIAL_STAGGER_S + 0.2
        assert stage[A].heard("on_link_opened")

    def test_the_first_endpoint_with_another_node_costs_no_more_than_its_answer(self) -> None:
        stage = Stagehand(A, B, C)
        assert self.dial(stage, C, B) < limits.DIAL_STAGGER_S
        assert stage[A].heard("on_link_opened")

    @pytest.mark.parametrize("why", ["nobody", "cut", "mtu", "silent"])
    def test_a_dial_without_an_answer_ends_in_time(self, why: str) -> None:
        stage = Stagehand()
        if why == "cut":
            stage.world.cut([B])
        if why == "mtu":
            stage.world.weather.set(Conditions(mtu_bytes=1_199))
        if why == "silent":
            stage.world.silence(B)
        assert self.dial(stage, "10.9.9.9" if why == "nobody" else B) == pytest.approx(limits.DIAL_S)
        assert stage[A].heard("on_link_failed") == [(1, "no answer")]

    def test_a_dial_across_a_sleep_fails_on_waking(self) -> None:
        stage = Stagehand()
        stage.world.cut([B])
        stage.want(A, OpenLink(1, key_of(B), (Endpoint(B, 4242),)))
        stage.world.sleep(A)
        stage.world.run(3_600)
        assert not stage[A].told
        stage.world.wake(A)
        assert stage[A].heard("on_link_failed") == [(1, "no answer")]

    def test_a_dial_given_up_is_silent(self) -> None:
        stage = Stagehand()
        stage.want(A, OpenLink(1, key_of(B), (Endpoint(B, 4242),)), CloseLink(1, "never mind"))
        stage.world.run(10)
        assert not stage[A].told
        assert not stage[B].told

    def test_too_many_dials_fail_at_once(self) -> None:
        stage = Stagehand()
        nowhere = (Endpoint("10.9.9.9", 4242),)
        stage.want(A, *(OpenLink(number, key_of(B), nowhere) for number in range(1, limits.DIALS + 2)))
        stage.want(A, OpenLink(999, key_of(B), ()))
        stage.world.run(0.01)
        assert stage[A].heard("on_link_failed") == [(limits.DIALS + 1, "too many dials"), (999, "no endpoint")]

    def test_an_acceptor_whose_last_word_is_lost_learns_that_it_has_no_link(self) -> None:
        stage = Stagehand(conditions=Conditions(latency_s=(0.02, 0.02)))
        stage.want(A, OpenLink(1, key_of(B), (Endpoint(B, 4242),)))
        stage.world.run_until(lambda: bool(stage[B].heard("on_link_opened")), 1)
        # its answer is in the air, and arrives; what it says next does not
        stage.world.kill(A)
        stage.world.run(NOTICED_S + 1)
        assert len(stage[B].heard("on_link_closed")) == 1


class TestCrowding:
    def test_a_link_says_what_its_peer_has_taken(self) -> None:
        stage = Stagehand()
        ours, _ = stage.link()
        stage.world.cut([A])
        stage.want(A, *(SendFrame(ours, bytes(20_000)) for _ in range(10)))
        stage.world.run(1)
        assert not stage[A].heard("on_link_taken")
        stage.world.heal()
        stage.world.run(5)
        taken = sum(size_bytes for _, size_bytes in stage[A].heard("on_link_taken"))
        whole = 10 * (20_000 + limits.LINK_PREFIX_BYTES)
        assert whole - limits.LINK_TAKEN_STEP_BYTES < taken <= whole
        assert len(got(stage, B)) == 10

    def test_a_link_whose_peer_does_not_keep_up_is_closed(self) -> None:
        stage = Stagehand()
        ours, _ = stage.link()
        stage.world.cut([A])
        count = limits.LINK_UNSENT_MAX_BYTES // 20_000 + 1
        stage.want(A, *(SendFrame(ours, bytes(20_000)) for _ in range(count)))
        stage.world.run(1)
        assert stage[A].heard("on_link_closed") == [(ours, "too slow")]

    def test_a_frame_of_bad_length_cannot_be_sent(self) -> None:
        stage = Stagehand()
        ours, _ = stage.link()
        with pytest.raises(ValueError, match="frame"):
            stage.want(A, SendFrame(ours, bytes(limits.LINK_FRAME_BYTES + 1)))
