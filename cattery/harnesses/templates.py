"""Fills the templates of a manifest: a command, environment and files with `{placeholders}`.

`{model}` is replaced as it is, `{model:json}` as a JSON string with its quotes, which is also a
string of TOML and YAML. Other braces stay; `{{model}}` is the text `{model}` itself.
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Final

PLACEHOLDERS: Final[Mapping[str, str]] = {
    "anthropic_url": "base address of the Anthropic API at the gateway, without `/v1`",
    "family": "`anthropic` or `openai`",
    "gateway_token": "the sandbox's own token, its only credential",
    "gateway_url": "address of the model gateway, without a path",
    "home": "the harness's own writable HOME",
    "host": "address to listen on",
    "model": "id of the model",
    "openai_url": "base address of the OpenAI API at the gateway, with `/v1`",
    "password": "secret for the harness's own port",
    "port": "TCP port to listen on",
    "skills": "the read-only skills library",
    "tools": "folder of the installed programs",
    "version": "the manifest's version",
    "workspace": "the project's folder, where it is started",
}

_PATTERN: Final = re.compile(r"\{\{([a-z_]+(?::[a-z]+)?)\}\}|\{([a-z_]+)(?::([a-z]+))?\}")


def check_template(template: str, known: Collection[str] = PLACEHOLDERS) -> str:
    """Return a template whose placeholders are all known.

    Raises:
        ValueError: one is not.
    """
    for literal, name, form in _PATTERN.findall(template):
        if literal:
            continue
        if name not in known:
            msg = (
                f"expected a known placeholder, not {{{name}}}: {', '.join(sorted(known))}; "
                f"the text itself is written {{{{{name}}}}}"
            )
            raise ValueError(msg)
        if form not in ("", "json"):
            msg = f"expected {{{name}}} or {{{name}:json}}, not {{{name}:{form}}}"
            raise ValueError(msg)
    return template


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """Replace the placeholders of a checked template. A value is never looked into again."""

    def replace(found: re.Match[str]) -> str:
        literal, name, form = found.groups()
        if literal is not None:
            return "{" + literal + "}"
        value = values[name]
        return json.dumps(value) if form == "json" else value

    return _PATTERN.sub(replace, template)
