"""Claude Code's frames as platform events: one translator for one turn of one session.

An `agent.message` of the bridge has what Claude Code said, untouched.
"""

from collections.abc import Callable, Mapping
from typing import override

from cattery.events.model import (
    ErrorRaised,
    StatusChanged,
    TextPiece,
    ToolFinished,
    ToolStarted,
    Translated,
    TurnEnded,
    UsageUpdated,
)
from cattery.harnesses.bridged.translator import BridgedTranslator
from cattery.harnesses.claude_code.blocks import Blocks
from cattery.harnesses.claude_code.failures import (
    EMPTY_ANSWER,
    is_error,
    is_filler,
    raise_message,
    raise_result,
    tell_retry,
)
from cattery.harnesses.claude_code.noise import (
    IGNORED_BLOCKS,
    IGNORED_DELTAS,
    IGNORED_MESSAGES,
    IGNORED_STREAM,
    IGNORED_SYSTEM,
)
from cattery.harnesses.claude_code.tools import (
    AGENT_TOOLS,
    QUESTION_TOOL,
    TODO_TOOL,
    finished,
    is_launch,
    started,
    todos_of,
)
from cattery.harnesses.frames import number_of, object_of, objects_of, text_of
from cattery.harnesses.port import HarnessFrame
from cattery.harnesses.unknown import unknown_frame
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import JsonObject


class ClaudeCodeTranslator(BridgedTranslator):
    """Translates one turn of Claude Code.

    Attributes (private):
        _calls: tool calls by the model's own id of them, which results carry.
        _agents: the call that started each sub-agent, by the program's id of that.
    """

    def __init__(self, session: HarnessSessionId, prompt: HarnessMessageId) -> None:
        super().__init__(session, prompt)
        self._blocks = Blocks()
        self._calls: dict[str, ToolStarted] = {}
        self._agents: dict[str, str] = {}
        self._result: JsonObject = {}
        self._failed = False
        self._handlers: Mapping[str, Callable[[JsonObject], list[Translated]]] = {
            "assistant": self._take_assistant,
            "user": self._take_user,
            "stream_event": self._take_stream,
            "system": self._take_system,
            "result": self._take_result,
        }

    @override
    def _take_message(self, message: JsonObject) -> list[Translated]:
        kind = text_of(message, "type")
        handler = self._handlers.get(kind)
        if handler is not None:
            return handler(message)
        return [] if kind in IGNORED_MESSAGES else [unknown_frame(kind, message)]

    def _take_stream(self, message: JsonObject) -> list[Translated]:
        if text_of(message, "parent_tool_use_id"):
            return []  # a sub-agent's blocks come whole
        event = object_of(message, "event")
        message_id = text_of(message, "api_message_id")
        match text_of(event, "type"):
            case "content_block_start":
                return self._begin_block(message_id, event)
            case "content_block_delta":
                return self._take_delta(message_id, event)
            case kind:
                return [] if kind in IGNORED_STREAM else [unknown_frame(f"stream:{kind}", event)]

    def _begin_block(self, message_id: str, event: JsonObject) -> list[Translated]:
        part_id = self._blocks.begin(message_id, event)
        block = object_of(event, "content_block")
        if text_of(block, "type") != "tool_use":
            return []
        return self._start_tool(part_id, block, None)

    def _take_delta(self, message_id: str, event: JsonObject) -> list[Translated]:
        delta = object_of(event, "delta")
        match text_of(delta, "type"):
            case "text_delta":
                text, thinking = text_of(delta, "text"), False
            case "thinking_delta":
                text, thinking = text_of(delta, "thinking"), True
            case kind:
                return [] if kind in IGNORED_DELTAS else [unknown_frame(f"delta:{kind}", delta)]
        placed = self._blocks.grow(message_id, event, text) if text else None
        if placed is None:
            return []
        self._produced = True
        return [TextPiece(placed[0], text, placed[1], thinking)]

    def _take_assistant(self, message: JsonObject) -> list[Translated]:
        child = text_of(message, "parent_tool_use_id") or None
        if is_filler(message) or (is_error(message) and child is not None):
            return []
        if is_error(message):
            self._failed = True
            return [raise_message(message)]
        events: list[Translated] = []
        for place, block in enumerate(objects_of(object_of(message, "message"), "content")):
            events += self._take_block(self._blocks.finish(message, place), block, child)
        return events

    def _take_block(self, part_id: str, block: JsonObject, child: str | None) -> list[Translated]:
        match text_of(block, "type"):
            case "text":
                return self._tell_text(part_id, text_of(block, "text"), child)
            case "thinking":
                return self._tell_text(part_id, text_of(block, "thinking"), child, thinking=True)
            case "tool_use" | "server_tool_use":
                return self._start_tool(part_id, block, child)
            case "tool_result" | "advisor_tool_result" | "web_search_tool_result":
                return self._finish_tool(block, {})
            case kind:
                return [] if kind in IGNORED_BLOCKS else [unknown_frame(f"block:{kind}", block)]

    def _tell_text(
        self, part_id: str, text: str, child: str | None, *, thinking: bool = False
    ) -> list[Translated]:
        if not text:
            return []
        self._produced = True
        return [TextPiece(part_id, text, 0, thinking, complete=True, child=child)]

    def _start_tool(self, part_id: str, block: JsonObject, child: str | None) -> list[Translated]:
        self._produced = True
        if text_of(block, "name") == QUESTION_TOOL:
            return []
        call = started(part_id, block, child)
        self._calls[text_of(block, "id")] = call
        given = object_of(block, "input")
        if call.tool == TODO_TOOL and child is None and "todos" in given:
            return [call, todos_of(given)]
        return [call]

    def _take_user(self, message: JsonObject) -> list[Translated]:
        """Take the results of tools; all else that a user says here is the program's own."""
        structured = object_of(message, "tool_use_result")
        blocks = objects_of(object_of(message, "message"), "content")
        events: list[Translated] = []
        for block in blocks:
            if text_of(block, "type") == "tool_result":
                events += self._finish_tool(block, structured)
        return events

    def _finish_tool(self, result: JsonObject, structured: JsonObject) -> list[Translated]:
        call = self._calls.get(text_of(result, "tool_use_id"))
        if call is None or (call.tool in AGENT_TOOLS and is_launch(structured)):
            return []
        return [finished(call, result, structured)]

    def _take_system(self, message: JsonObject) -> list[Translated]:
        match text_of(message, "subtype"):
            case "api_retry":
                return [tell_retry(message)]
            case "compact_boundary":
                return [StatusChanged("Claude Code summed up the conversation to make room.")]
            case "status":
                compacting = text_of(message, "status") == "compacting"
                return (
                    [StatusChanged("Claude Code sums up the conversation.")] if compacting else []
                )
            case "task_started":
                self._agents[text_of(message, "task_id")] = text_of(message, "tool_use_id")
                return []
            case "task_notification":
                return self._finish_agent(message)
            case kind:
                return [] if kind in IGNORED_SYSTEM else [unknown_frame(f"system:{kind}", message)]

    def _finish_agent(self, message: JsonObject) -> list[Translated]:
        """End the call that started a sub-agent in the background, with what that reports."""
        call = self._calls.get(text_of(message, "tool_use_id"))
        if call is None or call.tool not in AGENT_TOOLS:
            return []
        ok = text_of(message, "status") == "completed"
        output = text_of(message, "summary")
        return [ToolFinished(call.tool_id, call.tool, output, ok=ok, child=call.child)]

    def _take_result(self, result: JsonObject) -> list[Translated]:
        self._result = result
        counts = [
            counts
            for counts in object_of(result, "modelUsage").values()
            if isinstance(counts, dict)
        ]
        names = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
        used = sum(int(number_of(count, name)) for count in counts for name in names)
        written = sum(int(number_of(count, "outputTokens")) for count in counts)
        if not used and not written:
            return []
        return [UsageUpdated(used, written, number_of(result, "total_cost_usd") or None)]

    @override
    def _child_of(self, question: HarnessFrame) -> str | None:
        agent = super()._child_of(question)
        return None if agent is None else self._agents.get(agent, agent)

    @override
    def _tell_end(self, frame: HarnessFrame) -> list[Translated]:
        error = text_of(frame, "error")
        if error and text_of(frame, "outcome") != "aborted":
            return [ErrorRaised(error), TurnEnded()]
        silent = not self._produced and not self._failed
        match text_of(frame, "outcome"):
            case "failed" if not self._failed:
                return [raise_result(self._result), TurnEnded()]
            # A command such as /compact takes no step of the model and says nothing.
            case "completed" if silent and number_of(self._result, "num_turns") > 0:
                return [ErrorRaised(EMPTY_ANSWER), TurnEnded()]
            case _:
                return [TurnEnded()]
