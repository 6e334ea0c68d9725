"""Workflows that are told beside an answer: it does not wait, and what goes wrong is logged."""

import asyncio

import pytest
from fastapi import BackgroundTasks
from structlog.testing import capture_logs

from api.follow_up import tell_beside
from cattery.errors import NotFoundError, UnavailableError


async def test_workflows_are_told_at_once_and_the_request_ends_when_they_were() -> None:
    begun, held, told = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def call() -> None:
        begun.set()
        await held.wait()
        told.set()

    answer = BackgroundTasks()
    tell_beside(answer, call())
    await asyncio.wait_for(begun.wait(), 5)
    assert not told.is_set()
    ending = asyncio.create_task(answer())
    await asyncio.sleep(0)
    assert not ending.done()
    held.set()
    await asyncio.wait_for(ending, 5)
    assert told.is_set()


@pytest.mark.parametrize(
    ("error", "event"),
    [
        (NotFoundError("session"), "lifecycle_was_gone"),
        (UnavailableError("Temporal is away."), "lifecycle_was_deferred"),
        (RuntimeError("a bug"), "lifecycle_was_not_told"),
    ],
)
async def test_what_goes_wrong_beside_an_answer_is_logged(error: Exception, event: str) -> None:
    async def call() -> None:
        raise error

    answer = BackgroundTasks()
    with capture_logs() as logs:
        tell_beside(answer, call())
        await answer()
    assert [entry["event"] for entry in logs] == [event]
