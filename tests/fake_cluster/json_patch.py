"""JSON Patch (RFC 6902) as the API server applies it: all operations or none."""

from typing import Any


class PatchError(Exception):
    """A `test` that failed, or a path that is not there."""


def apply_patch(document: Any, operations: list[dict[str, Any]]) -> Any:
    """Apply the operations in order; the document is changed and returned."""
    for operation in operations:
        _apply(document, operation)
    return document


def _apply(document: Any, operation: dict[str, Any]) -> None:
    parent, key = _locate(document, operation["path"])
    match operation["op"]:
        case "test":
            if _read(parent, key) != operation["value"]:
                raise PatchError(f"testing path {operation['path']}: test failed")
        case "add":
            if isinstance(parent, list):
                parent.insert(
                    len(parent) if key == "-" else _index(parent, key), operation["value"]
                )
            else:
                parent[key] = operation["value"]
        case "replace":
            _read(parent, key)
            parent[_index(parent, key) if isinstance(parent, list) else key] = operation["value"]
        case "remove":
            _read(parent, key)
            del parent[_index(parent, key) if isinstance(parent, list) else key]
        case other:
            raise PatchError(f"unexpected kind: {other}")


def _locate(document: Any, path: str) -> tuple[Any, str]:
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    for part in way:
        document = _read(document, part)
    if not isinstance(document, dict | list):
        raise PatchError(f"missing path: {path}")
    return document, last


def _read(parent: Any, key: str) -> Any:
    try:
        return parent[_index(parent, key)] if isinstance(parent, list) else parent[key]
    except (KeyError, IndexError, TypeError):
        raise PatchError(f"missing value: {key}") from None


def _index(parent: list[Any], key: str) -> int:
    if not key.isdigit() or int(key) > len(parent):
        raise PatchError(f"bad index: {key}")
    return int(key)
