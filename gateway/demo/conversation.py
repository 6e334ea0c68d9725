"""A request to the demo model in one form, whichever of the three APIs it came through.

Requests come from sandboxes, so nothing in them has to be as the API says: what is not of the
expected type counts as not there.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from cattery.jsontypes import Json, JsonObject


@dataclass(frozen=True, slots=True)
class PastCall:
    """A tool call of ours that the harness has carried out."""

    name: str
    arguments: JsonObject
    result: str
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the user wants and what has been done about it."""

    system: str = ""
    prompt: str = ""
    """The user's last words."""
    tools: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """The harness's tools by name, with the names of their parameters."""
    calls: tuple[PastCall, ...] = ()
    """What we called since the user's last words, in order."""

    def locate(self, path: str) -> str:
        """Put claude-code's working directory before a path: its tools take absolute ones only."""
        if "Write" not in self.tools:
            return path
        found = re.search(r"[Ww]orking directory: *(/\S*)", self.system)
        return str(PurePosixPath(found[1]) / path) if found else path


class ConversationReader:
    """Gathers a conversation message by message; a new prompt forgets earlier calls."""

    def __init__(self) -> None:
        self._system: list[str] = []
        self._prompt = ""
        self._tools: dict[str, frozenset[str]] = {}
        self._asked: dict[str, tuple[str, JsonObject]] = {}
        self._calls: list[PastCall] = []

    def add_system(self, text: str) -> None:
        """Take in instructions of the harness."""
        self._system.append(text)

    def add_tool(self, name: str, schema: Json) -> None:
        """Take in a tool that the harness offers."""
        if name:
            self._tools[name] = frozenset(as_object(as_object(schema).get("properties")))

    def add_prompt(self, text: str) -> None:
        """Take in words of the user, without what the harness has added to them."""
        words = _strip_additions(text)
        if words:
            self._prompt = words
            self._calls.clear()

    def add_call(self, call_id: str, name: str, arguments: JsonObject) -> None:
        """Take in a tool call that we made."""
        self._asked[call_id] = (name, arguments)

    def add_result(self, call_id: str, text: str, *, is_error: bool = False) -> None:
        """Take in what came of a tool call."""
        name, arguments = self._asked.get(call_id, ("", {}))
        failed = is_error or text.lstrip().lower().startswith("error")
        self._calls.append(PastCall(name, arguments, text, failed))

    def finish(self) -> Conversation:
        """Return what was gathered."""
        return Conversation(
            system="\n".join(self._system),
            prompt=self._prompt,
            tools=self._tools,
            calls=tuple(self._calls),
        )


def as_object(value: Json) -> JsonObject:
    """Return a JSON object, empty if it is none."""
    return value if isinstance(value, dict) else {}


def as_objects(value: Json) -> list[JsonObject]:
    """Return the objects in a JSON array."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_text(value: Json) -> str:
    """Return the text of a string, of one content block, or of an array of them."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, (as_text(item) for item in value)))
    if isinstance(value, dict):
        return as_text(value.get("text") or value.get("content") or "")
    return ""


_ADDITIONS = re.compile(
    r"<(system-reminder|environment_context|user_instructions|permissions instructions"
    r"|skills_instructions|collaboration_mode|apps_instructions|plugins_instructions"
    r"|multi_agent_mode|context_window)>.*?</\1>",
    re.DOTALL,
)


def _strip_additions(text: str) -> str:
    words = _ADDITIONS.sub("", text).strip()
    return "" if words.startswith("# AGENTS.md") else words
