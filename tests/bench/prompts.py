"""`make bench-prompts`: how fast prompts are accepted, and reach the harness, at a steady rate.

    python -m tests.bench.prompts [--sessions 100] [--seconds 20] [--rate 50] [--slow-rate 5]

An open loop over many sessions of the whole system (API, worker, PostgreSQL, Temporal, a scripted
harness that answers with one piece). At the first rate the time until a prompt is accepted counts,
from the moment at which it was to be sent; at the second the time from its acceptance (the moment
that its row carries, before the commit) to the harness's having it. Afterwards every prompt must
have reached the harness once and ended with one `session.idle`: ends with 1 where one did not.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import psycopg
import uvloop

from tests.bench.open_loop import HEAD, Loop, line, open_client, send_in_loop
from tests.bench.rig import Rig, running_rig
from tests.bench.tables import describe_run

ACCEPTED_MS = 100.0
REACHED_MS = 500.0
OPENED_AT_ONCE = 10
WITHIN = 300.0
"""Seconds that the last turns may take to end after the last prompt."""

_IDLES = """
SELECT p.id::text, extract(epoch FROM p.created_at)::float8,
    count(*) FILTER (WHERE e.type = 'session.idle'),
    count(*) FILTER (WHERE e.type = 'session.error')
FROM prompt p LEFT JOIN session_event e ON e.session_id = p.session_id AND e.turn_no = p.turn_no
GROUP BY p.id
"""
_OPEN = "SELECT count(*) FROM prompt WHERE status <> 'done'"


@dataclass
class Asked:
    """The prompts of one loop: what each said, by its id, and when its answer was read."""

    texts: dict[str, str] = field(default_factory=dict)
    answered_at: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ending:
    """How a prompt went, by the database."""

    accepted_at: float
    """By this process's monotonic clock."""
    idles: int
    errors: int


async def _run(given: argparse.Namespace) -> bool:
    print(f"{describe_run()}\n", flush=True)
    async with running_rig() as rig, open_client({"Authorization": f"Bearer {rig.token}"}) as http:
        rig.http = http
        sessions = await _open_sessions(rig, given.sessions)
        parts = {
            "api": rig.api_process.process,
            "worker": rig.worker_process.process,
            "postgres": rig.postgres,
            "temporal": rig.temporal,
        }
        warm_up = Asked()
        await _prompt(rig, sessions, warm_up, "warm", given.rate, len(sessions) / given.rate, parts)
        await _wait_for_the_last(rig)
        fast, quick = Asked(), Asked()
        accepted = await _prompt(rig, sessions, fast, "fast", given.rate, given.seconds, parts)
        await _wait_for_the_last(rig)
        reaching = await _prompt(
            rig, sessions, quick, "slow", given.slow_rate, given.seconds, parts
        )
        is_over = await _wait_for_the_last(rig)
        endings = await asyncio.to_thread(_read_endings, rig)
        reached = _reached(rig)
    from_row = _delays(quick, {key: end.accepted_at for key, end in endings.items()}, reached)
    from_answer = _delays(quick, quick.answered_at, reached)
    _print_tables(given, accepted, reaching, from_row, from_answer)
    wrong = [] if is_over else [f"turns still ran after {WITHIN:.0f} s"]
    wrong += accepted.failures + reaching.failures
    wrong += _find_wrong({**warm_up.texts, **fast.texts, **quick.texts}, endings, reached)
    _print_wrong(wrong)
    if given.json:
        figures = {
            "machine": describe_run(),
            "accepted": accepted.figures(),
            "at_the_slow_rate": reaching.figures(),
            "acceptance_to_harness_ms": [1000 * delay for delay in from_row],
            "answer_to_harness_ms": [1000 * delay for delay in from_answer],
            "wrong": wrong,
        }
        await asyncio.to_thread(given.json.write_text, json.dumps(figures, indent=1))
    return bool(wrong)


async def _open_sessions(rig: Rig, count: int) -> list[str]:
    opened: list[str] = []
    while len(opened) < count:
        wave = min(OPENED_AT_ONCE, count - len(opened))
        opened += await asyncio.gather(*(rig.open_session() for _ in range(wave)))
    return opened


async def _prompt(
    rig: Rig,
    sessions: Sequence[str],
    asked: Asked,
    name: str,
    rate: float,
    seconds: float,
    parts: dict[str, psutil.Process],
) -> Loop:
    """Prompt the sessions in turn; each text is like no other."""

    async def send(number: int) -> None:
        text = f"stamp deltas=1 {name}={number}"
        session = sessions[number % len(sessions)]
        answer = await rig.post(f"/sessions/{session}/prompts", {"text": text})
        asked.answered_at[answer["turn_id"]] = time.monotonic()
        asked.texts[answer["turn_id"]] = text

    return await send_in_loop(send, rate=rate, seconds=seconds, processes=parts)


async def _wait_for_the_last(rig: Rig) -> bool:
    """Wait until no turn runs or waits; false where that takes too long."""
    url = rig.api_process.environment["DATABASE_URL"]
    deadline = time.monotonic() + WITHIN
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while time.monotonic() < deadline:
            row = await (await connection.execute(_OPEN)).fetchone()
            if row and row[0] == 0:
                return True
            await asyncio.sleep(0.1)
    return False


def _read_endings(rig: Rig) -> dict[str, Ending]:
    offset = time.time() - time.monotonic()
    with psycopg.connect(rig.api_process.environment["DATABASE_URL"]) as connection:
        rows = connection.execute(_IDLES).fetchall()
    return {key: Ending(at - offset, idles, errors) for key, at, idles, errors in rows}


def _reached(rig: Rig) -> dict[str, list[float]]:
    """Return when each text reached the harness, by the monotonic clock."""
    reached: dict[str, list[float]] = {}
    for each in map(json.loads, rig.posted_prompts()):
        reached.setdefault(each["text"], []).append(each["at"] / 1e9)
    return reached


def _delays(asked: Asked, since: dict[str, float], reached: dict[str, list[float]]) -> list[float]:
    """Return the time from a moment of each prompt to the harness's having it, where it had it."""
    found = [
        (since[key], reached[text][0])
        for key, text in asked.texts.items()
        if key in since and text in reached
    ]
    return [at - began for began, at in found]


def _find_wrong(
    texts: dict[str, str], endings: dict[str, Ending], reached: dict[str, list[float]]
) -> list[str]:
    wrong = []
    for key, text in texts.items():
        ending = endings.get(key)
        if ending is None:
            wrong.append("an accepted prompt has no row")
            continue
        if ending.idles != 1:
            wrong.append(f"a prompt ended with {ending.idles} session.idle")
        if ending.errors:
            wrong.append("a turn has a session.error")
        if len(reached.get(text, [])) != 1:
            wrong.append(f"a prompt reached the harness {len(reached.get(text, []))} times")
    return wrong


def _print_tables(
    given: argparse.Namespace,
    accepted: Loop,
    reaching: Loop,
    from_row: Sequence[float],
    from_answer: Sequence[float],
) -> None:
    print(HEAD)
    fast, slow = f"{given.rate:g}/s", f"{given.slow_rate:g}/s"
    valid, valid_slow = accepted.is_valid, reaching.is_valid
    print(line(f"accepted, {fast}", accepted.delays, target_ms=ACCEPTED_MS, is_valid=valid))
    print(line(f"accepted, {slow}", reaching.delays, target_ms=None, is_valid=valid_slow))
    print(
        line(
            f"acceptance → harness has it, {slow}",
            from_row,
            target_ms=REACHED_MS,
            is_valid=valid_slow,
        )
    )
    print(
        line(f"202 read → harness has it, {slow}", from_answer, target_ms=None, is_valid=valid_slow)
    )
    print("\nCPU ms a prompt, its turn included:   client's share of a core")
    for name, loop in ((fast, accepted), (slow, reaching)):
        cpu = "  ".join(f"{part} {ms:.1f}" for part, ms in loop.cpu_ms.items())
        print(f"  {name:6} {cpu}   {loop.client_share:.2f}")


def _print_wrong(wrong: Sequence[str]) -> None:
    if not wrong:
        print("\nevery prompt reached the harness once and ended with one session.idle")
    for what, count in Counter(wrong).most_common():
        print(f"\nWRONG: {what} ({count:,} times)")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sessions", type=int, default=100, help="prompted in turn (100)")
    parser.add_argument("--seconds", type=float, default=20, help="length of each load (20)")
    parser.add_argument("--rate", type=float, default=50, help="prompts a second, accepted (50)")
    parser.add_argument("--slow-rate", type=float, default=5, help="the same, to the harness (5)")
    parser.add_argument("--json", type=Path, help="write the raw figures to a file")
    sys.exit(1 if uvloop.run(_run(parser.parse_args())) else 0)


if __name__ == "__main__":
    main()
