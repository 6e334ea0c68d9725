"""A starting program is asked again and again, and nothing that may yet be answered is given up."""

import asyncio

import pytest

from cattery.errors import HarnessError
from cattery.sandboxes import asking
from cattery.sandboxes.asking import Asking


async def test_a_request_that_is_never_answered_keeps_nobody_from_the_next_one() -> None:
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.sleep(3_600)

    began = asyncio.get_running_loop().time()
    async with Asking(ask) as program:
        while not await program.answers():
            assert asked < 5
    assert asked == 2
    assert asyncio.get_running_loop().time() - began < asking.ASK_SECONDS / 2


async def test_a_slow_first_answer_counts_though_others_were_asked_meanwhile() -> None:
    asked, cancelled = 0, 0

    async def ask() -> None:
        nonlocal asked, cancelled
        asked += 1
        try:
            await asyncio.sleep(0.7 if asked == 1 else 3_600)
        except asyncio.CancelledError:
            cancelled += 1
            raise

    async with Asking(ask) as program:
        while not await program.answers():
            assert cancelled == 0
    assert asked == asking.AT_ONCE
    assert cancelled == asking.AT_ONCE - 1


async def test_why_nothing_answers_is_known() -> None:
    async def ask() -> None:
        raise HarnessError("Nobody listens.")

    async with Asking(ask) as program:
        assert not await program.answers()
        assert str(program.error) == "Nobody listens."


async def test_a_mistake_of_our_own_is_not_taken_for_a_program_that_starts() -> None:
    async def ask() -> None:
        raise ValueError("ours")

    async with Asking(ask) as program:
        with pytest.raises(ValueError, match="ours"):
            await program.answers()
