"""What one small statement costs by each way to PostgreSQL, in processor time and in time.

    python -m tests.bench.statements [--rounds 400]

Why the hot paths run their statements by the driver itself (`cattery.db.statements`).
"""

import argparse
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from sqlalchemy import Uuid, bindparam, select

from cattery.db.engine import Database, connect
from cattery.db.migrate import upgrade
from cattery.db.statements import Statement
from cattery.db.tables import PromptRow
from cattery.ids import new_id
from cattery.settings import DatabaseSettings
from tests.bench.tables import describe_run
from tests.postgres_server import running_postgres

_QUERY = select(PromptRow).where(PromptRow.id == bindparam("id", type_=Uuid))
_FIND = Statement(select(PromptRow.__table__).where(PromptRow.id == bindparam("id", type_=Uuid)))


async def _run(url: str, rounds: int) -> None:
    database = connect(DatabaseSettings.model_validate({"url": url}))
    print(f"{'':42} {'CPU ms':>7} {'ms':>7}")
    try:
        for name, once in _ways(database).items():
            await _measure(name, once, rounds)
    finally:
        await database.close()


def _ways(database: Database) -> dict[str, Callable[[], Awaitable[object]]]:
    values = {"id": new_id()}

    async def by_session() -> object:
        async with database.read() as session:
            return (await session.execute(_QUERY, values)).first()

    async def by_driver() -> object:
        return await database.fetch_one(_FIND, **values)

    async def five_by_session() -> object:
        async with database.write() as session:
            return [(await session.execute(_QUERY, values)).first() for _ in range(5)]

    async def five_by_driver() -> object:
        async with database.quick() as rows:
            return [await rows.execute(_FIND.sql.encode(), values) for _ in range(5)]

    return {
        "a read by SQLAlchemy's session": by_session,
        "a read by the driver": by_driver,
        "a transaction of five by the session": five_by_session,
        "a transaction of five by the driver": five_by_driver,
    }


async def _measure(name: str, once: Callable[[], Awaitable[object]], rounds: int) -> None:
    for _ in range(rounds // 4):
        await once()
    cpu, began = time.process_time(), time.perf_counter()
    for _ in range(rounds):
        await once()
    spent, took = time.process_time() - cpu, time.perf_counter() - began
    print(f"{name:42} {spent / rounds * 1e3:7.2f} {took / rounds * 1e3:7.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", maxsplit=1)[0] if __doc__ else None
    )
    parser.add_argument("--rounds", type=int, default=400, help="of each (400)")
    given = parser.parse_args()
    print(describe_run())
    with tempfile.TemporaryDirectory() as folder, running_postgres(Path(folder), {}) as url:
        upgrade(url)
        uvloop.run(_run(url, given.rounds))


if __name__ == "__main__":
    main()
