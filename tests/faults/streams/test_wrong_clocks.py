"""Clocks are five minutes wrong, each in its own direction: order and leases are of one of them."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, select

from cattery.db.tables import PromptRow, SandboxLeaseRow, SessionRow
from tests.faults.streams.checks import until
from tests.faults.streams.clocks import (
    POSTGRES,
    read_api_clock,
    read_database_clock,
    read_worker_clocks,
    set_database_clock,
    wrong_clocks,
)
from tests.faults.streams.installation import Installation
from tests.faults.streams.people import People
from tests.faults.streams.scenes import Scene, scene

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MINUTES = 300
CLOSE = 30.0
"""Seconds by which a clock that was read may be off: a busy machine, and whole seconds."""
WRONG = {
    "api-0": MINUTES,
    "api-1": -MINUTES,
    "worker-0": -MINUTES,
    "worker-1": MINUTES,
    POSTGRES: MINUTES,
}
SHORT = "stamp deltas=10 rate=20 size=24"
PASSWORD = "a long password for one test"
LEASE = timedelta(minutes=20)


async def test_f22_clocks_that_are_minutes_apart_change_no_order_and_end_nothing_early(
    people: People, installation: Installation, harness: str
) -> None:
    other = installation.harness_ids[1]
    async with (
        wrong_clocks(installation, WRONG),
        scene(people, harness) as played,
        scene(people, other, sessions=1, text=None) as alone,
    ):
        for number in range(len(installation.apis)):
            assert abs(await read_api_clock(people, number) - WRONG[f"api-{number}"]) < CLOSE
        assert abs(await read_database_clock(installation) - MINUTES) < CLOSE
        await _sign_in_at_one_and_show_it_to_the_other(people)
        await _hold_leases(people, installation, harness)
        await _run_turn_without(alone, 0)  # its turns are the other worker's now, and back again
        await set_database_clock(installation, -MINUTES)
        await _run_turn_without(alone, 1)
        await played.finish()
        await alone.finish()
        await _check_that_clocks_were_wrong(installation, alone.sessions[0])


async def _sign_in_at_one_and_show_it_to_the_other(people: People) -> None:
    wanted = {"username": "clockmaker", "password": PASSWORD}
    await people.ask("POST", "/admin/users", {**wanted})
    urls = [f"{url}/api/v1" for url in people.installation.urls]
    for here, there in (urls, urls[::-1]):
        async with people.http.post(f"{here}/auth/login", json=wanted) as answer:
            assert answer.status == 200, await answer.text()
            token = (await answer.json())["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        async with people.http.get(f"{there}/auth/me", headers=bearer) as answer:
            assert answer.status == 200, await answer.text()


async def _hold_leases(people: People, installation: Installation, harness: str) -> None:
    """Each API takes a lease: it lasts as long as it says by the database's clock, not its own."""
    minutes = int(LEASE.total_seconds() // 60)
    for url in installation.urls:
        path = f"{url}/api/v1/harnesses/{harness}/lease"
        async with people.http.post(path, json={"minutes": minutes}) as answer:
            assert answer.status == 204, await answer.text()
        async with installation.database.read() as rows:
            found = await rows.execute(
                select(SandboxLeaseRow.expires_at, func.clock_timestamp()).where(
                    SandboxLeaseRow.harness_id == UUID(harness)
                )
            )
        ((ends_at, now),) = found
        assert LEASE - timedelta(seconds=CLOSE) < ends_at - now <= LEASE


async def _run_turn_without(alone: Scene, number: int) -> None:
    """Have one worker alone run a turn, and what the stopped one had under way."""
    installation = alone.people.installation
    stopped = installation.workers[number]
    await asyncio.to_thread(stopped.process.stop)
    (watcher, *_) = alone.watchers
    before = watcher.last
    await alone.prompt_all(SHORT)
    await until(lambda: watcher.is_idle and watcher.last > before + 5, "the turn's end")
    stopped.start()
    await installation.wait_until_ready(stopped)


async def _check_that_clocks_were_wrong(installation: Installation, session: str) -> None:
    """Look that what was tried was what was meant: else all of it would prove nothing."""
    assert abs(await read_database_clock(installation) + MINUTES) < CLOSE
    async with installation.database.read() as rows:
        key = UUID(session)
        there = await rows.scalar(select(SessionRow.harness_session_id).where(SessionRow.id == key))
        made = list(
            await rows.scalars(
                select(PromptRow.created_at)
                .where(PromptRow.session_id == key)
                .order_by(PromptRow.turn_no)
            )
        )
    assert made[1] < made[0] - timedelta(seconds=MINUTES)
    ahead = read_worker_clocks(installation, str(there))
    assert len(ahead) == 2
    assert abs(ahead[0] - WRONG["worker-1"]) < CLOSE
    assert abs(ahead[1] - WRONG["worker-0"]) < CLOSE
