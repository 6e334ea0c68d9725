"""One session of a chat harness as the bench holds it: watched from its first event on."""

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from cattery.jsontypes import Json, JsonObject
from tests.e2e.client import Event, Watcher, objects_of
from tests.harness_bench.scenario import Subject

_GRANT = re.compile(r"allow|yes|approve|accept", re.IGNORECASE)
_DENY = re.compile(r"reject|deny|no\b|decline", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Turn:
    """What came of one prompt."""

    events: list[Event]

    @property
    def outcome(self) -> str:
        return str(self.events[-1].data["outcome"])

    @property
    def said(self) -> str:
        """The answer's text, sub-agents' aside, in the order of its parts."""
        return "".join(text_by_part(self.events, "message.delta").values())

    @property
    def thought(self) -> str:
        return "".join(text_by_part(self.events, "message.thinking").values())

    @property
    def errors(self) -> str:
        return "\n".join(str(e.data["message"]) for e in self.of("session.error"))

    def of(self, *types: str) -> list[Event]:
        return [event for event in self.events if event.type in types]

    def tools(self) -> list[JsonObject]:
        """Return the calls that ended."""
        return [event.data for event in self.of("tool.done")]

    def show(self) -> str:
        """Say what came, for a failure's message."""
        lines = [f"{e.seq} {e.type} {json.dumps(e.data)[:300]}" for e in self.events[-25:]]
        return "\n".join(lines)


@dataclass(slots=True)
class Chat:
    """A session under watch."""

    subject: Subject
    session_id: str
    watcher: Watcher
    turns: list[Turn] = field(default_factory=list)
    _after: int = 0
    _answered: set[str] = field(default_factory=set)

    async def say(self, prompt: str) -> Turn:
        """Prompt and wait for the end; requests for leave are granted."""
        await self.begin(prompt)
        return await self.end()

    async def begin(self, prompt: str) -> None:
        await self.subject.client.prompt(self.session_id, prompt)

    async def until(self, condition: Callable[[Event], bool]) -> Event:
        """Return the first event of the turn under way that fits."""
        return await self.watcher.until(condition, after=self._after)

    async def until_type(self, *types: str) -> Event:
        return await self.until(lambda event: event.type in types)

    async def end(self) -> Turn:
        """Wait for the end of the turn under way."""
        while True:
            event = await self.until(lambda e: e.type == "session.idle" or self._asks_leave(e))
            if event.type == "session.idle":
                break
            await self.decide(event, grant=True)
        turn = Turn([e for e in self.watcher.events if self._after < e.seq <= event.seq])
        self._after = event.seq
        self.turns.append(turn)
        return turn

    async def decide(self, asked: Event, *, grant: bool) -> str:
        """Answer a request for leave; return the label that was chosen."""
        question = objects_of(asked.data["questions"])[0]
        labels = [str(option["label"]) for option in objects_of(question["options"])]
        wanted = _GRANT if grant else _DENY
        label = next((one for one in labels if wanted.search(one)), None)
        assert label is not None, f"no label of {labels} says {wanted.pattern}"
        await self.answer(asked, label)
        return label

    async def answer(self, asked: Event, label: str) -> None:
        """Choose one label in every question."""
        self._answered.add(str(asked.data["partId"]))
        questions = objects_of(asked.data["questions"])
        answers: list[Json] = [
            {"question": q["question"], "selectedLabels": [label]} for q in questions
        ]
        body: Json = {"questionId": asked.data["partId"], "answers": answers}
        await self.subject.client.post(f"/sessions/{self.session_id}/answer", body)

    async def abort(self) -> Turn:
        """Stop the turn under way and wait for its end."""
        await self.subject.client.post(f"/sessions/{self.session_id}/abort")
        return await self.end()

    def _asks_leave(self, event: Event) -> bool:
        is_permission = event.data.get("kind") == "permission"
        return is_permission and event.data["partId"] not in self._answered

    async def check(self) -> None:
        """Hold what every session keeps, whatever happened in it."""
        events = self.watcher.events
        numbers = [event.seq for event in events]
        assert numbers == list(range(1, len(numbers) + 1)), f"gaps or repeats: {numbers}"
        ends = len([e for e in events if e.type == "session.idle"])
        accepted = len([e for e in events if e.type == "prompt.accepted"])
        assert ends == accepted, f"{accepted} prompts, but {ends} ends"
        started = {e.data["toolId"] for e in events if e.type == "tool.start"}
        done = [e.data["toolId"] for e in events if e.type == "tool.done"]
        assert set(done) == started, f"started {started}, done {set(done)}"
        unknown = [e.data for e in events if e.type == "harness.unknown"]
        assert not unknown, f"events that no translator knows: {unknown}"
        await self.check_history()

    async def check_history(self) -> None:
        """Hold the history against the stream: the same parts with the same text."""
        told = await self.subject.client.history(self.session_id)
        for kind in ("message.delta", "message.thinking"):
            streamed = text_by_part(self.watcher.events, kind, with_children=True)
            kept: dict[str, str] = {}
            for message in told:
                if message["role"] == "assistant":
                    for event in objects_of(message["events"]):
                        data = event["data"]
                        if event["type"] == kind and isinstance(data, dict):
                            kept[str(data["partId"])] = str(data["text"])
            assert kept == streamed, f"history has {kept}\nthe stream had {streamed}"


@asynccontextmanager
async def chatting(subject: Subject) -> AsyncIterator[Chat]:
    """Open a session, watch it, and hold at the end what every session keeps."""
    session_id = await subject.client.create_session(subject.harness_id)
    async with subject.client.watch(session_id) as watcher:
        chat = Chat(subject, session_id, watcher)
        yield chat
        await chat.check()
    await subject.client.ask("DELETE", f"/sessions/{session_id}")


def text_by_part(events: list[Event], kind: str, *, with_children: bool = False) -> dict[str, str]:
    """Put the text of each part together as a client does."""
    parts: dict[str, str] = {}
    for event in events:
        if event.data.get("child") and not with_children:
            continue
        if event.type == kind:
            part_id = str(event.data["partId"])
            parts[part_id] = parts.get(part_id, "") + str(event.data["text"])
        elif event.type == "message.reset":
            thinking = bool(event.data.get("thinking"))
            if thinking == (kind == "message.thinking"):
                parts[str(event.data["partId"])] = str(event.data["text"])
    return {part: text for part, text in parts.items() if text}
