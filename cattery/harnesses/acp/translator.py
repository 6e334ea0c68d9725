"""An ACP agent's updates as platform events: one translator for one turn of one session.

The bridge runs one turn at a time, writes the turn's prompt on each frame, and numbers the parts of
a turn in stream and history alike. Only the bridge's `turn.ended` ends a turn.
"""

from collections.abc import Callable, Mapping
from typing import Final, override

import orjson

from cattery.events.model import (
    ErrorRaised,
    QuestionAsked,
    TextPiece,
    TitleChanged,
    TodosUpdated,
    Translated,
    TurnEnded,
    UnknownFrame,
    UsageUpdated,
)
from cattery.harnesses.acp.tools import tool_events
from cattery.harnesses.claude_code.history import find_turn
from cattery.harnesses.claude_code.questions import question_answered, question_asked
from cattery.harnesses.frames import number_of, object_of, objects_of, text_of
from cattery.harnesses.port import HarnessFrame, HarnessHistory, Translator
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import JsonObject

EMPTY_ANSWER: Final = (
    "The model gave an empty answer. Send the prompt again, or choose another model."
)
_FAILED: Final = "The agent failed and gave no reason. Send the prompt again."
_IGNORED_FRAMES: Final = frozenset(
    {"server.connected", "server.heartbeat", "turn.started", "turn.taken"}
)
_IGNORED_UPDATES: Final = frozenset(
    {
        "available_commands_update",
        "config_option_update",
        "current_mode_update",
        "session_info_update",  # the bridge's `session.updated` tells the title
        "usage_update",  # how full the context is; what a turn took is in its result
        "user_message_chunk",
    }
)


def session_of(frame: HarnessFrame) -> HarnessSessionId | None:
    """Return the session that a frame is about; `None` for what concerns the whole process."""
    session = text_of(frame, "sessionID")
    return HarnessSessionId(session) if session else None


class AcpTranslator(Translator):
    """Translates one turn. Feed it every frame, and the history whenever the stream was not heard.

    Attributes (private):
        _calls: tool calls by the agent's id, each with all that its updates have said so far.
    """

    def __init__(self, session: HarnessSessionId, prompt: HarnessMessageId) -> None:
        self._session = session
        self._prompt = prompt
        self._calls: dict[str, JsonObject] = {}
        self._questions: dict[str, QuestionAsked] = {}
        self._produced = False
        self._ended = False
        self._handlers: Mapping[str, Callable[[JsonObject], list[Translated]]] = {
            "agent_message_chunk": self._take_text,
            "agent_thought_chunk": self._take_text,
            "tool_call": self._take_tool,
            "tool_call_update": self._take_tool,
            "plan": self._take_plan,
        }

    @override
    def translate(self, frame: HarnessFrame) -> list[Translated]:
        if text_of(frame, "sessionID") not in ("", self._session):
            return []
        kind = text_of(frame, "type")
        if kind == "session.updated":
            title = text_of(frame, "title").strip()
            return [TitleChanged(title)] if title else []
        if kind in _IGNORED_FRAMES or self._ended:
            return []
        if text_of(frame, "messageID") not in ("", self._prompt):
            return []  # another turn's
        return self._take_frame(kind, frame)

    @override
    def prompt_is_in(self, history: HarnessHistory) -> bool:
        return bool(find_turn(history, self._prompt))

    @override
    def reconcile(self, history: HarnessHistory) -> list[Translated]:
        return [
            event for frame in find_turn(history, self._prompt) for event in self.translate(frame)
        ]

    def _take_frame(self, kind: str, frame: HarnessFrame) -> list[Translated]:
        match kind:
            case "agent.message":
                return self._take_message(object_of(frame, "message"))
            case "question.asked":
                self._produced = True
                asked = question_asked(frame, None)
                self._questions[asked.question_id] = asked
                return [asked]
            case "question.closed":
                closed = self._questions.get(text_of(frame, "questionId"))
                return [question_answered(frame, closed)]
            case "turn.ended":
                return self._end(frame)
            case _:
                return [_unknown(kind, frame)]

    def _take_message(self, message: JsonObject) -> list[Translated]:
        if "result" in message:
            return _usage(object_of(message, "result"))
        update = object_of(message, "update")
        kind = text_of(update, "sessionUpdate")
        handler = self._handlers.get(kind)
        if handler is not None:
            return handler(message)
        return [] if kind in _IGNORED_UPDATES else [_unknown(kind, update or message)]

    def _take_text(self, message: JsonObject) -> list[Translated]:
        update = object_of(message, "update")
        content, kind = object_of(update, "content"), text_of(update, "sessionUpdate")
        if text_of(content, "type") != "text":
            return [_unknown(f"{kind}:{text_of(content, 'type')}", update)]
        text = text_of(content, "text")
        if not text:
            return []
        self._produced = True
        part_id = f"{self._prompt}.part.{int(number_of(message, 'part'))}"
        offset = int(number_of(message, "offset"))
        return [TextPiece(part_id, text, offset, kind == "agent_thought_chunk")]

    def _take_tool(self, message: JsonObject) -> list[Translated]:
        self._produced = True
        update = object_of(message, "update")
        call_id = text_of(update, "toolCallId")
        call = self._calls.setdefault(call_id, {})
        call.update({name: value for name, value in update.items() if value is not None})
        return [*tool_events(f"{self._prompt}.tool.{call_id}", call)]

    def _take_plan(self, message: JsonObject) -> list[Translated]:
        entries = objects_of(object_of(message, "update"), "entries")
        todos = tuple((text_of(one, "content"), text_of(one, "status")) for one in entries)
        return [TodosUpdated(todos)]

    def _end(self, frame: HarnessFrame) -> list[Translated]:
        self._ended = True
        error, outcome = text_of(frame, "error"), text_of(frame, "outcome")
        if outcome != "aborted" and (error or outcome == "failed"):
            return [ErrorRaised(error or _FAILED), TurnEnded()]
        if outcome == "completed" and not self._produced:
            return [ErrorRaised(EMPTY_ANSWER), TurnEnded()]
        return [TurnEnded()]


def _usage(result: JsonObject) -> list[Translated]:
    usage = object_of(result, "usage")
    names = ("inputTokens", "cachedReadTokens", "cachedWriteTokens")
    taken = sum(int(number_of(usage, name)) for name in names)
    given = int(number_of(usage, "outputTokens"))
    return [UsageUpdated(taken, given)] if taken or given else []


def _unknown(kind: str, frame: JsonObject) -> UnknownFrame:
    return UnknownFrame(kind or "(no type)", orjson.dumps(frame).decode())
