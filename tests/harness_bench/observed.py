"""What the platform saw of a harness in each scenario, and what differs between two versions."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import override

from cattery.jsontypes import Json
from tests.e2e.client import Client, Event, Watcher
from tests.harness_bench.scenario import Run, Scenario, Subject
from tests.harness_bench.table import Cell, Outcome

_PASSING = (Outcome.PASSED, Outcome.LIMIT, Outcome.NOT_OFFERED)
_WHENEVER = ("session.title.", "turn.status.")
"""Beginnings of fields that may come after the end of their scenario, or by chance in any."""


@dataclass(slots=True)
class Seen:
    """Everything of one scenario that two versions are compared by.

    Attributes:
        fields: `type.field` of every event that came, and the tools by name.
        unknown: how often each type came that no translator knows.
        ends: how the turns ended, in the order of their sessions.
    """

    fields: set[str] = field(default_factory=set)
    unknown: Counter[str] = field(default_factory=Counter)
    ends: list[str] = field(default_factory=list)

    def take(self, events: Iterable[Event]) -> None:
        """Take in the events of one session."""
        for event in events:
            self.fields.update(_fields(event.type, event.data))
            if event.type.startswith("tool."):
                self.fields.add(f"{event.type} of {event.data['tool']}")
            if event.type == "harness.unknown":
                self.unknown[str(event.data["frameType"])] += 1
            if event.type == "session.idle":
                self.ends.append(str(event.data["outcome"]))


type Observations = dict[str, Seen]
"""By scenario."""


class ListeningClient(Client):
    """A client that keeps what its watchers heard."""

    def __init__(self, client: Client) -> None:
        super().__init__(client.http, client.url.removesuffix("/api/v1"))
        self.headers = client.headers
        self.watchers: list[Watcher] = []

    @override
    @asynccontextmanager
    async def watch(self, session_id: str) -> AsyncIterator[Watcher]:
        async with super().watch(session_id) as watcher:
            self.watchers.append(watcher)
            yield watcher


def listen(scenarios: Iterable[Scenario], seen: Observations) -> tuple[Scenario, ...]:
    """Return the scenarios, each of which notes what came while it ran, however it ends."""
    return tuple(replace(one, run=_listening(one.name, one.run, seen)) for one in scenarios)


@dataclass(frozen=True, slots=True)
class Version:
    """One version's run of the bench."""

    version: str
    cells: Mapping[str, Cell]
    seen: Observations


def compare(pinned: Version, other: Version) -> Iterator[str]:
    """Say what differs, one line each; nothing where all is as before.

    Fields are compared where both versions pass: a scenario that breaks off shows fewer of them.
    """
    for name, before in pinned.cells.items():
        after = other.cells.get(name)
        if after is not None and after.outcome is not before.outcome:
            detail = f" ({after.detail.splitlines()[0]})" if after.detail else ""
            yield f"outcome    {name}: {before.outcome} → {after.outcome}{detail}"
    yield from _compare_unknown(pinned, other)
    both = [
        name
        for name in pinned.seen
        if name in other.seen
        and pinned.cells[name].outcome in _PASSING
        and other.cells[name].outcome is pinned.cells[name].outcome
    ]
    yield from _by_field("lost", {name: _missing(name, pinned, other) for name in both})
    yield from _by_field("new", {name: _missing(name, other, pinned) for name in both})
    for name in both:
        before_ends, after_ends = pinned.seen[name].ends, other.seen[name].ends
        if before_ends != after_ends:
            yield f"turns      {name}: ended {before_ends} → {after_ends}"


def as_json(version: Version) -> str:
    """Return one version's run, for programs."""
    scenarios: dict[str, Json] = {
        name: {
            "outcome": str(cell.outcome),
            "detail": cell.detail,
            "fields": [*sorted(seen.fields)],
            "unknown": dict(seen.unknown),
            "ends": [*seen.ends],
        }
        for name, cell in version.cells.items()
        for seen in (version.seen.get(name, Seen()),)
    }
    return json.dumps({"version": version.version, "scenarios": scenarios}, indent=1) + "\n"


def _listening(name: str, run: Run, seen: Observations) -> Run:
    async def listening(subject: Subject) -> None:
        client = ListeningClient(subject.client)
        try:
            await run(replace(subject, client=client))
        finally:
            noted = seen[name] = Seen()
            for watcher in client.watchers:
                noted.take(watcher.events)

    return listening


def _fields(path: str, data: Mapping[str, Json]) -> Iterator[str]:
    """Name the fields of an event that hold something; lists by what their objects have."""
    for name, value in data.items():
        if value is None or value in ("", [], {}):
            continue
        yield f"{path}.{name}"
        items = value if isinstance(value, list) else [value]
        for item in items:
            if isinstance(item, dict):
                yield from _fields(f"{path}.{name}", item)


def _missing(name: str, one: Version, other: Version) -> set[str]:
    """Return what one version shows in a scenario and the other does not."""
    anywhere = set().union(*(seen.fields for seen in other.seen.values()))
    by_chance = {found for found in anywhere if found.startswith(_WHENEVER)}
    return one.seen[name].fields - other.seen[name].fields - by_chance


def _compare_unknown(pinned: Version, other: Version) -> Iterator[str]:
    before, after = _all_unknown(pinned), _all_unknown(other)
    for kind in sorted({*before, *after}):
        if before[kind] != after[kind]:
            yield f"unknown    {kind}: {before[kind]} → {after[kind]} events"


def _all_unknown(version: Version) -> Counter[str]:
    return sum((seen.unknown for seen in version.seen.values()), Counter())


def _by_field(word: str, found: Mapping[str, set[str]]) -> Iterator[str]:
    for name in sorted(set().union(*found.values())):
        where = ", ".join(scenario for scenario, fields in found.items() if name in fields)
        yield f"{word:<10} {name} ({where})"
