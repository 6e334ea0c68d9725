"""When a turn's prompt is posted, and when it is not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from unittest.mock import AsyncMock, MagicMock

import pytest

from activities import turn_stream
from activities.connections import Watch
from activities.turn_stream import PostedPrompt, TurnStream
from cattery.events.appender import FencedOutError
from cattery.events.model import TurnEnded
from cattery.ids import HarnessMessageId, HarnessSessionId

WITHOUT, WITH = "no prompt", "the prompt"


class Site:
    """A harness that ends each turn at once, and what a turn does to it."""

    def __init__(self, histories: list[str], *, may_be_posted: bool) -> None:
        self.client = MagicMock()
        self.client.fetch_history = AsyncMock(side_effect=histories)
        self.client.post_prompt = AsyncMock()
        translator = MagicMock()
        translator.prompt_is_in = lambda history: history == WITH
        translator.translate.return_value = translator.reconcile.return_value = [TurnEnded()]
        connection = MagicMock(client=self.client, watch=self._watch)
        connection.kind.translator.return_value = translator
        prompt = PostedPrompt(
            HarnessSessionId("s"), HarnessMessageId("m"), "Hi", may_be_posted=may_be_posted
        )
        self.confirm = AsyncMock()
        self.stream = TurnStream(connection, prompt, AsyncMock(), self.confirm)

    @asynccontextmanager
    async def _watch(self, _: HarnessSessionId) -> AsyncIterator[Watch]:
        watch = Watch()
        await watch.put({})
        yield watch

    async def follow(self) -> None:
        await self.stream.follow(AsyncMock())


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_stream, "IN_FLIGHT", 0.2)
    monkeypatch.setattr(turn_stream, "LOOK_INTERVAL", 0.01)


async def test_a_first_attempt_posts_at_once_without_a_look() -> None:
    site = Site([], may_be_posted=False)
    await site.follow()
    site.client.post_prompt.assert_awaited_once()
    site.confirm.assert_not_awaited()


async def test_a_post_that_was_on_its_way_is_waited_for_and_not_repeated() -> None:
    site = Site([WITHOUT, WITHOUT, WITH], may_be_posted=True)
    await site.follow()
    site.client.post_prompt.assert_not_awaited()


async def test_what_an_earlier_attempt_did_not_post_is_posted_after_a_while() -> None:
    site = Site([WITHOUT] * 1_000, may_be_posted=True)
    await site.follow()
    site.client.post_prompt.assert_awaited_once()
    assert site.client.fetch_history.await_count > 2


async def test_an_attempt_that_stood_still_looks_whether_the_turn_is_still_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turn_stream, "FRESH", -1.0)
    site = Site([], may_be_posted=False)
    site.confirm.side_effect = FencedOutError("Another attempt has taken this turn over.")
    with pytest.raises(FencedOutError):
        await site.follow()
    site.client.post_prompt.assert_not_awaited()
    assert not site.stream.post_begun
