"""What a skill says about itself: the YAML block at the top of its `SKILL.md`.

Skills are instructions for agents, written by anyone; a block that is too large, deeply nested
or that hides text from people is not understood on purpose.
"""

from dataclasses import dataclass

import yaml

MAX_FRONT_MATTER_BYTES = 16 * 1024
MAX_NAME_LENGTH = 200
MAX_DESCRIPTION_LENGTH = 10_000

_FENCE = "---"
_MAX_BRACKETS = 200  # PyYAML takes a second over a thousand open ones
_HIDDEN = (
    range(0x202A, 0x202F),  # bidirectional embeddings and overrides
    range(0x2066, 0x206A),  # bidirectional isolates
    range(0xE0000, 0xE0080),  # tag characters, invisible everywhere
)


class FrontMatterError(ValueError):
    """The block is missing or wrong; the message says how, for the catalogue to show."""


@dataclass(frozen=True, slots=True)
class FrontMatter:
    """The two fields that the catalogue shows."""

    name: str
    description: str


def parse_front_matter(data: bytes) -> FrontMatter:
    """Read the front matter of a `SKILL.md`, given at least the file's first 16 KiB.

    Raises:
        FrontMatterError: why this is no skill.
    """
    fields = _load(_cut_block(data))
    name = _text_of(fields, "name", MAX_NAME_LENGTH)
    description = _text_of(fields, "description", MAX_DESCRIPTION_LENGTH)
    if any(ord(letter) in hidden for letter in name + description for hidden in _HIDDEN):
        raise FrontMatterError("Its name or description contains hidden characters.")
    return FrontMatter(name, description)


def _cut_block(data: bytes) -> str:
    text = data[:MAX_FRONT_MATTER_BYTES].decode("utf-8-sig", "replace")
    first, *lines = text.splitlines() or [""]
    if first.rstrip() != _FENCE:
        raise FrontMatterError("SKILL.md does not begin with YAML front matter (a line `---`).")
    for number, line in enumerate(lines):
        if line.rstrip() in (_FENCE, "..."):
            return "\n".join(lines[:number])
    raise FrontMatterError("The front matter of SKILL.md has no end (a second line `---`).")


def _load(block: str) -> dict[object, object]:
    if block.count("[") + block.count("{") > _MAX_BRACKETS:
        raise FrontMatterError("The front matter of SKILL.md has too many lists in it.")
    try:
        loaded: object = yaml.safe_load(block)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise FrontMatterError("The front matter of SKILL.md is not valid YAML.") from error
    if not isinstance(loaded, dict):
        raise FrontMatterError("The front matter of SKILL.md has no fields `name: value`.")
    return loaded


def _text_of(fields: dict[object, object], key: str, longest: int) -> str:
    value = fields.get(key)
    if value is None:
        raise FrontMatterError(f"The front matter of SKILL.md has no `{key}`.")
    if not isinstance(value, str) or not value.strip():
        raise FrontMatterError(f"The `{key}` in SKILL.md is not a text.")
    if len(value) > longest:
        raise FrontMatterError(f"The `{key}` in SKILL.md has more than {longest} characters.")
    return value.strip()
