"""Questions that wait for a person, and how their answers are read."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from bridges.contract.agent import Answered, Asked
from bridges.contract.errors import MalformedError, UnknownError

MAX_TEXT = 100_000


class Questions:
    """The open questions of one session."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[Asked, asyncio.Future[Sequence[Answered] | None]]] = {}

    def open(self, asked: Asked) -> tuple[str, asyncio.Future[Sequence[Answered] | None]]:
        """Begin to wait; returns the question's id and what will hold its answers."""
        question_id = f"ask_{secrets.token_hex(12)}"
        waiting: asyncio.Future[Sequence[Answered] | None] = (
            asyncio.get_running_loop().create_future()
        )
        self._open[question_id] = (asked, waiting)
        return question_id, waiting

    def close(self, question_id: str) -> None:
        """Wait no longer."""
        self._open.pop(question_id, None)

    def answer(self, body: object) -> None:
        """Take an answer in the contract's form.

        Raises:
            MalformedError: it has another form.
            UnknownError: nothing waits under its id.
        """
        if not isinstance(body, dict):
            raise MalformedError("The body must be an object with questionId and answers.")
        question_id, answers = body.get("questionId"), body.get("answers")
        if not isinstance(question_id, str) or not isinstance(answers, list):
            raise MalformedError("The body needs questionId, a text, and answers, a list.")
        read = [_read_answer(answer) for answer in answers]
        asked, waiting = self._open.get(question_id, (None, None))
        if asked is None or waiting is None or waiting.done():
            raise UnknownError("There is no open question of that id.")
        waiting.set_result(read)

    def withdraw(self) -> None:
        """Let go of whoever waits for an answer."""
        for _, waiting in self._open.values():
            if not waiting.done():
                waiting.set_result(None)


def _read_answer(answer: Any) -> Answered:
    if not isinstance(answer, dict) or not isinstance(answer.get("question"), str):
        raise MalformedError("Each answer is {question, selectedLabels, notes?}.")
    labels, notes = answer.get("selectedLabels", []), answer.get("notes") or ""
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise MalformedError("selectedLabels must be a list of texts.")
    if not isinstance(notes, str) or len(notes) > MAX_TEXT:
        raise MalformedError(f"notes must be a text of at most {MAX_TEXT} letters.")
    return Answered(answer["question"], tuple(labels), notes)
