"""Folds a session's log into its history: messages with whole parts (contract/api.md).

One user message and at most one assistant message a turn. In a message each part stands where it
first appeared, its text whole, under the ids of the stream, so that history equals what was
streamed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from cattery.events.model import EventType, LoggedEvent
from cattery.jsontypes import JsonObject

_KEPT = frozenset(
    {
        EventType.TOOL_DONE,
        EventType.QUESTION_ASKED,
        EventType.QUESTION_ANSWERED,
        EventType.SESSION_ERROR,
        EventType.HARNESS_UNKNOWN,
    }
)
_TEXT = frozenset({EventType.MESSAGE_DELTA, EventType.MESSAGE_THINKING})


@dataclass(slots=True)
class HistoryMessage:
    """One message: `events` are the contract's PlatformEvents, `{type, data}`."""

    message_id: str
    role: Literal["user", "assistant"]
    events: list[JsonObject] = field(default_factory=list)


def fold_history(events: Iterable[LoggedEvent]) -> list[HistoryMessage]:
    """Fold a session's events, in their order, into its messages.

    A prompt stands where its turn ran, not where it was queued; one that was removed from the
    queue is left out.
    """
    turns: dict[int, _Turn] = {}
    for event in events:
        turns.setdefault(event.turn_no, _Turn()).add(event)
    return [message for _, turn in sorted(turns.items()) for message in turn.messages()]


class _Turn:
    """The messages of one turn as they grow."""

    def __init__(self) -> None:
        self._user: HistoryMessage | None = None
        self._removed = False
        self._turn_id = ""
        self._order: list[JsonObject] = []
        self._pieces: dict[str, list[str]] = {}
        self._text_events: dict[str, JsonObject] = {}
        self._tool_starts: dict[str, JsonObject] = {}

    def add(self, event: LoggedEvent) -> None:
        kind = event.type
        if kind in _TEXT:
            self._add_text(event)
        elif kind == EventType.MESSAGE_RESET:
            self._reset_text(event.data)
        elif kind == EventType.TOOL_START:
            self._add_tool_start(event.data)
        elif kind in _KEPT:
            self._order.append({"type": kind, "data": event.data})
        elif kind == EventType.PROMPT_ACCEPTED:
            self._add_prompt(event.data)
        elif kind == EventType.PROMPT_REMOVED:
            self._removed = True

    def messages(self) -> list[HistoryMessage]:
        if self._removed:
            return []
        for part_id, pieces in self._pieces.items():
            data: JsonObject = {"partId": part_id, "text": "".join(pieces)}
            self._text_events[part_id]["data"] = data
        found = [self._user] if self._user else []
        if self._order:
            found.append(HistoryMessage(f"ast_{self._turn_id}", "assistant", self._order))
        return found

    def _add_prompt(self, data: JsonObject) -> None:
        message_id = str(data["messageId"])
        self._turn_id = str(data["turnId"])
        said: JsonObject = {
            "type": EventType.MESSAGE_DELTA.value,
            "data": {"partId": message_id, "text": data["text"]},
        }
        self._user = HistoryMessage(message_id, "user", [said])

    def _add_text(self, event: LoggedEvent) -> None:
        part_id = str(event.data["partId"])
        if part_id not in self._pieces:
            self._pieces[part_id] = []
            self._text_events[part_id] = {"type": event.type}
            self._order.append(self._text_events[part_id])
        self._pieces[part_id].append(str(event.data["text"]))

    def _reset_text(self, data: JsonObject) -> None:
        part_id = str(data["partId"])
        if part_id not in self._pieces:
            thinking = data.get("thinking") is True
            kind = EventType.MESSAGE_THINKING if thinking else EventType.MESSAGE_DELTA
            self._text_events[part_id] = {"type": kind.value}
            self._order.append(self._text_events[part_id])
        self._pieces[part_id] = [str(data["text"])]

    def _add_tool_start(self, data: JsonObject) -> None:
        tool_id = str(data["toolId"])
        known = self._tool_starts.get(tool_id)
        if known is None:
            known = {"type": EventType.TOOL_START.value}
            self._tool_starts[tool_id] = known
            self._order.append(known)
        known["data"] = data
