"""Everything that the nemesis may do: each fault is done, lasts a while, and is made good.

A name says what is hurt and how. `hurts_turns` are those after which a turn may have failed, since
its harness was away for longer than a worker tries. Two of the same `victim` never overlap.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

import psutil
import psycopg

from tests.faults.streams.installation import Installation, Node
from tests.faults.streams.proxy import TcpProxy

type Act = Callable[[Installation, Random], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Misfortune:
    """One kind of fault."""

    name: str
    act: Act
    hurts_turns: bool = False
    victim: str = ""


async def kill_api(made: Installation, random: Random) -> None:
    """Kill an API and start it again."""
    await _kill(made, random.choice(made.apis), random)


async def kill_worker(made: Installation, random: Random) -> None:
    """Kill a worker and start it again."""
    await _kill(made, random.choice(made.workers), random)


async def kill_all_workers(made: Installation, random: Random) -> None:
    """Kill both workers at once."""
    await asyncio.gather(*(_kill(made, node, random) for node in made.workers))


async def stop_api(made: Installation, random: Random) -> None:
    """Ask an API to stop, and start it again."""
    await _stop(made, random.choice(made.apis))


async def stop_worker(made: Installation, random: Random) -> None:
    """Ask a worker to stop, and start it again."""
    await _stop(made, random.choice(made.workers))


async def freeze_worker(made: Installation, random: Random) -> None:
    """Stop a worker's processor, for about as long as it takes to be given up or for longer."""
    node = random.choice(made.workers)
    node.freeze()
    await asyncio.sleep(random.uniform(5, 25))
    node.thaw()


async def freeze_api(made: Installation, random: Random) -> None:
    """Stop an API's processor."""
    node = random.choice(made.apis)
    node.freeze()
    await asyncio.sleep(random.uniform(1, 15))
    node.thaw()


async def kill_temporal(made: Installation, random: Random) -> None:
    """Kill Temporal; its database file is what it comes back with."""
    made.temporal.kill()
    await asyncio.sleep(random.uniform(0, 8))
    await made.temporal.start()


async def crash_postgres(made: Installation, random: Random) -> None:
    """Crash PostgreSQL, which then recovers from its log."""
    await asyncio.to_thread(made.postgres.crash)
    await asyncio.sleep(random.uniform(0, 6))
    await asyncio.to_thread(made.postgres.start)


async def kill_backends(made: Installation, random: Random) -> None:
    """End every connection of PostgreSQL from its side."""
    await asyncio.to_thread(end_backends, made.postgres.url)


async def lose_commits(made: Installation, random: Random) -> None:
    """Lose the answers to some commits of every process."""
    for link in made.database_links():
        link.lose_replies(random.randint(1, 5))
    await asyncio.sleep(random.uniform(1, 4))
    for link in made.database_links():
        await link.heal()


async def kill_harness(made: Installation, random: Random) -> None:
    """Kill a harness within its sandbox."""
    for process in made.harness_processes(random.choice(made.harness_ids)):
        with suppress(psutil.NoSuchProcess):
            process.kill()


async def freeze_harness(made: Installation, random: Random) -> None:
    """Stop a harness's processor."""
    processes = made.harness_processes(random.choice(made.harness_ids))
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    await asyncio.sleep(random.uniform(5, 36))
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.resume()


def end_backends(url: str) -> None:
    """End every connection of a server but one's own."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )


async def _kill(made: Installation, node: Node, random: Random) -> None:
    node.kill()
    await asyncio.sleep(random.uniform(0, 3))
    node.start()
    await made.wait_until_ready(node)


async def _stop(made: Installation, node: Node) -> None:
    node.is_stopped = True
    await asyncio.to_thread(node.process.stop)
    node.start()
    await made.wait_until_ready(node)


async def _refuse(link: TcpProxy, random: Random) -> None:
    await link.refuse()
    await asyncio.sleep(random.uniform(0.2, 2))


async def _hold(link: TcpProxy, random: Random) -> None:
    link.hold()
    await asyncio.sleep(random.uniform(1, 12))


async def _reset(link: TcpProxy, random: Random) -> None:
    link.reset(after=random.choice((0, random.randrange(1, 20_000))))
    await asyncio.sleep(random.uniform(0.5, 3))


async def _half_close(link: TcpProxy, random: Random) -> None:
    link.half_close()
    await asyncio.sleep(1)


async def _half_open(link: TcpProxy, random: Random) -> None:
    """Leave clients with dead connections; of servers', their keep-alive finds out after a while.

    Those of harnesses and watchers are found out by silence alone.
    """
    link.half_open()
    await asyncio.sleep(random.uniform(5, 20))
    if link.name.endswith(("postgres", "temporal")):
        link.reset()


async def _slow_down(link: TcpProxy, random: Random) -> None:
    link.weather.rate = random.randint(20_000, 100_000)
    await asyncio.sleep(random.uniform(2, 6))


async def _delay(link: TcpProxy, random: Random) -> None:
    link.weather.delay = random.uniform(0.05, 0.5)
    await asyncio.sleep(random.uniform(2, 6))


WAYS = {
    "refused": _refuse,
    "held": _hold,
    "reset": _reset,
    "half-closed": _half_close,
    "half-open": _half_open,
    "slow": _slow_down,
    "late": _delay,
}
LINKS = {
    "client to API": "client/",
    "API to PostgreSQL": "api-.postgres",
    "worker to PostgreSQL": "worker-.postgres",
    "API to Temporal": "api-.temporal",
    "worker to Temporal": "worker-.temporal",
    "worker to harness": "harness:",
}


def _breaks(prefix: str, way: Callable[[TcpProxy, Random], Awaitable[None]]) -> Act:
    async def act(made: Installation, random: Random) -> None:
        links = [link for name, link in sorted(made.links.items()) if _fits(prefix, name)]
        link = random.choice(links)
        try:
            await way(link, random)
        finally:
            await link.heal()

    return act


def _fits(pattern: str, name: str) -> bool:
    head, _, tail = pattern.partition(".")
    return name.startswith(head) and name.endswith(tail)


MISFORTUNES = [
    Misfortune("API killed", kill_api, victim="API"),
    Misfortune("API told to stop", stop_api, victim="API"),
    Misfortune("API frozen", freeze_api, victim="API"),
    Misfortune("worker killed", kill_worker, victim="worker"),
    Misfortune("both workers killed", kill_all_workers, victim="worker"),
    Misfortune("worker told to stop", stop_worker, victim="worker"),
    Misfortune("worker frozen", freeze_worker, victim="worker"),
    Misfortune("Temporal killed", kill_temporal, victim="Temporal"),
    Misfortune("PostgreSQL crashed", crash_postgres, victim="PostgreSQL"),
    Misfortune("database connections ended", kill_backends, victim="PostgreSQL"),
    Misfortune("answers to commits lost", lose_commits),
    Misfortune("harness killed", kill_harness, hurts_turns=True, victim="harness"),
    Misfortune("harness frozen", freeze_harness, hurts_turns=True, victim="harness"),
    *(
        Misfortune(f"{link} {name}", _breaks(prefix, way), hurts_turns=link == "worker to harness")
        for link, prefix in LINKS.items()
        for name, way in WAYS.items()
    ),
]
