"""Reading a harness's JSON without trusting its shape: what is missing is empty, never an error."""

from cattery.jsontypes import Json, JsonObject


def object_of(parent: JsonObject, key: str) -> JsonObject:
    """Return an object's field that is itself an object, or an empty one."""
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def objects_of(parent: JsonObject, key: str) -> list[JsonObject]:
    """Return the objects of a list field."""
    value = parent.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_of(parent: JsonObject, key: str) -> str:
    """Return a text field, or an empty text."""
    value = parent.get(key)
    return value if isinstance(value, str) else ""


def texts_of(parent: JsonObject, key: str) -> list[str]:
    """Return the texts of a list field."""
    return texts(parent.get(key))


def texts(value: Json) -> list[str]:
    """Return the texts of a list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def number_of(parent: JsonObject, key: str) -> float:
    """Return a number field, or zero."""
    value = parent.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return value
