"""A bridge's frames as platform events, as far as they are the same for every agent.

What an agent itself says comes as `agent.message`, untouched: that, and how a turn ends, is each
harness's own.
"""

from abc import abstractmethod
from typing import override

from cattery.events.model import QuestionAsked, TitleChanged, Translated
from cattery.harnesses.bridged.questions import question_answered, question_asked
from cattery.harnesses.bridged.turns import IGNORED_FRAMES, find_turn
from cattery.harnesses.frames import object_of, text_of
from cattery.harnesses.port import HarnessFrame, HarnessHistory, Translator
from cattery.harnesses.unknown import unknown_frame
from cattery.ids import HarnessMessageId, HarnessSessionId
from cattery.jsontypes import JsonObject


class BridgedTranslator(Translator):
    """Translates one turn. Feed it every frame, and the history whenever the stream was not heard.

    Attributes (private):
        _produced: whether the agent has said or done anything that a person sees.
    """

    def __init__(self, session: HarnessSessionId, prompt: HarnessMessageId) -> None:
        self._session = session
        self._prompt = prompt
        self._questions: dict[str, QuestionAsked] = {}
        self._produced = False
        self._ended = False

    @abstractmethod
    def _take_message(self, message: JsonObject) -> list[Translated]:
        """Take what the agent said, as it said it."""

    @abstractmethod
    def _tell_end(self, frame: HarnessFrame) -> list[Translated]:
        """Take the turn's `turn.ended`: `TurnEnded`, and the error where it ends with one."""

    def _child_of(self, question: HarnessFrame) -> str | None:
        """Return the sub-agent that asks; `None` for the agent itself."""
        return text_of(question, "agent") or None

    @override
    def translate(self, frame: HarnessFrame) -> list[Translated]:
        if text_of(frame, "sessionID") not in ("", self._session):
            return []
        kind = text_of(frame, "type")
        if kind == "session.updated":
            title = text_of(frame, "title").strip()
            return [TitleChanged(title)] if title else []
        if kind in IGNORED_FRAMES or self._ended:
            return []
        if text_of(frame, "messageID") not in ("", self._prompt):
            return []  # another turn's
        return self._take_frame(kind, frame)

    @override
    def prompt_is_in(self, history: HarnessHistory) -> bool:
        return bool(find_turn(history, self._prompt))

    @override
    def follows(self, session: HarnessSessionId) -> bool:
        return False  # a sub-agent's frames come under the session that started it

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
                asked = question_asked(frame, self._child_of(frame))
                self._questions[asked.question_id] = asked
                return [asked]
            case "question.closed":
                closed = self._questions.get(text_of(frame, "questionId"))
                return [question_answered(frame, closed)]
            case "turn.ended":
                self._ended = True
                return self._tell_end(frame)
            case _:
                return [unknown_frame(kind, frame)]
