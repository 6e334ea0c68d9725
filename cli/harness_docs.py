"""Writes what docs say of harnesses from their manifests and their format, for `make docs`."""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic.fields import FieldInfo

from cattery.errors import CatteryError
from cattery.harnesses.manifest import (
    Capabilities,
    Install,
    LaunchTemplates,
    Limits,
    Manifest,
    Models,
    Transport,
    load_manifests,
)
from cattery.harnesses.templates import PLACEHOLDERS
from cattery.settings import HarnessSettings

DOCS = Path(__file__).resolve().parent.parent / "docs"
TABLES = DOCS / "harnesses" / "README.md"
REFERENCE = DOCS / "adding-a-harness.md"
BEGIN = "<!-- what follows is written by `make docs` -->"
END = "<!-- what stands above was written by `make docs` -->"
_TRANSPORTS = {
    Transport.HTTP: "HTTP, shown as a chat",
    Transport.TERMINAL: "terminal",
    Transport.ACP: "ACP, shown as a chat",
}


def write_between(document: str, text: str) -> str:
    """Return a document with another text between its two marks."""
    head, _, rest = document.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{text}\n{END}{tail}"


def render_tables(manifests: Iterable[Manifest]) -> str:
    """Make two tables: what each harness is, and what it offers."""
    found = list(manifests)
    facts = [_describe(one) for one in found]
    offers = [
        (name.replace("_", "-"), *(_tick(one, name) for one in found))
        for name in Capabilities.model_fields
    ]
    return "\n".join(
        (
            *_table(("", *(f"**{one.display_name}**" for one in found)), _turn(_FACTS, facts)),
            "",
            *_table(("offers", *(one.display_name for one in found)), offers),
            "",
        )
    )


def render_reference() -> str:
    """List every field that a manifest may have, and every placeholder of its templates."""
    sections = (
        ("At the top", Manifest),
        ("`[install]`", Install),
        ("`[models]`", Models),
        ("`[capabilities]`", Capabilities),
        ("`[limits]`", Limits),
        ("`[launch]`", LaunchTemplates),
    )
    lines: list[str] = []
    for title, table in sections:
        rows = [(f"`{name}`", *_explain(field)) for name, field in table.model_fields.items()]
        lines += (f"### {title}", "", *_table(("field", "if left out", "meaning"), rows), "")
    meanings = [(f"`{{{name}}}`", meaning) for name, meaning in PLACEHOLDERS.items()]
    lines += ("### Placeholders", "", *_table(("in a template", "stands for"), meanings), "")
    return "\n".join(lines)


def _explain(field: FieldInfo) -> tuple[str, str]:
    meaning = " ".join((field.description or "").split())
    if field.is_required():
        return "is a mistake", meaning
    default = field.get_default()
    return (f"`{json.dumps(default)}`" if isinstance(default, bool | int) else "nothing", meaning)


_FACTS = (
    "`type`",
    "spoken to over",
    "version",
    "models of",
    "told of model and gateway by",
    "skills are looked for in",
    "packages",
    "image",
    "needs",
    "answers within",
)


def _describe(one: Manifest) -> tuple[str, ...]:
    sources = (("npm", one.install.npm), ("PyPI", one.install.pypi))
    packages = [
        f"{name}: {', '.join(f'`{package}`' for package in listed)}"
        for name, listed in sources
        if listed
    ]
    skills = f"`{one.skills}`" if one.skills.startswith("~") else "where its configuration says"
    return (
        f"`{one.id}`" + (" (cannot run yet)" if one.planned else ""),
        _TRANSPORTS[one.transport],
        one.version,
        ", ".join(family.label for family in one.models.families),
        one.models.handover,
        skills,
        "; ".join(packages) or f"those of `{one.install.shares}`",
        f"`cattery-{one.image_name}`",
        f"{one.limits.memory_mib} MiB",
        f"{one.limits.start_seconds} s",
    )


def _tick(one: Manifest, capability: str) -> str:
    return "yes" if getattr(one.capabilities, capability) else "no"


def _turn(names: Sequence[str], columns: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    return [(name, *(column[row] for column in columns)) for row, name in enumerate(names)]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def write_docs() -> None:
    """Write both documents anew.

    Raises:
        ManifestError: a manifest is wrong.
    """
    manifests = load_manifests(HarnessSettings().folder).values()
    for file, text in ((TABLES, render_tables(manifests)), (REFERENCE, render_reference())):
        file.write_text(write_between(file.read_text(encoding="utf-8"), text), encoding="utf-8")


if __name__ == "__main__":
    try:
        write_docs()
    except CatteryError as error:
        sys.exit(f"docs: {error.message}")
