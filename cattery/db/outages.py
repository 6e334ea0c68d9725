"""Tells a database that is away from a statement that is wrong, and asks whether it is there."""

import psycopg
import psycopg_pool
import sqlalchemy.exc
from sqlalchemy import text

from cattery.db.engine import Database


def is_database_outage(error: BaseException) -> bool:
    """Tell whether an error means that PostgreSQL cannot be reached or is overloaded right now."""
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        return error.connection_invalidated or is_database_outage(error.orig or Exception())
    return isinstance(
        error,
        (
            psycopg.OperationalError,
            psycopg.InterfaceError,
            psycopg_pool.PoolTimeout,
            sqlalchemy.exc.TimeoutError,
        ),
    )


async def check_database(database: Database) -> None:
    """Return when PostgreSQL answers; raise what the driver says where it does not."""
    async with database.read() as session:
        await session.execute(text("SELECT 1"))
