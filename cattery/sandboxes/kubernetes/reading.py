"""Reads values out of JSON in which anything may be missing or of a wrong type."""

from datetime import UTC, datetime

from cattery.jsontypes import Json, JsonObject


def as_object(value: Json) -> JsonObject:
    """Return an object; empty where it is none."""
    return value if isinstance(value, dict) else {}


def as_list(value: Json) -> list[Json]:
    """Return a list; empty where it is none."""
    return value if isinstance(value, list) else []


def as_text(value: Json) -> str:
    """Return a text; empty where it is none."""
    return value if isinstance(value, str) else ""


def as_number(value: Json) -> int:
    """Return a whole number; 0 where it is none."""
    return value if isinstance(value, int) else 0


def as_strings(value: Json) -> dict[str, str]:
    """Return an object of texts; what is no text is left out."""
    return {key: text for key, text in as_object(value).items() if isinstance(text, str)}


def as_texts(value: Json) -> tuple[str, ...]:
    """Return a list of texts; what is no text is left out."""
    return tuple(text for text in as_list(value) if isinstance(text, str))


def as_moment(value: Json) -> datetime | None:
    """Read an RFC 3339 time, with or without fractions of a second."""
    if not isinstance(value, str) or not value:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
