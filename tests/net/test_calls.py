"""The queue of calls: who shares a turn with whom; what happens in the turn is `test_driver.py`'s."""

import asyncio
from typing import Any

import pytest

from p2pd import limits
from p2pd.errors import QuotaError
from p2pd.net.calls import Call, Calls


def call(number: int) -> Call[Any]:
    return Call(lambda engine, now: number, asyncio.get_running_loop().create_future())


async def test_a_group_has_at_most_so_many_the_oldest_first() -> None:
    calls: Calls[Any] = Calls()
    made = [call(number) for number in range(limits.CALLS_PER_TURN + 1)]
    for each in made:
        calls.put(each)
    assert calls.next_group()._calls == made[:-1]
    assert calls.next_group()._calls == made[-1:]


async def test_those_put_back_go_first_and_alone_if_they_shared_what_broke() -> None:
    calls: Calls[Any] = Calls()
    first, second, third, fourth, fifth = (call(number) for number in range(5))
    for each in (first, second, third):
        calls.put(each)
    group = calls.next_group()
    calls.put(fourth)
    calls.put(fifth)
    calls.put_back(group._calls[1:])
    groups = [calls.next_group()._calls for _ in range(3)]
    assert groups == [[second], [third], [fourth, fifth]]
    calls.put_back([second, third], alone=False)
    assert calls.next_group()._calls == [second, third]


async def test_no_more_wait_than_the_limit() -> None:
    calls: Calls[Any] = Calls()
    for number in range(limits.CALLS_WAITING):
        calls.put(call(number))
    with pytest.raises(QuotaError):
        calls.put(call(0))
