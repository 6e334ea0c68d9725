"""opencode's frames as platform events: one translator for one turn of one session.

`/event` carries all sessions of the process, the tail of earlier turns, and noise. What counts is
the turn's own messages, told by the prompt's id, and the sessions of sub-agents that it starts.
"""

from collections.abc import Callable, Mapping
from typing import override

from cattery.events.model import (
    Answer,
    ErrorRaised,
    QuestionAnswered,
    QuestionAsked,
    StatusChanged,
    TextPiece,
    TitleChanged,
    TodosUpdated,
    Translated,
    TurnEnded,
)
from cattery.harnesses.frames import number_of, object_of, objects_of, text_of
from cattery.harnesses.opencode.failures import (
    EMPTY_ANSWER,
    is_abort,
    raise_error,
    tell_retry,
)
from cattery.harnesses.opencode.history import (
    find_state,
    find_turn,
    is_settled,
    is_summary,
    is_title,
)
from cattery.harnesses.opencode.noise import IGNORED_FRAMES, IGNORED_PARTS
from cattery.harnesses.opencode.permissions import label_of, permission_question
from cattery.harnesses.opencode.questions import (
    QUESTION_TOOL,
    question_answered,
    question_asked,
    tool_questions,
)
from cattery.harnesses.opencode.tools import child_session, tool_events
from cattery.harnesses.opencode.usage import Usage
from cattery.harnesses.port import HarnessFrame, HarnessHistory, Translator
from cattery.harnesses.unknown import unknown_frame
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import JsonObject


def session_of(frame: HarnessFrame) -> HarnessSessionId | None:
    """Return the session that a frame is about; `None` for what concerns the whole process."""
    properties = frame.get("properties")
    session = properties.get("sessionID") if isinstance(properties, dict) else None
    return HarnessSessionId(session) if isinstance(session, str) else None


def is_piece(frame: HarnessFrame) -> bool:
    """Tell whether a frame is a message or a part of one."""
    return frame.get("type") in _PIECES


_PIECES = frozenset({"message.part.delta", "message.part.updated", "message.updated"})


class OpencodeTranslator(Translator):
    """Translates one turn. Feed it every frame, and the history whenever the stream was not heard.

    Attributes (private):
        _answers: the turn's assistant messages, and whether each is settled.
        _lengths: how much of each text part this stream has told, for the offset of the next
            delta. A part whose beginning was not heard has none: it comes whole in the end.
    """

    def __init__(self, session: HarnessSessionId, prompt: HarnessMessageId) -> None:
        self._session = session
        self._prompt = prompt
        self._prompted_at: float | None = None
        self._prompts = {str(prompt)}
        self._answers: dict[str, bool] = {}
        self._summaries: set[str] = set()
        self._children: set[str] = set()
        self._child_prompts: set[str] = set()
        self._lengths: dict[str, int] = {}
        self._thinking: set[str] = set()
        self._requests: dict[str, QuestionAsked] = {}
        self._usage = Usage()
        self._produced = False
        self._finished = False
        self._failed = False
        self._ended = False
        self._handlers: Mapping[str, Callable[[JsonObject], list[Translated]]] = {
            "message.part.delta": self._take_delta,
            "message.part.updated": self._take_part,
            "message.updated": self._take_message,
            "session.status": self._take_status,
            "session.idle": self._take_idle,
            "session.error": self._take_error,
            "session.created": self._take_session,
            "session.updated": self._take_session,
            "session.compacted": self._take_compaction,
            "question.asked": self._take_question,
            "question.replied": self._take_reply,
            "question.rejected": self._take_reply,
            "permission.asked": self._take_permission,
            "permission.replied": self._take_reply,
            "todo.updated": self._take_todos,
        }

    @override
    def translate(self, frame: HarnessFrame) -> list[Translated]:
        kind = text_of(frame, "type")
        properties = object_of(frame, "properties")
        if self._ended and kind != "session.updated":
            return []  # a title may still come; all else is another turn's
        handler = self._handlers.get(kind)
        if handler is not None:
            return handler(properties)
        session = text_of(properties, "sessionID")
        if kind in IGNORED_FRAMES or session not in ("", self._session, *self._children):
            return []
        return [unknown_frame(kind, properties)]

    @override
    def prompt_is_in(self, history: HarnessHistory) -> bool:
        return find_turn(history, self._prompt) is not None

    @override
    def follows(self, session: HarnessSessionId) -> bool:
        return session in self._children

    @override
    def reconcile(self, history: HarnessHistory) -> list[Translated]:
        turn = find_turn(history, self._prompt)
        state = find_state(history)
        events = self._tell_title(text_of(object_of(state, "info"), "title"))
        if turn is None:
            return events
        self._see_prompt(object_of(turn.prompt, "info"))
        self._usage.set_earlier([object_of(message, "info") for message in turn.earlier])
        for message in turn.answers:
            events += self._reconcile_answer(message)
        events += [*self._reconcile_waiting(state), *self._usage.tell()]
        return [*events, *self._end()] if turn.is_over else events

    def _reconcile_waiting(self, state: JsonObject) -> list[Translated]:
        """Take in the open requests of this turn; opencode keeps those of stopped turns as well."""
        events: list[Translated] = []
        for request in objects_of(state, "questions"):
            if self._is_of_turn(request):
                events += self._take_question(request)
        for request in objects_of(state, "permissions"):
            if self._is_of_turn(request):
                events += self._take_permission(request)
        return events

    def _is_of_turn(self, request: JsonObject) -> bool:
        asking = text_of(object_of(request, "tool"), "messageID")
        session = text_of(request, "sessionID")
        return session in self._children or asking in self._answers

    def _reconcile_answer(self, message: JsonObject) -> list[Translated]:
        info = object_of(message, "info")
        self._prompts.add(text_of(info, "parentID"))
        events: list[Translated] = []
        told = self._take_answer(info)
        if not is_summary(info):
            for part in objects_of(message, "parts"):
                events += self._tell_part(part, None, live=False)
        return [*events, *(event for event in told if isinstance(event, ErrorRaised))]

    def _take_delta(self, delta: JsonObject) -> list[Translated]:
        part_id = text_of(delta, "partID")
        offset = self._lengths.get(part_id)
        text = text_of(delta, "delta")
        if offset is None or not text or delta.get("field") != "text":
            return []
        self._lengths[part_id] = offset + len(text)
        session = text_of(delta, "sessionID")
        child = None if session == self._session else session
        return [TextPiece(part_id, text, offset, part_id in self._thinking, child=child)]

    def _take_part(self, properties: JsonObject) -> list[Translated]:
        part = object_of(properties, "part")
        session = text_of(part, "sessionID")
        message = text_of(part, "messageID")
        if session == self._session:
            known = message in self._answers and message not in self._summaries
            return self._tell_part(part, None, live=True) if known else []
        if session not in self._children or message in self._child_prompts:
            return []
        if text_of(part, "type") == "text" and not object_of(part, "time"):
            return []  # a prompt's text has no time; an answer's has
        return self._tell_part(part, session, live=True)

    def _tell_part(self, part: JsonObject, child: str | None, *, live: bool) -> list[Translated]:
        match text_of(part, "type"):
            case "text":
                return self._tell_text(part, child, live=live)
            case "reasoning":
                return self._tell_text(part, child, live=live, thinking=True)
            case "tool":
                return self._tell_tool(part, child)
            case kind if kind in IGNORED_PARTS:
                return []
            case kind:
                return [unknown_frame(f"part:{kind}", part)]

    def _tell_text(
        self, part: JsonObject, child: str | None, *, live: bool, thinking: bool = False
    ) -> list[Translated]:
        if part.get("ignored") is True or part.get("synthetic") is True:
            return []
        part_id, text = text_of(part, "id"), text_of(part, "text")
        if live:
            self._lengths[part_id] = len(text)
        if thinking:
            self._thinking.add(part_id)
        self._produced = self._produced or child is None
        if not text:
            return []
        complete = number_of(object_of(part, "time"), "end") > 0
        return [TextPiece(part_id, text, 0, thinking, complete=complete, child=child)]

    def _tell_tool(self, part: JsonObject, child: str | None) -> list[Translated]:
        self._produced = True
        started = child_session(part)
        if started is not None and text_of(part, "tool") == "task":
            self._children.add(started)
        if text_of(part, "tool") == QUESTION_TOOL:
            return list(tool_questions(part, child))
        events: list[Translated] = list(tool_events(part, child))
        planned = object_of(object_of(part, "state"), "input")
        if text_of(part, "tool") == "todowrite" and child is None and "todos" in planned:
            events.append(_todos(planned))
        return events

    def _take_message(self, properties: JsonObject) -> list[Translated]:
        info = object_of(properties, "info")
        session = text_of(info, "sessionID")
        is_user = text_of(info, "role") == "user"
        if session in self._children:
            if is_user:
                self._child_prompts.add(text_of(info, "id"))
            return []
        if session != self._session:
            return []
        if is_user:
            self._see_prompt(info)
            return []
        if self._prompted_at is None or text_of(info, "parentID") not in self._prompts:
            return []
        return self._take_answer(info)

    def _see_prompt(self, info: JsonObject) -> None:
        """Note the turn's prompt, or what opencode told itself after it."""
        message = text_of(info, "id")
        created = number_of(object_of(info, "time"), "created")
        if message == self._prompt:
            self._prompted_at = created
        elif self._prompted_at is not None and created >= self._prompted_at:
            self._prompts.add(message)

    def _take_answer(self, info: JsonObject) -> list[Translated]:
        message = text_of(info, "id")
        self._answers[message] = self._answers.get(message, False) or is_settled(info)
        if is_summary(info):
            self._summaries.add(message)
        self._finished = self._finished or bool(text_of(info, "finish"))
        self._usage.take(message, info)
        events = self._tell_error(object_of(info, "error"))
        if is_settled(info):
            events += self._usage.tell()
        return events

    def _take_status(self, properties: JsonObject) -> list[Translated]:
        session = text_of(properties, "sessionID")
        status = object_of(properties, "status")
        match text_of(status, "type"):
            case "idle":
                return self._take_idle(properties)
            case "retry" if self._is_ours(session):
                return list(tell_retry(status, child=session in self._children))
            case "busy":
                return []
            case kind if self._is_ours(session):
                return [unknown_frame(f"status:{kind}", properties)]
            case _:
                return []

    def _take_idle(self, properties: JsonObject) -> list[Translated]:
        """End the turn, if this idle is its own.

        A stopped or failed turn says idle twice, the second time up to half a second later, when
        the next turn may have begun; and the first time its message is not settled yet. So only
        an idle with nothing left open counts.
        """
        if text_of(properties, "sessionID") != self._session or self._prompted_at is None:
            return []
        settled = all(self._answers.values()) if self._answers else self._failed
        return self._end() if settled else []

    def _end(self) -> list[Translated]:
        if self._ended:
            return []
        self._ended = True
        if self._finished and not self._produced and not self._failed:
            return [ErrorRaised(EMPTY_ANSWER), TurnEnded()]
        return [TurnEnded()]

    def _take_error(self, properties: JsonObject) -> list[Translated]:
        session = text_of(properties, "sessionID")
        if self._prompted_at is None or session not in ("", self._session):
            return []
        return self._tell_error(object_of(properties, "error"))

    def _tell_error(self, error: JsonObject) -> list[Translated]:
        if not error:
            return []
        self._failed = True
        return [] if is_abort(error) else [raise_error(error)]

    def _take_session(self, properties: JsonObject) -> list[Translated]:
        info = object_of(properties, "info")
        session = text_of(info, "id")
        parent = text_of(info, "parentID")
        if self._prompted_at is not None and (parent == self._session or parent in self._children):
            self._children.add(session)
        if session != self._session:
            return []
        if not self._answers:
            self._usage.set_total(info)
        return self._tell_title(text_of(info, "title"))

    def _tell_title(self, title: str) -> list[Translated]:
        return [TitleChanged(title)] if is_title(title) else []

    def _take_compaction(self, properties: JsonObject) -> list[Translated]:
        if text_of(properties, "sessionID") != self._session:
            return []
        return [StatusChanged("opencode summed up the conversation to make room for more.")]

    def _take_question(self, request: JsonObject) -> list[Translated]:
        return self._ask(request, lambda child: question_asked(request, child))

    def _take_permission(self, request: JsonObject) -> list[Translated]:
        return self._ask(request, lambda child: permission_question(request, child))

    def _ask(
        self, request: JsonObject, build: Callable[[str | None], QuestionAsked]
    ) -> list[Translated]:
        session = text_of(request, "sessionID")
        if not self._is_ours(session):
            return []
        self._produced = True
        asked = build(session if session != self._session else None)
        self._requests[text_of(request, "id")] = asked
        return [asked]

    def _take_reply(self, reply: JsonObject) -> list[Translated]:
        """Close a question or a permission; one asked unheard is closed by its tool part."""
        asked = self._requests.get(text_of(reply, "requestID"))
        if asked is None:
            return []
        permission = text_of(reply, "reply")
        if not permission:
            return [question_answered(asked, reply.get("answers"))]
        answer = Answer(asked.questions[0].question, (label_of(permission),))
        return [QuestionAnswered(asked.question_id, (answer,))]

    def _take_todos(self, properties: JsonObject) -> list[Translated]:
        if text_of(properties, "sessionID") != self._session or self._prompted_at is None:
            return []
        return [_todos(properties)]

    def _is_ours(self, session: str) -> bool:
        own = session == self._session or session in self._children
        return own and self._prompted_at is not None


def _todos(source: JsonObject) -> TodosUpdated:
    todos = objects_of(source, "todos")
    return TodosUpdated(tuple((text_of(t, "content"), text_of(t, "status")) for t in todos))
