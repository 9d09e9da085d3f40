import asyncio

import pytest

from p2pd.crypto.driving import run


def test_a_coroutine_that_does_not_wait_gives_its_result():
    async def quick() -> int:
        return 3

    assert run(quick()) == 3


def test_errors_come_through():
    async def failing() -> None:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        run(failing())


def test_waiting_is_an_error_of_ours():
    async def waiting() -> None:
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="waited"):
        run(waiting())
