"""What went wrong, in words for a person: opencode's error objects and its retries."""

from typing import Final

from cattery.events.model import ErrorRaised, StatusChanged
from cattery.harnesses.frames import number_of, object_of, text_of
from cattery.jsontypes import JsonObject

RETRIES_SHOWN_AS_ERROR: Final = 5
"""opencode retries a failing model for ever, after 2, 4, 8, 16, … s: this is half a minute in."""
_MAX_REASON: Final = 500
_ABORTED: Final = "MessageAbortedError"
_HINTS: Final = {
    "ProviderAuthError": "The model's key was refused. An administrator can set another one.",
    "ContextOverflowError": "The conversation is too long for the model. Start a new session.",
    "MessageOutputLengthError": "The answer reached the model's limit. Ask it to go on.",
    "ContentFilterError": "The model's provider refused the content. Put the request differently.",
}
_DEFAULT_HINT: Final = "Send the prompt again, or choose another model."
EMPTY_ANSWER: Final = (
    "The model gave an empty answer. Send the prompt again, or choose another model."
)


def is_abort(error: JsonObject) -> bool:
    """Tell whether an error only says that the user stopped the turn."""
    return text_of(error, "name") == _ABORTED


def raise_error(error: JsonObject) -> ErrorRaised:
    """Turn an error object of a message or a `session.error` into a sentence.

    It has no key: the stream and the history tell of one error without a common id, but in the
    same words.
    """
    name = text_of(error, "name")
    reason = _reason(text_of(object_of(error, "data"), "message") or name or "it gave no reason")
    if reason.endswith((".", "!")) and " " in reason:
        return ErrorRaised(reason)  # the model gateway's own sentences say what to do
    return ErrorRaised(f"The model failed: {reason}. {_HINTS.get(name, _DEFAULT_HINT)}")


def tell_retry(status: JsonObject, *, child: bool) -> list[StatusChanged | ErrorRaised]:
    """Say that a request to the model is tried again; after several times as an error as well."""
    attempt = int(number_of(status, "attempt"))
    reason = _reason(text_of(status, "message") or "no answer").rstrip(".")
    who = "A sub-agent's model" if child else "The model"
    detail: JsonObject = {"attempt": attempt, "nextAt": status.get("next")}
    waiting = StatusChanged(f"{who} failed ({reason}). Trying again, attempt {attempt}.", detail)
    if attempt < RETRIES_SHOWN_AS_ERROR:
        return [waiting]
    return [
        waiting,
        ErrorRaised(
            f"{who} has failed {RETRIES_SHOWN_AS_ERROR} times in a row: {reason}. Stop the turn "
            "and try later, or choose another model.",
            key="model-retries",
        ),
    ]


def _reason(message: str) -> str:
    text = " ".join(message.split())
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 1] + "…"
