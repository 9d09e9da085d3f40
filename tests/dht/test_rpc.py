"""Questions and answers: which of our keys are tried."""

from p2pd.crypto.keys import SigningKey
from p2pd.types import NodeKey
from tests.dht.virtual import Network


def test_what_we_listen_with_no_more_is_not_tried() -> None:
    network = Network("no more")
    rpc, own, holder = network.start("11.0.0.1").dht._rpc, SigningKey(b"k" * 32), NodeKey(b"h" * 32)
    rpc.accept_no_more(own, holder)
    rpc.accept_as(own, holder)
    rpc.accept_no_more(own, holder)
    assert not rpc._aliases.find(holder)
