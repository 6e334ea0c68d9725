"""An ACP agent's updates as platform events: one translator for one turn of one session.

The bridge numbers the parts of a turn, in stream and history alike.
"""

from collections.abc import Callable, Mapping
from typing import Final, override

from cattery.events.model import (
    ErrorRaised,
    TextPiece,
    TodosUpdated,
    Translated,
    TurnEnded,
    UsageUpdated,
)
from cattery.harnesses.acp.tools import tool_events
from cattery.harnesses.bridged.translator import BridgedTranslator
from cattery.harnesses.frames import number_of, object_of, objects_of, text_of
from cattery.harnesses.port import HarnessFrame
from cattery.harnesses.unknown import unknown_frame
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import JsonObject

EMPTY_ANSWER: Final = (
    "The model gave an empty answer. Send the prompt again, or choose another model."
)
_FAILED: Final = "The agent failed and gave no reason. Send the prompt again."
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


class AcpTranslator(BridgedTranslator):
    """Translates one turn of an agent.

    Attributes (private):
        _calls: tool calls by the agent's id, each with all that its updates have said so far.
    """

    def __init__(self, session: HarnessSessionId, prompt: HarnessMessageId) -> None:
        super().__init__(session, prompt)
        self._calls: dict[str, JsonObject] = {}
        self._handlers: Mapping[str, Callable[[JsonObject], list[Translated]]] = {
            "agent_message_chunk": self._take_text,
            "agent_thought_chunk": self._take_text,
            "tool_call": self._take_tool,
            "tool_call_update": self._take_tool,
            "plan": self._take_plan,
        }

    @override
    def _take_message(self, message: JsonObject) -> list[Translated]:
        if "result" in message:
            return _usage(object_of(message, "result"))
        update = object_of(message, "update")
        kind = text_of(update, "sessionUpdate")
        handler = self._handlers.get(kind)
        if handler is not None:
            return handler(message)
        return [] if kind in _IGNORED_UPDATES else [unknown_frame(kind, update or message)]

    def _take_text(self, message: JsonObject) -> list[Translated]:
        update = object_of(message, "update")
        content, kind = object_of(update, "content"), text_of(update, "sessionUpdate")
        if text_of(content, "type") != "text":
            return [unknown_frame(f"{kind}:{text_of(content, 'type')}", update)]
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

    @override
    def _tell_end(self, frame: HarnessFrame) -> list[Translated]:
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
