"""Requests in the virtual world: answered exactly once, by the whole answer or by None."""

import pytest

from p2pd import limits
from p2pd.effects import Effect, Request, Respond
from p2pd.sim.conditions import Conditions
from p2pd.types import Endpoint, NodeKey
from tests.sim.machines import A, B, C, Stagehand, key_of, seed_of


def ask(number: int = 7, node: str = B, host: str = B, payload: bytes = b"question") -> Request:
    return Request(number, key_of(node), Endpoint(host, 4242), seed_of(A), payload)


def answers(stage: Stagehand, host: str = B) -> None:
    """The host answers every request."""

    def answer(name: str, facts: tuple[object, ...]) -> None:
        if name == "on_request":
            stage[host].wants.append(Respond(facts[0], b"answer to " + facts[3]))  # type: ignore[arg-type, operator]

    stage[host].on_input = answer


def after(stage: Stagehand, *wishes: Effect, run_s: float = limits.EXCHANGE_S + 1) -> list[tuple[float, object]]:
    """What was answered, and how long after."""
    begun = stage.world.time_s
    stage.want(A, *wishes)
    stage.world.run(run_s)
    facts = stage[A].heard("on_response")
    return [(when - begun, payload) for when, (_, payload) in zip(stage[A].times("on_response"), facts, strict=True)]


def test_a_request_names_its_signer_and_is_answered() -> None:
    stage = Stagehand()
    answers(stage)
    ((took_s, payload),) = after(stage, ask())
    assert payload == b"answer to question"
    assert 0.04 <= took_s <= 0.08  # a handshake of three ways, which carries the question, and the answer
    ((exchange, signer, endpoint, _),) = stage[B].heard("on_request")
    assert (signer, endpoint) == (key_of(A), Endpoint(A, 4242))
    assert isinstance(exchange, int)
    assert exchange < 0


def test_a_throwaway_key_hides_whose_request_it_is() -> None:
    stage = Stagehand()
    stage.want(A, Request(1, key_of(B), Endpoint(B, 4242), bytes(32), b""))
    stage.world.run(1)
    assert NodeKey(stage[B].heard("on_request")[0][1]) != key_of(A)  # type: ignore[arg-type]


@pytest.mark.parametrize("why", ["nobody", "cut", "unanswered", "silent", "killed"])
def test_without_an_answer_none_comes_in_time(why: str) -> None:
    stage = Stagehand()
    if why != "unanswered":
        answers(stage)
    if why == "cut":
        stage.world.cut([A])
    if why == "silent":
        stage.world.silence(B)
    if why == "killed":
        stage.world.after(0.025, lambda: stage.world.kill(B))
    came = after(stage, ask(host="10.9.9.9" if why == "nobody" else B))
    assert came == [(pytest.approx(limits.EXCHANGE_S), None)]


def test_a_path_that_heals_answers_late() -> None:
    stage = Stagehand()
    answers(stage)
    stage.world.cut([A])
    stage.world.after(3, stage.world.heal)
    ((took_s, payload),) = after(stage, ask())
    assert payload == b"answer to question"
    assert 3 < took_s < limits.EXCHANGE_S


def test_loss_costs_time_only() -> None:
    stage = Stagehand(conditions=Conditions(latency_s=(0.01, 0.02), loss=0.3))
    answers(stage)
    came = after(stage, *(ask(number, payload=bytes(50_000)) for number in range(1, 6)))
    assert [len(payload) for _, payload in came] == [50_010] * 5  # type: ignore[arg-type]
    assert max(took_s for took_s, _ in came) > 0.2


def test_another_node_is_found_out_by_its_key() -> None:
    stage = Stagehand(A, B, C)
    answers(stage, C)
    ((took_s, payload),) = after(stage, ask(host=C))
    assert payload is None
    assert took_s < 0.1
    assert not stage[C].told


def test_a_rebuilt_core_refuses_what_the_one_before_was_asked() -> None:
    stage = Stagehand()
    stage.world.after(0.5, lambda: stage.world.rebuild(B))
    ((took_s, payload),) = after(stage, ask())
    assert payload is None
    assert took_s < 0.6


def test_a_rebuilt_core_hears_nothing_of_what_the_one_before_asked() -> None:
    stage = Stagehand()
    answers(stage)
    stage.want(A, ask())
    stage.world.rebuild(A)
    stage.world.run(20)
    assert not stage[A].told


def test_an_answer_that_comes_too_late_is_counted() -> None:
    stage = Stagehand()
    after(stage, ask())
    stage.want(B, Respond(-1, b"late"))
    stage.world.run(1)
    assert stage.world.counts["response too late"] == 1
    assert len(stage[A].heard("on_response")) == 1


def test_too_many_requests_and_too_long_ones() -> None:
    stage = Stagehand()
    stage.want(A, *(ask(number) for number in range(1, limits.EXCHANGES_WAITING + 2)))
    stage.world.run(0.001)
    assert stage[A].heard("on_response") == [(limits.EXCHANGES_WAITING + 1, None)]
    with pytest.raises(ValueError, match="request"):
        stage.want(B, ask(payload=bytes(limits.REQUEST_BYTES + 1)))
