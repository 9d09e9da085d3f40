"""Questions and answers: which of our keys are tried, and under which an answer counts."""

import gc
import weakref

from p2pd.crypto.keys import SigningKey
from p2pd.dht.counters import Cause
from p2pd.dht.peers import Peer
from p2pd.types import Endpoint, NodeKey, Now
from p2pd.wire.rpc import Body, Ping, Pong
from tests.dht.virtual import Network


def test_an_answer_counts_also_where_its_key_was_made_twice() -> None:
    """Throwaway keys are made anew when many others were used meanwhile; those that we listen with stay."""
    network = Network("made twice")
    one, other = network.grow(2, settle_s=5)
    rpc, there = network.machines[one].dht._rpc, Peer(network.machines[other].key, Endpoint(other, 4242))
    listening, asking = SigningKey(b"k" * 32), SigningKey(b"k" * 32)
    rpc.accept_as(listening, there.key)
    answers: list[Body | None] = []

    def ask(now: Now) -> None:
        rpc.ask(there, Ping(), lambda body, _: answers.append(body), now, cause=Cause.GET, own=asking)

    network.world.call(one, ask)
    network.world.run(5)
    assert isinstance(answers[0], Pong)


def test_who_asked_in_vain_is_not_kept_for_an_answer_that_is_late() -> None:
    """A look-up is 30 kB, and of 256 questions the late answers are of interest."""
    network = Network("in vain")
    one, other = network.grow(2, settle_s=5)
    rpc, there = network.machines[one].dht._rpc, Peer(network.machines[other].key, Endpoint(other, 4242))
    answers: list[Body | None] = []

    class Asker:
        def hear(self, body: Body | None, now: Now) -> None:
            answers.append(body)

    def ask(asker: Asker) -> weakref.ref[Asker]:
        network.world.call(one, lambda now: rpc.ask(there, Ping(), asker.hear, now, cause=Cause.GET))
        return weakref.ref(asker)

    network.world.silence(other)
    gone = ask(Asker())
    assert gone() is not None
    network.world.run(60)
    assert answers == [None]
    assert len(rpc._late) > 0
    gc.collect()
    assert gone() is None


def test_what_we_listen_with_no_more_is_not_tried() -> None:
    network = Network("no more")
    rpc, own, holder = network.start("11.0.0.1").dht._rpc, SigningKey(b"k" * 32), NodeKey(b"h" * 32)
    rpc.accept_no_more(own, holder)
    rpc.accept_as(own, holder)
    rpc.accept_no_more(own, holder)
    assert not rpc._aliases.find(holder)
