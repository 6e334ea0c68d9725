"""Prints the OpenAPI document: `python -m api.openapi > web/openapi.json`."""

import sys

import orjson

from api.app import create_bare_app


def render_document() -> bytes:
    """Return the document as it is committed: sorted, indented, with a newline at its end."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(create_bare_app().openapi(), option=options)


if __name__ == "__main__":
    sys.stdout.buffer.write(render_document())
