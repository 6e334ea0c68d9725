"""What must hold of streams after any run, as one check, and the report of it.

Beside `tests.faults.invariants`, which looks at the rows: every watcher's events are the log, each
once, in order and letter by letter; what a harness said of a finished turn stands in the log, all
of it and nothing twice; every prompt that somebody was told was taken is one turn.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from uuid import UUID

import orjson
from sqlalchemy import and_, func, or_, select
from sqlalchemy.exc import DBAPIError

from cattery.db.states import PromptStatus
from cattery.db.tables import PromptRow, SessionEventRow, SessionRow, SessionStreamRow
from cattery.events.model import EventType
from cattery.ids import HarnessId, PromptId
from cattery.jsontypes import JsonObject
from tests.faults.invariants import Outside, find_violations
from tests.faults.sites import list_local
from tests.faults.streams.installation import Installation
from tests.faults.streams.people import Turn
from tests.faults.streams.report import Report
from tests.faults.streams.watchers import Watcher
from tests.scripted_type import PROMPTS_FILE

SETTLE_SECONDS = 150.0
QUIET_SECONDS = 0.5
"""Nothing was written for so long: everything is at rest."""
CONVERGE_SECONDS = 45.0
TITLE_SPAN = timedelta(seconds=60)
"""How long a title may still come after its prompt."""
type Log = dict[int, bytes]


async def assert_invariants(
    installation: Installation,
    turns: Sequence[Turn],
    watchers: Sequence[Watcher],
    *,
    all_complete: bool = True,
) -> Report:
    """Wait until everything is at rest, check it all, and fail with everything that is wrong.

    Args:
        all_complete: no turn may have failed: none of the faults was one of the harness.
    """
    await settle(installation, turns, watchers)
    report = await check(installation, turns, watchers)
    if all_complete and set(report.outcomes) - {"completed"}:
        report.violations.append(f"turns did not complete: {dict(report.outcomes)}")
    assert not report.violations, explain(installation, report)
    return report


def explain(installation: Installation, report: Report) -> str:
    """Tell all that is known of a run that failed."""
    nodes = (*installation.workers, *installation.apis)
    logs = [f"--- {node.name}\n{node.tail()}" for node in nodes]
    broken = "\n".join(report.violations[:200])
    return "\n".join([broken, "", str(report), "", str(installation.history), *logs])


async def settle(
    installation: Installation,
    turns: Sequence[Turn],
    watchers: Sequence[Watcher],
    *,
    seconds: float = SETTLE_SECONDS,
) -> None:
    """Wait until the turns have ended and every watcher has the whole log, or it takes too long.

    A session's title may come after its turn. What has not come by then is found by the check.
    """
    deadline = time.monotonic() + seconds
    sessions = {UUID(turn.session_id) for turn in turns}
    heads: dict[str, int] = {}
    since = time.monotonic()
    while time.monotonic() < deadline:
        before, heads = heads, {}
        with suppress(DBAPIError):  # the database may be what is away
            heads = await _read_heads(installation, sessions)
        is_open = not heads or any(w.last < heads.get(w.session_id, 0) for w in watchers)
        if is_open or before != heads:
            since = time.monotonic()
        elif time.monotonic() - since > QUIET_SECONDS:
            return
        await asyncio.sleep(0.1)


async def _read_heads(installation: Installation, sessions: Collection[UUID]) -> dict[str, int]:
    """Return the last number of each session; nothing while one of them has something to do."""
    async with installation.database.read() as rows:
        under_way = await rows.scalar(
            select(func.count())
            .select_from(PromptRow)
            .join(SessionRow, SessionRow.id == PromptRow.session_id)
            .where(PromptRow.session_id.in_(sessions))
            .where(
                or_(
                    PromptRow.status != PromptStatus.DONE,
                    and_(
                        SessionRow.title.is_(None), PromptRow.created_at > func.now() - TITLE_SPAN
                    ),
                )
            )
        )
    return {} if under_way else await read_heads(installation, map(str, sessions))


async def read_heads(installation: Installation, sessions: Iterable[str]) -> dict[str, int]:
    """Return the last number of each session's log."""
    async with installation.database.read() as rows:
        found = await rows.execute(
            select(SessionStreamRow.session_id, SessionStreamRow.last_seq).where(
                SessionStreamRow.session_id.in_([UUID(session) for session in sessions])
            )
        )
        return {str(session): head for session, head in found}


async def check(
    installation: Installation, turns: Sequence[Turn], watchers: Sequence[Watcher]
) -> Report:
    """Check a system at rest; what does not hold has some time to come right by itself."""
    deadline = time.monotonic() + CONVERGE_SECONDS
    while True:
        report = await _check_once(installation, turns, watchers)
        if not report.violations or time.monotonic() > deadline:
            return report
        await asyncio.sleep(2)


async def _check_once(
    installation: Installation, turns: Sequence[Turn], watchers: Sequence[Watcher]
) -> Report:
    report = Report()
    logs = await _read_logs(installation, {turn.session_id for turn in turns})
    report.prompts = len(turns)
    report.written = sum(len(log) for log in logs.values())
    for watcher in watchers:
        _check_watcher(watcher, logs.get(watcher.session_id, {}), report)
    posted = {
        HarnessId(UUID(one)): _read_posted(installation, one) for one in installation.harness_ids
    }
    times = Counter(orjson.loads(line)["messageID"] for lines in posted.values() for line in lines)
    report.sent_twice = sum(n - 1 for n in times.values())
    outside = Outside(
        belongings=await asyncio.to_thread(list_local, installation.home),
        posted=posted,
        acknowledged=[PromptId(UUID(turn.turn_id)) for turn in turns],
    )
    report.violations += await find_violations(installation.database, outside)
    await _check_turns(installation, turns, logs, report)
    return report


def _check_watcher(watcher: Watcher, log: Log, report: Report) -> None:
    numbers = [event.seq for event in watcher.events]
    seen = set(numbers)
    lost = len(log.keys() - seen)
    doubled = len(numbers) - len(seen)
    reordered = sum(b < a for a, b in pairwise(numbers))
    changed = sum(log.get(event.seq) != event.body for event in watcher.events)
    report.watchers += 1
    report.connections += watcher.connections
    report.checked += len(log)
    report.lost += lost
    report.doubled += doubled
    report.reordered += reordered
    report.changed += changed
    name = f"watcher {watcher.number} ({watcher.way}) of {watcher.session_id}"
    if lost or doubled or reordered or changed:
        report.violations.append(
            f"I2: {name}: {lost} lost, {doubled} doubled, {reordered} reordered, "
            f"{changed} with other content, of {len(log)}"
        )
    if watcher.resets:
        report.violations.append(f"I2: {name} was told {watcher.resets} times to begin anew")
    report.violations += [f"I2: {name} was refused: {said}" for said in watcher.refused]


async def _read_logs(installation: Installation, sessions: Iterable[str]) -> dict[str, Log]:
    logs: dict[str, Log] = {}
    async with installation.database.read() as rows:
        for session in sessions:
            events = await rows.execute(
                select(
                    SessionEventRow.seq,
                    SessionEventRow.turn_no,
                    SessionEventRow.type,
                    SessionEventRow.data,
                ).where(SessionEventRow.session_id == UUID(session))
            )
            logs[session] = {
                seq: orjson.dumps(
                    {"seq": seq, "turn_no": turn_no, "type": kind, "data": data},
                    option=orjson.OPT_SORT_KEYS,
                )
                for seq, turn_no, kind, data in events
            }
    return logs


async def _check_turns(
    installation: Installation, turns: Sequence[Turn], logs: dict[str, Log], report: Report
) -> None:
    """Compare the text of each completed turn with what its harness has in its own history."""
    said = {
        key: text for one in installation.harness_ids for key, text in _read_said(installation, one)
    }
    async with installation.database.read() as rows:
        found = await rows.execute(
            select(PromptRow.id, PromptRow.harness_message_id).where(
                PromptRow.session_id.in_({UUID(turn.session_id) for turn in turns})
            )
        )
        messages = {str(prompt): message for prompt, message in found}
        count = len(messages)
    if count != (known := len({turn.turn_id for turn in turns})):
        report.violations.append(f"I6: {known} prompts were taken, and {count} are there")
    by_turn = _group(logs)
    for turn in turns:
        events = by_turn.get((turn.session_id, turn.turn_no), [])
        outcome = next(
            (_data(e).get("outcome") for e in events if e["type"] == "session.idle"), None
        )
        report.outcomes[str(outcome)] += 1
        if outcome == "completed":
            ours, theirs = _texts(events), said.get(str(messages.get(turn.turn_id)), [])
            if ours != theirs:
                report.violations.append(_describe_difference(turn, ours, theirs))


def _group(logs: dict[str, Log]) -> dict[tuple[str, int], list[JsonObject]]:
    grouped: dict[tuple[str, int], list[JsonObject]] = {}
    for session, log in logs.items():
        for _, body in sorted(log.items()):
            event: JsonObject = orjson.loads(body)
            turn_no = event["turn_no"]
            assert isinstance(turn_no, int)
            grouped.setdefault((session, turn_no), []).append(event)
    return grouped


def _texts(events: Sequence[JsonObject]) -> list[str]:
    """Return the text of each part, as a client that appends shows it."""
    parts: dict[str, str] = {}
    for event in events:
        data = _data(event)
        if event["type"] in (EventType.MESSAGE_DELTA, EventType.MESSAGE_THINKING):
            part = str(data["partId"])
            parts[part] = parts.get(part, "") + str(data["text"])
        elif event["type"] == EventType.MESSAGE_RESET:
            parts[str(data["partId"])] = str(data["text"])
    return list(parts.values())


def _describe_difference(turn: Turn, ours: list[str], theirs: list[str]) -> str:
    lengths = [len(text) for text in ours], [len(text) for text in theirs]
    return (
        f"I2: turn {turn.turn_no} of {turn.session_id}: its text is not the harness's; "
        f"letters by part {lengths[0]}, the harness said {lengths[1]}"
    )


def _read_posted(installation: Installation, harness_id: str) -> list[str]:
    return [
        line
        for file in _files(installation, harness_id, PROMPTS_FILE)
        for line in file.read_text().splitlines()
    ]


def _read_said(installation: Installation, harness_id: str) -> Iterable[tuple[str, list[str]]]:
    """Give, by the message that was posted, the texts of its answer."""
    for file in _files(installation, harness_id, "state.json"):
        for session in orjson.loads(file.read_bytes()):
            for message in session["messages"]:
                if parent := message["info"].get("parentID"):
                    kinds = ("text", "reasoning")
                    yield parent, [p["text"] for p in message["parts"] if p["type"] in kinds]


def _files(installation: Installation, harness_id: str, name: str) -> list[Path]:
    return list(installation.home.glob(f"sandboxes/{harness_id}/**/{name}"))


def _data(event: JsonObject) -> JsonObject:
    data = event["data"]
    assert isinstance(data, dict)
    return data


type Condition = Callable[[], bool]


async def until(condition: Condition, what: str, seconds: float = 60.0) -> None:
    """Wait for something."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        await asyncio.sleep(0.02)
