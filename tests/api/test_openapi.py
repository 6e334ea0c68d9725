"""The OpenAPI document: current, complete, and true to what the app does."""

import json
from pathlib import Path

from api.openapi import render_document

COMMITTED = Path(__file__).parents[2] / "web" / "openapi.json"


def test_the_committed_document_is_current() -> None:
    assert COMMITTED.read_bytes() == render_document(), (
        "web/openapi.json is old. Run: python -m api.openapi > web/openapi.json"
    )


def test_operations_have_names_of_their_own_and_say_what_they_do() -> None:
    document = json.loads(render_document())
    operations = [o for path in document["paths"].values() for o in path.values()]
    names = [o["operationId"] for o in operations]
    assert len(names) == len(set(names))
    assert [o["operationId"] for o in operations if not o.get("description")] == []


def test_every_operation_declares_the_contracts_error() -> None:
    document = json.loads(render_document())
    body = {"$ref": "#/components/schemas/ErrorBody"}
    for path, operations in document["paths"].items():
        if not path.startswith("/api"):
            continue
        for operation in operations.values():
            assert "422" not in operation["responses"], operation["operationId"]
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert answer["content"]["application/json"]["schema"] == body
