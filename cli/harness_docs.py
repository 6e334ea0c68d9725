"""Writes the tables of docs/harnesses/README.md from the manifests, for `make docs`."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from cattery.errors import CatteryError
from cattery.harnesses.manifest import Capabilities, Manifest, Transport, load_manifests
from cattery.settings import HarnessSettings

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "harnesses" / "README.md"
BEGIN = "<!-- what follows is written from the manifests by `make docs` -->"
END = "<!-- what stands above was written from the manifests by `make docs` -->"
_TRANSPORTS = {
    Transport.HTTP: "HTTP, shown as a chat",
    Transport.TERMINAL: "terminal",
    Transport.ACP: "ACP, shown as a chat",
}


def write_tables(document: str, manifests: Iterable[Manifest]) -> str:
    """Return a document with the tables between its two marks made anew."""
    head, _, rest = document.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{render_tables(manifests)}\n{END}{tail}"


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


if __name__ == "__main__":
    try:
        known = load_manifests(HarnessSettings().folder).values()
    except CatteryError as error:
        sys.exit(f"docs: {error.message}")
    DOCUMENT.write_text(write_tables(DOCUMENT.read_text(encoding="utf-8"), known), encoding="utf-8")
