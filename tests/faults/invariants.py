"""What must hold after any fault, as one check.

`find_violations` looks at the database, at what a site says there is outside of it, at the prompts
that harnesses noted as posted to them, and at what clients received; it names everything that is
not as it must be. `assert_invariants` fails with all of it. Both want a system at rest: what is
still queued, running, starting or being deleted counts as something that did not come to its end.

1. A session's events are numbered 1..n, and nothing stands in the log twice.
2. What a client received is the log, in order.
3. A prompt reached its harness once, or its turn says that it failed; never twice.
4. A turn has one `session.idle`, as its last event.
5. Whatever is outside belongs to a row, and whatever a row says that runs is there.
6. Nothing that was acknowledged is missing.
7. Nothing stands behind a turn's end, where a worker that had lost its fence would have written.
8. Nothing is left half done.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import orjson
from sqlalchemy import select

from cattery.db.engine import Database, ReadSession
from cattery.db.states import HarnessStatus, PromptStatus, SessionStatus
from cattery.db.tables import (
    Base,
    HarnessRow,
    ProjectRow,
    PromptRow,
    SandboxTokenRow,
    SessionEventRow,
    SessionRow,
    SessionStreamRow,
    UserRow,
)
from cattery.events.model import EventType
from cattery.ids import HarnessId, PromptId, SessionId

KEPT_FOR_EVER: Final = frozenset({"audit_event", "deletion"})
"""Tables whose rows outlive what they tell of."""
_ENDED_BADLY: Final = frozenset({"failed", "aborted"})


@dataclass(frozen=True, slots=True)
class Belonging:
    """One thing outside the database.

    Attributes:
        owner: the id of the harness or project that it belongs to; empty where it says none.
        runs: whether it is there while its harness is ready, once of its kind, and else not.
        generation: the start that it belongs to, where it says one.
    """

    kind: str
    name: str
    owner: str
    runs: bool = False
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class Outside:
    """What there is beside the rows.

    Attributes:
        belongings: all that the site has.
        posted: by harness, the lines that it noted, one a prompt that was posted to it.
        received: by session, what a client got of it: numbers and types.
        acknowledged: prompts that the platform said it had.
    """

    belongings: Sequence[Belonging] = ()
    posted: Mapping[HarnessId, Sequence[str]] = field(default_factory=dict)
    received: Mapping[SessionId, Sequence[tuple[int, str]]] = field(default_factory=dict)
    acknowledged: Collection[PromptId] = ()


async def assert_invariants(database: Database, outside: Outside) -> None:
    """Fail with everything that does not hold."""
    violations = await find_violations(database, outside)
    assert not violations, "\n".join(violations)


async def find_violations(database: Database, outside: Outside) -> list[str]:
    """Name everything that does not hold."""
    async with database.read() as rows:
        prompts = (await rows.scalars(select(PromptRow))).all()
        return [
            *await _check_log(rows, outside.received),
            *await _check_turns(rows, prompts),
            *_check_posted(prompts, outside.posted, await _find_failed(rows)),
            *await _check_belongings(rows, outside.belongings),
            *_check_acknowledged(prompts, outside.acknowledged),
            *await _check_rest(rows, prompts),
        ]


async def find_traces(database: Database, ids: Iterable[object]) -> list[str]:
    """Name every row that still names one of some objects; the audit's may."""
    wanted = [str(one) for one in ids]
    found = []
    async with database.read() as rows:
        for table in Base.metadata.sorted_tables:
            if table.name in KEPT_FOR_EVER:
                continue
            for row in await rows.execute(select(table)):
                written = " ".join(str(value) for value in row)
                found += [f"{table.name} has {one}" for one in wanted if one in written]
    return found


async def _check_log(
    rows: ReadSession, received: Mapping[SessionId, Sequence[tuple[int, str]]]
) -> list[str]:
    found = []
    for stream in await rows.scalars(select(SessionStreamRow)):
        session = stream.session_id
        events = (
            await rows.scalars(
                select(SessionEventRow)
                .where(SessionEventRow.session_id == session)
                .order_by(SessionEventRow.seq)
            )
        ).all()
        # Up to the floor the log was folded: whole parts, under some of the numbers they had.
        numbers = [event.seq for event in events if event.seq > stream.floor_seq]
        if numbers != list(range(stream.floor_seq + 1, stream.last_seq + 1)):
            found.append(f"I1: session {session} has the events {numbers} of {stream.last_seq}")
        found += [f"I1: session {session}: {reason}" for reason in _find_doubles(events)]
        seen = received.get(SessionId(session))
        if seen is not None and list(seen) != [(event.seq, event.type) for event in events]:
            found.append(f"I2: a client of session {session} received {len(seen)} other events")
    return found


def _find_doubles(events: Sequence[SessionEventRow]) -> list[str]:
    """Find text that was written twice or is missing, and tools that began or ended twice."""
    found = []
    lengths: dict[tuple[int, str, object], int] = defaultdict(int)
    tools: Counter[tuple[int, str, object]] = Counter()
    for event in events:
        if event.type in (EventType.MESSAGE_DELTA, EventType.MESSAGE_THINKING):
            part = (event.turn_no, event.type, event.data.get("partId"))
            offset = event.data.get("offset")
            if isinstance(offset, int) and offset != lengths[part]:
                found.append(
                    f"a piece of text at {offset} follows one that ends at {lengths[part]}"
                )
            lengths[part] += len(str(event.data.get("text", "")))
        elif event.type == EventType.TOOL_DONE:
            tools[(event.turn_no, event.type, event.data.get("toolId"))] += 1
    return found + [f"tool {key[2]} ended {n} times" for key, n in tools.items() if n > 1]


async def _check_turns(rows: ReadSession, prompts: Sequence[PromptRow]) -> list[str]:
    found = []
    for prompt in prompts:
        events = (
            await rows.scalars(
                select(SessionEventRow)
                .where(
                    SessionEventRow.session_id == prompt.session_id,
                    SessionEventRow.turn_no == prompt.turn_no,
                )
                .order_by(SessionEventRow.seq)
            )
        ).all()
        ends = [event for event in events if event.type == EventType.SESSION_IDLE]
        if prompt.status is PromptStatus.DONE and len(ends) != 1:
            found.append(f"I4: the turn of prompt {prompt.id} ended {len(ends)} times")
        if len(ends) == 1 and events[-1] is not ends[0]:
            found.append(f"I7: prompt {prompt.id}: {events[-1].type} stands behind the turn's end")
    return found


async def _find_failed(rows: ReadSession) -> set[tuple[UUID, int]]:
    """Find the turns that say that they did not come to a good end."""
    ends = await rows.scalars(
        select(SessionEventRow).where(SessionEventRow.type == EventType.SESSION_IDLE)
    )
    return {
        (event.session_id, event.turn_no)
        for event in ends
        if event.data.get("outcome") in _ENDED_BADLY
    }


def _check_posted(
    prompts: Sequence[PromptRow],
    posted: Mapping[HarnessId, Sequence[str]],
    failed: Collection[tuple[UUID, int]],
) -> list[str]:
    lines = [orjson.loads(line) for each in posted.values() for line in each]
    times = Counter(str(line["messageID"]) for line in lines)
    found = [f"I3: message {name} was posted {n} times" for name, n in times.items() if n > 1]
    known = {prompt.harness_message_id for prompt in prompts}
    found += [f"I3: message {name} is of no prompt" for name in times if name not in known]
    if posted:
        found += [
            f"I3: prompt {prompt.id} never reached its harness"
            for prompt in prompts
            if prompt.status is PromptStatus.DONE
            and prompt.harness_message_id not in times
            and (prompt.session_id, prompt.turn_no) not in failed
        ]
    return found


async def _check_belongings(rows: ReadSession, belongings: Sequence[Belonging]) -> list[str]:
    harnesses = {str(row.id): row for row in await rows.scalars(select(HarnessRow))}
    projects = {str(one) for one in await rows.scalars(select(ProjectRow.id))}
    found = []
    running: dict[str, Counter[str]] = defaultdict(Counter)
    for one in belongings:
        row = harnesses.get(one.owner)
        if row is None and one.owner not in projects:
            found.append(f"I5: {one.kind} {one.name} belongs to nothing")
        if row is not None and one.runs:
            running[one.owner][one.kind] += 1
            if row.status is not HarnessStatus.READY:
                found.append(f"I5: {one.kind} {one.name} runs, and its row says {row.status}")
            if one.generation is not None and one.generation != row.generation:
                found.append(
                    f"I5: {one.kind} {one.name} is generation {one.generation}, "
                    f"and its row says {row.generation}"
                )
    for harness_id, row in harnesses.items():
        counts = dict(running[harness_id])
        if row.status is HarnessStatus.READY and set(counts.values()) != {1}:
            found.append(
                f"I5: harness {harness_id} is ready, and has {counts or 'nothing'} running"
            )
    return found + await _check_tokens(rows, harnesses)


async def _check_tokens(rows: ReadSession, harnesses: Mapping[str, HarnessRow]) -> list[str]:
    live: dict[str, set[int]] = defaultdict(set)
    for token in await rows.scalars(
        select(SandboxTokenRow).where(SandboxTokenRow.revoked_at.is_(None))
    ):
        live[str(token.harness_id)].add(token.generation)
    found = []
    for harness_id, row in harnesses.items():
        wanted = {row.generation} if row.status is HarnessStatus.READY else set()
        if live[harness_id] != wanted:
            found.append(
                f"I5: harness {harness_id} is {row.status} at generation {row.generation}, "
                f"with live tokens of {sorted(live[harness_id])}"
            )
    return found


def _check_acknowledged(
    prompts: Sequence[PromptRow], acknowledged: Collection[PromptId]
) -> list[str]:
    known = {prompt.id for prompt in prompts}
    return [
        f"I6: prompt {one} was acknowledged and is lost" for one in acknowledged if one not in known
    ]


async def _check_rest(rows: ReadSession, prompts: Sequence[PromptRow]) -> list[str]:
    found = [
        f"I8: prompt {prompt.id} is still {prompt.status}"
        for prompt in prompts
        if prompt.status is not PromptStatus.DONE
    ]
    for harness in await rows.scalars(select(HarnessRow)):
        if harness.status is HarnessStatus.STARTING:
            found.append(f"I8: harness {harness.id} is still {harness.status}")
    for session in await rows.scalars(select(SessionRow)):
        if session.status is SessionStatus.CREATING:
            found.append(f"I8: session {session.id} is still {session.status}")
    for table in (UserRow, ProjectRow, HarnessRow, SessionRow):
        due = await rows.scalars(select(table.id).where(table.deleting_at.is_not(None)))
        found += [f"I8: {table.__tablename__} {one} is still being deleted" for one in due]
    return found
