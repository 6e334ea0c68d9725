"""One turn under way, as its conversation sees it: where its messages and questions go."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bridges.contract.agent import AGENT_MESSAGE, Answered, Asked, Frame, Prompt
from bridges.contract.questions import Questions


class RunningTurn:
    """Implements `agent.Turn` for one session.

    Args:
        publish: sends a frame to watchers.
        keep: writes a frame into the session's journal.
        entitle: gives the session a title.
    """

    def __init__(
        self,
        prompt: Prompt,
        questions: Questions,
        *,
        publish: Callable[[Frame], None],
        keep: Callable[[Frame], None],
        entitle: Callable[[str], None],
        has_title: bool,
    ) -> None:
        self._prompt = prompt
        self._questions = questions
        self._publish = publish
        self._keep = keep
        self._entitle = entitle
        self.has_title = has_title
        self.aborting = False

    @property
    def prompt(self) -> Prompt:
        """What the turn is about."""
        return self._prompt

    def emit(self, message: Mapping[str, Any], *, keep: bool = False) -> None:
        """Tell watchers of a message; `keep` it where the agent's own record does not."""
        frame = self.frame(AGENT_MESSAGE, message=message)
        if keep:
            self._keep(frame)
        self._publish(frame)

    def set_title(self, title: str) -> None:
        """Give the session its title."""
        self._entitle(title)

    async def ask(self, asked: Asked) -> Sequence[Answered] | None:
        """Ask, and wait for the answer; `None` where the question was withdrawn."""
        if self.aborting:
            return None
        question_id, waiting = self._questions.open(asked)
        answers: Sequence[Answered] | None = None
        self._tell(
            "question.asked",
            questionId=question_id,
            kind=asked.kind,
            questions=[*asked.questions],
            agent=asked.agent,
        )
        try:
            answers = await waiting
        finally:
            self._questions.close(question_id)
            self._tell(
                "question.closed",
                questionId=question_id,
                answers=None if answers is None else [_answer_data(a) for a in answers],
            )
        return answers

    def frame(self, frame_type: str, /, **fields: Any) -> Frame:
        """Make a frame of this turn."""
        return {
            "type": frame_type,
            "messageID": self._prompt.message_id,
            "at": round(time.time(), 3),
            **fields,
        }

    def _tell(self, frame_type: str, /, **fields: Any) -> None:
        frame = self.frame(frame_type, **fields)
        self._keep(frame)
        self._publish(frame)


def _answer_data(answer: Answered) -> dict[str, Any]:
    data: dict[str, Any] = {"question": answer.question, "selectedLabels": [*answer.labels]}
    return data | ({"notes": answer.notes} if answer.notes else {})
