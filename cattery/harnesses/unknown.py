"""What no translator knows, as the event that keeps it: its own type and a bounded copy of it.

A harness says things for itself too, so the copy may hold secrets: the values of fields that are
named like one, and texts that look like one, are blanked out before it is cut.
"""

import re
from typing import Final

import orjson

from cattery.events.model import UnknownFrame
from cattery.jsontypes import Json, JsonObject
from cattery.logs import redact

MAX_TYPE: Final = 100
"""Letters of a frame's own type that are kept."""
MAX_PREVIEW: Final = 2_000
"""Letters of the copy that are kept."""
HIDDEN: Final = "[redacted]"
_LOOKED_AT: Final = 16_000
"""Letters in which secrets are looked for, so that none that begins in the copy is cut before."""
_SECRET_NAME: Final = re.compile(
    r"(?i)token|secret|passw|api[-_]?key|private[-_]?key|authorization|cookie|credential"
)
_SECRET_TEXT: Final = re.compile(
    r"\b(?:ctk_|sk-|gh[a-z]_|github_pat_|glpat-|xox[a-z]-|AKIA)[\w-]{8,}"
    r"|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*"
    r"|(?<=://)[^\s/@\"]+:[^\s/@\"]+(?=@)"
    r"|(?<=Basic )[A-Za-z0-9+/=]{8,}"
)
_SECRET_SETTING: Final = re.compile(
    r"(?i)(\w*(?:token|secret|password|api_?key)\w*\s*[=:]\s*)[^\s\"'\\,;&]{4,}"
)


def unknown_frame(kind: str, frame: JsonObject) -> UnknownFrame:
    """Make the event for a frame, or a part of one, whose kind is not known."""
    named = " ".join(kind.split())[:MAX_TYPE] or "(no type)"
    whole = orjson.dumps(_without_secrets(frame)).decode()
    shown = _redact_text(whole[:_LOOKED_AT])
    if len(whole) > MAX_PREVIEW:
        end = f"… ({len(whole):,} letters)"
        shown = shown[: MAX_PREVIEW - len(end)] + end
    return UnknownFrame(named, shown)


def _without_secrets(frame: JsonObject) -> JsonObject:
    return {
        name: _hide(value) if _SECRET_NAME.search(name) else _look_into(value)
        for name, value in frame.items()
    }


def _look_into(value: Json) -> Json:
    match value:
        case dict():
            return _without_secrets(value)
        case list():
            return [_look_into(item) for item in value]
        case _:
            return value


def _hide(value: Json) -> Json:
    """Blank out all texts; how many tokens a model took is a number, and no secret."""
    match value:
        case str():
            return HIDDEN if value else value
        case dict():
            return {name: _hide(item) for name, item in value.items()}
        case list():
            return [_hide(item) for item in value]
        case _:
            return value


def _redact_text(text: str) -> str:
    return _SECRET_SETTING.sub(rf"\1{HIDDEN}", _SECRET_TEXT.sub(HIDDEN, redact(text)))
