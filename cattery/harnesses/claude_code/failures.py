"""What went wrong, in words for a person: Claude Code's API errors and its retries."""

from typing import Final

from cattery.events.model import ErrorRaised, StatusChanged
from cattery.harnesses.frames import number_of, object_of, objects_of, text_of, texts_of
from cattery.jsontypes import JsonObject

_SYNTHETIC_MODEL: Final = "<synthetic>"
"""Stands for the model in messages that the program itself wrote: errors, answers to commands."""
_FILLER: Final = "No response requested."
EMPTY_ANSWER: Final = (
    "The model gave an empty answer. Send the prompt again, or choose another model."
)
_MAX_REASON: Final = 500
_DEFAULT_HINT: Final = "Send the prompt again, or choose another model."
_HINTS: Final = {
    "authentication_failed": "The model's key was refused. An administrator can set another one.",
    "billing_error": "The model's provider asks for payment. An administrator can see to it.",
    "rate_limit": "The model's provider limits requests. Wait a little and send the prompt again.",
    "max_output_tokens": "The answer reached the model's limit. Ask it to go on.",
}
_RETRIES: Final = {
    "authentication_failed": "it refused the key",
    "rate_limit": "too many requests",
    "server_error": "an error of the provider",
    "overloaded": "the provider is overloaded",
}


def is_error(message: JsonObject) -> bool:
    """Tell whether an assistant message is the program's own, on a failure of the model."""
    return _is_api_error(message) or (_is_synthetic(message) and bool(text_of(message, "error")))


def is_filler(message: JsonObject) -> bool:
    """Tell whether an assistant message only stands where the model said nothing."""
    return _is_synthetic(message) and _said(message).strip() == _FILLER


def raise_message(message: JsonObject) -> ErrorRaised:
    """Turn such a message into an error."""
    return raise_error(_said(message), text_of(message, "error"))


def raise_result(result: JsonObject) -> ErrorRaised:
    """Turn a result that is an error into one, where no message has said it before."""
    match text_of(result, "subtype"):
        case "error_max_turns":
            return ErrorRaised("The agent took more steps than it may. Ask it to go on.")
        case "error_max_budget_usd":
            return ErrorRaised("The agent has used up its budget.")
    said = text_of(result, "result") or "; ".join(texts_of(result, "errors"))
    return raise_error(said or "it gave no reason", "")


def raise_error(said: str, kind: str) -> ErrorRaised:
    """Make a sentence. It has no key: stream and history tell of one error in the same words."""
    reason = _shorten(said)
    if reason.endswith((".", "!")) and " " in reason:
        return ErrorRaised(reason)  # the model gateway's own sentences say what to do
    return ErrorRaised(f"The model failed: {reason}. {_HINTS.get(kind, _DEFAULT_HINT)}")


def tell_retry(message: JsonObject) -> StatusChanged:
    """Say that a request to the model is tried again."""
    attempt, most = int(number_of(message, "attempt")), int(number_of(message, "max_retries"))
    status = int(number_of(message, "error_status"))
    why = _RETRIES.get(text_of(message, "error"), "no answer")
    reason = f"{why}, {status}" if status else why
    detail: JsonObject = {
        "attempt": attempt,
        "maxAttempts": most,
        "delayMs": int(number_of(message, "retry_delay_ms")),
    }
    return StatusChanged(
        f"The model failed ({reason}). Trying again, attempt {attempt} of {most}.", detail
    )


def _said(message: JsonObject) -> str:
    blocks = objects_of(object_of(message, "message"), "content")
    return " ".join(text_of(block, "text") for block in blocks)


def _is_synthetic(message: JsonObject) -> bool:
    return text_of(object_of(message, "message"), "model") == _SYNTHETIC_MODEL


def _is_api_error(message: JsonObject) -> bool:
    return message.get("is_api_error_message") is True or message.get("isApiErrorMessage") is True


def _shorten(said: str) -> str:
    text = " ".join(said.split())
    return text if len(text) <= _MAX_REASON else text[: _MAX_REASON - 1] + "…"
