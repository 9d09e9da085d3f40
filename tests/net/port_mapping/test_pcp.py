"""PCP: its bytes, and every answer that a gateway may give."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pd import limits
from p2pd.errors import PeerError
from p2pd.net.port_mapping.method import DeclinedError, UnansweredError, Way
from p2pd.net.port_mapping.pcp import MapAnswer, MapRequest, Pcp, Result
from p2pd.types import Endpoint
from tests.net.port_mapping.gateways import (
    ANYWHERE,
    NONCE,
    SECRET,
    WAY,
    Answer,
    Gateway,
    gateway,
    nat_pmp,
    pcp,
    silent,
    version_only,
)

REQUEST = bytes.fromhex(
    "0201 0000 00000e10"  # version, opcode, lifetime of an hour
    "00000000000000000000ffff c0a80117"  # 192.168.1.23
    "7477656c7665206279746573"  # the nonce
    "11 000000 0fc8 0fc8"  # UDP, port 4040 at both ends
    "00000000000000000000ffff 00000000"  # any IPv4 address
)
ANSWER = bytes.fromhex(
    "0281 0000 00000708 000003e8 000000000000000000000000"  # half an hour, epoch 1000
    "7477656c7665206279746573"
    "11 000000 0fc8 c350"  # external port 50000
    "00000000000000000000ffff c6336407"  # 198.51.100.7
)
SIX = MapRequest("2001:db8::23", NONCE, 4040, Endpoint("::", 0), 0)


def test_the_golden_packets() -> None:
    assert MapRequest("192.168.1.23", NONCE, 4040, ANYWHERE, 3_600).encode() == REQUEST
    answer = MapAnswer.decode(ANSWER)
    assert answer == MapAnswer(0, 1_800, 1_000, NONCE, 17, 4040, Endpoint("198.51.100.7", 50_000))
    assert SIX.encode()[8:24] == bytes.fromhex("20010db8000000000000000000000023")
    assert SIX.encode()[44:] == bytes(16)
    assert MapAnswer.decode(ANSWER + bytes(8)) == answer, "options are ignored"


@pytest.mark.parametrize("size", [0, 3, 59, 61, 1_104])
def test_other_lengths_are_refused(size: int) -> None:
    with pytest.raises(PeerError):
        MapAnswer.decode((ANSWER + bytes(2_000))[:size])


@given(st.binary(max_size=1_200) | st.binary(max_size=60).map(lambda data: ANSWER[: 60 - len(data)] + data))
def test_hostile_bytes_raise_only_peer_errors(data: bytes) -> None:
    with suppress(PeerError):
        MapAnswer.decode(data)


async def asked(answer: Answer) -> tuple[Gateway, object]:
    async with gateway(answer) as at:
        try:
            return at, await Pcp(SECRET, at.port).open(WAY, 4040, ANYWHERE)
        except PeerError as error:
            return at, error


async def test_a_mapping_is_granted() -> None:
    at, lease = await asked(pcp(port=50_000, life_s=1_800))
    assert (lease.external, lease.lifetime_s, lease.epoch_s) == (Endpoint("198.51.100.7", 50_000), 1_800, 1_000)
    assert len(at.asked) == 1


async def test_a_mapping_is_taken_back_under_the_same_nonce() -> None:
    async with gateway(pcp()) as at:
        await Pcp(SECRET, at.port).close(WAY, 4040, Endpoint("198.51.100.7", 50_000))
        await Pcp(SECRET, at.port).open(WAY, 4040, ANYWHERE)
    closing, opening = at.asked
    assert (closing[4:8], closing[42:44]) == (bytes(4), bytes(2))
    assert closing[24:36] == opening[24:36], "also by a daemon that was restarted"


async def test_gateways_of_two_networks_see_two_nonces() -> None:
    async with gateway(pcp()) as one, gateway(pcp(), "127.5.3.52") as other:
        await Pcp(SECRET, one.port).open(WAY, 4040, ANYWHERE)
        await Pcp(SECRET, other.port).open(Way(WAY.own, "127.5.3.52"), 4040, ANYWHERE)
    assert one.asked[0][24:36] != other.asked[0][24:36]


@pytest.mark.parametrize("result", [result for result in Result if result > Result.UNSUPPORTED_VERSION])
async def test_every_refusal_is_told_in_words(result: Result) -> None:
    at, error = await asked(pcp(result=result, life_s=1_234))
    assert isinstance(error, DeclinedError)
    assert str(error) == result.name.lower().replace("_", " ")
    assert error.again_s == 1_234
    assert len(at.asked) == 1, "who has answered is not asked again"


@pytest.mark.parametrize("answer", [nat_pmp(), version_only(2), version_only(1)], ids=["NAT-PMP", "PCP", "draft"])
async def test_a_gateway_of_another_version_is_not_asked_again(answer: Answer) -> None:
    at, error = await asked(answer)
    assert isinstance(error, DeclinedError)
    assert "version" in str(error)
    assert len(at.asked) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [
        pcp(nonce=bytes(12)),
        pcp(internal=4041),
        pcp(protocol=6),
        pcp(tail=b"x"),
        lambda data: [data],
        lambda data: [bytes([2, 0x82]) + bytes(58)],
        silent,
    ],
    ids=["nonce", "port", "protocol", "length", "echo", "opcode", "silence"],
)
async def test_what_does_not_fit_is_no_answer(answer: Answer) -> None:
    at, error = await asked(answer)
    assert isinstance(error, UnansweredError)
    assert len(at.asked) == len(limits.GATEWAY_ASK_S)


async def test_a_flood_is_not_read_to_its_end() -> None:
    _, error = await asked(lambda data: [b"\x02"] * 2 * limits.GATEWAY_ANSWERS * len(limits.GATEWAY_ASK_S))
    assert isinstance(error, UnansweredError)
    assert "gateway_size" in str(error)


@pytest.mark.parametrize("answer", [pcp(life_s=0), pcp(port=0)], ids=["no time", "no port"])
async def test_a_grant_of_nothing_is_refused(answer: Answer) -> None:
    assert isinstance((await asked(answer))[1], PeerError)


async def test_the_true_answer_is_found_behind_rubbish() -> None:
    _, lease = await asked(lambda data: [b"", b"rubbish", *pcp(nonce=bytes(12))(data), *pcp(port=9)(data)])
    assert lease.external == Endpoint("198.51.100.7", 9)


@pytest.mark.slow
async def test_only_the_gateway_is_heard() -> None:
    async with gateway(silent) as at, gateway(silent, "127.5.3.52") as other:
        at.answer = lambda data: other.transport.sendto(pcp()(data)[0], at_line[0]) or []
        at_line: list[tuple[str, int]] = []
        received = at.datagram_received
        at.datagram_received = lambda data, addr: (at_line.insert(0, addr), received(data, addr))  # type: ignore[method-assign]
        with pytest.raises(UnansweredError):
            await Pcp(SECRET, at.port).open(WAY, 4040, ANYWHERE)
        assert len(at_line) == len(limits.GATEWAY_ASK_S)


async def test_a_port_where_nobody_listens_costs_no_wait() -> None:
    async with gateway(silent) as at:
        port = at.port
    with pytest.raises(UnansweredError, match="nothing listens"):
        await Pcp(SECRET, port).open(WAY, 4040, ANYWHERE)


async def test_an_address_that_is_not_ours_is_an_error_of_the_system() -> None:
    with pytest.raises(OSError, match="assign"):
        await Pcp(SECRET, 9).open(Way("192.0.2.99", "192.0.2.1"), 4040, ANYWHERE)


async def test_ipv6_asks_by_ipv6() -> None:
    seen: list[bytes] = []

    def answer(data: bytes) -> list[bytes]:
        seen.append(data)
        return [ANSWER[:24] + data[24:44] + data[8:24]]

    async with gateway(answer, "::1") as at:
        lease = await Pcp(SECRET, at.port).open(Way("::1", "::1", "lo"), 4040, Endpoint("::", 4040))
    assert seen[0][8:24] == bytes(15) + b"\x01"
    assert lease.external == Endpoint("::1", 4040)
