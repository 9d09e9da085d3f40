"""NAT-PMP: its bytes, and every answer that a gateway may give."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.net.port_mapping.method import DeclinedError, UnansweredError
from p2pd.net.port_mapping.nat_pmp import ADDRESS_QUESTION, AddressAnswer, MapAnswer, MapRequest, NatPmp, Result
from p2pd.types import Endpoint
from tests.net.port_mapping.gateways import ANYWHERE, WAY, Answer, Gateway, gateway, nat_pmp, pcp, silent, version_only

ADDRESS = bytes.fromhex("0080 0000 000003e8 c6336407")
MAPPED = bytes.fromhex("0081 0000 000003e8 0fc8 c350 00000708")


def test_the_golden_packets() -> None:
    assert ADDRESS_QUESTION == b"\x00\x00"
    assert MapRequest(4040, 50_000, 3_600).encode() == bytes.fromhex("0001 0000 0fc8 c350 00000e10")
    assert AddressAnswer.decode(ADDRESS) == AddressAnswer(1_000, "198.51.100.7")
    assert MapAnswer.decode(MAPPED) == MapAnswer(1_000, 4040, 50_000, 1_800)


@pytest.mark.parametrize("cut", [0, 7, 11, 13])
def test_other_lengths_are_refused(cut: int) -> None:
    with pytest.raises(PeerError):
        AddressAnswer.decode((ADDRESS + bytes(9))[:cut])
    with pytest.raises(PeerError):
        MapAnswer.decode((MAPPED + bytes(9))[: cut + 4])


HEADS = st.sampled_from([ADDRESS, MAPPED])


@given(st.binary(max_size=20) | st.tuples(HEADS, st.binary(max_size=8)).map(lambda two: two[0][:8] + two[1]))
def test_hostile_bytes_raise_only_peer_errors(data: bytes) -> None:
    for decode in (AddressAnswer.decode, MapAnswer.decode):
        with suppress(PeerError):
            decode(data)


async def asked(answer: Answer) -> tuple[Gateway, object]:
    async with gateway(answer) as at:
        try:
            return at, await NatPmp(at.port).open(WAY, 4040, ANYWHERE)
        except PeerError as error:
            return at, error


async def test_a_mapping_is_granted() -> None:
    _, lease = await asked(nat_pmp(port=50_000, life_s=1_800))
    assert (lease.external, lease.lifetime_s, lease.epoch_s) == (Endpoint("198.51.100.7", 50_000), 1_800, 1_000)


async def test_a_mapping_is_taken_back() -> None:
    async with gateway(nat_pmp()) as at:
        await NatPmp(at.port).close(WAY, 4040, Endpoint("198.51.100.7", 50_000))
    assert at.asked == [MapRequest(4040, 0, 0).encode()]


@pytest.mark.parametrize("result", [result for result in Result if result])
@pytest.mark.parametrize("of", ["result", "address_result"])
async def test_every_refusal_is_told_in_words(result: Result, of: str) -> None:
    _, error = await asked(nat_pmp(**{of: int(result)}))
    assert isinstance(error, DeclinedError)
    words = "version" if result is Result.UNSUPPORTED_VERSION else result.name.lower().replace("_", " ")
    assert words in str(error)


async def test_a_refusal_may_be_cut_short() -> None:
    _, error = await asked(lambda data: [bytes.fromhex("0080 0003 000003e8")])
    assert str(error) == "network failure"


async def test_a_gateway_of_pcp_alone_is_not_asked_again() -> None:
    at, error = await asked(version_only(2))
    assert isinstance(error, PeerError)
    assert len(at.asked) <= len(limits.GATEWAY_ASK_S)


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [nat_pmp(internal=4041), pcp(), silent, lambda data: [data], lambda data: [ADDRESS + b"x"]],
    ids=["port", "PCP", "silence", "echo", "length"],
)
async def test_what_does_not_fit_is_no_answer(answer: Answer) -> None:
    assert isinstance((await asked(answer))[1], UnansweredError)


@pytest.mark.parametrize("answer", [nat_pmp(life_s=0), nat_pmp(port=0)], ids=["no time", "no port"])
async def test_a_grant_of_nothing_is_refused(answer: Answer) -> None:
    assert isinstance((await asked(answer))[1], PeerError)
