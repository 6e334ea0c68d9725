"""opencode's history of a session: which part of it is one turn, and whether that is over.

To what opencode itself gives, our client adds one entry more, the session's *state*: its title and
the requests that wait for a person. Those of a permission stand nowhere in the history, and a
worker that takes over a turn must know of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cattery.harnesses.frames import number_of, object_of, objects_of, text_of
from cattery.harnesses.opencode.failures import is_abort
from cattery.harnesses.port import HarnessHistory
from cattery.jsontypes import Json, JsonObject

_PLACEHOLDER_TITLES: Final = ("New session - ", "Child session - ")
STATE_ROLE: Final = "cattery.state"
_GOES_ON: Final = ("tool-calls", "unknown")
"""Ends of a message after which opencode asks the model again. A settled message without any end
was stopped while the model's request was being tried again.
"""
_ENDING_TOOL_ERRORS: Final = ("The user rejected permission", "The user dismissed this question")
"""After these opencode stops, although the message asked for tools."""


@dataclass(frozen=True, slots=True)
class TurnHistory:
    """What the history has of one turn: its prompt's message and what came of it."""

    prompt: JsonObject
    answers: Sequence[JsonObject]
    earlier: Sequence[JsonObject]
    """The messages before the prompt."""

    @property
    def is_over(self) -> bool:
        """Whether opencode is done with the turn, as far as the history can tell."""
        if not self.answers:
            return False
        last = self.answers[-1]
        info = object_of(last, "info")
        error = object_of(info, "error")
        if error:
            return is_abort(error) or is_settled(info)
        if not is_settled(info) or is_summary(info):
            return False
        return text_of(info, "finish") not in _GOES_ON or _was_stopped(last)


def find_turn(history: HarnessHistory, prompt_id: str) -> TurnHistory | None:
    """Cut the turn of a prompt out of the history; `None` where the prompt is not in it.

    A turn reaches to the next prompt of a person. opencode's own user messages (it compacts a long
    conversation, then tells itself to go on) belong to the turn.
    """
    messages = [m for m in history if text_of(object_of(m, "info"), "role") != STATE_ROLE]
    ids = [text_of(object_of(message, "info"), "id") for message in messages]
    if prompt_id not in ids:
        return None
    start = ids.index(prompt_id)
    answers: list[JsonObject] = []
    for message in messages[start + 1 :]:
        if text_of(object_of(message, "info"), "role") == "assistant":
            answers.append(message)
        elif _is_prompt(message):
            break
    return TurnHistory(messages[start], answers, messages[:start])


def session_state(
    session: JsonObject, questions: Sequence[JsonObject], permissions: Sequence[JsonObject]
) -> JsonObject:
    """Make the entry that tells a session's title and what it waits for."""
    waiting_questions: list[Json] = [*questions]
    waiting_permissions: list[Json] = [*permissions]
    return {
        "info": {"role": STATE_ROLE, "title": text_of(session, "title")},
        "questions": waiting_questions,
        "permissions": waiting_permissions,
    }


def find_state(history: HarnessHistory) -> JsonObject:
    """Return the state entry, or an empty one."""
    for message in reversed(history):
        if text_of(object_of(message, "info"), "role") == STATE_ROLE:
            return message
    return {}


def is_title(text: str) -> bool:
    """Tell a title from the placeholder that a session has before its first prompt."""
    return bool(text.strip()) and not text.startswith(_PLACEHOLDER_TITLES)


def is_settled(info: JsonObject) -> bool:
    """Tell whether nothing more comes of an assistant message."""
    return number_of(object_of(info, "time"), "completed") > 0


def is_summary(info: JsonObject) -> bool:
    """Tell whether an assistant message is opencode's own summary of a long conversation."""
    return info.get("summary") is True


def _is_prompt(message: JsonObject) -> bool:
    return any(
        text_of(part, "type") == "text" and part.get("synthetic") is not True
        for part in objects_of(message, "parts")
    )


def _was_stopped(message: JsonObject) -> bool:
    return any(
        text_of(object_of(part, "state"), "error").startswith(_ENDING_TOOL_ERRORS)
        for part in objects_of(message, "parts")
    )
