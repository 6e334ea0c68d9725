"""opencode asks leave for some actions; to a person that is a question like any other.

The labels are ours and stand in the log; the client turns them back into opencode's replies.
"""

from collections.abc import Sequence
from typing import Final

from cattery.events.model import (
    Answer,
    Question,
    QuestionAsked,
    QuestionKind,
    QuestionOption,
)
from cattery.harnesses.frames import text_of, texts_of
from cattery.jsontypes import JsonObject

ALLOW_ONCE: Final = "Allow once"
ALLOW_ALWAYS: Final = "Always allow"
REJECT: Final = "Reject"

_REPLIES: Final = {ALLOW_ONCE: "once", ALLOW_ALWAYS: "always", REJECT: "reject"}
_LABELS: Final = {reply: label for label, reply in _REPLIES.items()}
_ASKS: Final = {
    "external_directory": "May the agent work outside its workspace?",
    "bash": "May the agent run this command?",
    "edit": "May the agent change this file?",
    "webfetch": "May the agent fetch this page?",
    "doom_loop": "The agent repeats the same call again and again. May it go on?",
}
_SHOWN_PATTERNS: Final = 5


def permission_question(request: JsonObject, child: str | None) -> QuestionAsked:
    """Turn a `permission.asked` into a question with three choices."""
    return QuestionAsked(
        question_id=text_of(request, "id"),
        questions=(
            Question(
                question=question_text(request),
                header="Permission",
                options=(
                    QuestionOption(ALLOW_ONCE, "Only this time"),
                    QuestionOption(ALLOW_ALWAYS, _always(request)),
                    QuestionOption(REJECT, "The agent is told no, and its turn ends"),
                ),
            ),
        ),
        kind=QuestionKind.PERMISSION,
        child=child,
    )


def question_text(request: JsonObject) -> str:
    """Say what is asked for, with the first few of the paths or commands that it is about."""
    permission = text_of(request, "permission")
    ask = _ASKS.get(permission, f"May the agent use {permission or 'this'}?")
    patterns = texts_of(request, "patterns")
    shown = ", ".join(patterns[:_SHOWN_PATTERNS])
    more = len(patterns) - _SHOWN_PATTERNS
    return ask + (f" ({shown}{f' and {more} more' if more > 0 else ''})" if shown else "")


def label_of(reply: str) -> str:
    """Return our label for opencode's reply."""
    return _LABELS.get(reply, reply)


def reply_of(answers: Sequence[Answer]) -> str:
    """Return opencode's reply for an answer; whatever allows nothing rejects."""
    for answer in answers:
        for label in answer.selected_labels:
            if label in _REPLIES:
                return _REPLIES[label]
    return "reject"


def _always(request: JsonObject) -> str:
    always = texts_of(request, "always")
    covered = ", ".join(always[:_SHOWN_PATTERNS])
    return f"Until the sandbox restarts: {covered}" if covered else "Until the sandbox restarts"
